"""What the predictor's page answers from: the same numbers as the fitted model, for any Schema; and what anybody may upload or link to."""
import csv
import io
import json
import re
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from studperf import simulate_students
from studperf.prediction.formula_file import read_formula
from studperf.dashboard.class_list import csv_of, predict_class, read_class_list
from studperf.models.explanation import explain
from studperf.prediction.formula_file import formula_from_dict, formula_to_dict
from studperf.dashboard.form import Form, choose_from
from studperf.dashboard.page import SECTIONS, PredictorPage
from studperf.models.predictor import fit_predictor, load_predictor
from studperf.dashboard.facts import facts_from_dict, facts_to_dict
from studperf.dashboard.predictor import PredictorWidget
from studperf.rows.schema import STUDENTS, Schema
from studperf.rows.values import spelling


@pytest.fixture(scope="module")
def rows():
    return simulate_students(300, seed=5)


@pytest.fixture(scope="module")
def predictor(rows):
    return PredictorWidget(rows)


MODELS = ("mean", "least squares", "ridge", "lasso", "elastic net", "partial pooling")


@pytest.mark.parametrize("model, inputs", [*((model, inputs) for model in MODELS for inputs in ("background", "all")), ("random forest", "background")])
@pytest.mark.usefixtures("no_search")
def test_a_formula_read_from_a_file_is_the_model(rows, tmp_path, model, inputs):
    fitted = fit_predictor(rows, "math", inputs=inputs, model=model, folds=3)
    fitted.save(tmp_path / "math.studperf", own_use=model == "random forest")
    formula = read_formula(tmp_path / "math.studperf")
    assert formula_from_dict(json.loads(json.dumps(formula_to_dict(formula)))) == formula
    expected = fitted.predict(rows[:40], level=.8)
    for student, (_, one) in zip(rows[:40].to_dict("records"), expected.iterrows(), strict=True):
        found = formula.predict_one(student, level=.8)
        assert found == fitted.predict_one(student, level=.8)
        assert np.allclose(found[:3], one, rtol=0, atol=1e-9)
    if model == "random forest":  # stays on the own machine
        with pytest.raises(ValueError, match="which a page must not hold"):
            PredictorWidget(fitted)
        return
    own = PredictorWidget(fitted)
    first = rows.iloc[0].to_dict()
    factors, others = {name: first[name] for name in STUDENTS.factors}, {name: first[name] for name in own.facts.others("math")}
    parts = own.explain("math", factors, others)
    assert [part.points for part in parts] == explain(fitted, first)["points"].tolist()
    assert np.isclose(sum(part.points for part in parts), own.formula("math", factors, others).raw(first)[0], rtol=0, atol=1e-9)


def odd_tables():
    random, base = np.random.default_rng(1), simulate_students(240, seed=2)
    names = base.rename(columns={"lunch": "<b>lunch</b>", "math": "score & more"})
    yield "hostile names", names, Schema(["gender", "<b>lunch</b>"], {"score & more": (0, 100)})
    yield "one factor with one level", base.assign(all="yes"), Schema({"all": ["yes"], "lunch": None}, {"math": (0, 100)})
    yield "no limits and negative", base.assign(z=random.normal(-3, 2, 240)), Schema(["gender"], {"z": None, "math": (0, 100)})
    yield "grades", base.assign(grade=random.integers(1, 7, 240)), Schema(["gender", "lunch"], {"grade": (1, 6)})
    yield "a covariate", base.assign(age=random.normal(15, 1, 240)), Schema(["gender"], {"math": (0, 100)}, covariates=("age",))
    yield "missing levels", base.assign(lunch=base["lunch"].astype(object).where(random.random(240) > .2)), Schema(["gender", "lunch"], {"math": (0, 100)})
    yield "many scores", base.assign(**{f"s{i}": random.integers(0, 50, 240) for i in range(3)}), Schema(["gender"], {"math": (0, 100), **{f"s{i}": (0, 50) for i in range(3)}})
    yield "weights and clusters", base.assign(w=random.uniform(.5, 2, 240), school=random.integers(0, 9, 240).astype(str)), Schema(["gender"], {"math": (0, 100)}, weight="w", cluster="school")
    yield "few rows", base[:25], Schema(["gender"], {"math": (0, 100)})


@pytest.mark.filterwarnings("ignore::studperf.rows.values.DataWarning")
@pytest.mark.parametrize("rows, schema", [pytest.param(rows, schema, id=name) for name, rows, schema in odd_tables()])
def test_a_page_for_any_schema(rows, schema):
    predictor = PredictorWidget(rows, schema=schema)
    facts = predictor.facts
    assert facts_to_dict(facts_from_dict(json.loads(json.dumps(facts_to_dict(facts), allow_nan=False)))) == facts_to_dict(facts)
    page = PredictorPage(facts)
    for view in SECTIONS:
        page.section.value = view
        shown = page.headline.value + page.view.value
        assert "No answer" not in shown, view
        assert "<b>lunch" not in shown
        assert not re.search(r"\b(nan|inf|None)\b", re.sub("<[^>]*>", "", shown)), view
    question = page.form.question()
    target, inputs = question.target, [*schema.factors]
    expected = fit_predictor(rows, target, inputs=inputs, model="least squares", schema=schema).predict_one(question.factors)
    found = predictor.predict(target, question.factors)
    assert np.allclose([found.prediction, found.low, found.high], expected[:3], rtol=0, atol=1e-9)
    assert all(98 <= sum(percent for *_, percent in bars) <= 105 for cells in facts.alike.values() for bars in cells.values())
    assert all(group.n >= 10 for groups in facts.means.values() for group in groups)


def zipped(content):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("xl/workbook.xml", content)
    return written.getvalue()


HEADER = "gender,race/ethnicity,parental level of education,lunch,test preparation course,reading score\n"
GOOD = "female,group B,high school,standard,none,70\n"
cells = st.one_of(st.sampled_from(["female", "male", "group A", "high school", "standard", "none", "70", "=1+1", "-5", "1e9", "", '"', "NaN", "٣", "1_000", "0x1"]), st.text(max_size=12))
uploads = st.one_of(
    st.binary(max_size=400), st.binary(max_size=400).map(lambda tail: b"PK\x03\x04" + tail), st.binary(max_size=200).map(zipped),
    st.tuples(st.sampled_from([",", ";", "\t", "|"]), st.lists(st.lists(cells, max_size=8), max_size=6), st.sampled_from(["utf-8", "utf-16", "utf-8-sig", "cp1252", "utf-32"])).map(
        lambda parts: (HEADER.replace(",", parts[0]) + "\n".join(parts[0].join(row) for row in parts[1])).encode(parts[2], "replace")))


@given(uploads)
@example(b"")
@example(b"\xff\xfe\x00")
@example((HEADER + GOOD).encode() + b'"' + b"x" * 200_000)
@example((HEADER + GOOD * 3).encode())
@example(HEADER.encode() + b"female,group B,high school,standard,none,1e5\n")
def test_no_upload_harms_or_gets_a_number_without_right(predictor, content):
    try:
        found = predict_class(predictor.facts, read_class_list(content), "math")
    except ValueError as error:
        assert str(error)
        return
    told = {row for row, _ in found.problems}
    for number, row, prediction in zip(found.table.numbers, found.table.rows, found.predictions, strict=True):
        assert (prediction is None) == (number in told)
        if prediction:
            facts = predictor.facts
            assert all(any(spelling(str(cell)) == spelling(level) for cell in row for level in levels) for levels in facts.factors.values())
            assert 0 <= prediction[1] <= prediction[0] <= prediction[2] <= 100
            assert 0 <= prediction[3] <= 1
    for row in csv.reader(io.StringIO(csv_of(found))):
        assert not any(re.match(r"[=+\-@]", cell) and not re.fullmatch(r"[+-]?[\d.,]+(e[+-]?\d+)?\s*%?|[+-]{1,3}", cell, re.I) for cell in row)


@given(st.text(max_size=300))
@example("?gender=female&gender=male&mark=1e308&sure=&reading score=-0.0&show=Why")
@example("&".join(f"a{i}=1" for i in range(99)))
def test_no_link_breaks_the_form(predictor, query):
    form = Form(predictor.facts)
    choose_from(query, form)
    question = form.question()
    predictor.predict(question.target, question.factors, question.others, level=question.level)


def test_a_class_of_ten_thousand_equals_the_table(predictor, rows):
    many = pd.concat([rows] * 33)
    found = predict_class(predictor.facts, read_class_list(many.to_csv(index=False).encode()), "math", mark=60)
    fitted = fit_predictor(rows, "math", inputs="all", model="least squares")
    expected = fitted.predict(many)
    assert found.problems == ()
    assert np.allclose([one[:3] for one in found.predictions], expected, rtol=0, atol=1e-9)
    assert np.allclose([one[3] for one in found.predictions], fitted.chance(many, 60), rtol=0, atol=1e-9)


@pytest.mark.parametrize("model", ["ridge", "decision tree"])
def test_inputs_in_any_order_are_read_back(tmp_path, model):
    """A strict reader once took the order of the Schema for the only one."""
    students = simulate_students(200, seed=1)
    fitted = fit_predictor(students, "math", inputs=["lunch", "gender"], model=model, folds=2)
    fitted.save(tmp_path / "file")
    pd.testing.assert_frame_equal(load_predictor(tmp_path / "file").predict(students[:50]), fitted.predict(students[:50]))
