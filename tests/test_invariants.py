"""Whatever the table, every analysis gives numbers that can be right, or NaN with the reason; and the same ones again.

The tables are small and degenerate at random: levels with no, one or two students, constant scores, columns without a value,
factors that are copies of others, students who are alike, scores far from 0. A warning is an error, too (pytest.ini).
"""
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studperf import (Cohort, Schema, ceiling, compare, correlations, describe, equivalence, interactions, manova, missing_values,
                      mixed, pairs, ranks, regress, spread, trend)
from studperf.statistics.estimates import CLUSTER_COVARIANCES, COVARIANCES

SCHEMA = Schema(factors={"class": ["7a", "7b", "7c", "7d", "7e"], "sex": None, "twin": None}, ordered=["class"],
                scores=["mark", "essay"], covariates=["age"], cluster="school")
MARGIN = 2


def regression_tables(cohort, **options):
    regression = regress(cohort, "mark", **options)
    return {name: getattr(regression, name) for name in ("coefficients", "tests", "means")}


ANALYSES = {
    "missing values": missing_values,
    "describe": lambda cohort: describe(cohort, factors=["class", "sex"]),
    "correlations": lambda cohort: correlations(cohort, ["mark", "essay", "age"]),
    "compare": compare, "ranks": ranks, "spread": spread, "ceiling": ceiling, "manova": manova,
    "pairs": lambda cohort: pairs(cohort, "mark", "class"),
    "trend": lambda cohort: trend(cohort, "mark", "class"),
    "equivalence": lambda cohort, margin=MARGIN: equivalence(cohort, margin=margin),
    "interactions": lambda cohort: interactions(cohort, "mark"),
    "interactions alone": lambda cohort: interactions(cohort, "mark", together=False, vcov="classical"),
    **{f"regress {vcov}": lambda cohort, vcov=vcov: regression_tables(cohort, vcov=vcov)
       for vcov in COVARIANCES + CLUSTER_COVARIANCES},
    "regress interacting": lambda cohort: regression_tables(cohort, interactions=[("class", "sex")]),
    "regress numeric": lambda cohort: regression_tables(cohort, covariates=["age"], vcov="classical"),
    "mixed": lambda cohort: {"coefficients": mixed(cohort, "mark").coefficients},
}


SIMILAR = ["regress HC0", "regress HC1", "regress HC2", "regress cluster HC0", "interactions alone"]  # to others above


def results(cohort, names=ANALYSES, **options):
    """Every table of the analyses; one that refuses gives its message."""
    found = {}
    for name in names:
        try:
            tables = ANALYSES[name](cohort, **options.get(name, {}))
        except ValueError as error:  # DataError is one
            found[name, ""] = str(error)
            continue
        found |= {(name, part): table for part, table in (tables if isinstance(tables, dict) else {"": tables}).items()}
    return found


def scores_of(kind, random, n, groups):
    """A column of numbers that is awkward in one way."""
    offset = 10.0 ** random.integers(3, 8) * random.choice([-1, 1])
    return {"integers": lambda: random.integers(-3, 9, n).astype(float),
            "decimals": lambda: random.normal(5, 3, n).round(2),
            "continuous": lambda: random.normal(0, 1, n),
            "two values": lambda: random.integers(0, 2, n) * 2.5,
            "far from 0": lambda: offset + random.integers(-4, 5, n) / 2,
            "far and continuous": lambda: offset / 100 + random.normal(0, 1, n),
            "constant": lambda: np.full(n, random.choice([0, 7, -2.5, np.pi, 1e6 / 7])),
            "constant in groups": lambda: groups + .5,
            "nearly constant in groups": lambda: groups + (np.arange(n) == 0),
            "missing": lambda: np.full(n, np.nan)}[kind]()


KINDS = st.sampled_from(["integers", "decimals", "continuous", "two values", "far from 0", "far and continuous", "constant",
                         "constant in groups", "nearly constant in groups", "missing"])


@st.composite
def odd_tables(draw):
    """A table of SCHEMA."""
    random, n = np.random.default_rng(draw(st.integers(0, 10**6))), draw(st.integers(1, 40))
    shares = np.array(draw(st.sampled_from([[1], [.5, .5], [.9, .1], [.4, .3, .3], [.8, .1, .1], [.4, .3, .2, .1]])))
    place = random.choice(len(shares), n, p=shares)
    sex = random.choice(["f", "m"], n, p=draw(st.sampled_from([[.5, .5], [.95, .05], [1, 0]])))
    twin = {"class": np.array(list("ABCD"))[place], "sex": np.char.upper(sex), "own": random.choice(["x", "y"], n)}
    frame = pd.DataFrame({"class": np.array(SCHEMA.factors["class"])[place], "sex": sex, "twin": twin[draw(st.sampled_from(list(twin)))],
                          "mark": scores_of(draw(KINDS), random, n, place), "essay": scores_of(draw(KINDS), random, n, place),
                          "age": scores_of(draw(KINDS.filter(lambda kind: kind not in ("integers", "two values"))), random, n, place),
                          "school": random.choice([f"s{i}" for i in range(draw(st.integers(1, 9)))], n)})
    if draw(st.booleans()):
        frame = frame.mask(random.random(frame.shape) < .1)
    if draw(st.integers(0, 5)) == 0:
        frame["essay"] = frame["age"] * 2
    if draw(st.integers(0, 5)) == 0:
        frame = pd.concat([frame] * 3, ignore_index=True)  # students who are alike
    numeric = list(SCHEMA.numeric)
    return frame.astype(dict.fromkeys(numeric, float))


NAMES = [repr(name) for name in (*SCHEMA.factors, *SCHEMA.numeric, SCHEMA.cluster, *SCHEMA.factors["class"])]
REASONS = ("not tested", "not estimated", "no standard error", "none: ", "no interval")


def check(where, table):
    """Numbers that can be right, or NaN with the reason."""
    if isinstance(table, str):
        assert any(name in table for name in NAMES), (where, table)
        return
    numbers = table.select_dtypes("number")
    assert not np.isinf(numbers).any(axis=None), (where, table)
    for row in table.to_dict("records"):
        if "method" in row:
            told = row["method"].startswith(REASONS)
            tested = [row[name] for name in ("statistic", "p_value") if name in row]
            assert all(map(np.isfinite, tested)) or told or "; not tested" in row["method"], (where, row)
            assert not (told and np.isfinite(tested).any()), (where, row)
        for name in ("p_value", "p_adjusted"):
            assert np.isnan(row.get(name, np.nan)) or 0 <= row[name] <= 1 + 1e-12, (where, row)
        for low, middle, high in [("ci_low", "estimate", "ci_high"), ("ci_low", "mean", "ci_high")]:
            if {low, middle, high} <= set(row) and np.isfinite(row[low]):
                assert row[low] <= row[middle] <= row[high], (where, row)
        if row.get("effect_name") == "Hedges' g" and np.isfinite(row["effect_low"]):
            assert row["effect_low"] < row["effect"] < row["effect_high"], (where, row)
        for name in ("std_error", "sd", "df1", "df2", "sum_sq"):
            assert not row.get(name, 0) < 0, (where, row)


@settings(max_examples=24)
@given(odd_tables())
def test_every_number_can_be_right_or_its_absence_is_explained(frame):
    for where, table in results(Cohort.summarize(frame, SCHEMA)).items():
        check(where, table)


def assert_same(first, second, *, rtol, scaled=(), factor=1, free=()):
    """Two sets of results are equal but for rounding; the columns `scaled` are `factor` times as large, `free` may differ."""
    assert first.keys() == second.keys()
    for where, one in first.items():
        other = second[where]
        if isinstance(one, str):
            assert one == other
            continue
        assert one.shape == other.shape, where
        for name in one.columns.difference(free):
            if not pd.api.types.is_numeric_dtype(one[name]):
                assert one[name].astype(str).tolist() == other[name].astype(str).tolist(), (where, one, other)
                continue
            expected = one[name].to_numpy(float) * (factor if name in scaled else 1)
            size = np.nanmax(np.abs(expected), initial=1)
            np.testing.assert_allclose(other[name].to_numpy(float), expected, rtol, rtol * size, err_msg=f"{where} {name}\n{one}\n{other}")


def precision(cohort):
    """Whole units are summed exactly, floats not: the mean of a hundred thousand has ten digits after the point."""
    return 1e-6 if any(scale.decimals is None for scale in cohort.scales.values()) else 1e-8


SCALED = ("estimate", "std_error", "ci_low", "ci_high")
SHIFTED = ["compare", "pairs", "ranks", "spread", "trend", "equivalence"]


@settings(max_examples=5)
@given(odd_tables().filter(lambda frame: len(frame) > 1), st.integers(0, 10**6))
def test_neither_the_order_of_rows_nor_merging_matters(frame, seed):
    whole = Cohort.summarize(frame, SCHEMA)
    frame = frame.sample(frac=1, random_state=seed)
    cut = 1 + seed % (len(frame) - 1)
    merged = Cohort.summarize(frame[:cut], SCHEMA) + Cohort.summarize(frame[cut:], SCHEMA)
    names = [name for name in ANALYSES if name not in SIMILAR]
    assert_same(results(whole, names), results(merged, names), rtol=precision(whole))


@settings(max_examples=5)
@given(odd_tables(), st.sampled_from([0, -7.25, 40, 1000]), st.sampled_from([1, 4, 10]))
def test_the_scale_of_the_scores_does_not_matter(frame, shift, factor):
    """Differences take the factor; statistics, p-values and effect sizes stay."""
    first = Cohort.summarize(frame, SCHEMA)
    second = Cohort.summarize(frame.assign(**{name: (frame[name] * factor + shift).round(9) for name in SCHEMA.scores}), SCHEMA)
    names = [*SHIFTED, "interactions", "manova", "correlations", "regress HC3", "regress cluster", "regress numeric"]
    ours, theirs = results(first, names), results(second, names, equivalence={"margin": MARGIN * factor})
    plain = {key for key in ours if key[0] in SHIFTED}
    assert_same({key: ours[key] for key in plain}, {key: theirs[key] for key in plain}, rtol=precision(first), scaled=SCALED,
                factor=factor, free=["method"])
    tests = {key for key in ours if key[1] not in ("coefficients", "means")} - plain
    assert_same({key: ours[key] for key in tests}, {key: theirs[key] for key in tests}, rtol=precision(first), scaled=["sum_sq"],
                factor=factor ** 2, free=["method"])


def test_a_statistic_of_0_has_a_p_value():
    """The means of the cells are exactly additive."""
    frame = pd.DataFrame([(a, b, x + y + spread) for a, x in zip("pq", (0, 1.1), strict=True)
                          for b, y in zip("uvw", (0, .3, 2.7), strict=True) for spread in (-1, 1, .5, -.5)],
                         columns=["class", "sex", "mark"]).round(2)
    row = ceiling(Cohort.summarize(frame, Schema(["class", "sex"], ["mark"]))).iloc[0]
    assert row["statistic"] == pytest.approx(0, abs=1e-9) and row["p_value"] == pytest.approx(1)


def test_a_score_that_follows_from_a_covariate_is_told():
    """The fit is exact; what is left of the squares is rounding."""
    frame = pd.DataFrame({"class": list("ab") * 4, "mark": [-3, 1, 2, -1, 3, -2, .5, -.5]})
    frame["essay"] = frame["mark"] * 2
    cohort = Cohort.summarize(frame, Schema(["class"], ["mark", "essay"]))
    regression = regress(cohort, "mark", covariates=["essay"], vcov="classical")
    assert regression.coefficients["std_error"].isna().all() and regression.tests["p_value"].isna().all()
    assert regression.coefficients["method"].str.startswith("no standard error: the fit is exact").all()


def small_cohort(n=40):
    random = np.random.default_rng(3)
    frame = pd.DataFrame({"class": random.choice(["7a", "7b"], n), "sex": random.choice(["f", "m"], n),
                          "mark": random.integers(0, 9, n), "essay": random.integers(0, 9, n), "age": random.integers(9, 12, n)})
    return Cohort.summarize(frame, Schema(["class", "sex"], ["mark", "essay"], covariates=["age"]))


@pytest.mark.parametrize("n", [2, 3])
def test_correlations_of_few_students_say_why_there_is_no_interval(n):
    row = correlations(small_cohort(n)).iloc[0]
    assert row[["ci_low", "ci_high"]].isna().all() and row["method"] != "Pearson, Fisher's interval"


@pytest.mark.parametrize("options", [{"scores": "mark"}, {"factors": "sex"}])
def test_describe_takes_a_single_name(options):
    expected = describe(small_cohort(), **{name: [value] for name, value in options.items()})
    pd.testing.assert_frame_equal(describe(small_cohort(), **options), expected)


@pytest.mark.parametrize("options", [{"factors": ["sex", "sex"]}, {"covariates": ["age", "age"]}])
def test_regress_refuses_a_name_given_twice(options):
    with pytest.raises(ValueError, match="twice|more than once|each once"):
        regress(small_cohort(), "mark", vcov="classical", **options)


def test_suppressed_value_counts_are_not_called_continuous():
    method = ranks(small_cohort().suppress(min_n=1, counts=False), "mark", "sex")["method"].item()
    assert method.startswith("not tested") and "suppressed" in method
