"""What is computed from a Cohort agrees with R, method by method, on the exam file and on real pupils.

The values come from R 4.2.2: t.test, oneway.test, effectsize, rstatix, sandwich, car, emmeans. They are printed with 12
significant digits, except the p-values of rstatix's games_howell_test. These are rounded to three decimals, or to three
significant digits if smaller than .001, and come from ptukey, which errs by up to some 1e-8 (SciPy tells so, and t.test
where there are two levels). So they get an allowance of their own, and further tests.
"""
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from agreement import read_values, relative_difference, table_lines
from scipy.stats import studentized_range

from studperf.statistics.estimates import COVARIANCES
from studperf.statistics.regression import interactions, regress
from studperf.cohort.cohort import Cohort
from studperf.cohort.counts import level_counts
from studperf.statistics.comparison import compare, pairs, trend
from studperf.statistics.groups import score_groups
from studperf.statistics.mean_tests import omega_squares, one_way_anova, welch_anova
from studperf.statistics.ranks import kruskal_wallis, ranks, spread
from studperf.statistics.correlations import correlations
from studperf.statistics.description import describe
from studperf.rows.schema import Schema
from studperf.statistics.manova import manova
from studperf.statistics.mixed import mixed

TOLERANCE = 1e-6
MANOVA = {"manova_pillai": "Pillai's trace", "manova_wilks": "Wilks' lambda"}  # printed, see test_manova_agrees_with_r
NAMES = {"parental": "parental_education", "prep": "test_prep"}  # R's file has shorter names of two factors
R_NAMES = {"parental_education": "parental", "test_prep": "prep"}


@pytest.fixture(scope="module")
def cohort(shared_data):
    return Cohort.summarize(shared_data("StudentsPerformance.csv"))


def described(cohort):
    for row in describe(cohort, factors=list(cohort.schema.factors)).dropna(subset=["factor"]).itertuples():
        for quantity in ("n", "mean", "sd", "median"):
            yield "describe", row.score, row.factor, row.level, quantity, getattr(row, quantity)
    for row in correlations(cohort).itertuples():
        yield "correlation", row.score_a, "", row.score_b, "r", row.estimate


def compared(cohort):
    for row in compare(cohort).itertuples():
        groups = score_groups(cohort, row.score, row.factor)
        anova = welch_anova(groups)
        if np.isnan(row.n_a):
            assert row.method == "Welch's ANOVA" and (row.statistic, row.df1, row.df2, row.p_value) == anova
            assert (row.effect, row.effect_low, row.effect_high) == tuple(omega_squares([groups], .95)[0])
        else:
            values = zip(("t", "df", "p", "diff", "ci_low", "ci_high"),
                         (row.statistic, row.df2, row.p_value, row.estimate, row.ci_low, row.ci_high), strict=True)
            yield from (("welch_t", row.score, row.factor, "", *value) for value in values)
            values = zip(("estimate", "ci_low", "ci_high"), (row.effect, row.effect_low, row.effect_high), strict=True)
            yield from (("hedges_g", row.score, row.factor, "", *value) for value in values)
        yield from (("welch_anova", row.score, row.factor, "", *value)
                    for value in zip(("F", "df1", "df2", "p"), anova, strict=True))
        yield from (("omega_squared", row.score, row.factor, "", *value)
                    for value in zip(("estimate", "ci_low", "ci_high"), omega_squares([groups], .95)[0], strict=True))
        for pair in pairs(cohort, row.score, row.factor).itertuples():  # rstatix subtracts the first group from the second
            values = {"diff": -pair.estimate, "ci_low": -pair.ci_high, "ci_high": -pair.ci_low, "p": pair.p_value,
                      "df": pair.df2}
            for quantity, value in values.items():
                method = "games_howell p" if quantity == "p" else "games_howell"
                yield method, row.score, row.factor, f"{pair.group_a} vs {pair.group_b}", quantity, value


def ranked(cohort):
    for row in ranks(cohort).itertuples():
        h, df, p_value, _ = kruskal_wallis(level_counts(cohort, row.score, row.factor))
        if np.isnan(row.n_a):
            assert row.method == "Kruskal-Wallis H" and (row.statistic, row.df1, row.p_value) == (h, df, p_value)
        else:
            assert row.method == "Mann-Whitney U"
            yield "mann_whitney", row.score, row.factor, "", "U", row.statistic
            yield "mann_whitney", row.score, row.factor, "", "p", row.p_value
        yield "kruskal", row.score, row.factor, "", "H", h
        yield "kruskal", row.score, row.factor, "", "p", p_value
        anova = one_way_anova(score_groups(cohort, row.score, row.factor))
        yield "anova", row.score, row.factor, "", "F", anova[0]
        yield "eta_squared", row.score, row.factor, "", "estimate", anova[-1]
    for row in spread(cohort).itertuples():
        yield "brown_forsythe", row.score, row.factor, "", "F", row.statistic
        yield "brown_forsythe", row.score, row.factor, "", "p", row.p_value
    for score in cohort.schema.scores:
        row = trend(cohort, score, "parental_education").iloc[0]
        for quantity, column in (("coef", "estimate"), ("t", "statistic"), ("p", "p_value")):
            yield "trend_linear", score, "parental_education", "", quantity, row[column]


def r_term(term):
    """R's name of a coefficient: 'gender: male' is gendermale."""
    factor, _, level = term.partition(": ")
    return "(Intercept)" if term == "intercept" else R_NAMES.get(factor, factor) + level


def adjusted(cohort, score):
    for vcov in COVARIANCES:
        regression = regress(cohort, score, vcov=vcov)
        for row in regression.coefficients.itertuples():
            yield "ols", score, "", r_term(row.term), "se" if vcov == "classical" else f"se_{vcov}", row.std_error
            if vcov == "classical":
                yield "ols", score, "", r_term(row.term), "coef", row.estimate
    yield from (("ols", score, "", "", name, getattr(regression, name)) for name in ("r2", "adj_r2", "sigma"))
    for row in regression.tests.itertuples():
        robust = row.method == "type II Wald F test, HC3"
        assert robust or row.method == "type II F test"
        values = [("F", row.statistic), ("p", row.p_value)] + [("ss", row.sum_sq)] * (not robust)
        yield from (("anova_type2_hc3" if robust else "anova_type2", score, row.term, "", *value) for value in values)
        if not robust:
            yield "partial_omega_squared", score, row.term, "", "estimate", row.partial_omega_squared
    for row in regress(cohort, score, vcov="classical").means.itertuples():
        if row.weights == "proportional":
            yield "emmeans_proportional", score, row.factor, row.level, "mean", row.mean
        else:
            yield from (("emmeans", score, row.factor, row.level, *value)
                        for value in (("mean", row.mean), ("se", row.std_error)))
    tests = interactions(cohort, score, vcov="classical")
    for (first, second), row in zip(combinations(cohort.schema.factors, 2), tests.itertuples(), strict=True):
        assert row.term == f"{first} x {second}" and row.method == "type II F test"
        name = f"{R_NAMES.get(first, first)}:{R_NAMES.get(second, second)}"
        yield from (("interaction_type2", score, name, "", *value) for value in (("F", row.statistic), ("p", row.p_value)))


def reference(path):
    values = read_values(path)
    return values.set_axis(pd.MultiIndex.from_tuples(
        [("games_howell p" if (method, quantity) == ("games_howell", "p") else method, *rest, quantity)
         for method, *rest, quantity in values.index], names=values.index.names)).sort_index()


def test_agrees_with_r(cohort, shared_reference, capsys, artefacts):
    """All values of R's file; a value more or less on either side fails."""
    theirs = reference(shared_reference("students_r.csv"))
    ours = [*described(cohort), *compared(cohort), *ranked(cohort)]
    ours += [row for score in cohort.schema.scores for row in adjusted(cohort, score)]
    ours = pd.Series({(method, score, R_NAMES.get(factor, factor), *rest): value
                      for method, score, factor, *rest, value in ours})
    methods = theirs.index.get_level_values("method")
    assert ours.index.is_unique and set(ours.index) == set(theirs.index[~methods.isin(list(MANOVA))])

    both = pd.DataFrame({"r": theirs[ours.index], "ours": ours}).rename_axis(theirs.index.names)
    difference = relative_difference(both["ours"], both["r"])
    allowed = pd.Series(TOLERANCE, both.index)
    rounded = both.index.get_level_values("method") == "games_howell p"
    difference[rounded], allowed[rounded] = rounded_p(both[rounded])

    lines = table_lines(difference[~rounded])
    lines.append(f"{'games_howell p':26} {rounded.sum():6} values   within R's rounding to 3 digits, and 1e-8")
    lines += [f"{method:26} {(methods == method).sum():6} values   within R's rounding, see test_manova_agrees_with_r"
              for method in MANOVA]
    (artefacts / "reference_r.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with capsys.disabled():
        print("\nAgreement with R on StudentsPerformance.csv:", *lines, sep="\n  ")
    beyond = both.assign(difference=difference)[difference > allowed]
    assert beyond.empty, f"\n{beyond}"


def rounded_p(both):
    """Absolute differences, and what R's rounding and ptukey's error allow for."""
    unit = 10 ** np.minimum(np.floor(np.log10(np.maximum(both["r"], 1e-30))) - 2, -3)
    unit = unit.where(both["r"] < .001, 1e-3)
    return (both["ours"] - both["r"]).abs(), unit / 2 + 1e-8


def test_manova_agrees_with_r(cohort, shared_reference):
    """R prints five decimals of Pillai's trace and Wilks' lambda, two of their F."""
    theirs = reference(shared_reference("students_r.csv"))[list(MANOVA)]
    assert len(theirs) == 20
    table = manova(cohort).set_index(["factor", "criterion"])
    for (method, _, factor, _, quantity), value in theirs.items():
        row = table.loc[NAMES.get(factor, factor), MANOVA[method]]
        ours, unit = (row["value"], 1e-5) if quantity == "stat" else (row["statistic"], 1e-2)
        assert ours == pytest.approx(value, rel=0, abs=unit * .5001)


def test_games_howell_p_values_agree_with_scipy(cohort):
    """SciPy's studentized range has about 11 decimals."""
    for factor in cohort.schema.factors:
        table = pairs(cohort, "writing", factor)
        theirs = studentized_range.sf(table["statistic"].abs() * np.sqrt(2), len(cohort.levels(factor)), table["df2"])
        assert table["p_value"].to_numpy() == pytest.approx(theirs, rel=1e-9, abs=1e-11)


def test_games_howell_of_two_levels_is_welch(cohort, shared_reference):
    """Of two levels there is one pair, and R's t.test gives its p-value with all digits, down to 1e-27."""
    theirs = reference(shared_reference("students_r.csv"))
    smallest = 1
    for (score, factor, _, _), p_value in theirs["welch_t"].xs("p", level="quantity", drop_level=False).items():
        ours = pairs(cohort, score, NAMES.get(factor, factor))["p_value"].item()
        assert ours == pytest.approx(p_value, rel=TOLERANCE)
        smallest = min(smallest, ours)
    assert smallest < 1e-27


def test_agrees_with_r_on_real_pupils(shared_data, shared_reference):
    """Scores with three decimals, some of them negative, and other column names."""
    schema = Schema(factors={"Minority": ["No", "Yes"], "Sex": ["Female", "Male"]}, scores=["MathAch"],
                    covariates=["SES", "MEANSES"], cluster="School")
    theirs = pd.read_csv(shared_reference("mathachieve_r.csv")).set_index(["q", "term"])["value"]
    assert len(theirs) == 18
    cohort = Cohort.summarize(shared_data("MathAchieve.csv"), schema)
    for vcov, quantity in (("cluster", "cluster_HC1"), ("cluster HC0", "cluster_HC0")):
        coefficients = regress(cohort, "MathAch", vcov=vcov).coefficients.set_index("term")
        coefficients.index = coefficients.index.map(r_term)
        assert (coefficients["df"] == 159).all()  # 160 schools
        assert coefficients["estimate"].to_dict() == pytest.approx(theirs["coef"].to_dict(), rel=TOLERANCE)
        assert coefficients["std_error"].to_dict() == pytest.approx(theirs[quantity].to_dict(), rel=TOLERANCE)
    model = mixed(cohort, "MathAch")
    coefficients = model.coefficients.set_index("term")
    coefficients.index = coefficients.index.map(r_term)
    for quantity, name in (("lmer_coef", "estimate"), ("lmer_se", "std_error")):
        assert coefficients[name].to_dict() == pytest.approx(theirs[quantity].to_dict(), rel=TOLERANCE)
    variances = {"School": model.cluster_variance, "Residual": model.residual_variance}
    assert variances == pytest.approx(theirs["lmer_var"].to_dict(), rel=TOLERANCE)
    assert mixed(cohort, "MathAch", factors=[]).icc == pytest.approx(theirs["icc"].item(), rel=TOLERANCE)
