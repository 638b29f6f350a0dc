"""Weighted regressions and the decomposition of gaps agree with R, on students whose factors go together.

The values are in reference/adjust_r.csv, made by the script beside it (survey's svyglm and regTermTest; lm and matrices
of all rows). Where R has no answer, a bootstrap and arithmetic on the rows stand in.
"""
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studperf.statistics.regression import interactions, regress
from studperf.cohort.cohort import Cohort
from studperf.statistics.comparison import compare
from studperf.rows.simulation import simulate_students
from studperf.statistics.decomposition import DECOMPOSITION_COLUMNS, decompose
from studperf.statistics.description import describe
from studperf.rows.schema import STUDENTS, Schema
from studperf.statistics.ceiling import ceiling
from studperf.statistics.manova import manova
from studperf.statistics.mixed import mixed

REFERENCE = Path(__file__).parent / "reference"
BACKGROUND = {name: STUDENTS.factors[name] for name in ("gender", "parental_education", "lunch", "test_prep")}
PLAIN = Schema(BACKGROUND, ["math", "reading"], ordered=["parental_education"], left_out=dict.fromkeys(["weight", "school"], "not used"))
WEIGHTED = Schema(BACKGROUND, ["math", "reading"], ordered=["parental_education"], weight="weight",
                  left_out={"school": "not used"})
BY_SCHOOL = Schema(BACKGROUND, ["math", "reading"], ordered=["parental_education"], weight="weight", cluster="school")
CLOSE = {"rel": 1e-6}


@pytest.fixture(scope="module")
def students():
    return pd.read_csv(REFERENCE / "adjust_students.csv", keep_default_na=False, na_values=[""])


@pytest.fixture(scope="module")
def theirs():
    table = pd.read_csv(REFERENCE / "adjust_r.csv", keep_default_na=False)
    assert len(table) == 499
    return table.set_index(["model", "method", "term", "quantity"])["value"].sort_index()


def r_term(term):
    """R writes a level behind its factor's name."""
    return {"intercept": "(Intercept)"}.get(term, term.replace(" x ", ":").replace(": ", ""))


def model_of(students, name):
    score, factors, options = {"math": ("math", None, {}), "math by school": ("math", None, {}),
                               "reading": ("reading", ["gender", "parental_education"], {}),
                               "reading by school": ("reading", ["gender", "parental_education"], {}),
                               "math and reading by school": ("math", ["gender", "lunch"], {"covariates": ["reading"]}),
                               "crossed": ("reading", ["gender", "test_prep"], {"interactions": [("gender", "test_prep")]})}[name]
    schema = BY_SCHOOL if name.endswith("by school") else WEIGHTED
    return regress(Cohort.summarize(students, schema), score, factors=factors, **options)


@pytest.mark.filterwarnings("ignore::studperf.rows.values.DataWarning")
@pytest.mark.parametrize("name", ["math", "math by school", "reading", "reading by school", "math and reading by school", "crossed"])
def test_weighted_regression_agrees_with_svyglm(students, theirs, name):
    model, theirs = model_of(students, name), theirs[name]
    ours = {(r_term(row["term"]), quantity): row[quantity] for row in model.coefficients.to_dict("records")
            for quantity in ("estimate", "std_error", "statistic", "df", "p_value", "ci_low", "ci_high")}
    assert ours == pytest.approx(theirs["coefficients"].to_dict(), **CLOSE)
    tested = model.tests.tail(1) if name == "crossed" else model.tests  # R's tests of the factors would be no type II
    for row in tested.to_dict("records"):
        assert row["method"].startswith("type II Wald F test, linearized") and np.isnan(row["sum_sq"])
        quantities = ["df1", "df2", "statistic", "p_value"]
        assert [row[name] for name in quantities] == pytest.approx(theirs["tests", r_term(row["term"])][quantities].tolist(), **CLOSE)
    if "sigma" in theirs.index.get_level_values("quantity"):
        assert model.sigma == pytest.approx(theirs["fit", "", "sigma"], **CLOSE)
    if "means" in theirs.index:
        means = model.means[model.means["weights"] == "equal"]
        ours = {(f"{row['factor']}: {row['level']}", quantity): row[quantity] for row in means.to_dict("records")
                for quantity in ("mean", "std_error")}
        assert ours == pytest.approx(theirs["means"].to_dict(), **CLOSE)


@pytest.mark.filterwarnings("ignore::studperf.rows.values.DataWarning")
def test_weights_of_one_count_each_student_once(students):
    """The linearised errors are then HC0 with n / (n - 1), and the fit is that without weights."""
    whole = students.dropna().assign(weight=1)
    weighted = regress(Cohort.summarize(whole, WEIGHTED), "math")
    plain = regress(Cohort.summarize(whole, PLAIN), "math", vcov="HC0")
    ratio = np.sqrt(weighted.n / (weighted.n - 1))
    assert weighted.coefficients["estimate"].tolist() == pytest.approx(plain.coefficients["estimate"].tolist())
    assert weighted.coefficients["std_error"].tolist() == pytest.approx((ratio * plain.coefficients["std_error"]).tolist())
    assert weighted.means["mean"].tolist() == pytest.approx(plain.means["mean"].tolist())
    assert (weighted.r2, weighted.adj_r2) == pytest.approx((plain.r2, plain.adj_r2))
    new = whole.head(5)
    assert weighted.predict(new)["prediction"].tolist() == pytest.approx(plain.predict(new)["prediction"].tolist())


@pytest.mark.filterwarnings("ignore::studperf.rows.values.DataWarning")
def test_the_scale_of_weights_does_not_matter(students):
    by_school = [regress(Cohort.summarize(students.assign(weight=students["weight"] * factor), BY_SCHOOL), "math")
                 for factor in (1, 1000)]
    for name in ("coefficients", "tests", "means"):
        first, second = (getattr(model, name).select_dtypes("number") for model in by_school)
        assert first.to_numpy() == pytest.approx(second.to_numpy(), nan_ok=True)
    assert by_school[0].sigma == pytest.approx(by_school[1].sigma)


@pytest.mark.filterwarnings("ignore::studperf.rows.values.DataWarning")
def test_proportional_means_weigh_students(students):
    model = regress(Cohort.summarize(students, WEIGHTED), "math")
    complete = students.dropna(subset=["math", "lunch"])
    for level in ("female", "male"):
        expected = model.predict(complete.assign(gender=level))["prediction"]
        ours = model.means.query("factor == 'gender' and level == @level and weights == 'proportional'")
        assert ours["mean"].item() == pytest.approx(np.average(expected, weights=complete["weight"]))
        assert ours["n"].item() == (complete["gender"] == level).sum()


@pytest.mark.filterwarnings("ignore::studperf.rows.values.DataWarning")
def test_what_weights_cannot_have_is_refused(students):
    weighted, by_school = (Cohort.summarize(students, schema) for schema in (WEIGHTED, BY_SCHOOL))
    for ask, message in [(lambda: regress(weighted, "math", vcov="HC3"), "expected one of 'linearized', 'linearized cluster' .with survey"),
                         (lambda: regress(by_school, "math", vcov="cluster"), "expected one of 'linearized'"),
                         (lambda: regress(weighted, "math", vcov="linearized cluster"), "the Schema names no cluster"),
                         (lambda: regress(weighted, "math", covariates=["reading"]), "leave them out, or errors by cluster"),
                         (lambda: regress(Cohort.summarize(students, PLAIN), "math", vcov="linearized"), "without survey weights"),
                         (lambda: regress(Cohort.summarize(students, PLAIN), "math", covariates=["reading"], vcov="HC3"),
                          "use vcov='classical', or errors by cluster")]:
        with pytest.raises(ValueError, match=message):
            ask()
    table = interactions(weighted, "math")
    assert table["statistic"].notna().any() and table["sum_sq"].isna().all()


@pytest.mark.filterwarnings("ignore::studperf.rows.values.DataWarning")
def test_few_clusters_with_weights_have_no_errors(students):
    few = students.assign(school=[f"s{i % 5}" for i in range(len(students))])
    model = regress(Cohort.summarize(few, BY_SCHOOL), "math")
    assert set(model.coefficients["method"]) == {"no standard error: 5 clusters for 9 coefficients"}
    assert model.coefficients["estimate"].notna().all() and model.coefficients["std_error"].isna().all()
    assert model.tests["p_value"].isna().all()


@pytest.mark.filterwarnings("ignore::studperf.rows.values.DataWarning")
def test_an_only_student_with_weights_has_no_error(students):
    """The only student of a level is fitted exactly, whatever the weight."""
    alone = students.assign(test_prep=["rare", *students["test_prep"][1:]]).dropna()
    alone = alone if (alone["test_prep"] == "rare").any() else pytest.fail("the first student is complete")
    schema = Schema({**BACKGROUND, "test_prep": None}, ["math", "reading"], weight="weight", left_out={"school": "not used"})
    table = regress(Cohort.summarize(alone, schema), "math").coefficients.set_index("term")
    assert table.loc["test_prep: rare", "method"] == "no standard error: it rests on a single student"
    assert table["std_error"].isna().sum() == 1


def test_a_student_who_has_all_the_weight_of_a_level_has_no_error(students):
    """Students of weight 0 beside an only student do not make its mean sure."""
    schema = Schema(["gender"], ["math", "reading"], weight="weight", left_out={"school": "not used"})
    women = students["gender"] == "female"
    rows = students.assign(weight=students["weight"].mask(women & (women.cumsum() > 1), 0))
    cohort = Cohort.summarize(rows, schema)
    assert regress(cohort, "math").coefficients["method"].tolist() == ["no standard error: it rests on a single student"] * 2
    assert describe(cohort, "math", "gender")[["sd", "std_error"]].iloc[1].isna().all()
    table = compare(cohort, "math")
    assert table["method"].item() == "not tested: only one student in 'female' has a weight above 0" and np.isnan(table["p_value"].item())


@pytest.mark.filterwarnings("ignore::studperf.rows.values.DataWarning")
def test_groups_whose_weights_are_all_0_stand_for_nobody(students):
    """The fit is that without them; they remain part of the sample."""
    nobody = (students["lunch"] == "standard") & (students["parental_education"] == "high school")
    weighted = [regress(Cohort.summarize(frame, WEIGHTED), "math")
                for frame in (students.assign(weight=students["weight"].mask(nobody, 0)), students[~nobody])]
    assert weighted[0].n == weighted[1].n and weighted[0].r2 == pytest.approx(weighted[1].r2)
    errors = [model.coefficients["std_error"] for model in weighted]
    sampled = [len(students), (~nobody).sum()]
    ratio = np.sqrt(sampled[0] / (sampled[0] - 1) / (sampled[1] / (sampled[1] - 1)))
    assert (errors[0] / errors[1]).tolist() == pytest.approx([ratio] * 9)
    with pytest.raises(ValueError, match="no student has a value"):
        regress(Cohort.summarize(students.assign(weight=0), WEIGHTED), "math")


@pytest.mark.filterwarnings("ignore::studperf.rows.values.DataWarning")
def test_what_has_no_form_for_weights_says_so(students):
    by_school = Cohort.summarize(students, BY_SCHOOL)
    for name, ask in {"decompose": lambda: decompose(by_school, "math", "lunch"), "manova": lambda: manova(by_school),
                      "mixed": lambda: mixed(by_school, "math"), "ceiling": lambda: ceiling(by_school)}.items():
        with pytest.raises(ValueError, match=f"{name} has no form for survey weights"):
            ask()


# ----------------------------------------------------------------------------------------------------- decompose

@pytest.mark.filterwarnings("ignore::studperf.rows.values.DataWarning")
@pytest.mark.parametrize("factor", ["lunch", "parental_education"])
def test_decomposition_agrees_with_r(students, theirs, factor):
    table = decompose(Cohort.summarize(students, PLAIN), "math", factor)
    assert tuple(table.columns) == DECOMPOSITION_COLUMNS
    ours = {(row["part"], row["group_a"], quantity): row[quantity] for row in table.to_dict("records")
            for quantity in ("estimate", "std_error")}
    assert ours == pytest.approx(theirs[f"math by {factor}"].to_dict(), **CLOSE)


@pytest.mark.filterwarnings("ignore::studperf.rows.values.DataWarning")
def test_parts_add_up_and_shares_are_of_clear_gaps(students):
    table = decompose(Cohort.summarize(students, PLAIN), "math", "parental_education", conf_level=.9)
    assert (table["group_b"] == "some high school").all() and (table["conf_level"] == .9).all()
    for _, rows in table.groupby("group_a"):
        rows = rows.set_index("part")
        estimate = rows["estimate"]
        assert estimate["raw"] == pytest.approx(estimate["adjusted"] + estimate["explained"])
        assert estimate["explained"] == pytest.approx(estimate[["gender", "lunch", "test_prep"]].sum())
        if rows["ci_low"]["raw"] > 0:
            assert rows["share"].tolist() == pytest.approx((estimate / estimate["raw"]).tolist())
            assert rows["share"]["raw"] == 1 and not rows["method"].str.contains("no share").any()
        else:
            assert rows["share"].isna().all() and rows["method"].str.endswith("; no share: the raw gap may be 0").all()
    assert table["share"].isna().any() and table["share"].notna().any()


@pytest.mark.filterwarnings("ignore::studperf.rows.values.DataWarning")
def test_decomposition_errors_agree_with_a_bootstrap(students):
    """600 resamples estimate a standard deviation with an error of 3%; .12 is four times that."""
    random, complete = np.random.default_rng(2), students.dropna(subset=["math", "lunch"])
    ours = decompose(Cohort.summarize(complete, PLAIN), "math", "lunch").set_index("part")["std_error"]
    columns = {name: pd.get_dummies(complete[name], drop_first=True).to_numpy(float) for name in BACKGROUND}
    others = [name for name in BACKGROUND if name != "lunch"]
    drawn = []
    for _ in range(600):
        rows = random.integers(0, len(complete), len(complete))
        own, score = columns["lunch"][rows], complete["math"].to_numpy()[rows]
        short = np.column_stack([np.ones(len(rows)), own])
        blocks = [columns[name][rows] for name in others]
        long = np.linalg.lstsq(np.column_stack([short, *blocks]), score, rcond=None)[0]
        raw = np.linalg.lstsq(short, score, rcond=None)[0][1]
        ends = np.cumsum([2, *(block.shape[1] for block in blocks)])
        parts = [np.linalg.lstsq(short, block, rcond=None)[0][1] @ long[start:end]
                 for block, start, end in zip(blocks, ends[:-1], ends[1:], strict=True)]
        drawn.append([raw, long[1], raw - long[1], *parts])
    theirs = pd.Series(np.std(drawn, axis=0, ddof=1), ["raw", "adjusted", "explained", *others])
    assert (ours / theirs).to_dict() == pytest.approx(dict.fromkeys(theirs.index, 1), abs=.12)


def test_degenerate_decompositions():
    random = np.random.default_rng(4)
    frame = pd.DataFrame({"a": np.repeat(["x", "y"], 30), "b": random.choice(["u", "v"], 60), "one": "only",
                          "mark": random.integers(0, 20, 60)})
    frame["exact"] = 3 * (frame["a"] == "y") + (frame["b"] == "v")
    frame["same"] = frame["b"].map({"u": "1", "v": "2"})

    def decomposed(frame, factor="a", score="mark", factors=("a", "b")):
        return decompose(Cohort.summarize(frame[[*factors, score]], Schema(list(factors), [score])), score, factor).set_index("part")

    with pytest.raises(ValueError, match="'same: 2' is aliased with the other factors"):
        decomposed(frame, factors=("a", "b", "same"))
    with pytest.raises(ValueError, match="factor 'one': only 'only' occurs"):
        decomposed(frame, "one", factors=("one", "b"))
    with pytest.raises(ValueError, match="found none beside 'a'"):
        decomposed(frame, factors=("a",))
    with pytest.raises(ValueError, match="no factor 'c'"):
        decomposed(frame, "c")
    with pytest.raises(ValueError, match="no student has a value"):
        decomposed(frame.assign(mark=np.nan))

    idle = decomposed(frame, factors=("a", "b", "one"))
    assert idle.loc["one", "estimate"] == 0 and idle.loc["one", ["std_error", "ci_low"]].isna().all()
    assert idle.loc["one", "method"].startswith("no standard error: nothing varies in this part")

    exact = decomposed(frame, score="exact")
    assert exact["estimate"]["adjusted"] == pytest.approx(3)
    assert exact["estimate"]["raw"] == pytest.approx(exact["estimate"][["adjusted", "b"]].sum())
    assert exact.loc[["adjusted", "b", "explained"], "std_error"].isna().all()
    assert exact.loc["b", "method"].startswith("no standard error: the fit is exact")

    alone = pd.concat([frame.head(30), frame.tail(1)])
    table = decomposed(alone)
    assert table["std_error"].isna().all() and table["share"].isna().all()
    assert table["method"].str.startswith("no standard error: it rests on a single student; no share").all()

    constant = decomposed(frame.assign(mark=5))
    assert constant["estimate"].tolist() == pytest.approx([0] * 4, abs=1e-12) and constant["std_error"].isna().all()


# ----------------------------------------------------------------------------------------- weights and clusters, one factor
@pytest.mark.parametrize("factor", ["lunch", "ethnicity"])
def test_means_of_a_sample_by_cluster_are_as_uncertain_as_in_the_regression(factor):
    """`describe` and `compare` sum pulls by school, `regress` on that factor alone has the sandwich that R's svyglm agrees with."""
    random = np.random.default_rng(12)
    rows = simulate_students(600, seed=12)
    school = random.integers(0, 14, 600)
    rows = rows.assign(school=np.where(random.random(600) < .05, None, school.astype(str)), w=random.uniform(.5, 4, 600),
                       math=(rows["math"] + random.normal(0, 8, 14)[school]).clip(0, 100).round().where(random.random(600) > .05))
    cohort = Cohort.summarize(rows, Schema(STUDENTS.factors, STUDENTS.scores, cluster="school", weight="w"))
    regression = regress(cohort, "math", factors=[factor])
    means = regression.means.query("weights == 'equal'")
    described = describe(cohort, "math", factor).iloc[1:]
    assert described["mean"].to_numpy() == pytest.approx(means["mean"].to_numpy(), rel=1e-9)
    assert described["std_error"].to_numpy() == pytest.approx(means["std_error"].to_numpy(), rel=1e-9)
    row, test = compare(cohort, "math", factor).iloc[0], regression.tests.iloc[-1]
    f, df2 = (row["statistic"] ** 2, row["df2"]) if factor == "lunch" else (row["statistic"], row["df2"])
    assert (f, df2, row["p_value"]) == pytest.approx((test["statistic"], test["df2"], test["p_value"]), rel=1e-9)
    assert row["method"].endswith("survey weights, by cluster")


def test_a_group_of_one_cluster_has_no_standard_error():
    rows = pd.DataFrame({"class": list("aabbbb"), "school": list("xxyyzz"), "mark": [1, 3, 2, 5, 4, 4], "w": [1, 2, 1, 1, 2, 1]})
    cohort = Cohort.summarize(rows, Schema(["class"], ["mark"], cluster="school", weight="w"))
    assert compare(cohort)["method"].item() == "not tested: all students in 'a' are of one cluster"
    assert describe(cohort, "mark", "class")["std_error"].isna().tolist() == [False, True, False]
