"""The published results on the real file, real school data, and predictor files that somebody damaged or forged."""
import hashlib
import io
import json
import pickle
import re
import warnings
import zipfile

import numpy as np
import pandas as pd
import polars
import pytest
import skops.io
from catboost import CatBoostRegressor
from conftest import first_values
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import KFold, cross_val_score, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import NuSVR
from sklearn.tree import DecisionTreeRegressor
from xgboost import XGBRegressor

from studperf.models import storage
from studperf.prediction import formula_file
from studperf.rows.reading import load_students
from studperf.rows.simulation import GENERATOR, simulate_students
from studperf.models.fitted import step_of
from studperf.models.candidates import candidate_models, candidates
from studperf.models.encoding import Encoder
from studperf.prediction.formula_file import read_formula
from studperf.models.predictor import fit_predictor, load_predictor
from studperf.prediction.formula_file import PredictorFileError
from studperf.rows.schema import STUDENTS, Schema
from studperf.rows.values import DataError, DataWarning
from studperf.models.selection import COMPARED, compare_models

MODELS = tuple(candidate_models())


@pytest.fixture(scope="module")
def real_students(shared_data):
    return load_students(shared_data("StudentsPerformance.csv"))


@pytest.fixture(scope="module")
def students():
    return load_students()


# --- agreement with published results ---------------------------------------------------------------------------------

def test_published_holdout_result(real_students):
    train, test = train_test_split(real_students, test_size=.2, random_state=42)
    pipeline = candidates(STUDENTS, "math", "all")["least squares"].fit(train, train["math"])
    expected = pipeline.predict(test)
    assert r2_score(test["math"], expected) == pytest.approx(0.8804332983749564, rel=1e-9)
    assert mean_absolute_error(test["math"], expected) == pytest.approx(4.214763142475, rel=1e-9)
    assert root_mean_squared_error(test["math"], expected) == pytest.approx(5.393993869733, rel=1e-9)


@pytest.mark.parametrize("regressor, low, high", [
    (Ridge(), .88055, .88065), (KNeighborsRegressor(), .775, .795), (DecisionTreeRegressor(random_state=0), .73, .77),
    (RandomForestRegressor(random_state=0), .845, .856), (XGBRegressor(), .8210, .8285), (CatBoostRegressor(verbose=False, allow_writing_files=False), .848, .855)],
    ids=lambda value: type(value).__name__)
def test_published_holdout_results_of_other_models(real_students, regressor, low, high):
    """As published: every library's defaults, a column for each level, numbers standardised."""
    train, test = train_test_split(real_students, test_size=.2, random_state=42)
    encoder = Encoder({name: list(levels) for name, levels in STUDENTS.factors.items()}, (), ["reading", "writing"], every_level=True, scaled=True)
    expected = Pipeline([("encoder", encoder), ("model", regressor)]).fit(train, train["math"]).predict(test)
    assert low < r2_score(test["math"], expected) < high


@pytest.mark.parametrize("inputs, most_lost", [("background", .016), ("all", .004)])
def test_fresh_students_of_the_generator(real_students, real_comparison, inputs, most_lost):
    """How much less than the truth itself the chosen model explains of students that it has never seen."""
    fresh = simulate_students(100_000, seed=2026)
    known = real_comparison if inputs == "background" else compare_models(
        real_students, "math", inputs=inputs, folds=3, repeats=1, progress=False)
    predictor = fit_predictor(real_students, "math", inputs=inputs, comparison=known, progress=False)
    assert predictor.model == "least squares" and predictor.comparison["chosen"].sum() == 1
    means, sd = GENERATOR.expected(fresh), np.array(GENERATOR.residual_sd)
    covariance = np.array(GENERATOR.residual_corr) * np.outer(sd, sd)
    truth = means[:, 0]
    if inputs == "all":
        truth = truth + (fresh[["reading", "writing"]] - means[:, 1:]) @ np.linalg.solve(covariance[1:, 1:], covariance[1:, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        explained = r2_score(fresh["math"], predictor.predict(fresh)["prediction"])
    assert r2_score(fresh["math"], np.clip(truth, 0, 100)) - most_lost < explained


def test_missing_inputs_are_learned_where_many_lack_them():
    rows = simulate_students(2000, seed=4)
    random = np.random.default_rng(0)
    rows = rows.assign(age=random.normal(16, 1, 2000), **{name: rows[name].where(random.random(2000) > .06) for name in ("ethnicity", "test_prep")})
    rows.loc[:4, "age"] = np.nan
    schema = Schema(factors=STUDENTS.factors, ordered=STUDENTS.ordered, scores=STUDENTS.scores, covariates=["age"])
    with pytest.warns(DataWarning, match="some lack an input"):
        predictor = fit_predictor(rows, "math", model="least squares", schema=schema)
    assert predictor.n == 2000 and predictor.learned_missing == ("ethnicity", "test_prep")
    with pytest.warns(DataWarning, match="column 'age' is missing in rows 0, 1, 2, 3, 4$"):
        table = predictor.predict(rows)
    assert table["prediction"].isna().sum() == 5
    assert rows["math"].between(table["low"], table["high"])[5:].mean() == pytest.approx(.9, abs=.02)
    with pytest.raises(DataError, match="column 'age': no row has a value"):
        fit_predictor(rows.assign(age=np.nan), "math", model="least squares", schema=schema)


@pytest.mark.parametrize("target, inputs, published", [
    ("math", "background", .2244), ("math", "all", .8685), ("reading", "background", .1996), ("reading", "all", .9224),
    ("writing", "background", .3093), ("writing", "all", .9451)])
def test_published_cross_validation(real_students, target, inputs, published):
    pipeline = candidates(STUDENTS, target, inputs)["least squares"]
    scores = cross_val_score(pipeline, real_students, real_students[target], cv=KFold(10, shuffle=True, random_state=42))
    assert scores.mean() == pytest.approx(published, abs=.00005)


def test_one_split_is_luck(real_students):
    """What the guide on how good a prediction can be says of the split that is used most."""
    train, test = train_test_split(real_students, test_size=.2, random_state=42)
    pipeline = candidates(STUDENTS, "math")["least squares"].fit(train, train["math"])
    assert r2_score(test["math"], pipeline.predict(test)) == pytest.approx(.176, abs=.0005)


@pytest.fixture(scope="module")
def real_comparison(real_students):
    return compare_models(real_students, "math", repeats=1, progress=False)


def test_comparison_on_the_real_file(real_students, real_comparison):
    table = real_comparison
    assert list(table.columns) == list(COMPARED)
    assert set(table["model"]) == set(MODELS)
    assert table["r2"].is_monotonic_decreasing
    assert table.iloc[-1]["model"] == "mean"
    assert (table["r2_low"] < table["r2"]).all() and (table["r2"] < table["r2_high"]).all()
    assert (table["ceiling_low"] <= table["ceiling"]).all() and (table["ceiling"] <= table["ceiling_high"]).all()
    assert (table["difference_low"] <= table["difference"]).all() and (table["difference"] <= table["difference_high"]).all()
    assert table.loc[table["chosen"], "model"].tolist() == ["least squares"]
    some = ["decision tree", "ridge", "mean", "k-nearest neighbours"]
    timed = ["fit_seconds", "predict_seconds"]
    first, second = (compare_models(real_students, "math", models=some, repeats=1, jobs=jobs, progress=False) for jobs in (1, 2))
    pd.testing.assert_frame_equal(first.drop(columns=timed), second.drop(columns=timed))
    numbers = ["r2", "mae", "rmse"]
    pd.testing.assert_frame_equal(first.set_index("model")[numbers], table.set_index("model").loc[first["model"], numbers])


def test_ceiling_stands_only_beside_factors(students):
    ask = {"models": ["least squares"], "progress": False}
    assert compare_models(students, "math", inputs=["lunch", "gender"], **ask)["ceiling"].notna().all()
    assert compare_models(students, "math", inputs="all", **ask)["ceiling"].isna().all()
    assert compare_models(students, "math", inputs=["lunch", "reading"], **ask)["inputs"].tolist() == ["lunch, reading"]


def test_real_school_data_with_other_columns(shared_data, tmp_path):
    schema = Schema(factors=["Minority", "Sex"], scores=["MathAch"], covariates=["SES", "MEANSES"], cluster="School")
    pupils = load_students(shared_data("MathAchieve.csv"), schema=schema)
    predictor = fit_predictor(pupils, "MathAch", model="least squares", schema=schema)
    assert predictor.n == 7185 and .15 < predictor.metrics["r2"] < .25
    table = predictor.predict(pupils)
    assert ((table["low"] < table["prediction"]) & (table["prediction"] < table["high"])).all()
    assert pupils["MathAch"].between(table["low"], table["high"]).mean() == pytest.approx(.9, abs=.01)
    predictor.save(tmp_path / "pupils")
    pd.testing.assert_frame_equal(load_predictor(tmp_path / "pupils").predict(pupils)[["prediction"]], table[["prediction"]])


# --- rows ---------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("unit", [1e-6, 1e8])
@pytest.mark.parametrize("model", ["least squares", "ridge", "lasso", "partial pooling"])
def test_the_unit_of_a_number_does_not_matter(students, model, unit):
    rows = students.assign(income=np.random.default_rng(0).gamma(4, .25, len(students)))
    rows["math"] = (rows["math"] + 10 * rows["income"] - 10).clip(0, 100)
    schema = Schema({"gender": None, "lunch": None}, {"math": (0, 100)}, covariates=["income"])
    plain, other = (fit_predictor(rows.assign(income=rows["income"] * factor), "math", model=model, schema=schema, folds=2) for factor in (1, unit))
    asked = rows.head(20).assign(income=rows["income"].head(20) * unit)
    np.testing.assert_allclose(other.predict(asked), plain.predict(rows.head(20)), rtol=1e-6)
    single = [other.predict_one(student)[:3] for student in asked.to_dict("records")]
    np.testing.assert_allclose(single, other.predict(asked), atol=1e-9)


def in_classes(sizes, seed=0):
    random, count = np.random.default_rng(seed), sum(sizes)
    return pd.DataFrame({"group": random.choice(list("ABC"), count), "mark": random.integers(0, 21, count),
                         "class": np.repeat([f"class {place}" for place in range(len(sizes))], sizes)})


CLASSES = Schema({"group": None}, {"mark": (0, 20)}, cluster="class")


@pytest.mark.parametrize("sizes", [(100, 13, 12, 12, 13), (30, 30, 1, 30, 30)])
def test_a_class_of_most_students_and_one_of_a_single_student(sizes):
    rows = in_classes(sizes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compared = compare_models(rows, "mark", schema=CLASSES, models=["mean", "k-nearest neighbours"], jobs=1, progress=False)
        fitted = fit_predictor(rows, "mark", schema=CLASSES, model="k-nearest neighbours", folds=5)
    assert np.isfinite(compared[["r2", "r2_low", "difference_high"]].to_numpy()).all() and fitted.n == len(rows)


def test_a_class_that_leaves_too_few_others_is_told():
    with pytest.raises(DataError, match="'class 0' has 16 of 20 rows, and 4 others are too few"):
        fit_predictor(in_classes((16, 1, 1, 1, 1)).assign(group="A"), "mark", schema=CLASSES, model="mean", folds=5)


def test_what_a_fit_does_not_heed_is_told():
    rows = in_classes((30, 30, 30)).assign(weight=1.5)
    with pytest.warns(DataWarning, match="column 'class': 3 of them, fewer than 10 folds.*folds=3"):
        fit_predictor(rows, "mark", schema=CLASSES, model="mean")
    with pytest.warns(DataWarning, match="column 'weight': a model does not use the weights"):
        fit_predictor(rows, "mark", schema=Schema({"group": None}, {"mark": (0, 20)}, weight="weight"), model="mean")


@pytest.mark.parametrize("change, reason", [
    ({"repeats": 0}, "repeats: found 0, expected a whole number from 1 up"),
    ({"most_rows": 5}, "most_rows: found 5, expected a whole number from 10 up"),
    ({"models": ["mean", "ridge", "mean"]}, "models: found 'mean' twice"),
])
def test_what_a_comparison_must_not_be_asked(students, change, reason):
    with pytest.raises(ValueError, match=reason):
        compare_models(students, "math", **{"models": ["mean"], "progress": False} | change)


def test_a_comparison_of_something_else_chooses_no_model(students):
    compared = compare_models(students, "math", inputs="all", models=["mean", "least squares"], progress=False)
    with pytest.raises(ValueError, match="comparison: found one with the inputs 'all', expected 'background'"):
        fit_predictor(students, "math", comparison=compared)
    with pytest.raises(ValueError, match="comparison: found another table"):
        fit_predictor(students, "math", inputs="all", comparison=compared.drop(columns="chosen"))


@pytest.fixture(scope="module", params=["least squares", "random forest"])
def fitted_with_gaps(request, students):
    rows = students.astype({"lunch": object, "reading": float})
    rows.loc[rows.index[:30], "lunch"], rows.loc[rows.index[20:40], "reading"] = None, np.nan
    with first_values(), pytest.warns(DataWarning, match="some lack an input .'lunch' 30, 'reading' 20"):
        return fit_predictor(rows, "math", inputs=["lunch", "reading", "gender"], model=request.param, folds=2)


@pytest.mark.parametrize("missing", [np.nan, pd.NA, None], ids=str)
def test_a_missing_value_is_one_in_whatever_way_pandas_says_so(fitted_with_gaps, missing):
    for lacking in ({"lunch": missing}, {"reading": missing}, {"lunch": missing, "reading": missing}):
        student = {"lunch": "standard", "reading": 70., "gender": "female"} | lacking
        expected = fitted_with_gaps.predict(pd.DataFrame([student]))
        np.testing.assert_allclose(fitted_with_gaps.predict_one(student)[:3], expected.iloc[0], atol=1e-9)
    with pytest.raises(ValueError, match="column 'gender': found no value, expected one of 'female', 'male'; fill it in"):
        fitted_with_gaps.predict_one(student | {"gender": missing})


def test_levels_and_marks_of_numpy_are_numbers(linear, students):
    student = students.iloc[0].to_dict()
    assert linear.predict_one(student, level=np.float32(.5)) == linear.predict_one(student, level=.5)
    assert linear.chance(students.head(1), np.int64(50)).equals(linear.chance(students.head(1), 50))


@pytest.mark.parametrize("step", [.1, .5, 1, 5])
def test_the_chance_of_a_mark_where_scores_go_in_steps(step, tmp_path):
    def draw(count, seed):
        random = np.random.default_rng(seed)
        group = random.choice(list("ABC"), count)
        points = 50 + 10 * (group == "B") - 10 * (group == "C") + random.normal(0, 8, count)
        return pd.DataFrame({"group": group, "mark": (np.round(points.clip(0, 100) / step) * step).round(2)})

    fitted = fit_predictor(draw(8000, 0), "mark", schema=Schema({"group": None}, {"mark": (0, 100)}), model="least squares")
    fresh = draw(50_000, 1)
    assert fitted.step == step and fitted.whole == (step >= 1)
    for mark in (40, 50, 60):
        assert abs(fitted.chance(fresh[:3000], mark).mean() - (fresh["mark"] >= mark).mean()) < .025
    fitted.save(tmp_path / "mark.studperf")
    assert load_predictor(tmp_path / "mark.studperf").step == read_formula(tmp_path / "mark.studperf").step == step


def test_scores_without_steps():
    assert step_of(np.array([1 / 3, 2.5])) == 0 and step_of(np.array([0, 2.5, 7.25])) == .25 and step_of(np.array([1e15, 1.5])) == 0


def test_frames_of_other_libraries(students):
    predictor = fit_predictor(polars.from_pandas(students), "math", model="least squares")
    expected = fit_predictor(students, "math", model="least squares").predict(students[:50])
    pd.testing.assert_frame_equal(predictor.predict(polars.from_pandas(students[:50])), expected)


def test_predictions_keep_a_repeated_index(students):
    rows = students[:6].set_axis([1, 1, 2, 2, 3, 3])
    table = fit_predictor(students, "math", model="least squares").predict(rows)
    assert table.index.tolist() == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.usefixtures("no_search")
def test_a_level_seen_once_counts_as_not_known(students, model):
    rows = students[students["ethnicity"] != "group E"][:250]
    rows = pd.concat([rows, students[students["ethnicity"] == "group E"][:1]])
    with pytest.warns(DataWarning, match="column 'ethnicity': 1 level of fewer than 10 students counts as not known"):
        predictor = fit_predictor(rows, "math", model=model, folds=2)
    assert predictor.schema.factors["ethnicity"][-1] == "group D"
    with pytest.warns(DataWarning, match="column 'ethnicity', row .*it counts as not known"):
        alone = predictor.predict(rows.tail(1))
    assert alone.equals(predictor.predict(rows.tail(1).assign(ethnicity=None))) and np.isfinite(alone).all(axis=None)
    assert np.allclose(predictor.predict_one(rows.iloc[-1].to_dict())[:3], alone.iloc[0], rtol=0, atol=1e-9)
    with pytest.warns(DataWarning, match="1 level of fewer than 10 students"):
        compare_models(rows, "math", models=[model], folds=2, repeats=1, progress=False)


@pytest.mark.parametrize("model", MODELS)
def test_few_rows_are_enough_or_told(students, model, request):
    if model != "k-nearest neighbours":  # which searches among fewer neighbours where rows are few
        request.getfixturevalue("no_search")
    with pytest.warns(DataWarning, match="column 'lunch': left out of the inputs, since no level has 10 rows"):
        predictor = fit_predictor(students[30:40], "math", model=model, inputs=["lunch", "reading"], folds=5)
    assert predictor.inputs == ("reading",)
    assert np.isfinite(predictor.predict(students[30:40])).all(axis=None)
    with pytest.raises(DataError, match="only 9 rows are left beside those that a model would give back"):  # one reads far better
        fit_predictor(students[:10], "math", model=model, inputs=["lunch", "reading"], folds=5)
    with pytest.raises(DataError, match="9 rows with a score, expected at least 10 for 5 folds"):
        fit_predictor(students[:9], "math", model=model, folds=5)
    with pytest.raises(DataError, match="19 rows with a score, expected at least 20 for 10 folds"):
        fit_predictor(students[:19], "math", model=model)


def test_rows_without_any_complete_one(students):
    rows = students.astype({"math": float}).assign(math=np.nan)
    with pytest.warns(DataWarning, match="1000 without 'math'"), pytest.raises(DataError, match="0 rows with a score"):
        fit_predictor(rows, "math", model="least squares")


def test_score_out_of_range_among_the_inputs(students):
    predictor = fit_predictor(students, "math", model="least squares", inputs="all")
    with pytest.raises(DataError, match="row 3, column 'reading': found 105, expected a number from 0 to 100"):
        predictor.predict(students.assign(reading=[*students["reading"][:3], 105, *students["reading"][4:]]))


LUNCH = "expected one of 'free/reduced', 'standard'"


@pytest.mark.parametrize("change, reason", [
    ({"lunch": "breakfast"}, f"column 'lunch': found 'breakfast', {LUNCH}; correct it"),
    ({"lunch": "standart"}, f"column 'lunch': found 'standart', {LUNCH}; did you mean 'standard'?"),
    ({"lunch": None}, f"column 'lunch': found no value, {LUNCH}; fill it in"),
    ({"lunch": 3}, f"column 'lunch': found 3, {LUNCH}; correct it"),
    ({"lunch": ["standard"]}, f"column 'lunch': found ['standard'], {LUNCH}"),
    ({"reading": 105}, "column 'reading': found 105, expected a number from 0 to 100; correct it"),
    ({"reading": float("inf")}, "column 'reading': found inf, expected a number from 0 to 100; correct it"),
    ({"reading": "70"}, "column 'reading': found '70', expected a number from 0 to 100; correct it"),
    ({"reading": float("nan")}, "column 'reading': found no value, expected a number from 0 to 100; fill it in"),
    ({"reading": None, "lunch": "x"}, f"column 'lunch': found 'x', {LUNCH}; correct it; column 'reading': found no value")], ids=str)
def test_what_a_student_must_not_be(linear, students, change, reason):
    student = students.iloc[0].to_dict() | change
    for ask in (linear.predict_one, lambda student: linear.formula.chance(student, 60)):
        with pytest.raises(ValueError, match=re.escape(reason)):
            ask(student)


@pytest.fixture(scope="module")
def linear(students):
    return fit_predictor(students, "math", inputs="all", model="least squares")


@pytest.mark.parametrize("change, reason", [
    (lambda rows: rows[:0], "it has no rows, expected a row per student"),
    (lambda rows: rows.drop(columns="lunch"), "column 'lunch': not found"),
    (lambda rows: rows.assign(lunch=["breakfast", *rows["lunch"][1:]]), f"row 0, column 'lunch': found 'breakfast', {LUNCH}"),
    (lambda rows: rows.assign(reading=[*rows["reading"][1:], 105]), "row 4, column 'reading': found 105, expected a number from 0 to 100"),
    (lambda rows: rows.assign(reading="many"), "rows 0, 1, 2, 3, 4, column 'reading': found 'many', expected a number")])
def test_what_rows_must_not_be(linear, students, change, reason):
    rows = change(students[:5])
    for ask in (linear.predict, lambda rows: linear.chance(rows, 60)):
        with pytest.raises(DataError, match=re.escape(reason)):
            ask(rows)


def test_order_and_other_columns_do_not_matter(linear, students):
    rows = students[students.columns[::-1]].assign(shoe_size=40)
    pd.testing.assert_frame_equal(linear.predict(rows), linear.predict(students))
    other = fit_predictor(rows.sample(frac=1, random_state=0), "math", inputs="all", model="least squares")
    assert other.fingerprint == linear.fingerprint
    np.testing.assert_allclose(other.predict(students)["prediction"], linear.predict(students)["prediction"], atol=1e-9)


def test_a_row_that_lacks_an_input_has_no_prediction(linear, students):
    with pytest.warns(DataWarning, match="(?s)fill it in if it is known.*column 'lunch' is missing in row 2$"):
        table = linear.predict(students.assign(lunch=students["lunch"].where(students.index != 2)))
    assert table.isna().all(axis=1)[2] and table.drop(2).notna().all(axis=None)


def test_one_student_is_answered_in_plain_numbers(linear, students):
    student = students.iloc[0].to_dict()
    for number in (72, 72.0, np.int64(72), np.float32(72)):
        found = linear.predict_one(student | {"reading": number})
        assert found == linear.predict_one(student | {"reading": 72}) and type(found.prediction) is float
    for mark in (float("nan"), "60"):
        with pytest.raises(ValueError, match="mark: found .*, expected a number of points"):
            linear.chance(students[:2], mark)


@pytest.mark.parametrize("rows, reason", [
    (lambda rows: rows.assign(math=50), "column 'math': all 1000 values are 50, so there is nothing to predict; give rows with"),
    (lambda rows: rows[:8], "8 rows with a score, expected at least"),
    (lambda rows: rows[:0], "it has no rows"),
    (lambda rows: rows.assign(math=[105, *rows["math"][1:]]), "row 0, column 'math': found 105, expected a number from 0 to 100")])
def test_what_cannot_be_learned_from(students, rows, reason):
    with pytest.raises(DataError, match=re.escape(reason)):
        fit_predictor(rows(students), "math", model="least squares")
    with pytest.raises(DataError, match=re.escape(reason)):
        compare_models(rows(students), "math", models=["mean", "least squares"], progress=False)


# --- files --------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("inputs", ["background", "all", ["lunch"], ["age"], ["age", "reading", "gender"]], ids=str)
@pytest.mark.usefixtures("no_search")
@pytest.mark.filterwarnings("ignore:column 'parental_education'.* as not known")
def test_round_trip(tmp_path, model, inputs):
    schema = Schema(factors=dict(STUDENTS.factors), scores=dict(STUDENTS.scores), ordered=STUDENTS.ordered, covariates=["age"])
    rows = simulate_students(150, seed=8)
    rows["age"] = np.random.default_rng(0).normal(16, 1, len(rows))
    predictor = fit_predictor(rows, "math", inputs=inputs, model=model, schema=schema, folds=2)
    predictor.save(tmp_path / "predictor", own_use=True)
    loaded = load_predictor(tmp_path / "predictor")
    rounding = 1e-9 if model == "CatBoost" else 0  # its values are added up in another order
    pd.testing.assert_frame_equal(loaded.predict(rows, level=.8), predictor.predict(rows, level=.8), rtol=0, atol=rounding)
    assert loaded.schema == predictor.schema and loaded.metrics == predictor.metrics
    np.testing.assert_array_equal(loaded.residuals, predictor.residuals)


@pytest.fixture(scope="module")
def saved(tmp_path_factory, students):
    """Path of a saved predictor by the name of its model."""
    folder, paths = tmp_path_factory.mktemp("saved"), {}

    def path_of(model="least squares"):
        if model not in paths:
            paths[model] = folder / model
            with first_values():
                fit_predictor(students[:200], "math", model=model, folds=2).save(paths[model], own_use=True)
        return paths[model]
    return path_of


def members(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("predictor.json")), archive.read("model.skops")


def forge(path, record, model):
    """A predictor's file whose checksums fit, as somebody who knows the format would write it."""
    record = record | {"model_sha256": hashlib.sha256(model).hexdigest()}
    record.pop("sha256", None)
    checksum = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()  # also of what no JSON should hold
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("predictor.json", json.dumps(record | {"sha256": checksum}))
        archive.writestr("model.skops", model)
    return path


def test_what_is_no_predictor_is_refused(tmp_path, saved):
    content = saved().read_bytes()
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    for foreign in (b"", b"gender,math\n", pickle.dumps([1, 2]), content[:100], content[:-1], content[len(content) // 2:],
                    other.getvalue()):
        path = tmp_path / "foreign"
        path.write_bytes(foreign)
        with pytest.raises(PredictorFileError, match="foreign: not a predictor of studperf") as caught:
            load_predictor(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError):
        load_predictor(tmp_path / "absent")


def test_missing_and_further_members_are_refused(tmp_path, saved):
    record, model = members(saved())
    path = tmp_path / "members"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("predictor.json", json.dumps(record))
    with pytest.raises(PredictorFileError, match="without model.skops"):
        load_predictor(path)
    with zipfile.ZipFile(forge(path, record, model), "a") as archive:
        archive.writestr("../evil.py", "print()")
    with pytest.raises(PredictorFileError, match="alone, found 3"):
        load_predictor(path)


def test_damage_is_noticed_or_harmless(tmp_path, saved, students):
    content, path = saved().read_bytes(), tmp_path / "damaged"
    expected = load_predictor(saved()).predict(students[:5])
    noticed = 0
    for position in np.linspace(0, len(content) - 1, 200).astype(int):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:  # a few bytes, such as the time of writing, mean nothing
            pd.testing.assert_frame_equal(load_predictor(path).predict(students[:5]), expected, check_exact=True)
        except PredictorFileError:
            noticed += 1
    assert noticed > 150


def test_an_exchanged_model_is_refused(tmp_path, saved):
    path = tmp_path / "exchanged"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("predictor.json", json.dumps(members(saved())[0]))
        archive.writestr("model.skops", members(saved("ridge"))[1])
    with pytest.raises(PredictorFileError, match="model.skops is not the one that was saved"):
        load_predictor(path)


@pytest.mark.parametrize("change, reason", [
    ({"format": "another"}, "has the format 'another'"),
    ({"version": 5}, "update studperf"),
    ({"version": 1}, "older studperf; fit the predictor again"),
    ({"version": 2}, "older studperf; fit the predictor again"),
    ({"target": "physics"}, "contradicts itself"),
    ({"inputs": ["lunch", "shoe_size"]}, "contradicts itself"),
    ({"inputs": ["lunch"], "combinations": [["standard", "none"]]}, "contradicts itself"),
    ({"inputs": ["lunch"], "combinations": None}, "the formula's levels are not the Schema's"),
    ({"combinations": [["female"]]}, "contradicts itself"),
    ({"profile": {}}, "contradicts itself"),
    ({"ceiling": "high"}, "contradicts itself"),
    ({"comparison": {"data": 3}}, "contradicts itself"),
    ({"model": "oracle"}, "contradicts itself"),
    ({"model": "ridge"}, "expected a pipeline for ridge"),
    ({"schema": {"scores": {"math": [0, 100]}}}, "contradicts itself"),
    ({"schema": None}, "contradicts itself"),
    ({"metrics": None}, "contradicts itself"),
    ({"versions": 3}, "contradicts itself"),
    ({"n": "many"}, "contradicts itself"),
    ({"residuals": []}, "residuals as sorted numbers"),
    ({"residuals": [1.0, float("nan")]}, "not as it was saved"),
    ({"residuals": [2.0, 1.0]}, "residuals as sorted numbers"),
    ({"residuals": "none"}, "contradicts itself")], ids=str)
def test_a_description_that_does_not_fit_is_refused(tmp_path, saved, change, reason):
    record, model = members(saved())
    with pytest.raises(PredictorFileError, match=reason) as caught:
        load_predictor(forge(tmp_path / "forged", record | change, model))
    assert "\n" not in str(caught.value)


def test_other_levels_than_the_model_knows_are_refused(tmp_path, saved):
    record, model = members(saved())
    record["schema"]["factors"]["lunch"] = ["standard", "free/reduced"]
    with pytest.raises(PredictorFileError, match="the formula's levels are not the Schema's"):
        load_predictor(forge(tmp_path / "forged", record, model))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "[" * 100_000, "\xff"], ids=lambda text: repr(text[:5]))
def test_a_description_that_is_none_is_refused(tmp_path, saved, text):
    path = tmp_path / "forged"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("predictor.json", text.encode("latin-1"))
        archive.writestr("model.skops", members(saved())[1])
    with pytest.raises(PredictorFileError, match="does not describe a predictor"):
        load_predictor(path)


def test_descriptions_that_would_fill_the_memory_are_not_read(tmp_path, saved, monkeypatch):
    record, model = members(saved())
    path = forge(tmp_path / "forged", record | {"more": [[]] * 1000}, model)
    for module in (storage, formula_file):
        monkeypatch.setattr(module, "MOST_RECORD", 1000)
    monkeypatch.setattr(storage.json, "loads", lambda text: pytest.fail("it was read"))
    with pytest.raises(PredictorFileError, match="its predictor.json would unpack to .* of the longest description"):
        load_predictor(path)
    with pytest.raises(PredictorFileError, match="its schema.json would unpack to"):
        storage._read_pipeline(model, path)


def test_a_description_that_could_not_be_read_again_is_not_written(tmp_path, linear, monkeypatch):
    for module in (storage, formula_file):
        monkeypatch.setattr(module, "MOST_RECORD", 1000)
    with pytest.raises(ValueError, match="not saved, since the description takes .* very many levels: leave it out"):
        linear.save(tmp_path / "math.studperf")
    assert not list(tmp_path.iterdir())


def test_what_would_unpack_to_too_much_is_refused(tmp_path, saved, monkeypatch):
    monkeypatch.setattr(formula_file, "MOST_PREDICTOR_BYTES", 2**20)
    record, _ = members(saved())
    large = tmp_path / "large"
    large.write_bytes(np.random.default_rng(0).bytes(2**20 + 1))
    with pytest.raises(PredictorFileError, match="larger than the 1 MB"):
        load_predictor(large)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", bytes(2**21))
    for model in (bytes(2**21), bomb.getvalue()):  # in the file itself, and in the archive within it
        with pytest.raises(PredictorFileError, match="would unpack to"):
            load_predictor(forge(tmp_path / "bomb", record, model))


class Foreign:
    def __init__(self):
        self.text = "hello"

    def greet(self):
        return self.text


@pytest.mark.parametrize("intruder, name", [(Foreign(), "Foreign"), (print, "builtins.print"), (np.exp, "numpy.exp"),
                                            (NuSVR(), "sklearn.svm._classes.NuSVR"), (Foreign().greet, "MethodNode|greet|Foreign")],
                         ids=["class", "function", "ufunc", "estimator", "method"])
def test_unexpected_types_are_refused_by_name(tmp_path, saved, intruder, name):
    predictor = load_predictor(saved())
    pipeline = Pipeline([*predictor.pipeline.steps[:1], ("model", predictor.pipeline["model"])])
    pipeline.intruder = intruder
    model = skops.io.dumps(pipeline)
    with pytest.raises(PredictorFileError, match=name) as caught:
        load_predictor(forge(tmp_path / "forged", members(saved())[0], model))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", ["decision tree", "random forest", "AdaBoost", "gradient boosting"])
@pytest.mark.parametrize("fault", ["child", "loop", "column"])
def test_forged_trees_are_refused(tmp_path, saved, model, fault):
    pipeline = load_predictor(saved(model)).pipeline
    regressor = pipeline["model"]
    wrong = {"child": 10_000_000, "loop": 0, "column": 10_000}[fault]
    if model == "gradient boosting":
        nodes = regressor._predictors[-1][0].nodes
        nodes["feature_idx" if fault == "column" else "right"][0] = wrong
    else:
        tree = (regressor if model == "decision tree" else regressor.estimators_[-1]).tree_
        state = tree.__getstate__()
        state["nodes"]["feature" if fault == "column" else "right_child"][0] = wrong
        tree.__setstate__(state)
    forged = forge(tmp_path / "forged", members(saved(model))[0], skops.io.dumps(pipeline))
    with pytest.raises(PredictorFileError, match="a tree points to a node or a column that is not there"):
        load_predictor(forged)


def test_other_versions_are_told(tmp_path, saved):
    record, model = members(saved())
    path = forge(tmp_path / "older", record | {"versions": {"numpy": "1.0"}}, model)
    with pytest.warns(DataWarning, match=r"made with scikit-learn of unknown version .*, numpy 1\.0 \(here"):
        load_predictor(path)
    path = forge(tmp_path / "older", record | {"versions": {"numpy": "1.0"}}, b"no model")
    with pytest.raises(PredictorFileError, match=r"made with .*numpy 1\.0"):
        load_predictor(path)


def test_a_failed_save_leaves_the_old_file(tmp_path, saved, monkeypatch):
    path = tmp_path / "predictor"
    predictor = load_predictor(saved())
    predictor.save(path)
    before = path.read_bytes()
    monkeypatch.setattr(storage.zipfile.ZipFile, "writestr", lambda *args, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        predictor.save(path)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["predictor"]


def test_loading_does_not_hide_other_warnings(saved):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_predictor(saved())
