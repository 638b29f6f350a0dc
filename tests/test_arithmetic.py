"""Each form of a predictor's arithmetic gives what the fitted model gives, for the same students."""
import json

import numpy as np
import pandas as pd
import pytest
from arithmetic_cases import ENCODED, KEEPS_ROWS, LEVEL, SHORT, case

from studperf import predict_file
from studperf.prediction.trees import EncodedFormula
from studperf.prediction.formula_file import formula_from_dict, formula_to_dict
from studperf.models.arithmetic import encoded_formula_of, plain_formula_of
from studperf.prediction.tables import FormulaPredictor

pytestmark = [pytest.mark.usefixtures("no_search"), pytest.mark.filterwarnings("ignore::studperf.DataWarning")]


def again(formula):
    """The same formula after it has been in a file."""
    return formula_from_dict(json.loads(json.dumps(formula_to_dict(formula))))


@pytest.mark.parametrize("model, inputs", [*SHORT, *ENCODED, *KEEPS_ROWS])
def test_one_student(model, inputs):
    predictor, _, students, truth = case(model, inputs)
    assert isinstance(predictor.arithmetic, EncodedFormula) == (predictor.formula is None)
    np.testing.assert_allclose([predictor.predict_one(student, level=LEVEL)[:3] for student in students], truth, rtol=0, atol=1e-9)


@pytest.mark.parametrize("model, inputs", [*SHORT, *ENCODED])
def test_one_student_by_what_a_file_holds(model, inputs):
    predictor, _, students, _ = case(model, inputs)
    formula = again(predictor.formula or plain_formula_of(predictor))
    assert [formula.predict_one(student) for student in students] == [predictor.predict_one(student) for student in students]


@pytest.mark.parametrize("model, inputs", KEEPS_ROWS)
def test_rows_of_students_are_in_no_file(model, inputs):
    predictor, *_ = case(model, inputs)
    with pytest.raises(TypeError, match="keeps rows of students"):
        plain_formula_of(predictor)
    with pytest.raises(AttributeError):
        formula_to_dict(encoded_formula_of(predictor))


@pytest.mark.parametrize("model, inputs", SHORT)
def test_a_table(model, inputs):
    predictor, table, _, truth = case(model, inputs)
    light = FormulaPredictor(predictor.schema, predictor.inputs, again(predictor.formula), predictor.learned_missing)
    for found in (light.predict(table, level=LEVEL), predictor.predict(table, level=LEVEL)):
        np.testing.assert_allclose(found, truth, rtol=0, atol=1e-9)


@pytest.mark.parametrize("model, inputs", [*SHORT, *ENCODED, *KEEPS_ROWS])
def test_a_file(tmp_path, model, inputs):
    predictor, table, _, truth = case(model, inputs)
    table.to_parquet(tmp_path / "students.parquet", index=False)
    predict_file(predictor, tmp_path / "students.parquet", tmp_path / "predicted.parquet", level=LEVEL, progress=False)
    np.testing.assert_allclose(pd.read_parquet(tmp_path / "predicted.parquet")[["prediction", "low", "high"]], truth, rtol=0, atol=1e-9)
