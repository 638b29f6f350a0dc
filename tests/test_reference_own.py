"""Odd tables of our own agree with R too: tests/reference holds them, R's values, and the scripts that made both.

R is the less exact one in three places, which the scripts and tests below go round:
- ptukey errs by 1e-8 and more (2e-5 for 2 degrees of freedom) and gives noise or 0 below 1e-13; qtukey has four digits.
  So R's values of Games-Howell get an allowance of 1e-4, and SciPy judges every p-value and interval to ten digits.
- effectsize finds noncentral limits with an optimiser that stops early (3e-5 for a g near 1, 7e-2 for a g of 2.5) and
  writes 0 for a negative omega squared: the script solves for the limits with pt and pf, and keeps the sign.
- p-values below 1e-307 are beyond the numbers with full precision.
"""
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from agreement import read_values, relative_difference, table_lines
from scipy import stats

from studperf import (Cohort, Schema, ceiling, compare, correlations, describe, equivalence, interactions, manova, mixed, pairs,
                      ranks, regress, spread, trend)
from studperf.statistics.estimates import COVARIANCES
from studperf.cohort.counts import level_counts
from studperf.statistics.groups import score_groups
from studperf.statistics.mean_tests import omega_squares, one_way_anova, welch_anova
from studperf.statistics.ranks import kruskal_wallis

FOLDER = Path(__file__).parent / "reference"
SCHEMAS = {
    "school": Schema(factors={"sex": None, "region": None, "grade": ["7", "8", "9"],
                              "income": ["low", "middle", "high", "very high"], "club": None},
                     ordered=["income"], scores=["essay", "exam"], covariates=["age"]),
    "tiny": Schema(factors={"class": None, "sex": None, "track": [f"t{i}" for i in range(10)]}, ordered=["track"],
                   scores=["mark", "speed"]),
    "large": Schema(factors={"group": ["x", "y", "z"], "arm": None}, ordered=["group"], scores=["mass", "depth"]),
    "extremes": Schema(factors={"side": None, "block": ["b1", "b2", "b3"]}, ordered=["block"], scores=["points"]),
    "clusters": Schema(factors={"kind": None, "effort": ["some", "much", "full"]}, ordered=["effort"], scores=["score"],
                       covariates=["hours"], cluster="room"),
    "odd": Schema(factors={"class": ["a", "b", "lone"], "sex": None}, ordered=["class"], scores=["mark"]),
}
NUMBERS = {"school": "age", "tiny": "speed", "large": "depth", "clusters": "hours"}
MARGINS = {"school": 3, "tiny": 2, "large": .5, "extremes": 60, "clusters": 4, "odd": 1}
INTERACTIONS = {"school": ("sex", "region"), "tiny": ("class", "sex"), "large": ("group", "arm"), "extremes": ("side", "block"),
                "clusters": ("kind", "effort")}
TESTED = {"t": "statistic", "p": "p_value", "ci_low": "ci_low", "ci_high": "ci_high"}


def rows_of(data):
    frame = pd.read_csv(FOLDER / f"{data}.csv")
    return frame.loc[frame.index.repeat(frame.pop("count"))] if "count" in frame else frame


def summarized(data):
    return Cohort.summarize(rows_of(data), SCHEMAS[data])


def named(score, factor, method, term, **numbers):
    """One value per quantity, as R's file has them."""
    for quantity, value in numbers.items():
        yield (method, score, factor, term, quantity), value


def columns(row, names):
    return {quantity: getattr(row, column) for quantity, column in names.items()}


def described(data, cohort):
    names = ["n", "missing", "mean", "sd", "std_error", "min", "q25", "median", "q75", "max"]
    for row in describe(cohort, factors=list(cohort.schema.factors)).itertuples():
        level = ("", "") if pd.isna(row.factor) else (row.factor, row.level)
        yield from named(row.score, level[0], "describe", level[1], **columns(row, dict(zip(names, names, strict=True))))
    numeric = dict.fromkeys([*cohort.schema.scores, *([NUMBERS[data]] if data in NUMBERS else [])])
    if len(numeric) > 1:
        for row in correlations(cohort, list(numeric)).itertuples():
            yield from named(row.score_a, "", "correlation", row.score_b, r=row.estimate, ci_low=row.ci_low, ci_high=row.ci_high)


def compared(data, cohort):
    for row in compare(cohort).itertuples():
        groups, at = score_groups(cohort, row.score, row.factor), (row.score, row.factor)
        anova = one_way_anova(groups) if groups.n.min() > 1 else [np.nan] * 5
        yield from named(*at, "anova", "", **dict(zip(("F", "df1", "df2", "p"), anova, strict=False)))
        yield from named(*at, "eta_squared", "", estimate=anova[-1])
        if groups.n.min() > 1:
            yield from named(*at, "welch_anova", "", **dict(zip(("F", "df1", "df2", "p"), welch_anova(groups), strict=True)))
        omega = omega_squares([groups], .95)[0]
        yield from named(*at, "omega_squared", "", estimate=omega[0])
        yield from named(*at, "omega_squared limits", "", ci_low=omega[1], ci_high=omega[2])
        for pair in pairs(cohort, *at).itertuples():
            term = f"{pair.group_a} vs {pair.group_b}"
            if len(groups.n) == 2:
                yield from named(*at, "welch_t", term, **columns(row, TESTED), df=row.df2, diff=row.estimate)
                assert (row.effect, row.effect_low, row.effect_high) == pytest.approx((pair.effect, pair.effect_low, pair.effect_high))
            yield from named(*at, "games_howell", term, **columns(pair, TESTED), df=pair.df2)
            yield from named(*at, "hedges_g", term, estimate=pair.effect)
            yield from named(*at, "hedges_g limits", term, ci_low=pair.effect_low, ci_high=pair.effect_high)
    for row in equivalence(cohort, margin=MARGINS[data]).itertuples():
        yield from named(row.score, row.factor, "equivalence", f"{row.group_a} vs {row.group_b}", p=row.p_value)


def ranked(_, cohort):
    for row in ranks(cohort).itertuples():
        if not row.method.startswith("not tested"):
            h, df, p_value, effect = kruskal_wallis(level_counts(cohort, row.score, row.factor))
            yield from named(row.score, row.factor, "kruskal", "", H=h, df=df, p=p_value, effect=effect)
        if row.method == "Mann-Whitney U":
            yield from named(row.score, row.factor, "mann_whitney", "", U=row.statistic, p=row.p_value, effect=row.effect)
    for row in spread(cohort).itertuples():
        yield from named(row.score, row.factor, "brown_forsythe", "", F=row.statistic, df1=row.df1, df2=row.df2, p=row.p_value)
    for score in cohort.schema.scores:
        for factor in cohort.schema.ordered:
            row = trend(cohort, score, factor).iloc[0]
            yield from named(score, factor, "trend", "", coef=row["estimate"], df=row["df2"],
                             **{quantity: row[column] for quantity, column in TESTED.items()})


def coefficients(regression, method, names=TESTED | {"coef": "estimate", "se": "std_error"}):
    for row in regression.coefficients.dropna(subset="estimate").itertuples():
        yield from named(regression.score, "", method, row.term, **columns(row, names))


def term_tests(regression, method, robust):
    for row in regression.tests.itertuples():
        if ("Wald" in row.method or "single" in row.method) == robust:
            more = {} if robust else {"ss": row.sum_sq, "partial_omega_squared": row.partial_omega_squared}
            yield from named(regression.score, row.term, method, "", F=row.statistic, df1=row.df1, p=row.p_value, **more)


def means(regression, method, weights):
    for row in regression.means[regression.means["weights"] == weights].itertuples():
        yield from named(regression.score, row.factor, method, row.level, mean=row.mean, se=row.std_error, ci_low=row.ci_low,
                         ci_high=row.ci_high)


def fit(regression, method):
    names = ["n", "r2", "adj_r2", "sigma", "df_resid"]
    yield from named(regression.score, "", method, "", **columns(regression, dict(zip(names, names, strict=True))))


def regressed(data, cohort, score):
    models = {vcov: regress(cohort, score, vcov=vcov) for vcov in COVARIANCES}
    for vcov, model in models.items():
        more = () if vcov in ("classical", "HC3") else ({"se": "std_error"},)
        yield from coefficients(model, f"ols {vcov}", *more)
    classical, robust = models["classical"], models["HC3"]
    yield from fit(classical, "fit")
    yield from term_tests(classical, "type2", False)
    yield from term_tests(robust, "type2 HC3", True)
    for weights in ("equal", "proportional"):
        yield from means(classical, f"emmeans {weights}", weights)
        yield from means(robust, f"emmeans {weights} HC3", weights)
    row = ceiling(cohort, score).iloc[0]
    yield from named(score, "", "ceiling", "", F=row["statistic"], p=row["p_value"],
                     **row[["ceiling", "additive_r2", "cells", "df1", "df2"]])
    for row in interactions(cohort, score, vcov="classical").itertuples():
        yield from named(score, row.term, "interaction", "", F=row.statistic, df1=row.df1, ss=row.sum_sq, p=row.p_value)
    if data in INTERACTIONS:
        model = regress(cohort, score, interactions=[INTERACTIONS[data]], vcov="HC3")
        yield from coefficients(model, "interacting HC3")
        yield from term_tests(model, "type2 interacting", False)
        yield from term_tests(model, "type2 interacting HC3", True)
    if data in NUMBERS and score != NUMBERS[data]:
        model = regress(cohort, score, covariates=[NUMBERS[data]], vcov="classical")
        yield from fit(model, "fit numeric")
        yield from coefficients(model, "numeric")
        yield from term_tests(model, "type2 numeric", False)
        yield from means(model, "emmeans numeric", "equal")


def multivariate(_, cohort):
    if len(cohort.schema.scores) > 1:
        for row in manova(cohort).itertuples():
            yield from named("", row.factor, f"manova {row.criterion.split(chr(39))[0]}", "", value=row.value, F=row.statistic,
                             df1=row.df1, df2=row.df2, p=row.p_value)


def clustered(data, cohort, score):
    for suffix, covariates in (("", []), (" numeric", [NUMBERS[data]])):
        for kind, vcov in (("HC0", "cluster HC0"), ("HC1", "cluster")):
            model = regress(cohort, score, covariates=covariates, vcov=vcov)
            yield from coefficients(model, f"cluster {kind}{suffix}")
            for row in model.tests[model.tests["method"].str.contains("Wald")].itertuples():
                yield from named(score, row.term, f"type2 cluster {kind}{suffix}", "", F=row.statistic, df1=row.df1, df2=row.df2,
                                 p=row.p_value)
        model = mixed(cohort, score, covariates=covariates)
        yield from coefficients(model, f"lmer{suffix}", {"coef": "estimate", "se": "std_error"})
        yield from named(score, "", f"lmer{suffix}", "", cluster_variance=model.cluster_variance,
                         residual_variance=model.residual_variance)
    yield from named(score, "", "icc", "", icc=mixed(cohort, score, factors=[]).icc)


def everything(data):
    cohort = summarized(data)
    for part in (described, compared, ranked, multivariate):
        yield from part(data, cohort)
    for score in cohort.schema.scores:
        yield from regressed(data, cohort, score)
        if cohort.schema.cluster:
            yield from clustered(data, cohort, score)


def tolerances(data, index):
    """R loses digits of scores around a million; lmer's optimiser stops early; ptukey see above."""
    tukey = (index.get_level_values("method") == "games_howell") & index.get_level_values("quantity").isin(["ci_low", "ci_high", "p"])
    coarse = index.get_level_values("method").isin(["lmer", "lmer numeric", "icc", "omega_squared limits"])
    return np.select([tukey, coarse | (data == "large")], [1e-4, 1e-6], 1e-9)


@pytest.fixture(scope="module")
def r_values():
    return read_values(FOLDER / "r_values.csv", "data").drop("partial correlation", level="method")


@pytest.mark.parametrize("data", list(SCHEMAS))
def test_agrees_with_r(data, r_values, capsys, artefacts):
    """Every value of R is there; what R cannot do (a design that it finds singular) may be there in addition."""
    theirs, found = r_values[data], list(everything(data))
    ours = pd.Series(dict(found), dtype=float).rename_axis(theirs.index.names)
    assert len(ours) == len(found)
    ours = ours.dropna()
    told = [key for key in theirs.index.difference(ours.index) if key[0] in ("kruskal", "brown_forsythe", "anova", "eta_squared")]
    theirs = theirs.drop(told)
    assert theirs.index.difference(ours.index).empty
    if data != "odd":  # its level with one student is told of, see below
        assert not told
    ours = ours[theirs.index]
    difference = relative_difference(ours, theirs)
    is_p = theirs.index.get_level_values("quantity") == "p"
    by_tukey = is_p & (theirs.index.get_level_values("method") == "games_howell")
    difference[by_tukey] = (ours - theirs)[by_tukey].abs()
    difference[is_p & (theirs < 1e-307) & (ours < 1e-307)] = 0
    lines = table_lines(difference)
    (artefacts / f"reference_own_{data}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with capsys.disabled():
        print(f"\nAgreement with R on {data}, {len(theirs):,} values:", *lines, sep="\n  ")
    beyond = pd.DataFrame({"ours": ours, "r": theirs, "difference": difference})[difference > tolerances(data, theirs.index)]
    assert beyond.empty, f"\n{beyond.to_string()}"


@pytest.mark.parametrize("data", list(SCHEMAS))
def test_games_howell_agrees_with_scipy(data):
    """SciPy's studentized range has about 11 decimals; further out, p lies between one t-test's and that of all pairs."""
    cohort = summarized(data)
    for score in cohort.schema.scores:
        for factor in cohort.schema.factors:
            table, k = pairs(cohort, score, factor), len(cohort.levels(factor))
            table = table[~table["method"].str.startswith("not tested")]
            t, df = table["statistic"].abs(), table["df2"]
            assert table["p_value"].to_numpy() == pytest.approx(stats.studentized_range.sf(t * np.sqrt(2), k, df), rel=1e-9, abs=1e-11)
            margin = (table["ci_high"] - table["ci_low"]) / 2
            std_error = table["estimate"].abs() / t
            assert stats.studentized_range.sf(margin / std_error * np.sqrt(2), k, df) == pytest.approx(.05, rel=1e-8)
            of_one = 2 * stats.t.sf(t, df)
            assert (table["p_value"] >= of_one * (1 - 1e-9)).all()
            assert (table["p_value"] <= np.minimum(of_one * k * (k - 1) / 2, 1) * (1 + 1e-9)).all()


def test_p_values_that_are_hardly_there():
    """Down to 1e-304, and 0 rather than nonsense beyond."""
    row = compare(summarized("extremes"), factors="side").iloc[0]
    assert 1e-307 < row["p_value"] < 1e-300 and row["effect_low"] < row["effect"] < row["effect_high"] < 0
    assert regress(summarized("extremes"), "points").tests["p_value"].between(0, 1e-70).all()


def test_noncentral_limits_beyond_what_r_knows():
    """The noncentrality is above 37.62, where R's pt gives up."""
    pair = pairs(summarized("extremes"), "points", "side").iloc[0]
    groups = score_groups(summarized("extremes"), "points", "side")
    n_a, n_b = groups.n
    df, error = n_a + n_b - 2, np.sqrt(1 / n_a + 1 / n_b)
    t = (groups.mean[0] - groups.mean[1]) / np.sqrt(((groups.n - 1) * groups.var).sum() / df) / error
    limits = pair[["effect_low", "effect_high"]].to_numpy(float) / pair["effect"] * t
    assert stats.nct.cdf(-t, df, -limits) == pytest.approx([.025, .975], rel=1e-6)


@pytest.mark.parametrize("analysis, method", [(ranks, "kruskal"), (spread, "brown_forsythe")])
def test_a_level_with_one_student_is_tested_as_in_r_or_told(analysis, method, r_values):
    row = analysis(summarized("odd"), factors="class").iloc[0]
    if np.isnan(row["p_value"]):
        assert row["method"] == "not tested: only one student in 'lone'"
    else:
        assert row["p_value"] == pytest.approx(r_values["odd", method, "mark", "class", "", "p"], rel=1e-9)


def test_one_level_and_constant_scores_are_told():
    """Columns of the odd table that R refuses."""
    cohort = Cohort.summarize(rows_of("odd"), Schema(factors=["only", "sex"], scores=["mark", "same"]))
    table = compare(cohort).set_index(["score", "factor"])
    assert table["method"]["mark", "only"] == "not tested: two levels of 'only' with 'mark' are needed, only 'x' occurs"
    assert table["method"]["same", "sex"] == "not tested: the scores do not vary in 'f', 'm'"
    assert table["p_value"].notna().tolist() == [False, True, False, False]


@pytest.mark.parametrize("data", list(NUMBERS))
def test_partial_correlations_agree_with_r(data):
    theirs = read_values(FOLDER / "r_values.csv", "data")[data, "partial correlation"]
    cohort = summarized(data)
    numeric = list(dict.fromkeys([*cohort.schema.scores, NUMBERS[data]]))
    table = correlations(cohort, numeric, given=list(cohort.schema.factors))
    assert len(theirs) == 3 * len(table)
    for row in table.itertuples():
        found = {"r": row.estimate, "ci_low": row.ci_low, "ci_high": row.ci_high}
        assert found == pytest.approx(theirs[row.score_a, "", row.score_b].to_dict(), rel=1e-6)


def test_one_way_anova_has_room_for_a_level_with_one_student(r_values):
    theirs = r_values["odd", "anova", "mark", "class", ""]
    f, df1, df2, p_value, _ = one_way_anova(score_groups(summarized("odd"), "mark", "class"))
    assert {"F": f, "df1": df1, "df2": df2, "p": p_value} == pytest.approx(theirs.to_dict(), rel=1e-9)
