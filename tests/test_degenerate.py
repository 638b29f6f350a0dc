"""Comparisons and regressions of odd tables: what SciPy and statsmodels find, or NaN with the reason, never nonsense."""
import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.oneway import anova_oneway

from studperf.statistics.estimates import CLUSTER_COVARIANCES
from studperf.statistics.regression import interactions, regress
from studperf.cohort.cohort import Cohort
from studperf.statistics.comparison import compare, equivalence, pairs, trend
from studperf.statistics.distributions import noncentral_t_limits
from studperf.statistics.groups import COMPARISON_COLUMNS, score_groups
from studperf.statistics.mean_tests import hedges_g
from studperf.statistics.ranks import ranks, spread
from studperf.rows.schema import Schema
from studperf.rows.values import DataError
from studperf.statistics.ceiling import ceiling
from studperf.statistics.manova import manova
from studperf.statistics.mixed import mixed

TESTED = ["ci_low", "ci_high", "statistic", "df2", "p_value", "p_adjusted", "effect", "effect_low", "effect_high"]


def summarized(scores, levels, **schema):
    """A Cohort of one score `mark` by one factor `class`."""
    frame = pd.DataFrame({"class": levels, "mark": scores})
    return Cohort.summarize(frame, Schema(**({"factors": ["class"], "scores": ["mark"]} | schema)))


def one(cohort, **options):
    table = compare(cohort, **options)
    assert tuple(table.columns) == COMPARISON_COLUMNS and len(table) == 1
    return table.iloc[0]


# One factor


def test_one_level_only():
    cohort = summarized([1, 2, 3, 4], ["7a"] * 4, factors={"class": ["7a", "7b"]})
    row = one(cohort)
    assert row["method"] == "not tested: two levels of 'class' with 'mark' are needed, only '7a' occurs"
    assert row["n_a"] == 4 and row[TESTED].isna().all() and np.isnan(row["estimate"])
    assert pairs(cohort, "mark", "class").empty and tuple(pairs(cohort, "mark", "class").columns) == COMPARISON_COLUMNS
    regression = regress(cohort, "mark")
    assert regression.coefficients["estimate"].tolist() == [2.5]
    assert set(regression.tests["method"]) == {"not tested: only '7a' occurs"} and regression.tests["statistic"].isna().all()
    assert ceiling(cohort)["method"].item() == "not estimated: all students are in one cell"


def test_a_level_with_one_student():
    row = one(summarized([1, 2, 3, 9], ["7a", "7a", "7a", "7b"]))
    assert row["method"] == "not tested: only one student in '7b'"
    assert row["estimate"] == -7 and row["n_b"] == 1 and row[TESTED].isna().all()
    three = summarized([1, 2, 3, 9, 4, 6, 5], ["7a", "7a", "7a", "7b", "7c", "7c", "7c"])
    assert one(three)["method"] == "not tested: only one student in '7b'" and np.isnan(one(three)["p_value"])
    table = pairs(three, "mark", "class").set_index(["group_a", "group_b"])
    assert table["p_value"].notna().to_dict() == {("7a", "7b"): False, ("7a", "7c"): True, ("7b", "7c"): False}
    by_scipy = stats.ttest_ind([1, 2, 3], [4, 6, 5], equal_var=False)
    expected = stats.studentized_range.sf(abs(by_scipy.statistic) * np.sqrt(2), 3, by_scipy.df)
    assert table["p_value"]["7a", "7c"] == pytest.approx(expected, rel=1e-9)


def test_an_adjusted_p_value_counts_only_what_was_tested():
    frame = pd.DataFrame({"class": ["7a", "7b"] * 5, "sex": ["f"] * 9 + ["m"], "mark": [1, 2, 3, 5, 2, 2, 4, 4, 1, 7]})
    table = compare(Cohort.summarize(frame, Schema(["class", "sex"], ["mark"])), adjust="bonferroni")
    assert table["p_adjusted"].tolist() == pytest.approx([table["p_value"][0], np.nan], nan_ok=True)


@pytest.mark.parametrize("constant", [3, 3.25, -1e6, np.pi, 1e-7])
def test_constant_scores(constant):
    cohort = summarized([constant] * 30, ["7a", "7b", "7c"] * 10)
    row = one(cohort)
    assert row["method"].startswith("not tested: the scores do not vary in '7a'") and row[TESTED].isna().all()
    table = pairs(cohort, "mark", "class")
    assert table["method"].str.startswith("not tested").all() and table[TESTED].isna().all(axis=None)
    regression = regress(cohort, "mark")
    estimates = regression.coefficients["estimate"].to_numpy()
    assert estimates == pytest.approx([constant, 0, 0], rel=1e-12, abs=abs(constant) * 1e-12)
    assert regression.coefficients[["std_error", "statistic", "p_value", "ci_low"]].isna().all(axis=None)
    assert regression.coefficients["method"].str.startswith("no standard error: the fit is exact").all()
    assert regression.tests[["statistic", "p_value"]].isna().all(axis=None) and np.isnan(regression.r2)
    assert ceiling(cohort)["method"].item() == "not estimated: the score does not vary within the cells"


@pytest.mark.parametrize("constant", [5, np.pi])
def test_one_of_two_groups_is_constant(constant):
    """Welch's t is defined: the other group's spread gives the standard error, as in SciPy and R."""
    others = np.random.default_rng(1).normal(4, 1, 12)
    row = one(summarized([constant] * 8 + list(others), ["7a"] * 8 + ["7b"] * 12))
    mean, error = constant - others.mean(), others.std(ddof=1) / np.sqrt(12)
    assert row["df2"] == pytest.approx(11) and row["statistic"] == pytest.approx(mean / error, rel=1e-9)
    assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs(mean / error), 11), rel=1e-9)


def test_all_missing_and_some_missing():
    frame = pd.DataFrame({"class": ["7a", "7b", None, "7a", "7b"], "mark": [1.5, 2, 3, np.nan, 5], "other": np.nan})
    cohort = Cohort.summarize(frame, Schema(["class"], ["mark", "other"]))
    table = compare(cohort).set_index("score")
    assert table["method"]["other"] == "not tested: two levels of 'class' with 'other' are needed, no level occurs"
    assert table.loc["mark", ["n_a", "n_b"]].tolist() == [1, 2]
    assert ceiling(cohort, "other")["method"].item() == "not estimated: no student has the score and all factors"
    with pytest.raises(ValueError, match="no student has a value in each of 'other', 'class'"):
        regress(cohort, "other")
    assert regress(cohort, "mark", vcov="classical").n == 3


@pytest.mark.parametrize("offset", [0, 1e6, -1e9])
def test_large_scores_with_a_small_spread(offset):
    """A million students' worth of digits: scores around a billion that vary by one."""
    random = np.random.default_rng(2)
    marks, levels = random.integers(-2, 3, 300), random.choice(["7a", "7b", "7c"], 300)
    plain, shifted = (summarized(marks + shift, levels) for shift in (0, int(offset)))
    columns = ["statistic", "df2", "p_value", "effect", "effect_low", "effect_high"]
    close = {"rel": 1e-5 if offset == -1e9 else 1e-8, "abs": 1e-12}  # a mean near a billion has 7 digits after the point
    assert one(shifted)[columns].tolist() == pytest.approx(one(plain)[columns].tolist(), **close)
    ours, theirs = (pairs(cohort, "mark", "class")[columns].to_numpy() for cohort in (shifted, plain))
    assert ours == pytest.approx(theirs, **close)
    ours, theirs = (regress(cohort, "mark") for cohort in (shifted, plain))
    assert ours.tests["p_value"].tolist() == pytest.approx(theirs.tests["p_value"].tolist(), **close)
    assert ceiling(shifted)["ci_high"].item() == pytest.approx(ceiling(plain)["ci_high"].item(), **close)


def test_names_that_mean_something_elsewhere():
    """Columns and levels called like our own."""
    random = np.random.default_rng(3)
    frame = pd.DataFrame({"mean": random.choice(["mean", "intercept", "a: b"], 90), "x y": random.choice(["1", "0"], 90),
                          "intercept": random.normal(size=90).round(2), "missing value": random.normal(size=90).round(2)})
    cohort = Cohort.summarize(frame, Schema(["mean", "x y"], ["missing value"], covariates=["intercept"]))
    assert compare(cohort)["method"].tolist() == ["Welch's ANOVA", "Welch's t-test"]
    ours = regress(cohort, "missing value", covariates=["intercept"], interactions=[("mean", "x y")], vcov="classical")
    theirs = sm.OLS(frame["missing value"], frame["intercept"].to_frame().join(_dummies(frame))).fit()
    slope = ours.coefficients["estimate"].iloc[4]
    assert (slope, ours.sigma ** 2) == pytest.approx((theirs.params["intercept"], theirs.mse_resid))
    assert ours.predict(frame)["prediction"].to_numpy() == pytest.approx(theirs.fittedvalues.to_numpy())


def _dummies(frame):
    return pd.get_dummies(frame["mean"] + frame["x y"], dtype=float)


FLOATS = st.floats(-5, 5).filter(lambda x: abs(x) > 1e-3 or x == 0)
MARKS = st.one_of(st.integers(-3, 3), st.decimals(-50, 50, places=1).map(float), FLOATS)


@settings(max_examples=150)
@given(st.lists(st.tuples(MARKS, st.sampled_from("abcd")), min_size=1, max_size=25))
def test_small_tables_agree_with_scipy_or_say_why_not(rows):
    marks, levels = (np.array(column) for column in zip(*rows, strict=True))
    cohort = summarized(marks, levels)
    row = one(cohort)
    parts = [marks[levels == level] for level in sorted(set(levels))]
    if row["method"].startswith("not tested"):
        assert row[TESTED].isna().all()
        spreads = [np.ptp(part) for part in parts]
        assert len(parts) < 2 or min(map(len, parts)) < 2 or min(spreads) < 1e-4
        return
    if len(parts) == 2:
        theirs = by_scipy(*parts)
        expected = [theirs.statistic, theirs.df, theirs.pvalue, *theirs.confidence_interval(.95)]
        found = row[["statistic", "df2", "p_value", "ci_low", "ci_high"]].tolist()
    else:
        theirs = anova_oneway(parts, use_var="unequal")
        expected = [theirs.statistic, *theirs.df, theirs.pvalue]
        found = row[["statistic", "df1", "df2", "p_value"]].tolist()
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert row["effect_low"] <= row["effect_high"] and (len(parts) == 2 or 0 <= row["effect_low"] <= row["effect_high"] < 1)
    for pair in pairs(cohort, "mark", "class").itertuples():
        theirs = by_scipy(marks[levels == pair.group_a], marks[levels == pair.group_b])
        assert (pair.statistic, pair.df2) == pytest.approx((theirs.statistic, theirs.df), rel=1e-6, abs=1e-9)
        # Allowing for all pairs never makes it smaller.
        assert theirs.pvalue * (1 - 1e-6) - 1e-9 <= pair.p_value <= 1 + 1e-12


def by_scipy(first, second):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy warns where one group is constant
        return stats.ttest_ind(first, second, equal_var=False)


@pytest.mark.parametrize("df", [1, 2.5, 8, 60, 998, 1e5])
@pytest.mark.parametrize("conf_level", [.5, .95, .999])
def test_noncentral_t_limits_agree_with_scipy(df, conf_level):
    for t in (0, .4, 3, 30):
        limits = noncentral_t_limits(t, df, conf_level)[0]
        assert stats.nct.cdf(t, df, limits) == pytest.approx([(1 + conf_level) / 2, (1 - conf_level) / 2], rel=1e-8)


def test_enormous_effects_take_no_time_and_no_nonsense():
    """Two groups a million standard deviations apart."""
    cohort = summarized([0, 1, 0, 1, 10**6, 10**6 + 1] * 3, ["a", "a", "a", "a", "b", "b"] * 3)
    groups = score_groups(cohort, "mark", "class")
    g, low, high = (value.item() for value in hedges_g(groups, 0, 1))
    assert low < g < high < 0 and g == pytest.approx(-10**6 / np.sqrt(groups.var.mean()), rel=.2)
    near, beyond = (noncentral_t_limits(t, 9, .95)[0] / t for t in (1199, 1201))  # on both sides of the change of method
    assert near == pytest.approx(beyond, rel=1e-7)


ORDERED = {"factors": {"class": ["7a", "7b", "7c"]}, "ordered": ["class"]}
FURTHER = [ranks, spread, lambda cohort: equivalence(cohort, margin=2), lambda cohort: trend(cohort, "mark", "class")]


@pytest.mark.parametrize("test", FURTHER, ids=["ranks", "spread", "equivalence", "trend"])
@pytest.mark.parametrize("marks, levels, reason", [
    ([1, 2, 3], ["7a"] * 3, "only '7a' occurs"),
    ([np.nan] * 4, ["7a", "7a", "7b", "7b"], "no level occurs"),
    ([5] * 6, ["7a", "7b"] * 3, ""),
    ([5, 7], ["7a", "7b"], ""),
])
def test_further_tests_say_why_not(test, marks, levels, reason):
    """Ranks, spread, equivalence and trend: NaN with the reason."""
    table = test(summarized(marks, levels, **ORDERED))
    assert tuple(table.columns) == COMPARISON_COLUMNS and len(table) == 1
    assert table["method"][0].startswith("not tested") and reason in table["method"][0]
    assert table[TESTED].isna().all(axis=None)


def test_ranks_and_spread_of_odd_tables():
    continuous = summarized(np.random.default_rng(7).normal(size=20), ["7a", "7b"] * 10)
    for test in (ranks, spread):
        assert test(continuous)["method"].item() == "not tested: the values of 'mark' are not counted, since it is continuous or they were suppressed"
        single = test(summarized([1, 2, 3, 9], ["7a", "7a", "7a", "7b"])).iloc[0]
        assert single["method"] == "not tested: only one student in '7b'" and single[TESTED].isna().all()
    row = ranks(summarized([1, 1, 1, 2, 2, 2], list("aaabbb"))).iloc[0]  # apart, and each group constant
    theirs = stats.mannwhitneyu([1, 1, 1], [2, 2, 2], method="asymptotic")
    assert (row["statistic"], row["p_value"], row["effect"]) == pytest.approx((0, theirs.pvalue, -1))
    assert row[["effect_low", "effect_high"]].isna().all()
    row = spread(summarized([1, 1, 1, 2, 2, 2], list("aaabbb"))).iloc[0]
    assert row["method"].startswith("not tested") and row[TESTED].isna().all()


def test_trend_and_equivalence_check_their_arguments():
    cohort = summarized([1, 2, 3, 5], ["7a", "7a", "7b", "7b"])
    with pytest.raises(ValueError, match="factor 'class' has no order"):
        trend(cohort, "mark", "class")
    for margin in (0, -1, np.nan, np.inf, "5"):
        with pytest.raises(ValueError, match="margin: found"):
            equivalence(cohort, margin=margin)
    assert trend(summarized([1, 2, 3, 5, 9], ["7a", "7a", "7b", "7b", "7c"], **ORDERED), "mark", "class")["df2"].item() == 2


@settings(max_examples=80)
@given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from("abc")), min_size=1, max_size=25))
def test_small_ranks_and_spreads_agree_with_scipy_or_say_why_not(rows):
    marks, levels = (np.array(column) for column in zip(*rows, strict=True))
    parts, cohort = [marks[levels == level] for level in sorted(set(levels))], summarized(marks, levels)
    for test in (ranks, spread):
        row = test(cohort).iloc[0]
        if row["method"].startswith("not tested"):
            assert row[TESTED].isna().all()
            continue
        if test is spread:
            theirs = stats.levene(*parts, center="median")
        else:
            theirs = (stats.mannwhitneyu(*parts, method="asymptotic") if len(parts) == 2 else stats.kruskal(*parts))
        assert (row["statistic"], row["p_value"]) == pytest.approx(tuple(theirs), rel=1e-8, abs=1e-10)


# All factors


@st.composite
def tables(draw):
    """Two or three factors of up to three levels, some combinations empty, and a score."""
    n = draw(st.integers(4, 40))
    frame = pd.DataFrame({name: draw(st.lists(st.sampled_from("xyz"[:size]), min_size=n, max_size=n))
                          for name, size in (("first", 3), ("second", 2), ("third", 2))})
    return frame.assign(mark=draw(st.lists(st.integers(-20, 20), min_size=n, max_size=n)))


def test_a_coefficient_that_rests_on_equal_scores_has_no_robust_error():
    """The mean of x, whose scores are all 0: HC0 to HC3 find no variance, which is no evidence that there is none."""
    frame = pd.DataFrame({"class": list("xxyy"), "mark": [0, 0, 0, 1]})
    cohort, design = Cohort.summarize(frame, Schema(["class"], ["mark"])), np.column_stack([np.ones(4), [0, 0, 1, 1]])
    fit = sm.OLS(frame["mark"], design).fit()
    for vcov in ("HC0", "HC1", "HC2", "HC3"):
        mean_of_x, difference = regress(cohort, "mark", vcov=vcov).coefficients.to_dict("records")
        theirs = np.asarray(getattr(fit, f"{vcov}_se"))
        assert theirs[0] < 1e-15 and difference["std_error"] == pytest.approx(theirs[1], rel=1e-12)
        assert np.isnan([mean_of_x[name] for name in ("std_error", "statistic", "p_value", "ci_low", "ci_high")]).all()
        assert mean_of_x["estimate"] == pytest.approx(0, abs=1e-12)
        assert mean_of_x["method"] == "no standard error: the scores that it rests on do not vary"
    # Classical errors presume that all groups vary alike, so they know how much the mean of x would vary.
    assert regress(cohort, "mark", vcov="classical").coefficients["std_error"].to_numpy() == pytest.approx(fit.bse.to_numpy(), rel=1e-12)


@settings(max_examples=100)
@example(pd.DataFrame({"first": list("xxyy"), "second": list("xxxx"), "third": list("xxxx"), "mark": [0, 0, 0, 1]}), False)
@given(tables(), st.booleans())
def test_small_designs_agree_with_least_squares_on_rows_or_say_why_not(frame, interacting):
    """Ranks, fits, type II sums of squares and HC3 errors against NumPy on the rows, aliased or not."""
    factors = ["first", "second", "third"]
    cohort = Cohort.summarize(frame, Schema(factors, ["mark"]))
    interactions = [("first", "second")] if interacting else []
    ours = regress(cohort, "mark", interactions=interactions)
    terms = {name: pd.get_dummies(frame[name], dtype=float).to_numpy() for name in factors}
    if interacting:
        terms["first x second"] = pd.get_dummies(frame["first"] + frame["second"], dtype=float).to_numpy()
    y = frame["mark"].to_numpy(float)
    full = np.hstack([np.ones((len(y), 1)), *terms.values()])
    rank, rss = _fit(full, y)
    assert ours.df_resid == len(y) - rank
    assert ours.estimates.fit.residual_ss == pytest.approx(rss, rel=1e-9, abs=1e-9)
    assert ours.coefficients["estimate"].notna().sum() == rank
    assert ours.coefficients["method"].str.contains("aliased, ").sum() == len(ours.coefficients) - rank
    predicted = ours.predict(frame)["prediction"].to_numpy()
    assert predicted == pytest.approx(full @ np.linalg.lstsq(full, y)[0], rel=1e-8, abs=1e-8)
    plain = ours.tests[~ours.tests["method"].str.contains("Wald")].drop_duplicates("term").set_index("term")
    for term in terms:
        hidden = {term} | ({"first x second"} if term in ("first", "second") else set())
        without = np.hstack([np.ones((len(y), 1)), *(value for name, value in terms.items() if name not in hidden)])
        given_others = np.hstack([without, terms[term]])
        (rank_without, rss_without), (rank_with, rss_with) = _fit(without, y), _fit(given_others, y)
        assert plain["df1"][term] == rank_with - rank_without
        if rank_with > rank_without:
            assert plain["sum_sq"][term] == pytest.approx(rss_without - rss_with, rel=1e-7, abs=1e-7)
        else:
            assert plain["method"][term].startswith("not tested") and np.isnan(plain["p_value"][term])
    errors = ours.coefficients["std_error"].to_numpy()
    leverage = np.einsum("ij,ij->i", full @ np.linalg.pinv(full.T @ full), full)
    if ours.df_resid > 0 and rss > 1e-9 and leverage.max() < 1 - 1e-9 and rank == len(ours.coefficients):
        columns = np.column_stack([np.ones(len(y)), *(value[:, 1:] for value in list(terms.values())[:3])])
        if not interacting:
            theirs = sm.OLS(y, columns).fit().HC3_se
            # Where all scores that a coefficient rests on are the same, its sandwich variance is 0: statsmodels gives what
            # rounding leaves of it, we say that there is no error.
            none = ours.coefficients["method"].str.contains("do not vary").to_numpy()
            assert (np.isnan(errors) == none).all() and (theirs[none] < 1e-7 * theirs.max()).all()
            assert errors[~none] == pytest.approx(theirs[~none], rel=1e-7)
    assert np.isfinite(errors[errors == errors]).all()


def _fit(matrix, y):
    """Rank and residual sum of squares."""
    coef, _, rank, _ = np.linalg.lstsq(matrix, y)
    return rank, ((y - matrix @ coef) ** 2).sum()


def test_a_student_who_is_fitted_exactly():
    """HC3 divides by 0 there. The other coefficients are what they are without that student."""
    random = np.random.default_rng(4)
    frame = pd.DataFrame({"class": random.choice(["7a", "7b"], 40), "sex": random.choice(["f", "m"], 40),
                          "mark": random.integers(0, 9, 40)})
    with_one = pd.concat([frame, pd.DataFrame({"class": ["7c"], "sex": ["f"], "mark": [30]})], ignore_index=True)
    schema = Schema(["class", "sex"], ["mark"])
    ours, without = (regress(Cohort.summarize(table, schema), "mark") for table in (with_one, frame))
    coefficients = ours.coefficients.set_index("term")
    assert coefficients["method"]["class: 7c"] == "no standard error: it rests on a single student"
    assert coefficients["std_error"].isna().tolist() == [False, False, True, False]
    expected = without.coefficients.set_index("term")["std_error"]
    assert coefficients["std_error"].drop("class: 7c").to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-9)
    robust = ours.tests[ours.tests["method"] != "type II F test"].set_index("term")
    assert robust["method"]["class"] == "not tested: a coefficient rests on a single student"
    assert robust["p_value"]["sex"] < 1
    dummies = pd.get_dummies(with_one[["class", "sex"]], drop_first=True, dtype=float)
    theirs = sm.OLS(with_one["mark"], dummies.assign(one=1.)).fit()
    classical = regress(Cohort.summarize(with_one, schema), "mark", vcov="HC1").coefficients["std_error"]
    assert classical.to_numpy()[[1, 2, 3, 0]] == pytest.approx(theirs.HC1_se.to_numpy(), rel=1e-9)


def test_a_coefficient_of_two_constant_groups():
    """Their difference has a sandwich variance of 0, which is no certainty."""
    regression = regress(summarized([1, 1, 1, 4, 4, 4, 5, 6, 9], list("aaabbbccc")), "mark")
    table = regression.coefficients
    assert table["std_error"].isna().tolist() == [True, True, False]
    assert table["estimate"].tolist() == pytest.approx([1, 3, 17 / 3])
    assert table["method"][1] == "no standard error: the scores that it rests on do not vary"
    assert regression.tests["method"][1] == "not tested: the scores do not vary about some of its coefficients"


def test_as_many_coefficients_as_students():
    cohort = summarized([1, 2, 3], ["7a", "7b", "7c"])
    regression = regress(cohort, "mark")
    assert regression.coefficients["estimate"].to_numpy() == pytest.approx([1, 1, 2])
    assert regression.coefficients["method"].unique().tolist() == ["no standard error: 3 students for 3 coefficients"]
    assert np.isnan(regression.sigma) and np.isnan(regression.adj_r2) and regression.tests["p_value"].isna().all()
    assert "3 students" in repr(regression)


def test_aliased_terms_are_named():
    random = np.random.default_rng(5)
    frame = pd.DataFrame({"class": random.choice(["7a", "7b", "7c"], 60), "x": random.normal(size=60).round(3)})
    frame = frame.assign(teacher=frame["class"].map({"7a": "Ms A", "7b": "Ms B", "7c": "Ms C"}), half=frame["x"] / 2,
                         constant=np.pi, mark=random.normal(size=60).round(2))
    schema = Schema(["class", "teacher"], ["mark"], covariates=["x", "half", "constant"])
    table = regress(Cohort.summarize(frame, schema), "mark", covariates=["x", "half", "constant"], vcov="classical")
    methods = table.coefficients.set_index("term")["method"]
    assert methods["teacher: Ms B"] == "not estimated: aliased, a combination of 'class: 7b'"
    assert methods["half"] == "not estimated: aliased, a combination of 'x'"
    assert methods["constant"].startswith("not estimated: aliased")
    tests = table.tests.set_index("term")
    assert tests["df1"].to_dict() == {"class": 0, "teacher": 0, "x": 0, "half": 0, "constant": 0}
    fit = sm.OLS(frame["mark"], pd.get_dummies(frame["class"], dtype=float).assign(x=frame["x"])).fit()
    assert table.coefficients.set_index("term")["estimate"]["x"] == pytest.approx(fit.params["x"])
    assert table.sigma == pytest.approx(np.sqrt(fit.mse_resid))


def test_numeric_columns_on_other_scales():
    """A column near a million that varies by one, beside one in millionths, with missing values."""
    random = np.random.default_rng(6)
    frame = pd.DataFrame({"class": random.choice(["7a", "7b", "7c"], 400),
                          "large": 1_000_000 + random.normal(size=400).round(4), "small": random.normal(size=400) * 1e-6})
    frame["mark"] = 1e6 + frame["large"] - 1e6 + 2e6 * frame["small"] + random.normal(size=400)
    frame.loc[random.choice(400, 60), "large"] = np.nan
    frame.loc[random.choice(400, 30), "class"] = None
    ours = regress(Cohort.summarize(frame, Schema(["class"], ["mark"], covariates=["large", "small"])), "mark",
                   covariates=["large", "small"], vcov="classical")
    rows = frame.dropna()
    matrix = pd.get_dummies(rows["class"], drop_first=True, dtype=float)
    matrix = matrix.assign(large=rows["large"] - 1e6, small=rows["small"] * 1e6)
    theirs = sm.OLS(rows["mark"] - 1e6, sm.add_constant(matrix)).fit()
    assert ours.n == len(rows)
    scale = [1, 1, 1, 1e6]
    table = ours.coefficients.iloc[1:]
    assert table["estimate"].to_numpy() == pytest.approx(theirs.params.to_numpy()[1:] * scale, rel=1e-6)
    assert table["std_error"].to_numpy() == pytest.approx(theirs.bse.to_numpy()[1:] * scale, rel=1e-7)
    assert ours.r2 == pytest.approx(theirs.rsquared, rel=1e-8)
    assert ours.predict(rows)["prediction"].to_numpy() == pytest.approx(theirs.fittedvalues.to_numpy() + 1e6, rel=1e-10)


def test_prediction_of_what_was_not_seen():
    cohort = summarized([1, 2, 3, 5], ["7a", "7a", "7b", "7b"], factors={"class": ["7a", "7b", "7c"]})
    regression = regress(cohort, "mark")
    with pytest.raises(DataError, match="found '7c', expected one of '7a', '7b'"):
        regression.predict(pd.DataFrame({"class": ["7c"]}))
    with pytest.raises(DataError, match="column 'class': not found"):
        regression.predict(pd.DataFrame({"klass": ["7a"]}))
    predicted = regression.predict(pd.DataFrame({"Class": ["7b", None]}))["prediction"]
    assert predicted.tolist() == pytest.approx([4, np.nan], nan_ok=True)


def test_interactions_of_few_students():
    random = np.random.default_rng(8)
    frame = pd.DataFrame({"class": list("aabbcc") * 4, "sex": list("fm") * 12, "only": "x", "mark": random.integers(0, 9, 24)})
    frame["twin"] = frame["class"].str.upper()
    table = interactions(Cohort.summarize(frame, Schema(["class", "sex", "only", "twin"], ["mark"])), "mark").set_index("term")
    assert table["method"]["class x sex"] == "not tested: aliased with the other terms"  # the same as twin x sex
    assert table["method"]["class x only"].startswith("not tested") and table["p_adjusted"].isna().all()
    alone = interactions(Cohort.summarize(frame, Schema(["class", "sex", "only", "twin"], ["mark"])), "mark", together=False,
                         adjust="bonferroni").set_index("term")
    tested = alone["p_value"].dropna()
    assert set(tested.index) == {"class x sex", "sex x twin"}
    assert alone["p_adjusted"].dropna().tolist() == pytest.approx(np.minimum(2 * tested, 1).tolist())
    constant = interactions(Cohort.summarize(frame.assign(mark=3), Schema(["class", "sex"], ["mark"])), "mark")
    assert constant["method"].item().startswith("no standard error: the fit is exact") and constant["p_value"].isna().all()


def manova_methods(frame, factors=("class",), scores=("mark", "other")):
    table = manova(Cohort.summarize(frame, Schema(list(factors), list(scores))))
    assert table.loc[table["method"].str.startswith("not tested"), ["value", "statistic", "p_value"]].isna().all(axis=None)
    return table["method"][::2].tolist()


def test_manova_of_odd_tables():
    random = np.random.default_rng(9)
    frame = pd.DataFrame({"class": list("abc") * 10, "twin": list("ABC") * 10, "only": "x",
                          "mark": random.integers(0, 9, 30), "other": random.normal(size=30)})
    assert manova_methods(frame, ["class", "only"]) == ["type II, F approximation", "not tested: only 'x' occurs"]
    assert manova_methods(frame, ["class", "twin"]) == ["not tested: aliased with the other factors"] * 2
    for constant in (3, np.pi, -1e6):
        assert manova_methods(frame.assign(other=constant)) == ["not tested: nothing varies about the fit of 'other'"]
    assert manova_methods(frame.assign(mark=frame["class"].map(ord))) == ["not tested: nothing varies about the fit of 'mark'"]
    doubled = frame.assign(other=frame["mark"] / 3 + 1e6)
    assert manova_methods(doubled) == ["not tested: a score follows from the other scores"]
    assert manova_methods(frame[:4]) == ["not tested: 4 students for 3 coefficients and 2 scores"]
    assert manova_methods(frame[:5]) == ["type II, F approximation"]
    large = frame.assign(mark=frame["mark"] + 10**9, other=frame["other"] * 1e-6)
    ours, theirs = (manova(Cohort.summarize(table, Schema(["class"], ["mark", "other"]))) for table in (large, frame))
    assert ours["p_value"].tolist() == pytest.approx(theirs["p_value"].tolist(), rel=1e-6)
    with pytest.raises(ValueError, match="no student has a value in each of 'mark', 'other', 'class'"):
        manova(Cohort.summarize(frame.assign(other=np.nan), Schema(["class"], ["mark", "other"])))


@pytest.mark.parametrize("vcov", CLUSTER_COVARIANCES)
def test_clusters_that_tell_nothing(vcov):
    """One cluster; two; one that alone has a level; missing clusters."""
    random = np.random.default_rng(10)
    frame = pd.DataFrame({"class": random.choice(["a", "b"], 90), "sex": random.choice(["f", "m"], 90),
                          "age": random.integers(9, 12, 90), "school": random.choice(list("pqrstuvw"), 90),
                          "mark": random.integers(0, 9, 90)})
    schema = Schema(["class", "sex"], ["mark"], covariates=["age"], cluster="school")

    def clustered(table, **options):
        return regress(Cohort.summarize(table, schema), "mark", vcov=vcov, **options)

    one = clustered(frame.assign(school="p"))
    assert set(one.coefficients["method"]) == {"no standard error: all students are in one cluster"}
    assert one.coefficients[["std_error", "p_value"]].isna().all(axis=None) and one.tests["p_value"].isna().all()
    two = clustered(frame.assign(school=np.where(frame["school"] < "s", "p", "q")), interactions=[("class", "sex")])
    assert two.tests["method"].tolist()[-2:] == ["not tested: 2 clusters for 2 coefficients", f"type II Wald F test, {vcov}"]
    alone = clustered(frame.assign(**{"class": frame["class"].where(frame["school"] != "p", "c")}))
    methods = alone.coefficients.set_index("term")["method"]
    assert methods["class: c"] == "no standard error: it rests on a single cluster"
    assert alone.coefficients["std_error"].isna().tolist() == [False, False, True, False]
    assert alone.tests["method"].tolist()[2:] == ["not tested: a coefficient rests on a single cluster",
                                                  f"type II Wald F test, {vcov}"]
    without = clustered(frame.assign(school=frame["school"].where(frame["school"] != "p")), covariates=["age"])
    assert without.n == (frame["school"] != "p").sum() and (without.coefficients["df"] == 6).all()
    rows = frame[frame["school"] != "p"]
    matrix = pd.get_dummies(rows[["class", "sex"]], drop_first=True, dtype=float).assign(age=rows["age"], one=1.)
    groups = rows["school"].to_numpy().astype(str)
    theirs = sm.OLS(rows["mark"], matrix).fit(cov_type="cluster", use_t=True,
                                              cov_kwds={"groups": np.unique(groups, return_inverse=True)[1]})
    shrink = 1 if vcov == "cluster" else np.sqrt(theirs.df_resid / (len(rows) - 1))
    assert without.coefficients["std_error"].to_numpy()[1:] == pytest.approx(theirs.bse.to_numpy()[:3] * shrink, rel=1e-8)


def test_random_intercepts_of_odd_tables():
    random = np.random.default_rng(11)
    frame = pd.DataFrame({"class": random.choice(["a", "b"], 90), "school": random.choice(list("pqrstuvw"), 90)})
    number = frame["school"].map(ord)
    frame["mark"] = random.integers(0, 9, 90) + number % 5
    schema = Schema(["class"], ["mark"], cluster="school")
    for table, method in [
            (frame.assign(school="p"), "not estimated: all students are in one cluster"),
            (frame.drop_duplicates("school"), "not estimated: no cluster has two students"),
            (frame.assign(mark=np.pi), "not estimated: the fit is exact, nothing varies about it"),
            (frame.assign(mark=number), "not estimated: nothing varies within the clusters"),
            (frame.assign(mark=number + 3 * (frame["class"] == "b")), "not estimated: nothing varies within the clusters"),
            (frame.assign(**{"class": frame["school"]}),
             "not estimated: 8 clusters for 8 coefficients that distinguish clusters")]:
        model = mixed(Cohort.summarize(table, schema), "mark")
        assert model.method == method and set(model.coefficients["method"]) == {method}
        assert np.isnan([model.icc, model.cluster_variance, model.residual_variance]).all() and method in repr(model)
        assert model.coefficients[["estimate", "std_error", "p_value", "ci_low"]].isna().all(axis=None)
    alternating = pd.DataFrame({"class": "a", "school": list("pqrs") * 6, "mark": np.repeat(range(6), 4)})
    model = mixed(Cohort.summarize(alternating, schema), "mark")  # the schools' means are equal
    assert model.method == "random intercept by REML; no variance between clusters is found" and model.icc == 0
    assert model.residual_variance == pytest.approx(alternating["mark"].var())
    plain, shifted = (mixed(Cohort.summarize(frame.assign(mark=frame["mark"] + shift), schema), "mark") for shift in (0, 10**9))
    assert shifted.icc == pytest.approx(plain.icc, rel=1e-6) and 0 < plain.icc < 1
    with pytest.raises(ValueError, match="no student has a value in each of 'mark', 'class', 'school'"):
        mixed(Cohort.summarize(frame.assign(school=None), schema), "mark")


def test_arguments_are_checked():
    cohort = summarized([1, 2, 3, 5], ["7a", "7a", "7b", "7b"])
    for call, message in [(lambda: compare(cohort, "grade"), "no numeric column 'grade'"),
                          (lambda: compare(cohort, factors=["sex"]), "no factor 'sex'"),
                          (lambda: compare(cohort, adjust="sidak"), "adjust: found 'sidak'"),
                          (lambda: pairs(cohort, "mark", "class", conf_level=1), "conf_level: found 1"),
                          (lambda: regress(cohort, "mark", covariates=["mark"]), "'mark' is the score to be explained"),
                          (lambda: regress(cohort, "mark", vcov="robust"), "vcov: found 'robust'"),
                          (lambda: regress(cohort, "mark", interactions=[("class", "class")]), "expected pairs of the"),
                          (lambda: regress(cohort, "mark", vcov="cluster"), "the Schema names no cluster"),
                          (lambda: interactions(cohort, "mark"), "expected two or more"),
                          (lambda: mixed(cohort, "mark"), "the Schema names no cluster"),
                          (lambda: mixed(cohort, "mark", covariates=["mark"]), "'mark' is the score to be explained"),
                          (lambda: manova(cohort, ["grade"]), "no numeric column 'grade'"),
                          (lambda: ceiling(cohort, conf_level=0), "conf_level: found 0")]:
        with pytest.raises(ValueError, match=message):
            call()


def test_nothing_is_warned_of():
    """Degenerate tables are answered in the table, not by NumPy's warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for marks, levels in [([1], ["a"]), ([1, 1], ["a", "b"]), ([1, 2], ["a", "b"]), ([1, 1, 2, 2], list("aabb")),
                              ([1, 2, 2, 2, 3, 3], list("aabbcc")), ([0] * 5, list("aabbc"))]:
            cohort = summarized(marks, levels)
            compare(cohort)
            pairs(cohort, "mark", "class")
            ceiling(cohort)
            for vcov in ("HC3", "HC0", "classical"):
                regress(cohort, "mark", vcov=vcov)
