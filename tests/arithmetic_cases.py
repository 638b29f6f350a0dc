"""The students that every arithmetic of prediction is asked about, and what the fitted model itself says of them: the truth.

`test_arithmetic.py` asks the forms for one student, for tables and for files, `test_docs_predictor.py` the page's JavaScript.
"""
from functools import cache

from studperf import STUDENTS, fit_predictor, simulate_students

LEVEL, MARKS = .8, (0, 30, 59.5, 60, 100, 101)
SHORT = (("mean", "background"), ("least squares", "background"), ("least squares", "all"), ("ridge", "all"), ("partial pooling", "all"),
         ("random forest", "background"), ("k-nearest neighbours", "background"))  # models with a formula
ENCODED = tuple((model, "all") for model in ("decision tree", "random forest", "extra trees", "gradient boosting", "AdaBoost"))
KEEPS_ROWS = (("k-nearest neighbours", "all"), ("support vectors", "all"))


@cache
def case(model, inputs):
    """A predictor, a table of students with gaps, the same students one by one, and the truth."""
    rows = simulate_students(260, seed=11)
    rows["lunch"] = rows["lunch"].where(rows.index % 9 > 0)
    rows["reading"] = rows["reading"].astype(float).where(rows.index % 12 > 0)
    predictor = fit_predictor(rows, "math", inputs=inputs, model=model, folds=2, progress=False)
    table = rows[list(predictor.inputs)][:80]
    students = table.astype(object).where(table.notna(), None).to_dict("records")
    raw, margin, (lowest, highest) = predictor.pipeline.predict(table), predictor.errors.half_width(LEVEL), STUDENTS.scores["math"]
    truth = [tuple(min(max(points + by, lowest), highest) for by in (0, -margin, margin)) for points in raw.tolist()]
    return predictor, table, students, truth
