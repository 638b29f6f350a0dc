"""Correlations, power and survey weights agree with R, on a small made-up table with missing values.

tests/reference/ holds the table, R's values and the scripts that made them.
"""
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studperf.cohort.cohort import Cohort
from studperf.statistics.comparison import compare, equivalence, pairs, trend
from studperf.statistics.ranks import ranks, spread
from studperf.reporting.figures_of_scores import plot_distribution
from studperf.statistics.correlations import correlations
from studperf.statistics.description import describe
from studperf.statistics.planning import POWER_COLUMNS, detectable_difference, needed_n, power, t_power, welch_power
from studperf.rows.schema import Schema

REFERENCE = Path(__file__).parent / "reference"
CLOSE = {"rel": 1e-9, "abs": 1e-12}


@pytest.fixture(scope="module")
def rows():
    return pd.read_csv(REFERENCE / "classes.csv")


def by_r(name):
    return pd.read_csv(REFERENCE / f"{name}_r.csv", keep_default_na=False)


def test_correlations_agree_with_r(rows):
    """Plain, within levels, and partial given factors, a number or both."""
    cohort = Cohort.summarize(rows, Schema(["sex", "class"], ["math", "essay"], covariates=["weight"]))
    for theirs in by_r("correlations").itertuples():
        given = [name for name in theirs.given.split(", ") if name]
        table = correlations(cohort, given=given, by="class" if theirs.level else None)
        ours = table[table["level"] == theirs.level].iloc[0] if theirs.level else table.iloc[0]
        assert ours["n"] == theirs.n and ours["given"] == theirs.given
        assert ours[["estimate", "ci_low", "ci_high"]].tolist() == pytest.approx([theirs.estimate, theirs.ci_low, theirs.ci_high], **CLOSE)


@pytest.mark.parametrize("given, by, reason", [
    ("pair", None, "partial, no interval: too few students"),  # five students, two terms
    ("student", None, "none: a score is constant among students who are alike in what is given"),
    ("ten_x", None, "none: a score is constant among students who are alike in what is given"),
    ((), "student", "none: a score is constant"),
    ("nobody", None, "none: no student has both scores and all that is given"),
])
def test_correlations_say_why_not(given, by, reason):
    frame = pd.DataFrame({"x": [1, 5, 2, 3, 9], "y": [2, 1, 7, 4, 4], "pair": list("aabbc"), "student": list("abcde"),
                          "nobody": [None] * 5}).assign(ten_x=lambda table: table["x"] * 10 + 3)
    schema = Schema(["pair", "student", "nobody"], ["x", "y"], covariates=["ten_x"])
    row = correlations(Cohort.summarize(frame, schema), given=given, by=by).iloc[0]
    assert row["method"] == reason and np.isnan(row["ci_low"]) and np.isnan(row["estimate"]) == reason.startswith("none")


def test_given_numbers_may_repeat_each_other():
    """A number twice, in other units, takes out no more than once."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"g": random.choice(["a", "b"], 50), "z": random.integers(0, 99, 50)})
    frame = frame.assign(x=frame["z"] + random.integers(0, 50, 50), y=random.integers(0, 50, 50) - frame["z"], z_1000=frame["z"] * 1000)
    cohort = Cohort.summarize(frame, Schema(["g"], ["x", "y"], covariates=["z", "z_1000"]))
    once, twice = (correlations(cohort, given=given).drop(columns="given") for given in (["g", "z"], ["g", "z", "z_1000"]))
    pd.testing.assert_frame_equal(once, twice, rtol=1e-9)


def test_power_agrees_with_r():
    """power.t.test and pwr.t2n.test."""
    theirs = pd.read_csv(REFERENCE / "power_r.csv")
    assert len(theirs) == 42
    for row in theirs.itertuples():
        n, var, conf_level = np.array([[row.n_a, row.n_b]]), np.full((1, 2), row.sd ** 2), 1 - row.level
        kind, _, target = row.quantity.partition(" for power ")
        if kind == "power":
            assert welch_power(np.array([row.difference]), n, var, conf_level) == pytest.approx(row.value, rel=1e-8)
        elif kind == "difference":
            assert detectable_difference(n, var, conf_level, float(target)) == pytest.approx(row.value, rel=1e-7)
        elif kind == "n":
            assert needed_n(row.difference, np.full((1, 2), .5), var, conf_level, float(target)) == np.ceil(2 * row.value)
        else:  # Student's test, whose degrees of freedom are not Welch's where the groups differ in size
            noncentrality = row.difference / np.sqrt(1 / n.ravel()[:1] + 1 / n.ravel()[1:])
            assert t_power(noncentrality, n.sum(axis=1) - 2.0, conf_level) == pytest.approx(row.value, rel=1e-8)


def test_power_of_odd_tables():
    frame = pd.DataFrame({"class": list("aaabbbc"), "only": "x", "mark": [1, 2, 6, 4, 4, 4, 9]})
    table = power(Cohort.summarize(frame, Schema(["class", "only"], ["mark"])), difference=3)
    assert tuple(table.columns) == POWER_COLUMNS and len(table) == 4
    reasons = ["Welch's t-test, noncentral t", "not tested: only one student in 'c'", "not tested: only one student in 'c'",
               "not tested: two levels of 'only' with 'mark' are needed, only 'x' occurs"]
    assert table["method"].tolist() == reasons
    numbers = table[["power", "n_needed", "detectable"]]
    assert numbers.isna().all(axis=1).tolist() == [False, True, True, True] and numbers.iloc[0].notna().all()
    noncentrality = 3 / (frame["mark"][:3].std() / np.sqrt(3))  # b is constant: the error is that of a alone, with 2 df
    expected = 1 - np.diff(stats.nct.cdf(stats.t.ppf([.025, .975], 2), 2, noncentrality)).item()
    assert table["power"][0] == pytest.approx(expected, rel=1e-8)
    nobody = power(Cohort.summarize(frame.assign(mark=np.nan), Schema(["class"], ["mark"])))
    assert len(nobody) == 1 and nobody["method"][0].startswith("not tested") and nobody["power"].isna().all()


@pytest.fixture(scope="module")
def survey(rows):
    return Cohort.summarize(rows, Schema(["sex", "class"], ["math", "essay"], weight="weight"))


def test_weighted_statistics_agree_with_r(survey):
    """svymean, svyvar, svyby; svyttest; svyglm with regTermTest."""
    described = describe(survey, factors=["sex", "class"], pass_mark=50)
    described[["factor", "level"]] = described[["factor", "level"]].fillna("")
    ours = {(score, factor, level): row for (score, factor, level), row in described.set_index(["score", "factor", "level"]).iterrows()}
    ours |= {(row["score"], row["factor"], "test"): row for _, row in compare(survey).iterrows()}
    theirs = by_r("weighted")
    assert len(theirs) == 62
    for row in theirs.itertuples():
        found = ours[row.score, row.factor, row.level if row.method == "describe" else "test"]
        assert found[row.quantity] == pytest.approx(float(row.value), **CLOSE), row
    assert described[["median", "share_below"]].isna().all(axis=None)
    assert described["n"].tolist()[:3] == [73, 30, 43]  # students


def test_equal_weights_change_no_mean_and_no_error(rows):
    """Overall, where nothing is missing."""
    complete = rows.dropna()
    weighted = Cohort.summarize(complete.assign(weight=2.5), Schema(["sex", "class"], ["math", "essay"], weight="weight"))
    plain = Cohort.summarize(complete, Schema(["sex", "class"], ["math", "essay"]))
    columns = ["n", "mean", "sd", "std_error"]
    pd.testing.assert_frame_equal(describe(weighted)[columns], describe(plain)[columns], rtol=1e-12)


def test_odd_weighted_tables_say_why_not():
    frame = pd.DataFrame({"class": list("aaabbbcc"), "mark": [5, 5, 5, 1, 2, 4, 7, 8], "w": [1, 2, .5, 1, 1, 3, 0, 0]})
    row = compare(Cohort.summarize(frame, Schema(["class"], ["mark"], weight="w"))).iloc[0]
    assert (row["group_a"], row["group_b"]) == ("a", "b") and row["df2"] == 4  # c stands for nobody; b's spread gives the error
    constant = compare(Cohort.summarize(frame.assign(mark=5.5), Schema(["class"], ["mark"], weight="w"))).iloc[0]
    assert constant["method"].startswith("not tested: the scores do not vary") and np.isnan(constant["p_value"])
    single = compare(Cohort.summarize(frame[2:6], Schema(["class"], ["mark"], weight="w"))).iloc[0]
    assert single["method"] == "not tested: only one student in 'a'" and np.isnan(single["statistic"])


@pytest.mark.parametrize("function", [pairs, ranks, spread, power, correlations])
def test_what_has_no_weighted_form_says_so(survey, function):
    with pytest.raises(ValueError, match=f"{function.__name__} has no form for survey weights"):
        function(survey)


def test_what_needs_more_and_has_no_weighted_form_says_so(survey):
    for call in (lambda: trend(survey, "math", "class"), lambda: equivalence(survey, margin=3), lambda: plot_distribution(survey, "math")):
        with pytest.raises(ValueError, match="has no form for survey weights"):
            call()
