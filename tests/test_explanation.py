"""Explanations: points add up for every model, agree with definitions written out, and figures are whole."""
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from studperf.rows.reading import load_students
from studperf.rows.simulation import simulate_students
from studperf.models.explanation import LIMIT, MODEL_CAUTION, dependence, explain, importance, make_up_students
from studperf.reporting.figures_of_models import plot_dependence, plot_explanation, plot_importance
from studperf.models.candidates import candidates
from studperf.models.predictor import fit_predictor
from studperf.rows.schema import STUDENTS, Schema
from studperf.rows.values import DataError, DataWarning
from studperf.prediction.shapley import background_of, sampled_points, shapley_points

MODELS = tuple(candidates(STUDENTS, "math"))
ADA = {"gender": "female", "ethnicity": "group C", "parental_education": "some high school", "lunch": "free/reduced",
       "test_prep": "none", "reading": 55, "writing": 49}


@pytest.fixture(scope="module")
def students():
    return load_students()


@pytest.fixture(scope="module")
def additive(students):
    return fit_predictor(students, "math", model="least squares", folds=2)


@pytest.fixture(scope="module")
def tree(students):
    return fit_predictor(students, "math", inputs=["lunch", "gender", "reading"], model="decision tree", folds=2)


@pytest.fixture
def close_figures():
    yield
    plt.close("all")


# --- one student --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("inputs", ["background", ["lunch", "gender", "reading"]])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.usefixtures("no_search")
def test_points_add_up_to_the_prediction_of_every_model(students, model, inputs):
    predictor = fit_predictor(students[:300], "math", inputs=inputs, model=model, folds=2)
    for student in (ADA, students.iloc[7].to_dict()):
        table = explain(predictor, student)
        assert table["input"].tolist() == ["average", *predictor.inputs]
        assert table["value"].tolist() == [None, *(student[name] for name in predictor.inputs)]
        expected = predictor.predict(pd.DataFrame([student])[list(predictor.inputs)])["prediction"].iloc[0]
        assert table["points"].sum() == pytest.approx(expected, abs=1e-9)
        assert table["points"].sum() == pytest.approx(predictor.predict_one(student).prediction, abs=1e-9)
        pd.testing.assert_frame_equal(predictor.explain(student), table)


def test_values_by_the_definition(students):
    """Each set of inputs by hand, over all combinations weighted by the product of their shares: no code is shared."""
    predictor = fit_predictor(students, "math", inputs=["lunch", "gender", "ethnicity"], model="decision tree", folds=2)
    levels = [predictor.schema.factors[name] for name in predictor.inputs]
    cells = pd.DataFrame(list(itertools.product(*levels)), columns=list(predictor.inputs))
    predicted = dict(zip(cells.itertuples(index=False, name=None), predictor.predict(cells)["prediction"], strict=True))
    shares = [students[name].value_counts(normalize=True).to_dict() for name in predictor.inputs]
    own = tuple(ADA[name] for name in predictor.inputs)

    def worth(known):
        return sum(predicted[tuple(own[i] if i in known else cell[i] for i in range(3))]
                   * np.prod([shares[i][cell[i]] for i in range(3)]) for cell in predicted)

    by_hand = [(2 * (worth({i}) - worth(())) + (worth({i, j}) - worth({j})) + (worth({i, k}) - worth({k}))
                + 2 * (worth({0, 1, 2}) - worth({j, k}))) / 6 for i, j, k in ((0, 1, 2), (1, 0, 2), (2, 0, 1))]
    table = explain(predictor, ADA)
    assert table["points"].tolist() == pytest.approx([worth(()), *by_hand], abs=1e-9)


def test_an_input_that_the_model_does_not_use_gets_no_points(students):
    noise = students.assign(shoe_size=np.random.default_rng(0).integers(30, 45, len(students)))
    schema = Schema(factors=STUDENTS.factors, ordered=STUDENTS.ordered, scores=STUDENTS.scores, covariates=["shoe_size"])
    predictor = fit_predictor(noise, "math", inputs=["reading", "writing", "shoe_size"], model="decision tree", schema=schema, folds=2)
    used = set(np.array(predictor.inputs)[np.unique(
        predictor.pipeline[-1].tree_.feature[predictor.pipeline[-1].tree_.feature >= 0])])
    table = explain(predictor, {"reading": 61, "writing": 70, "shoe_size": 41}).set_index("input")["points"]
    assert {name for name in predictor.inputs if table[name] != 0} <= used
    assert table["writing"] != 0


def many_inputs(n=400):
    random = np.random.default_rng(3)
    names = [f"item {i}" for i in range(12)]
    rows = pd.DataFrame(random.normal(size=(n, len(names))), columns=names)
    rows["points"] = rows[names[:4]].sum(axis=1) + 2 * rows["item 0"] * (rows["item 1"] > 0) + random.normal(size=n)
    return rows, Schema(factors={}, scores=["points"], covariates=names)


def test_many_inputs():
    rows, schema = many_inputs()
    student = rows.iloc[5]
    tables = {}
    for model in ("gradient boosting", "AdaBoost"):
        predictor = fit_predictor(rows, "points", schema=schema, model=model, folds=2)
        tables[model] = explain(predictor, student), explain(predictor, student, seed=1)
        assert tables[model][0]["points"].sum() == pytest.approx(predictor.predict(rows.iloc[[5]])["prediction"].iloc[0], abs=1e-9)
        pd.testing.assert_frame_equal(explain(predictor, student), tables[model][0])
    pd.testing.assert_frame_equal(*tables["gradient boosting"])  # trees leave nothing to chance
    table, others = tables["AdaBoost"]
    assert np.abs(others["points"] - table["points"]).max() < .2
    assert not others.equals(table)


def test_sampled_points_are_near_the_exact_ones(tree):
    background, student = background_of(tree.profile, tree.schema.factors), {name: ADA[name] for name in tree.inputs}
    average, points = shapley_points(tree.arithmetic, background, student)
    near = sampled_points(tree.arithmetic, background, student)
    assert sum(near.values()) == pytest.approx(sum(points.values()), abs=.1)  # the averages of both differ
    assert near == pytest.approx(points, abs=.15)


def test_a_student_may_be_a_mapping_a_series_or_a_row(students, additive):
    row = students.iloc[[3]].rename(index={3: "Cem"})
    table = explain(additive, row)
    for student in (row.iloc[0], row.iloc[0].to_dict(), row.assign(shoe_size=38), row[row.columns[::-1]]):
        pd.testing.assert_frame_equal(explain(additive, student), table)


def test_limits_of_the_score(students):
    predictor = fit_predictor(students, "math", inputs="all", model="least squares", folds=2)
    top = {**ADA, "gender": "male", "ethnicity": "group E", "reading": 100, "writing": 100}
    table = explain(predictor, top)
    assert table["input"].tolist()[-1] == LIMIT and table["points"].iloc[-1] < 0
    assert table["points"].sum() == pytest.approx(100, abs=1e-9)
    assert LIMIT not in explain(predictor, ADA)["input"].tolist()


@pytest.mark.parametrize("change, message", [
    ({"lunch": "Standart"}, "row 0, column 'lunch': found 'Standart'.*did you mean 'standard'"),
    ({"lunch": None}, "column 'lunch' is missing, so there is no prediction to explain"),
    ({"reading": float("nan")}, "column 'reading' is missing"),
    ({"reading": 101}, "column 'reading': found 101")])
def test_students_that_cannot_be_explained(tree, change, message):
    with pytest.raises(DataError, match=message):
        explain(tree, ADA | change)


@pytest.mark.filterwarnings("ignore:of 1000 rows some lack an input")
def test_a_missing_value_that_the_model_has_learned(students):
    rows = students.copy()
    rows.loc[::7, "lunch"] = None
    rows.loc[::9, "reading"] = np.nan
    rows["reading"] = rows["reading"].astype(float)
    for model in ("least squares", "decision tree"):
        predictor = fit_predictor(rows, "math", inputs=["lunch", "gender", "reading"], model=model, folds=2)
        assert set(predictor.learned_missing) == {"lunch", "reading"}
        for change in ({"lunch": None}, {"reading": None}, {"lunch": None, "reading": float("nan")}):
            student = ADA | change
            table = explain(predictor, student)
            expected = predictor.predict(pd.DataFrame([student]).astype({"reading": float})[list(predictor.inputs)])["prediction"].iloc[0]
            assert table["points"].sum() == pytest.approx(expected, abs=1e-9)
            assert table.set_index("input")["value"][list(change)].isna().all()
        assert "lunch: missing" in texts(plot_explanation(explain(predictor, ADA | {"lunch": None})))
    plt.close("all")


def test_real_school_data(shared_data):
    schema = Schema(factors=["Minority", "Sex"], scores=["MathAch"], covariates=["SES", "MEANSES"], cluster="School")
    pupils = load_students(shared_data("MathAchieve.csv"), schema=schema)
    for model in ("least squares", "gradient boosting"):
        predictor = fit_predictor(pupils, "MathAch", schema=schema, model=model, folds=2)
        expected = predictor.predict(pupils[:3])["prediction"].to_numpy()
        totals = [explain(predictor, pupils.iloc[[i]])["points"].sum() for i in range(3)]
        assert totals == pytest.approx(expected, abs=1e-9)
    assert importance(predictor, pupils, repeats=2)["input"].iloc[0] in ("SES", "MEANSES")


# --- made-up students ---------------------------------------------------------------------------------------------------

def test_no_made_up_student_has_a_level_without_students(students):
    rows = students.copy()
    rows.loc[rows["ethnicity"] == "group A", "ethnicity"] = "group B"
    with pytest.warns(DataWarning, match="group A"):
        predictor = fit_predictor(rows, "math", inputs="all", model="decision tree", folds=2)
    frame = make_up_students(predictor)[0]
    assert frame["ethnicity"].value_counts().to_dict().get("group A", 0) == 0
    assert (frame["reading"].min(), frame["reading"].max()) >= (rows["reading"].min(), 0)
    assert frame["reading"].max() <= rows["reading"].max()


def test_inputs_of_made_up_students_do_not_go_together(students):
    frame = make_up_students(fit_predictor(students, "math", inputs="all", model="least squares", folds=2))[0]
    assert abs(frame["reading"].corr(frame["writing"])) < .2 < students["reading"].corr(students["writing"])


# --- importance ---------------------------------------------------------------------------------------------------------

def test_importance_of_what_is_not_used_is_exactly_zero(students):
    table = importance(fit_predictor(students, "math", model="mean"), students, repeats=2)
    assert (table[["estimate", "ci_low", "ci_high"]] == 0).all(axis=None)


def test_importance_is_the_same_whatever_the_frame_looks_like(additive):
    rows = simulate_students(200, seed=4)
    table = importance(additive, rows, repeats=3)
    assert table["estimate"].is_monotonic_decreasing and table.columns.tolist() == [
        "input", "n", "estimate", "ci_low", "ci_high", "conf_level", "rmse", "rmse_shuffled"]
    same = rows[rows.columns[::-1]].assign(shoe_size=38).set_axis([7] * 200)
    pd.testing.assert_frame_equal(importance(additive, same, repeats=3), table)
    assert not importance(additive, rows, repeats=3, seed=1).equals(table)
    narrow = importance(additive, rows, repeats=3, conf_level=.8)
    assert (narrow["ci_high"] < table["ci_high"]).all() and (narrow["conf_level"] == .8).all()


def test_importance_leaves_out_what_it_cannot_use_and_says_so(additive):
    rows = simulate_students(100, seed=4).astype({"math": float})
    rows.loc[0, "math"], rows.loc[1, "lunch"] = np.nan, None
    with pytest.warns(DataWarning, match="left out of 100 rows: 2 that lack a value .missing: 'lunch' 1, 'math' 1"):
        table = importance(additive, rows, repeats=2)
    assert (table["n"] == 98).all()
    with pytest.raises(DataError, match="5 usable rows with 1 different value, expected at least two"):
        importance(additive, rows[2:7].assign(math=50))
    with pytest.raises(DataError, match="it has no rows"):
        importance(additive, rows[:0])
    with pytest.raises(ValueError, match="conf_level: found 95"):
        importance(additive, rows[2:], conf_level=95)


# --- dependence ---------------------------------------------------------------------------------------------------------

def test_dependence_over_combinations_is_a_weighted_mean(students):
    predictor = fit_predictor(students, "math", inputs=["lunch", "gender"], model="decision tree", folds=2)
    shares = students["gender"].value_counts(normalize=True)
    cells = predictor.predict(pd.DataFrame({"lunch": "standard", "gender": ["female", "male"]}))["prediction"].to_numpy()
    row = dependence(predictor, "lunch").set_index("value").loc["standard"]
    assert row["prediction"] == pytest.approx(cells @ shares[["female", "male"]].to_numpy(), abs=1e-9)
    assert [row["low"], row["high"]] == pytest.approx(sorted(cells), abs=1e-9)


def test_dependence_over_rows(students, tree):
    rows = students[:50].astype({"reading": float})
    rows.loc[0, "gender"], rows.loc[1, "lunch"] = None, None  # the input itself is given a value, so it may lack
    with pytest.warns(DataWarning, match="left out of 50 rows: 1 that lack a value .missing: 'gender' 1"):
        table = dependence(tree, "lunch", rows=rows, values=["standard"])
    predictions = tree.predict(rows.drop(index=0).assign(lunch="standard"))["prediction"]
    assert table["prediction"][0] == pytest.approx(predictions.mean(), abs=1e-9)
    assert table[["low", "high"]].iloc[0].tolist() == pytest.approx(np.quantile(predictions, [.1, .9], method="inverted_cdf"))


def test_what_dependence_refuses(students, tree):
    with pytest.raises(ValueError, match="input: found 'readng', expected one of 'lunch', 'gender', 'reading'; did you mean 'reading'"):
        dependence(tree, "readng")
    with pytest.raises(ValueError, match="values: found a missing one at position 1"):
        dependence(tree, "lunch", values=["standard", None])
    with pytest.raises(DataError, match="it has no rows"):
        dependence(tree, "lunch", values=[])
    with pytest.raises(DataError, match="it has no rows"):
        dependence(tree, "lunch", rows=students[:0])


# --- figures ------------------------------------------------------------------------------------------------------------

def texts(ax):
    return " | ".join(text.get_text() for text in ax.texts)


def assert_whole(ax):
    """No text reaches over the edge of the figure, nor is any too small at the width of a telephone."""
    figure = ax.figure
    figure.canvas.draw()
    edge = figure.bbox
    ticks = [label for label in ax.get_yticklabels() if min(ax.get_ylim()) <= label.get_position()[1] <= max(ax.get_ylim())]
    shown = [*ax.texts, ax.xaxis.label, ax.yaxis.label, ax.title, *ticks]
    for text in filter(lambda text: text.get_text() and text.get_visible(), shown):
        box = text.get_window_extent()
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= edge.x1 + 1 and box.y1 <= edge.y1 + 1, text.get_text()
        assert text.get_fontsize() / 72 * 390 / figure.get_figwidth() >= 10, text.get_text()
    assert " ".join(ax.get_xlabel().split()).endswith(MODEL_CAUTION)


@pytest.mark.usefixtures("close_figures")
def test_figures_are_whole_and_carry_the_caution(students, additive, tree):
    ax = plot_explanation(explain(additive, ADA))
    assert_whole(ax)
    assert "lunch: free/reduced" in texts(ax) and f"prediction  {explain(additive, ADA)['points'].sum():.1f}" in texts(ax)
    order = [text.get_text().split(":")[0] for text in ax.texts[1:-1]]
    sizes = explain(additive, ADA)[1:].set_index("input")["points"].abs().rename(index=lambda name: name.replace("_", " "))
    assert order == sizes.sort_values(ascending=False).index.tolist()
    for ax in (plot_importance(importance(additive, simulate_students(100, seed=1), repeats=2)),
               plot_dependence(dependence(additive, "parental_education")), plot_dependence(dependence(tree, "reading"))):
        assert_whole(ax)


@pytest.mark.usefixtures("close_figures")
def test_figures_of_a_model_that_adds_nothing(students):
    table = explain(fit_predictor(students, "math", model="mean"), ADA)
    assert_whole(plot_explanation(table))


@pytest.mark.usefixtures("close_figures")
def test_figures_show_names_as_they_stand():
    rows = pd.DataFrame({"fee_$": ["$5", "$_6^", "<b>"] * 20, "points": range(60)})
    predictor = fit_predictor(rows, "points", schema=Schema(factors=["fee_$"], scores=["points"]), model="decision tree", folds=2)
    assert "fee $: $_6^" in texts(plot_explanation(explain(predictor, {"fee_$": "$_6^"})))
    for ax in (plot_importance(importance(predictor, rows)), plot_dependence(dependence(predictor, "fee_$")),
               plot_explanation(explain(predictor, {"fee_$": "<b>"}))):
        ax.figure.canvas.draw()


@pytest.mark.usefixtures("close_figures")
def test_figures_are_drawn_where_they_are_told_to(additive):
    _, (left, right) = plt.subplots(1, 2)
    assert plot_explanation(explain(additive, ADA), ax=left) is left
    assert plot_dependence(dependence(additive, "lunch"), ax=right) is right
    assert left.texts and right.lines
