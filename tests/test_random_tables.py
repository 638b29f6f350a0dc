"""Thirty random tables, each analysed from its rows by SciPy and statsmodels, and from its Cohort by us.

Other names, missing values, uneven and dependent factors, unequal spread; scores are whole, decimal, negative or far from 0.
"""
import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.oneway import anova_oneway

from studperf import Cohort, Schema, compare, correlations, describe, equivalence, interactions, pairs, ranks, regress, spread
from studperf.statistics.groups import score_groups
from studperf.statistics.mean_tests import one_way_anova

FACTORS = ["area", "kind"]
MARGIN = 1.5


def random_table(seed):
    """60 to 240 students, two dependent factors of 2 to 5 levels, two scores, a number, some of all missing."""
    random = np.random.default_rng(seed)
    n = int(random.integers(60, 240))
    area = random.choice(random.integers(2, 6), n)
    kind = (area + random.choice(random.integers(2, 4), n, p=None)) % random.integers(2, 4)
    spread_of = .5 + random.random(6)[area] * 2
    scale, offset, decimals = [(1, 0, 1), (10, 50, 0), (.1, -3, 3), (1, 5000, 2)][seed % 4]
    number = random.normal(10, 2, n).round(1)
    score = (random.normal(0, 1, n) * spread_of + .4 * area - .3 * kind + .2 * number) * scale + offset
    frame = pd.DataFrame({"area": np.array(list("vwxyz"))[area], "kind": np.array(["a b", "B", "c'd"])[kind], "number": number,
                          "score": score.round(decimals), "second": random.poisson(5, n) - 2 * (kind == 0)})
    return frame.mask(random.random(frame.shape) < .04 * (seed % 3)).astype({"score": float, "second": float, "number": float})


TABLES = {seed: random_table(seed) for seed in range(30)}


@pytest.fixture(params=TABLES, ids=str, scope="module")
def table(request):
    """The rows and their Cohort."""
    frame = TABLES[request.param]
    return frame, Cohort.summarize(frame, Schema(FACTORS, ["score", "second"], covariates=["number"]))


def groups_of(frame, score, factor):
    rows = frame.dropna(subset=[score, factor])
    return [part[score].to_numpy() for _, part in rows.groupby(factor)]


def each(frame):
    return [(score, factor, groups_of(frame, score, factor)) for score in ("score", "second") for factor in FACTORS]


def test_means_spreads_and_correlations(table):
    frame, cohort = table
    overall = describe(cohort).set_index("score")
    for score in ("score", "second"):
        for name, expected in [("mean", frame[score].mean()), ("sd", frame[score].std()), ("n", frame[score].count()),
                               ("q25", frame[score].quantile(.25)), ("median", frame[score].median())]:
            assert overall[name][score] == pytest.approx(expected, rel=1e-12)
    for row in correlations(cohort, ["score", "second", "number"]).itertuples():
        both = frame[[row.score_a, row.score_b]].dropna()
        theirs = stats.pearsonr(both[row.score_a], both[row.score_b])
        assert (row.estimate, row.ci_low, row.ci_high) == pytest.approx((theirs.statistic, *theirs.confidence_interval(.95)), rel=1e-9)


def test_comparisons_of_means(table):
    frame, cohort = table
    tables = compare(cohort).set_index(["score", "factor"])
    within = equivalence(cohort, margin=MARGIN).set_index(["score", "factor", "group_a", "group_b"])["p_value"]
    for score, factor, groups in each(frame):
        row = tables.loc[(score, factor)]
        if len(groups) == 2:
            theirs = stats.ttest_ind(*groups, equal_var=False)
            found = row[["statistic", "df2", "p_value", "ci_low", "ci_high"]].tolist()
            assert found == pytest.approx([theirs.statistic, theirs.df, theirs.pvalue, *theirs.confidence_interval(.95)], rel=1e-9)
        else:
            theirs = anova_oneway(groups, use_var="unequal")
            found = row[["statistic", "df1", "df2", "p_value"]].tolist()
            assert found == pytest.approx([theirs.statistic, *theirs.df, theirs.pvalue], rel=1e-9)
        assert one_way_anova(score_groups(cohort, score, factor))[::3] == pytest.approx(tuple(stats.f_oneway(*groups)), rel=1e-9)
        by_name = dict(zip(cohort.levels(factor), groups, strict=True))
        for pair in pairs(cohort, score, factor).itertuples():
            a, b = by_name[pair.group_a], by_name[pair.group_b]
            theirs = stats.ttest_ind(a, b, equal_var=False)
            assert (pair.statistic, pair.df2) == pytest.approx((theirs.statistic, theirs.df), rel=1e-9)
            upper = stats.ttest_ind(a - MARGIN, b, equal_var=False, alternative="less").pvalue
            lower = stats.ttest_ind(a + MARGIN, b, equal_var=False, alternative="greater").pvalue
            assert within[score, factor, pair.group_a, pair.group_b] == pytest.approx(max(lower, upper), rel=1e-9)


@pytest.mark.parametrize("seed", range(0, 30, 6))  # SciPy's quantiles take seconds
def test_games_howell_agrees_with_scipy(seed):
    frame = TABLES[seed]
    cohort = Cohort.summarize(frame, Schema(FACTORS, ["score"]))
    groups = groups_of(frame, "score", "area")
    theirs = stats.tukey_hsd(*groups, equal_var=False)
    limits = theirs.confidence_interval(.95)
    first, second = np.triu_indices(len(groups), 1)
    ours = pairs(cohort, "score", "area")
    assert ours["p_value"].to_numpy() == pytest.approx(theirs.pvalue[first, second], rel=1e-7, abs=1e-10)
    assert ours[["ci_low", "ci_high"]].to_numpy() == pytest.approx(
        np.column_stack([limits.low[first, second], limits.high[first, second]]), rel=1e-6, abs=1e-6 * frame["score"].std())


def test_ranks_and_spreads(table):
    frame, cohort = table
    ranked, spreads = (analysis(cohort).set_index(["score", "factor"]) for analysis in (ranks, spread))
    for score, factor, groups in each(frame):
        theirs = stats.mannwhitneyu(*groups, method="asymptotic") if len(groups) == 2 else stats.kruskal(*groups)
        assert ranked.loc[(score, factor), ["statistic", "p_value"]].tolist() == pytest.approx(list(theirs), rel=1e-9)
        theirs = stats.levene(*groups, center="median")
        assert spreads.loc[(score, factor), ["statistic", "p_value"]].tolist() == pytest.approx(list(theirs), rel=1e-9)


def by_statsmodels(frame, formula):
    return smf.ols(formula, frame.dropna(subset=[name for name in frame if name in formula]))


def test_regressions(table):
    frame, cohort = table
    model = by_statsmodels(frame, "score ~ area + kind")
    for vcov, name in [("classical", "nonrobust"), ("HC0", "HC0"), ("HC1", "HC1"), ("HC2", "HC2"), ("HC3", "HC3")]:
        theirs, ours = model.fit(cov_type=name, use_t=True), regress(cohort, "score", vcov=vcov)
        for ours_name, expected in [("estimate", theirs.params), ("std_error", theirs.bse), ("p_value", theirs.pvalues)]:
            assert ours.coefficients[ours_name].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-8, abs=1e-280)
        assert ours.coefficients[["ci_low", "ci_high"]].to_numpy() == pytest.approx(theirs.conf_int().to_numpy(), rel=1e-7)
    assert (ours.r2, ours.adj_r2, ours.sigma) == pytest.approx((theirs.rsquared, theirs.rsquared_adj, theirs.mse_resid ** .5))
    plain, robust = anova_lm(model.fit(), typ=2), anova_lm(model.fit(), typ=2, robust="hc3")
    assert ours.tests["statistic"].to_numpy() == pytest.approx([*plain["F"][:2], *robust["F"][:2]], rel=1e-8)
    assert ours.tests["p_value"].to_numpy() == pytest.approx([*plain["PR(>F)"][:2], *robust["PR(>F)"][:2]], rel=1e-7)


def test_a_numeric_column_and_an_interaction(table):
    frame, cohort = table
    theirs = by_statsmodels(frame, "score ~ area + kind + number").fit()
    ours = regress(cohort, "score", covariates=["number"], vcov="classical")
    assert ours.coefficients["estimate"].to_numpy() == pytest.approx(theirs.params.to_numpy(), rel=1e-8)
    assert ours.coefficients["std_error"].to_numpy() == pytest.approx(theirs.bse.to_numpy(), rel=1e-8)
    assert ours.tests["statistic"].to_numpy() == pytest.approx(anova_lm(theirs, typ=2)["F"].to_numpy()[:3], rel=1e-8)
    rows = frame.dropna(subset=["score", *FACTORS])
    (rank, additive), (cells, full) = (_fit(by_statsmodels(rows, f"score ~ area {sign} kind").exog, rows["score"]) for sign in "+*")
    row = interactions(cohort, "score", vcov="classical").iloc[0]
    if cells == rank:  # combinations that do not occur
        assert row["method"] == "not tested: aliased with the other terms"
        return
    df1, df2 = cells - rank, len(rows) - cells
    f = (additive - full) / df1 / (full / df2)
    assert row[["statistic", "df1", "p_value"]].tolist() == pytest.approx([f, df1, stats.f.sf(f, df1, df2)], rel=1e-7)


def _fit(matrix, y):
    """Rank, and residual sum of squares."""
    coef, _, rank, _ = np.linalg.lstsq(matrix, y)
    return rank, ((y - matrix @ coef) ** 2).sum()
