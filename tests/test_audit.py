"""Audits: groups by hand, flags beyond chance and no others, small groups hidden, and a model card that anyone can read."""
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from studperf.models.audit import (
    GROUP_COLUMNS, MEASURES, Audit, audit, audited_schema, judge_group, mean_with_error, shown_groups,
)
from studperf.reporting.figures_of_models import plot_audit
from studperf.reporting.model_card import groups_table, model_card
from studperf.cohort.small_groups import withheld
from studperf.rows.reading import load_students
from studperf.rows.simulation import simulate_students
from studperf.models.predictor import fit_predictor
from studperf.rows.schema import STUDENTS, Schema
from studperf.rows.values import DataError, DataWarning
from studperf.models.selection import splits_of

HOSTILE = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def students():
    return load_students()


@pytest.fixture(scope="module")
def fresh():
    return simulate_students(1500, seed=11)


@pytest.fixture(scope="module")
def predictor(students):
    return fit_predictor(students, "math", model="least squares")


@pytest.fixture(scope="module")
def own(predictor, students):
    return audit(predictor, students)


@pytest.fixture(scope="module")
def shifted(predictor, fresh):
    """The predictor errs by 8 points for group E of these rows."""
    return audit(predictor, fresh.assign(math=(fresh["math"] - 8 * (fresh["ethnicity"] == "group E")).clip(0)))


@pytest.fixture
def close_figures():
    yield
    plt.close("all")


def row_of(found: Audit, measure, *levels, inputs="all"):
    groups = found.groups[(found.groups["measure"] == measure) & (found.groups["inputs"] == inputs)]
    pair = groups["level_b"] == levels[1] if len(levels) > 1 else groups["level_b"].isna()
    return groups[(groups["level_a"] == levels[0]) & pair].squeeze()


# --- numbers by hand ----------------------------------------------------------------------------------------------------

def test_fitted_rows_are_predicted_by_models_of_the_others(own, students):
    """Least squares on nine tenths, and residuals of nine tenths, written out."""
    design = pd.get_dummies(students[list(STUDENTS.factors)], drop_first=True, dtype=float).to_numpy()
    scores, expected, margin = students["math"].to_numpy(float), np.empty(1000), np.empty(1000)
    splits = list(splits_of(students, 10, STUDENTS, seed=0))
    for train, part in splits:
        expected[part] = LinearRegression().fit(design[train], scores[train]).predict(design[part])
    for train, part in splits:
        margin[part] = np.sort(np.abs(scores - expected)[train])[int(np.ceil(901 * .9)) - 1]
    errors = pd.Series(scores - expected.clip(0, 100))
    held = pd.Series((scores >= expected - margin) & (scores <= expected + margin))
    width = pd.Series((expected + margin).clip(0, 100) - (expected - margin).clip(0, 100))
    assert "fitted to" in own.source and "other students" in own.source
    for levels in (["group E"], ["female", "standard"]):
        inside = students[["gender", "ethnicity", "lunch"]].isin(levels).sum(axis=1) == len(levels)
        test = scipy.stats.ttest_1samp(errors[inside], 0)
        assert row_of(own, "bias", *levels)[["n", "value", "p_value"]].tolist() == pytest.approx([inside.sum(), errors[inside].mean(), test.pvalue])
        assert row_of(own, "bias", *levels)[["ci_low", "ci_high"]].tolist() == pytest.approx(list(test.confidence_interval()))
        welch = scipy.stats.ttest_ind(errors[inside].abs(), errors[~inside].abs(), equal_var=False)
        assert row_of(own, "mae", *levels)[["value", "p_value"]].tolist() == pytest.approx([errors[inside].abs().mean(), welch.pvalue])
        exact = scipy.stats.binomtest(int(held[inside].sum()), int(inside.sum()), .9)
        assert row_of(own, "coverage", *levels)[["value", "p_value"]].tolist() == pytest.approx([held[inside].mean(), exact.pvalue])
        assert row_of(own, "coverage", *levels)[["ci_low", "ci_high"]].tolist() == pytest.approx(list(exact.proportion_ci()))
        assert row_of(own, "width", *levels)["value"] == pytest.approx(width[inside].mean())


def test_other_rows_are_predicted_by_the_predictor(predictor, fresh):
    found = audit(predictor, fresh, left_out=[], level=.8)
    expected = predictor.predict(fresh, level=.8)
    inside = (fresh["gender"] == "male") & (fresh["test_prep"] == "none")
    held = fresh["math"].between(expected["low"], expected["high"])
    assert "as it is" in found.source
    assert row_of(found, "bias", "male", "none")["value"] == pytest.approx((fresh["math"] - expected["prediction"])[inside].mean())
    assert row_of(found, "coverage", "male", "none")["value"] == pytest.approx(held[inside].mean())
    assert found.overall.set_index("measure").loc["coverage", "value"] == pytest.approx(held.mean())
    assert found.overall["inputs"].unique().tolist() == ["all"] and found.cost.empty and found.gaps.empty


def test_order_of_rows_and_columns_does_not_matter(predictor, students, fresh):
    found = audit(predictor, fresh, left_out=[], pairs=False)
    mixed = audit(predictor, fresh.sample(frac=1, random_state=1)[fresh.columns[::-1]], left_out=[], pairs=False)
    pd.testing.assert_frame_equal(found.groups, mixed.groups)
    assert audit(predictor, students.sample(frac=1, random_state=1), left_out=[], pairs=False).source.startswith("the rows it was fitted to")


def test_holm_within_each_family(shifted):
    assert tuple(shifted.groups) == GROUP_COLUMNS
    for _, family in shifted.groups.groupby(["inputs", "measure"]):
        p = family["p_value"].to_numpy()
        order = np.argsort(p)
        by_hand = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
        np.testing.assert_allclose(family["p_adjusted"].to_numpy()[order], by_hand)
        np.testing.assert_array_equal(family["flagged"], family["p_adjusted"] < .05)


# --- what leaving inputs out would change -----------------------------------------------------------------------------------

def test_cost_of_leaving_out(own, students):
    assert own.left_out == ("gender", "ethnicity")
    scores, splits = students["math"].to_numpy(float), list(splits_of(students, 10, STUDENTS, seed=0))
    r2 = {}
    for kind, names in (("with_all", list(STUDENTS.factors)), ("without", ["parental_education", "lunch", "test_prep"])):
        design = pd.get_dummies(students[names], drop_first=True, dtype=float).to_numpy()
        r2[kind] = np.array([r2_score(scores[part], LinearRegression().fit(design[train], scores[train]).predict(design[part]))
                             for train, part in splits])
    row, difference = own.cost.set_index("measure").loc["r2"], r2["without"] - r2["with_all"]
    assert row[["with_all", "without", "difference"]].tolist() == pytest.approx([r2["with_all"].mean(), r2["without"].mean(), difference.mean()])
    margin = scipy.stats.t.ppf(.975, 9) * np.sqrt((1 / 10 + 1 / 9) * difference.var(ddof=1))
    assert row[["ci_low", "ci_high"]].tolist() == pytest.approx([difference.mean() - margin, difference.mean() + margin])
    gap = row_of(own, "bias", "male", inputs="without gender, ethnicity")["value"] - row_of(own, "bias", "female", inputs="without gender, ethnicity")["value"]
    assert own.gaps.set_index("factor").loc["gender", "without"] == pytest.approx(abs(gap))
    assert own.gaps.set_index("factor").loc["gender", "with_all"] < .1 < 3 < abs(gap)


def test_other_rows_compare_like_with_like(shifted):
    assert shifted.overall["inputs"].unique().tolist() == ["all", "all, refitted", "without gender, ethnicity"]
    assert not shifted.groups.query("inputs == 'all, refitted'")["flagged"].any()  # a model of these rows knows the shift


def test_nothing_left_to_predict_from(students):
    only = fit_predictor(students, "math", inputs=["gender"], model="least squares")
    found = audit(only, students, pairs=False)
    assert found.left_out == ("gender",)
    assert found.cost.set_index("measure").loc["r2", "without"] < 0 < found.cost.set_index("measure").loc["r2", "with_all"]
    assert len(found.gaps) == 5  # factors that are no inputs are looked at, too


def test_no_sensitive_input(students):
    without = fit_predictor(students, "math", inputs=["lunch", "test_prep"], model="least squares")
    found = audit(without, students, pairs=False)
    assert found.left_out == () and found.cost.empty
    assert row_of(found, "bias", "group E")["flagged"]
    assert audit(without, students[["math", "lunch", "test_prep"]], pairs=False).groups["factor_a"].unique().tolist() == ["lunch", "test_prep"]
    text = model_card(without, found)
    assert "No input was left out for comparison" in text and "The model uses neither gender nor ethnicity" in text


# --- chance ---------------------------------------------------------------------------------------------------------------

def test_a_planted_fault_is_found(shifted):
    row = row_of(shifted, "bias", "group E")
    assert row["flagged"] and row["ci_low"] < -8 < row["ci_high"]
    single = shifted.groups.query("inputs == 'all' and measure == 'bias' and factor_b.isna()")
    assert single.loc[single["value"].abs().idxmax(), "level_a"] == "group E"
    assert "predicted too high" in groups_table(shifted, 1).query("Group == 'group E'")["Beyond chance"].item()


def test_a_right_predictor_is_seldom_flagged():
    """With 5% in a family, more than 4 of 20 would be seen once in four hundred times."""
    right = fit_predictor(simulate_students(50_000, seed=99), "math", model="least squares")
    flagged = dict.fromkeys(["bias", "mae", "coverage"], 0)
    for seed in range(20):
        found = audit(right, simulate_students(600, seed=seed), left_out=[], pairs=False)
        for measure in flagged:
            flagged[measure] += bool(found.flagged["measure"].eq(measure).any())
    assert max(flagged.values()) <= 4, flagged
    assert sum(flagged.values()) > 0  # a test that never flags would pass the line above, too


def test_interval_of_the_error_holds_in_small_groups():
    """Student's t for a mean of absolute errors, which are skewed: 30 students, normal errors."""
    random, hits = np.random.default_rng(0), 0
    for _ in range(2000):
        low, high, _ = judge_group("mae", np.abs(random.standard_normal(60)), np.arange(60) < 30, None)
        hits += low <= np.sqrt(2 / np.pi) <= high
    assert hits / 2000 == pytest.approx(.945, abs=.015)


def test_schools_are_the_units():
    """With half of the variance between schools, intervals by student would hold in half of the cases."""
    random, schools, hits = np.random.default_rng(0), np.repeat(np.arange(40), 25), {"school": 0, "student": 0}
    for _ in range(400):
        errors = random.standard_normal(40)[schools] + random.standard_normal(1000)
        for name, units in (("school", schools), ("student", None)):
            low, high, _ = judge_group("bias", errors, np.ones(1000, bool), units)
            hits[name] += low <= 0 <= high
    assert hits["school"] / 400 == pytest.approx(.95, abs=.035)
    assert hits["student"] / 400 < .6


@pytest.mark.parametrize("measure", ["mae", "coverage"])
def test_tests_with_schools_keep_their_level(measure):
    random, schools, rejected = np.random.default_rng(1), np.repeat(np.arange(40), 25), 0
    for _ in range(400):
        values = (np.abs(random.standard_normal(40)[schools] * .5 + random.standard_normal(1000)) if measure == "mae" else
                  (random.random(1000) < random.beta(9, 1, 40)[schools]).astype(float))
        rejected += judge_group(measure, values, random.random(1000) < .4, schools)[2] < .05
    assert .015 < rejected / 400 < .09


def test_nothing_to_tell_apart():
    assert np.isnan(judge_group("mae", np.arange(9.0), np.ones(9, bool), None)[2])  # no one else
    assert judge_group("bias", np.ones(9), np.ones(9, bool), None)[:2] == (1, 1)
    assert np.isnan(judge_group("bias", np.ones(9), np.ones(9, bool), None)[2])  # nothing varies
    assert np.isnan(mean_with_error(np.arange(5.0), np.zeros(5, int))[1])  # one school
    assert np.isnan(judge_group("bias", np.arange(5.0), np.ones(5, bool), np.zeros(5, int))).all()


# --- groups that are shown ------------------------------------------------------------------------------------------------------

def test_no_small_group_and_none_that_follows_by_subtraction():
    random = np.random.default_rng(0)
    for _ in range(300):
        counts = random.poisson(random.choice([3, 30, 80]), size=random.integers(2, 6, random.integers(1, 3)))
        hidden = withheld(counts, np.zeros(counts.shape, bool), 20)
        assert (counts[~hidden] >= 20).all()
        for line, secret in ([(counts, hidden)] if counts.ndim == 1 else [*zip(counts, hidden, strict=True), *zip(counts.T, hidden.T, strict=True)]):
            rest, several = line[secret & (line > 0)], (secret & (line > 0)).sum() > 1
            assert not len(rest) or secret.all() or (rest.sum() >= 20 and (several or counts.ndim == 1))


def test_a_hidden_level_does_not_show_in_pairs():
    table = pd.DataFrame({"a": ["x"] * 50 + ["y"] * 45 + ["z"] * 5, "b": ["p", "q"] * 50}).astype("category")
    groups, hidden = shown_groups(table, ["a", "b"], least=20)
    assert [group.levels for group in groups] == [("x",), ("p",), ("q",), ("x", "p"), ("x", "q")]
    assert hidden == 6  # y and z, and their pairs: y follows from everyone, x and z


def test_missing_values_make_no_group_and_are_not_told_by_subtraction():
    table = pd.DataFrame({"a": pd.Categorical(["x"] * 50 + ["y"] * 45 + [None] * 5)})
    groups, hidden = shown_groups(table, ["a"], least=20)
    assert [group.levels for group in groups] == [("x",)] and hidden == 1
    assert groups[0].inside.sum() == 50


def test_a_factor_of_one_level_is_left_out(predictor, fresh):
    girls = fresh[fresh["gender"] == "female"]
    found = audit(predictor, girls, left_out=[])
    assert "gender" not in {*found.groups["factor_a"], *found.groups["factor_b"]}


def test_no_group_is_large_enough(predictor, fresh):
    found = audit(predictor, fresh[:40], least=40, left_out=[])
    assert found.groups.empty and tuple(found.groups) == GROUP_COLUMNS and found.flagged.empty and found.hidden > 0
    assert found.overall["n"].eq(40).all()
    assert "No pair of levels is large enough to show" in model_card(predictor, found)


# --- one's own tables ------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def school():
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"track": random.choice(["bias", "n/a-free", HOSTILE], 600), "y_pred": random.choice(["$x_1$", "a|b*c*"], 600),
                         "ses": random.standard_normal(600), "room": random.integers(0, 30, 600).astype(str)})
    rows["mark"] = 2.5 * rows["ses"] + (rows["track"] == "bias") + random.standard_normal(600)
    schema = Schema(factors=["track", "y_pred"], scores={"mark": None}, covariates=["ses"], cluster="room")
    return rows, schema


@pytest.fixture(scope="module")
def school_predictor(school):
    rows, schema = school
    return fit_predictor(rows, "mark", model="least squares", schema=schema)


@pytest.fixture(scope="module")
def school_audit(school, school_predictor):
    rows, schema = school
    return audit(school_predictor, rows, schema=schema, left_out=["track"])


def test_a_schema_of_ones_own(school, school_predictor, school_audit):
    """A continuous score without limits, a number among the inputs, students who share rooms, names that could clash."""
    found = school_audit
    assert found.cluster == "room" and found.source.startswith("the rows it was fitted to")
    assert found.groups["factor_a"].unique().tolist() == ["track", "y_pred"]
    assert row_of(found, "bias", "bias", inputs="without track")["flagged"] and not found.groups.query("inputs == 'all'")["flagged"].any()
    shown = row_of(found, "bias", "bias")
    assert shown["value"] == pytest.approx(0, abs=.02) and shown["ci_low"] < 0 < shown["ci_high"]
    assert audit(school_predictor, school[0], pairs=False).cluster is None  # the predictor knows its inputs and its score alone


def test_a_name_in_the_data_is_never_read_as_code(school_predictor, school_audit, close_figures):
    found = school_audit
    stated = {"owner": HOSTILE, "contact": "[x](javascript:1) `code`"}
    page, text = (model_card(school_predictor, found, form=form, stated=stated, title=HOSTILE) for form in ("html", "markdown"))
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "<script" not in text and r"a\|b\*c\*" in text and r"\[x\](javascript:1) \`code\`" in text and r"\$x\_1\$" in text
    for block in text.split("\n\n"):
        if block.startswith("| "):
            assert len({line.replace(r"\|", "").count("|") for line in block.splitlines()}) == 1, block
    plot_audit(found).figure.canvas.draw()  # matplotlib would read $x_1$ as a formula


def test_levels_of_the_predictor_have_the_last_word(predictor, students):
    few = fit_predictor(students[students["ethnicity"] != "group A"].assign(ethnicity=lambda rows: rows["ethnicity"].astype(str)), "math",
                        model="least squares", schema=Schema({**STUDENTS.factors, "ethnicity": None}, STUDENTS.scores, STUDENTS.ordered))
    with pytest.raises(DataError, match="column 'ethnicity': found 'group A'"):
        audit(few, students)
    assert audited_schema(predictor) == STUDENTS
    with pytest.raises(ValueError, match="schema: found no column 'ses', which the predictor needs"):
        audited_schema(fit_predictor(pd.DataFrame({"ses": np.arange(40.0), "math": np.arange(40) % 7}), "math", model="least squares",
                                     schema=Schema([], {"math": None}, covariates=["ses"])), STUDENTS)


@pytest.mark.parametrize("model", ["mean", "partial pooling", "decision tree"])
def test_any_model(students, model):
    fitted = fit_predictor(students[:300], "math", model=model, folds=3)
    found = audit(fitted, students[:300], folds=3, pairs=False)
    assert found.overall.set_index(["inputs", "measure"]).loc[("all", "mae"), "value"] == pytest.approx(fitted.metrics["mae"], rel=1e-5)
    assert model in model_card(fitted, found)


# --- bad input ----------------------------------------------------------------------------------------------------------------------

def test_rows_that_lack_something_are_counted(predictor, fresh):
    rows = pd.concat([fresh, fresh[:3].assign(lunch=None), fresh[:5].assign(math=np.nan)], ignore_index=True)
    with pytest.warns(DataWarning, match="left out of 1508 rows: 5 without 'math', 3 that lack an input"):
        found = audit(predictor, rows, left_out=[], pairs=False)
    pd.testing.assert_frame_equal(found.groups, audit(predictor, fresh, left_out=[], pairs=False).groups)


def test_fitted_rows_are_known_though_some_lack_an_input(students):
    rows = students.copy()
    rows.loc[:4, "lunch"] = None
    with pytest.warns(DataWarning):
        fitted = fit_predictor(rows, "math", model="least squares")
    with pytest.warns(DataWarning, match="5 that lack an input"):
        assert audit(fitted, rows, left_out=[], pairs=False).source.startswith("the rows it was fitted to")


def test_a_missing_input_that_the_model_has_learned(students):
    rows = students.copy()
    rows.loc[:99, "lunch"] = None
    with pytest.warns(DataWarning):
        fitted = fit_predictor(rows, "math", model="least squares")
    found = audit(fitted, rows, left_out=[], pairs=False)
    assert found.n == 1000 and row_of(found, "bias", "standard")["n"] == (rows["lunch"] == "standard").sum()


@pytest.mark.parametrize("count", [0, 1, 29])
def test_too_few_rows(predictor, fresh, count):
    with pytest.raises(DataError, match="it has no rows" if not count else f"{count} rows with 'math' and all inputs, expected at least 30"):
        audit(predictor, fresh[:count])


@pytest.mark.parametrize("arguments, message", [
    ({"level": 90}, "level: found 90, expected a share"),
    ({"conf_level": 95}, "conf_level: found 95"),
    ({"least": 1}, "least: found 1, expected a whole number from 2 up"),
    ({"least": True}, "least: found True"),
    ({"folds": 2.5}, "folds: found 2.5"),
    ({"left_out": "gender"}, "left_out: found 'gender', expected a list"),
    ({"left_out": ["sex"]}, "left_out: found 'sex', expected a list of some of the inputs 'gender'"),
    ({"folds": 800}, "1500 rows, expected at least 1600 to fit models to 800 parts")])
def test_arguments_that_cannot_be(predictor, fresh, arguments, message):
    with pytest.raises(ValueError, match=message):
        audit(predictor, fresh, **arguments)


def test_rows_that_cannot_be(predictor, fresh):
    with pytest.raises(DataError, match="column 'math': all 1500 values are 50"):
        audit(predictor, fresh.assign(math=50))
    assert len(audit(predictor, fresh.assign(math=50), left_out=[], pairs=False).groups)
    with pytest.raises(DataError, match="column 'math': not found"):
        audit(predictor, fresh.drop(columns="math"))
    with pytest.raises(DataError, match="column 'math': found 101"):
        audit(predictor, fresh.assign(math=101))
    with pytest.raises(ValueError, match="rows: found None, expected a frame"):
        audit(predictor, None)


# --- figure and card -----------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("measure", MEASURES)
def test_figure(shifted, measure, close_figures):
    ax = plot_audit(shifted, measure)
    groups = shifted.groups.query("inputs == 'all' and measure == @measure and (factor_b.isna() or flagged)")
    assert len(ax.get_yticks()) == len(groups)
    drawn = np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() in ("o", "D")])
    assert sorted(drawn) == pytest.approx(sorted(groups["value"]))
    assert any(line.get_marker() == "D" for line in ax.lines) == groups["flagged"].any()
    given = plt.figure().subplots()
    assert plot_audit(shifted, measure, inputs="without gender, ethnicity", ax=given) is given


def test_figure_of_what_is_not_there(own):
    with pytest.raises(ValueError, match="inputs: found 'none', expected one of 'all', 'without gender, ethnicity'"):
        plot_audit(own, inputs="none")


def test_card_says_all_that_it_should(predictor, own, close_figures):
    stated = {"owner": "A school", "licence": "CC0"}
    page, text = (model_card(predictor, own, form=form, stated=stated) for form in ("html", "markdown"))
    for told in ("Model details", "Intended use", "Out of scope", "Factors", "Metrics", "Evaluation data", "Training data", "Quantitative analyses",
                 "Unitary results", "Intersectional results", "Ethical considerations", "Caveats and recommendations", "A school", "CC0", "not stated",
                 predictor.fingerprint, f"{predictor.ceiling[0]:.3f}", f"{predictor.metrics['r2']:.3f}",
                 *(f"{2 * predictor.errors.half_width(level):.1f} points" for level in (.8, .9, .95))):
        assert told in page and told in text, told
    assert page.count('<div role="img" aria-label="') == 2 and "<img " not in page and page.count("<caption>") == page.count("<table>")
    assert "effect" not in text.lower() and "impact" not in text.lower()
    assert model_card(predictor, own, form="html", stated=stated) == page


def test_card_holds_no_small_group(students):
    rows = students[(students["ethnicity"] != "group A") | (students.index < 250)]  # few of group A, but ten and more
    few = fit_predictor(rows, "math", model="least squares")
    found = audit(few, rows)
    assert (found.groups["n"] >= 30).all() and "group A" not in set(found.groups["level_a"])
    text = model_card(few, found)
    assert "| group A | fewer than 30 students |" in text and not [line for line in text.splitlines() if "group A |" in line and "%" in line]


def test_card_without_audit_or_comparison(predictor):
    text = model_card(predictor)
    assert "No audit was made" in text and "without a comparison" in text


def test_card_of_a_chosen_and_saved_predictor(students, tmp_path):
    from studperf.models.predictor import load_predictor
    from studperf.models.selection import compare_models

    rows = students[:200]
    comparison = compare_models(rows, "math", models=["mean", "ridge", "k-nearest neighbours"], folds=3, repeats=1, progress=False, jobs=1)
    fitted = fit_predictor(rows, "math", comparison=comparison, folds=3)
    fitted.save(tmp_path / "math.predictor")
    loaded = load_predictor(tmp_path / "math.predictor")
    text = model_card(loaded)
    assert text == model_card(fitted)
    assert "from 3 models compared" in text and f"| {comparison['model'][0]} |" in text
    found = audit(loaded, rows, pairs=False)
    assert model_card(loaded, found) == model_card(fitted, found)


def test_card_refuses(predictor, own, students):
    with pytest.raises(ValueError, match="audit: found one of least squares for 'math', fitted to other rows"):
        model_card(fit_predictor(students[:300], "math", model="least squares"), own)
    with pytest.raises(ValueError, match="form: found 'pdf', expected 'markdown' or 'html'"):
        model_card(predictor, own, form="pdf")
    with pytest.raises(ValueError, match="stated: found 'author', expected some of 'owner'"):
        model_card(predictor, own, stated={"author": "me"})


@pytest.fixture(scope="module")
def page_of_card(predictor, shifted):
    return model_card(predictor, shifted, form="html")


@pytest.mark.parametrize("width, scheme", list(itertools.product([390, 1280], ["light", "dark"])))
def test_card_in_a_browser(page_of_card, browser, artefacts, width, scheme):
    """One page that asks no host, fits the screen, and can be read in both schemes."""
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.set_content(page_of_card)
    page.wait_for_load_state()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert [url for url in asked if not url.startswith("data:")] == [] and said == []
    assert page.evaluate("[...document.querySelectorAll('section')].length") == 9
    contrast = """() => {
        const light = c => { const [r, g, b] = c.match(/\\d+/g).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
                             return .2126 * r + .7152 * g + .0722 * b; };
        const paper = light(getComputedStyle(document.querySelector('section')).backgroundColor);
        return Math.min(...['td', 'dt', 'caption', 'p'].map(name => { const ink = light(getComputedStyle(document.querySelector(name)).color);
            return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05); })); }"""
    assert page.evaluate(contrast) >= 4.5
    page.screenshot(path=artefacts / f"model_card_{width}_{scheme}.png", full_page=True)
    page.close()
