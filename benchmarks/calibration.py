"""Do the tests err as often as they say, and do the intervals hold the truth as often as they say?

    python benchmarks/calibration.py           a short run, half a minute: prints, and compares with the committed table
    python benchmarks/calibration.py --full    10,000 cohorts a setting, a quarter of an hour and more: writes results/calibration.csv
    python benchmarks/calibration.py --cohorts 1000 --processes 1

Cohorts are drawn by `simulate_students` under these settings:

    no difference     no factor makes a difference, all groups have equal spread
    unequal spread    no factor makes a difference, but the smaller groups have twice the spread: of lunch in math, of
                      ethnicity in reading, of parental education in writing
    truth             GENERATOR, whose truth is computed here exactly, rounding and clipping of the scores included
    crossed           GENERATOR with points of its own added in each of the 240 cells, so that no additive model is true
    20 or 50 schools  that differ by chance (intraclass correlation .15); no factor makes a difference
    dependent factors       GENERATOR, but the higher the parents' education, the rarer is free or reduced lunch
    independent residuals   GENERATOR, but students who are alike in all factors have independent scores
    unequal chances         GENERATOR, whose students are sampled with chances from 1 to 1/8 that depend on lunch and on math,
                            and weigh 1 to 8; without any difference, too

A row is within bounds if its rate lies no further from the nominal one than Monte Carlo error explains, at 5% for all rows of
the table together (Bonferroni); what is promised as "at most" or "at least" may lie beyond on the safe side. Rows where a
cohort cannot be tested (a level with one student, say) count the cohorts that could. The results do not depend on the number
of processes, and a short run draws the first cohorts of the full one.
"""
import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import combinations, combinations_with_replacement, product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri, stdtr, stdtrit
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from studperf import STUDENTS, Cohort, Schema, ceiling, compare, correlations, decompose, describe, equivalence, interactions, manova, mixed, pairs, ranks, regress, simulate_students, spread, trend
from studperf.rows.simulation import GENERATOR, Generator
from studperf.statistics.estimates import COVARIANCES, Estimates, covariance
from studperf.statistics.least_squares import Design, cell_rows, least_squares
from studperf.statistics.term_tests import type_2_tests
from studperf.cohort.counts import LevelCounts, level_counts
from studperf.cohort.moments import Moments
from studperf.cohort.units import Scale
from studperf.statistics.comparison import weighted_row
from studperf.statistics.groups import cannot_compare, score_groups
from studperf.statistics.mean_tests import hedges_g, linear_trend, omega_squares, one_way_anova, welch_anova, welch_t
from studperf.statistics.multiplicity import adjusted
from studperf.statistics.ranks import kruskal_wallis, mann_whitney, median_distances, rank_biserial
from studperf.statistics.decomposition import gap_parts
from studperf.statistics.distributions import noncentral_f_limits, studentized_range_sf
from studperf.cohort.means import GroupMeans, group_means

TABLE = Path(__file__).parent / "results" / "calibration.csv"
COLUMNS = ["setting", "n", "method", "quantity", "nominal", "rate", "mc_error", "cohorts", "within_bounds"]
BLOCK = 100  # cohorts that are drawn in one call

# ---- Small cohorts, quickly


@dataclass(frozen=True, eq=False)
class Sample(Cohort):
    "A Cohort whose moments come from arrays of students: for some hundreds of them a hundred times as quick to make."
    names: Mapping[str, tuple[str, ...]] = None  # factor or cluster: its levels
    codes: Mapping[str, np.ndarray] = None  # factor or cluster: (n,) the number of each student's level
    values: Mapping[str, np.ndarray] = None  # score: (n,) whole points
    weights: np.ndarray | None = None  # (n,) whole numbers, if the Schema names a weight

    @property
    def n(self):
        return len(next(iter(self.codes.values())))

    def levels(self, factor):
        return [self.names[factor][code] for code in np.unique(self.codes[factor])]

    def _once(self, question, answer):
        what, *asked = question
        return self.drawn_moments(*asked) if what == "moments" else super()._once(question, answer)

    def drawn_moments(self, columns, by=(), power=0):
        shape = [len(self.names[name]) for name in by]
        key = np.ravel_multi_index([self.codes[name] for name in by], shape) if by else np.zeros(self.n, int)
        weight = self.weights ** power if power else None
        count = np.bincount(key, weight)
        present = np.flatnonzero(count)
        n, values = count[present], [self.values[name] for name in columns]
        weighed = [value * weight for value in values] if power else values
        totals = np.column_stack([np.bincount(key, value)[present] for value in weighed])
        ss = np.empty((len(n), len(columns), len(columns)))
        for i, j in combinations_with_replacement(range(len(columns)), 2):
            products = np.bincount(key, weighed[i] * values[j])[present]
            ss[:, i, j] = ss[:, j, i] = (n * products - totals[:, i] * totals[:, j]) / n
        places = np.unravel_index(present, shape) if by else []
        keys = pd.DataFrame({name: pd.Categorical.from_codes(place, list(self.names[name]))
                             for name, place in zip(by, places, strict=True)}, index=range(len(n)))
        return Moments(tuple(columns), keys, n, totals / n[:, None], ss)


def sample_of(schema, names, codes, values, weights=None):
    """A Sample of these students."""
    return Sample(schema, cells=None, counts=None, scales=dict.fromkeys(schema.scores, Scale()),
                  names=names, codes=codes, values=values, weights=weights)


def groups_of(sample, score, factor):
    """What `score_groups` gives for a Cohort."""
    codes, values, names = sample.codes[factor], sample.values[score], sample.names[factor]
    n = np.bincount(codes, minlength=len(names))
    present = np.flatnonzero(n)
    n, total, squares = (sums[present] for sums in (n, np.bincount(codes, values), np.bincount(codes, values ** 2)))
    var = (n * squares - total ** 2) / n / np.where(n > 1, n - 1, np.nan)
    return GroupMeans(score, pd.DataFrame({factor: [names[i] for i in present]}), n, total / n, var, var / n)


def counts_of(sample, score, factor):
    """What `level_counts` gives for a Cohort."""
    names = sample.names[factor]
    values, place = np.unique(sample.values[score], return_inverse=True)
    counts = np.bincount(sample.codes[factor] * len(values) + place, minlength=len(names) * len(values))
    counts = counts.reshape(len(names), -1).astype(float)
    present = np.flatnonzero(counts.sum(axis=1))
    return LevelCounts(tuple(names[i] for i in present), values.astype(float), counts[present])


@cache
def grid(levels, interactions):
    """The rows of a regression for one student in each combination of levels."""
    names = dict(levels)
    codes = np.array(list(product(*(range(len(own)) for own in names.values())))).T
    schema = Schema(factors=names, scores={"math": None})
    everyone = sample_of(schema, names, dict(zip(names, codes, strict=True)), {"math": np.arange(codes.shape[1])})
    return cell_rows(everyone, "math", list(names), interactions=list(interactions))


def rows_of(sample, score, factors, interactions=(), cluster=False):
    """What `cell_rows` gives for a Cohort in which all levels of all factors occur."""
    values = sample.values[score]
    cells = grid(tuple((factor, sample.names[factor]) for factor in factors), interactions)
    by = [*factors, sample.schema.cluster] if cluster else factors
    key = np.ravel_multi_index([sample.codes[name] for name in by], [len(sample.names[name]) for name in by])
    count = np.bincount(key)
    present = np.flatnonzero(count)
    n, total, squares = (np.bincount(key, each)[present] for each in (None, values, values ** 2))
    clusters, place = (present % len(sample.names[by[-1]]), present // len(sample.names[by[-1]])) if cluster else (None, present)
    own = {"shares": {factor: shares[place] for factor, shares in cells.shares.items()}, "matrix": cells.matrix[place],
           "n": n, "weight": n, "mean": total / n - values.mean(), "products": ((n * squares - total ** 2) / n)[:, None, None],
           "score_mean": values.mean(), "rounding": 0.0, "clusters": clusters}
    return replace(cells, **{field.name: own[field.name] for field in fields(cells) if field.name in own})


# ---- Settings and their truth

NAMES = {factor: tuple(levels) for factor, levels in STUDENTS.factors.items()}
CELLS = pd.DataFrame(list(product(*NAMES.values())), columns=list(NAMES))
CELL_CODES = np.array(list(product(*(range(len(levels)) for levels in NAMES.values())))).T
UNLIMITED = replace(STUDENTS, scores=dict.fromkeys(STUDENTS.scores))
WEIGHTED = replace(UNLIMITED, weight="weight")
MIDDLE = 50  # scores are stretched about it
NO_DIFFERENCE = replace(GENERATOR, terms={})
INDEPENDENT = replace(GENERATOR, residual_corr=tuple(map(tuple, np.eye(3))))
# Clipping cuts as much off below as above, so that stretched groups have exactly equal means.
CENTRED = replace(NO_DIFFERENCE, intercept=(MIDDLE,) * 3, residual_sd=(8, 8, 8))


@dataclass(frozen=True, eq=False)
class Setting:
    "Where cohorts come from, and what is to be looked at."
    name: str
    sizes: tuple[int, ...]  # students of a cohort
    measures: tuple[Callable, ...]
    truth: Generator | None = None
    stretch: Mapping[str, tuple[str, Mapping[str, int]]] = None  # score: the factor whose levels stretch it, and how much
    shift: np.ndarray | None = None  # (240,) points added to all scores in a cell
    kept: np.ndarray | None = None  # (240,) chance of a drawn student to be one of those that the truth is about
    weights: np.ndarray | None = None  # (240, 101) by cell and points in math: weight of a student whose chance is its inverse
    two: tuple[tuple[str, str], ...] = ()  # scores and factors with two levels
    several: tuple[tuple[str, str], ...] = ()  # scores and factors with more
    coefficients: tuple[tuple[str, str, str], ...] = ()  # score, factor, level
    gaps: tuple[tuple[str, str, str], ...] = ()  # score, factor, level: to be decomposed
    schools: int = 0

    @property
    def is_null(self):
        return self.truth is None or not self.truth.terms

    @property
    def scales(self):  # score: (240,) how much it is stretched in each cell
        return {score: CELLS[factor].map(by_level).fillna(1).to_numpy(int) for score, (factor, by_level) in
                (self.stretch or {}).items()}

    def reshaped(self, score, values, cells):
        """Points of students in these cells, stretched and shifted as the setting says."""
        if score in self.scales:
            values = MIDDLE + (values - MIDDLE) * self.scales[score][cells]
        return values if self.shift is None else values + self.shift[cells]


def drawn(setting, n, block):
    """The Samples of a block."""
    if setting.schools:
        yield from drawn_schools(setting, n, block)
        return
    rows = drawn_rows(setting, n * BLOCK, np.random.default_rng([SETTINGS.index(setting), n, block]))
    codes, cells = {factor: rows[factor].cat.codes.to_numpy(int) for factor in NAMES}, cells_of(rows)
    values = {score: setting.reshaped(score, rows[score].to_numpy(), cells) for score in STUDENTS.scores}
    weights = None if setting.weights is None else setting.weights[cells, rows["math"]]
    for i in range(BLOCK):
        own = slice(i * n, (i + 1) * n)
        yield sample_of(UNLIMITED if weights is None else WEIGHTED, NAMES,
                        *({name: array[own] for name, array in arrays.items()} for arrays in (codes, values)),
                        None if weights is None else weights[own])


def drawn_rows(setting, n, random):
    """So many students; where not all have the same chance, those of many more who are kept or sampled."""
    rows, count = [], 0
    while count < n:
        new = simulate_students(n, seed=random, truth=setting.truth)
        if setting.kept is not None:
            new = new[random.random(n) < setting.kept[cells_of(new)]]
        if setting.weights is not None:
            new = new[random.random(n) < 1 / setting.weights[cells_of(new), new["math"]]]
        rows, count = [*rows, new], count + len(new)
    return pd.concat(rows, ignore_index=True).head(n)


def cells_of(rows):  # (n,)
    """In which of the CELLS these students are."""
    return np.ravel_multi_index([rows[factor].cat.codes.to_numpy(int) for factor in NAMES], [len(levels) for levels in NAMES.values()])


SCHOOL_SCHEMA = Schema(factors={"gender": ["female", "male"], "school_type": ["private", "public"]}, scores={"math": None},
                       cluster="school")


def drawn_schools(setting, n, block):
    """Samples of students in schools of different size; every second school is public."""
    random = np.random.default_rng([SETTINGS.index(setting), n, block])
    names = {**SCHOOL_SCHEMA.factors, "school": tuple(f"school {i:02}" for i in range(setting.schools))}
    for _ in range(BLOCK):
        sizes = 5 + random.multinomial(n - 5 * setting.schools, np.full(setting.schools, 1 / setting.schools))
        school = np.repeat(np.arange(setting.schools), sizes)
        math = 60 + random.normal(0, 5, setting.schools)[school] + random.normal(0, 12, n)
        codes = {"gender": random.integers(2, size=n), "school_type": school % 2, "school": school}
        yield sample_of(SCHOOL_SCHEMA, names, codes, {"math": np.rint(math).astype("int64")})


@cache
def cell_shares(setting):  # (240,)
    """The probability of each cell."""
    shares = [np.array([GENERATOR.margins[factor][level] for level in levels]) for factor, levels in NAMES.items()]
    shares = np.prod(np.array(list(product(*(share / share.sum() for share in shares)))), axis=1)
    return shares if setting.kept is None else shares * setting.kept / (shares @ setting.kept)


@cache
def cell_chances(setting, score):  # (240, 101) values in points, and their probabilities
    """The distribution of a rounded and clipped score in every cell."""
    place = setting.truth.scores.index(score)
    mean, sd, values = setting.truth.expected(CELLS)[:, place], setting.truth.residual_sd[place], np.arange(101)
    upper = np.append(values[:-1] + .5, np.inf)  # a score of 100 is whatever lies above 99.5
    chances = np.diff(ndtr((upper - mean[:, None]) / sd), axis=1, prepend=0)
    return setting.reshaped(score, np.tile(values, (len(CELLS), 1)), np.arange(len(CELLS))[:, None]), chances


def cell_moments(setting, score):  # (240,) twice
    """The mean and the variance of a score in every cell."""
    values, chances = cell_chances(setting, score)
    mean = (values * chances).sum(axis=1)
    return mean, ((values - mean[:, None]) ** 2 * chances).sum(axis=1)


@cache
def true_groups(setting, score, factor):
    """Shares, means and variances of the levels, as the groups of all students there could be."""
    codes, (mean, var) = CELL_CODES[list(NAMES).index(factor)], cell_moments(setting, score)
    share, total, squares = (np.bincount(codes, cell_shares(setting) * each) for each in (np.ones(len(codes)), mean, var + mean ** 2))
    # Rounded, so that equal means are equal to the last digit.
    var = squares / share - (total / share) ** 2
    return GroupMeans(score, pd.DataFrame({factor: NAMES[factor]}), share, np.round(total / share, 9), var, var / share)


@cache
def true_g(setting, score, factor):
    groups = true_groups(setting, score, factor)
    return (groups.mean[0] - groups.mean[1]) / np.sqrt(groups.n @ groups.var)


@cache
def true_omega_squared(setting, score, factor):
    groups = true_groups(setting, score, factor)
    between = np.round(groups.n @ (groups.mean - groups.n @ groups.mean) ** 2, 9)  # 0 exactly, where nothing differs
    return between / (between + groups.n @ groups.var)


@cache
def true_rank_biserial(setting, score, factor):
    (values, chances), codes = cell_chances(setting, score), CELL_CODES[list(NAMES).index(factor)]
    first, second = (np.bincount(values[own].ravel() + 100, (cell_shares(setting)[own, None] * chances[own]).ravel(), 301)
                     for own in (codes == 0, codes == 1))
    first, second = first / first.sum(), second / second.sum()
    return first @ (2 * second.cumsum() - second) - 1


@cache
def true_shares(setting, score):
    """The share of a score's variance between the cells."""
    mean, var = cell_moments(setting, score)
    between = np.round(cell_shares(setting) @ (mean - cell_shares(setting) @ mean) ** 2, 9)  # 0 exactly, where nothing differs
    return between / (between + cell_shares(setting) @ var)


@cache
def true_fit(setting, score):  # (240,)
    """The additive model that is nearest to the cells' means."""
    zeros = np.hstack([np.ones((len(CELLS), 1)), *(np.eye(len(NAMES[factor]))[codes][:, 1:]
                                                   for factor, codes in zip(NAMES, CELL_CODES, strict=True))])
    root = np.sqrt(cell_shares(setting))
    return zeros @ np.linalg.lstsq(zeros * root[:, None], cell_moments(setting, score)[0] * root)[0]


def true_adjusted_mean(setting, score, factor, level):
    return true_fit(setting, score)[(CELLS[factor] == level).to_numpy()].mean()


def true_coefficient(setting, score, factor, level):
    own, reference = (true_adjusted_mean(setting, score, factor, name) for name in (level, NAMES[factor][0]))
    return np.round(own - reference, 9)


@cache
def true_parts(setting, score, factor, level):
    """What `decompose` splits the gap between a level and the first into."""
    level, others = NAMES[factor].index(level), [name for name in NAMES if name != factor]
    parts = {}
    for other in others:
        together = np.zeros((len(NAMES[factor]), len(NAMES[other])))
        np.add.at(together, tuple(CELL_CODES[list(NAMES).index(name)] for name in (factor, other)), cell_shares(setting))
        shares = together / together.sum(axis=1, keepdims=True)
        points = [true_coefficient(setting, score, other, name) for name in NAMES[other]]
        parts[other] = np.round((shares[level] - shares[0]) @ points, 9)
    means = true_groups(setting, score, factor).mean
    return {"raw": means[level] - means[0], "adjusted": true_coefficient(setting, score, factor, NAMES[factor][level]),
            "explained": sum(parts.values()), **parts}


@cache
def true_products(setting, first, second):  # (240,)
    """The expected product of two rounded and clipped scores, by integration over the first within each of its whole points."""
    (i, j), truth = (setting.truth.scores.index(score) for score in (first, second)), setting.truth
    means, sd, r = truth.expected(CELLS), truth.residual_sd, truth.residual_corr[i][j]
    nodes, weights = np.polynomial.legendre.leggauss(4)
    points = (np.arange(-60, 161)[:, None] + nodes / 2).ravel()  # of the first score, before rounding and clipping
    z = (points - means[:, i, None]) / sd[i]
    density = np.exp(-z ** 2 / 2) / np.sqrt(2 * np.pi) / sd[i] * np.tile(weights / 2, 221)
    expected = means[:, j, None] + r * sd[j] * z
    above = np.zeros_like(z)  # the expected second score, as the sum of the chances to reach 1, 2, ..., 100
    for points_second in range(1, 101):
        above += ndtr((expected - points_second + .5) / (sd[j] * np.sqrt(1 - r ** 2)))
    return (density * np.clip(np.rint(points), 0, 100) * above).sum(axis=1)


@cache
def true_correlation(setting, first, second, partial=False):
    """The correlation of two scores, or of what the nearest additive models of the factors leave of them."""
    shares, (mean_i, var_i), (mean_j, var_j) = cell_shares(setting), cell_moments(setting, first), cell_moments(setting, second)
    left_i, left_j = (mean - (true_fit(setting, score) if partial else shares @ mean)
                      for score, mean in ((first, mean_i), (second, mean_j)))
    together = shares @ (true_products(setting, first, second) - mean_i * mean_j + left_i * left_j)
    return together / np.sqrt((shares @ (var_i + left_i ** 2)) * (shares @ (var_j + left_j ** 2)))


# ---- What is measured. A result is the method, the quantity, and a p-value, or an interval and the truth (low, high, true).
#      Each calls the functions behind the public ones; `check` shows that these give the same.

NOMINAL = {"false positives": .05, "false positives, at most": .05, "coverage": .95, "coverage, at least": .95,
           "coverage at zero": .975,  # where an interval can only err on one side
           "truth below the interval": .025, "truth above the interval": .025}


def true_means(setting, groups):
    """The true means of the levels that a sample has."""
    truth = true_groups(setting, groups.column, groups.factor)
    return truth.mean[[truth.levels.index(level) for level in groups.levels]]


def two_groups(sample, setting):
    """Welch's t, Mann-Whitney and the rank-biserial correlation; the classical t to compare."""
    for score, factor in setting.two:
        groups, counts = groups_of(sample, score, factor), counts_of(sample, score, factor)
        if cannot_compare(groups, [0, 1]):
            continue
        difference, error, df = welch_t(groups, 0, 1)
        margin = stdtrit(df, .975) * error
        if setting.is_null:
            yield f"Welch's t-test, {factor}", "false positives", 2 * stdtr(df, -abs(difference / error))
            yield f"classical t-test, {factor}", "false positives", one_way_anova(groups)[3]
            yield f"Mann-Whitney U, {factor}", "false positives", mann_whitney(counts)[1]
        else:
            truth = -np.diff(true_means(setting, groups))[0]
            yield f"Welch's t-test, {factor}", "coverage", (difference - margin, difference + margin, truth)
        yield f"rank-biserial correlation, {factor}", "coverage", (*rank_biserial(counts)[1:],
                                                                   true_rank_biserial(setting, score, factor))


def several_groups(sample, setting):
    """Welch's analysis of variance, Games-Howell and Kruskal-Wallis; the classical F to compare."""
    for score, factor in setting.several:
        groups = groups_of(sample, score, factor)
        yield f"Games-Howell, {factor}", *games_howell(groups, setting)
        if cannot_compare(groups, range(len(groups.n))):
            continue
        if setting.is_null:
            yield f"Welch's ANOVA, {factor}", "false positives", welch_anova(groups)[3]
            yield f"classical ANOVA, {factor}", "false positives", one_way_anova(groups)[3]
            yield f"Kruskal-Wallis H, {factor}", "false positives", kruskal_wallis(counts_of(sample, score, factor))[2]


def effect_sizes(sample, setting):
    """The noncentral intervals: of Hedges' g, and of omega squared in two ways."""
    for score, factor in setting.two:
        limits = np.ravel(hedges_g(groups_of(sample, score, factor), 0, 1)[1:])
        yield f"Hedges' g, {factor}", "coverage", (*limits, true_g(setting, score, factor))
    for score, factor in setting.several:
        groups = groups_of(sample, score, factor)
        if groups.levels != NAMES[factor] or cannot_compare(groups, range(len(groups.n))):
            continue  # with a level less another value would be true
        truth = true_omega_squared(setting, score, factor)
        quantity = "coverage" if truth else "coverage at zero"
        yield f"omega squared, {factor}", quantity, (*omega_squares([groups], .95)[0, 1:], truth)
        yield f"omega squared from F itself, {factor}", quantity, (*limits_from_f(groups), truth)


def limits_from_f(groups):
    """Limits of omega squared from the F statistic (Steiger, 2004), not from the estimate of omega squared."""
    f, df1, df2, *_ = one_way_anova(groups)
    limits = np.ravel(noncentral_f_limits(f, df1, df2, .95))
    return limits / (limits + df1 + df2 + 1)


def games_howell(groups, setting):
    """The smallest p-value of all pairs for their true differences: below .05 just if an interval misses one."""
    first, second = np.triu_indices(len(groups.n), 1)
    possible = [not cannot_compare(groups, pair) for pair in zip(first, second, strict=True)]
    first, second = first[possible], second[possible]
    difference, error, df = welch_t(groups, first, second)
    truth = true_means(setting, groups)
    t = np.abs(difference - truth[first] + truth[second]) / error
    near = 2 * stdtr(df, -t) < .05  # the p-value of one pair alone is never the larger one
    p = studentized_range_sf(t[near] * np.sqrt(2), len(groups.n), df[near]).min(initial=1)
    return ("false positives, at most", p) if setting.is_null else ("coverage, at least", (.05, np.inf, p))


def spreads(sample, setting):
    for score, factor in (*setting.two[1:], *setting.several[:1]):
        counts = counts_of(sample, score, factor)
        if (counts.counts.sum(axis=1) > 1).all():
            yield f"Brown-Forsythe, {factor}", "false positives", one_way_anova(median_distances(counts))[3]


def trends(sample, setting):
    score, factor = setting.several[-1]
    groups = groups_of(sample, score, factor)
    if groups.levels != NAMES[factor]:
        return
    estimate, error, df = linear_trend(groups)
    if setting.is_null:
        yield f"linear trend, {factor}", "false positives", 2 * stdtr(df, -abs(estimate / error))
    else:
        steps = np.arange(len(groups.n)) - (len(groups.n) - 1) / 2
        truth = steps @ true_means(setting, groups) / np.sqrt(steps @ steps)
        margin = stdtrit(df, .975) * error
        yield f"linear trend, {factor}", "coverage", (estimate - margin, estimate + margin, truth)


def equivalences(sample, setting):
    """With the true difference for the margin, two means just fail to be equivalent."""
    for score, factor in setting.two:
        difference, error, df = welch_t(groups_of(sample, score, factor), 0, 1)
        yield (f"equivalence at the margin, {factor}", "false positives, at most",
               stdtr(df, (abs(difference) - true_margin(setting, score, factor)) / error))


def true_margin(setting, score, factor):
    return float(np.abs(np.diff(true_groups(setting, score, factor).mean))[0])


def holm(sample, setting):
    """The smallest adjusted p-value of the table that `compare` gives."""
    p_values = []
    for score, factor in product(STUDENTS.scores, NAMES):
        groups = groups_of(sample, score, factor)
        if cannot_compare(groups, range(len(groups.n))):
            continue
        difference, error, df = welch_t(groups, 0, 1)
        p_values.append(2 * stdtr(df, -abs(difference / error)) if len(groups.n) == 2 else welch_anova(groups)[3])
    yield "compare, Holm over 15 tests", "false positives, at most", adjusted(np.array(p_values)).min()


def pearson(sample, setting):
    for row in correlations(sample).itertuples():
        yield (f"Pearson correlation, {row.score_a} and {row.score_b}", "coverage",
               (row.ci_low, row.ci_high, true_correlation(setting, row.score_a, row.score_b)))


def partial_correlations(sample, setting):
    """Given all factors."""
    for row in correlations(sample, given=list(NAMES)).itertuples():
        yield partial_correlation(row, setting)


def partial_correlation(row, setting):
    """The result in a row of `correlations`."""
    name = f"partial correlation, {row.score_a} and {row.score_b}"
    if setting.truth is INDEPENDENT:  # found, if the interval leaves out 0
        return name, "false positives", float(row.ci_low <= 0 <= row.ci_high)
    return name, "coverage", (row.ci_low, row.ci_high, true_correlation(setting, row.score_a, row.score_b, partial=True))


def has_all_levels(cohort):
    return all(len(cohort.levels(factor)) == len(levels) for factor, levels in NAMES.items())


def decompositions(sample, setting):
    """The parts of the gaps; where nothing differs, those of the other factors alone."""
    for score, factor, level in setting.gaps if has_all_levels(sample) else ():
        others, levels, truth = [name for name in NAMES if name != factor], NAMES[factor], true_parts(setting, score, factor, level)
        fit, place = least_squares(rows_of(sample, score, [factor, *others])), levels.index(level)
        if not fit.kept.all():
            continue
        for part, terms in (("explained", others), *((other, [other]) for other in others)):
            estimate, error, single = (each[place - 1] for each in gap_parts(fit, factor, terms))
            margin = np.nan if single or not error else stdtrit(fit.df_errors, .975) * error
            yield gap_name(part, factor, level), quantity_of_part(setting), (estimate - margin, estimate + margin, truth[part])
        if setting.is_null:
            continue
        short = least_squares(replace(fit.rows, design=Design({factor: levels}, {}), matrix=fit.rows.matrix[:, :len(levels)]))
        for part, own in (("raw", short), ("adjusted", fit)):
            _, *limits = inference(Estimates(own, "HC3", *covariance(own), .95), np.eye(len(own.coef))[[place]])[0]
            yield gap_name(part, factor, level), "coverage", (*limits, truth[part])


def gap_name(part, factor, level):
    return f"decompose, {factor}: {level}, {part}"


def quantity_of_part(setting):
    """Where nothing differs, a part is the product of two numbers about 0, and its interval is wider than it need be."""
    return "coverage, at least" if setting.is_null else "coverage"


def weighted_means(sample, setting):
    """Means and comparisons with survey weights; the plain mean to compare."""
    mean, truth = group_means(sample, "math"), cell_shares(setting) @ cell_moments(setting, "math")[0]
    plain = sample.values["math"].mean(), sample.values["math"].std(ddof=1) / np.sqrt(sample.n)
    for name, center, error in (("weighted mean, math", mean.mean[0], mean.std_error[0]), ("mean without the weights, math", *plain)):
        margin = stdtrit(sample.n - 1, .975) * error
        yield name, "coverage", (center - margin, center + margin, truth)
    for score, factor in (*setting.two, *setting.several):
        row = weighted_row(sample, score, factor, .95)
        if "p_value" in row:
            yield weighted_result(row, setting)


def weighted_result(row, setting):
    """The result in a row of `compare`."""
    name = f"{row['method']}, {row['factor']}"
    if setting.is_null:
        return name, "false positives", row["p_value"]
    truth = -np.diff(true_groups(setting, row["score"], row["factor"]).mean)[0]
    return name, "coverage", (row["ci_low"], row["ci_high"], truth)


def regressions(sample, setting):
    """Coefficients with every kind of error, type II tests, adjusted means."""
    if not has_all_levels(sample):
        return
    for score in dict.fromkeys(score for score, _, _ in setting.coefficients):
        fit = least_squares((cell_rows if sample.weighted else rows_of)(sample, score, list(NAMES)))
        if not fit.kept.all():
            continue
        labels = [name for _, name in fit.rows.design.labels]
        chosen = [(factor, level) for name, factor, level in setting.coefficients if name == score]
        weights = np.eye(len(labels))[[labels.index(f"{factor}: {level}") for factor, level in chosen]]
        for vcov in covariances_of(sample):
            estimates = Estimates(fit, vcov, *covariance(fit, vcov), .95)
            for (factor, level), (p_value, *limits) in zip(chosen, inference(estimates, weights), strict=True):
                name = f"regress {vcov}, {factor}: {level}"
                yield ((name, "false positives", p_value) if setting.is_null else
                       (name, "coverage", (*limits, true_coefficient(setting, score, factor, level))))
        if setting.is_null:
            for term, p_value, method in type_2_tests(estimates)[["term", "p_value", "method"]].to_numpy():
                if term in [factor for factor, _ in chosen]:
                    yield f"{method}, {term}", "false positives", p_value
        else:
            rows = np.array([fit.rows.design.matrix(_one_level(factor, level), np.empty((1, 0)))[0] for factor, level in chosen])
            for (factor, level), (_, *limits) in zip(chosen, inference(estimates, rows), strict=True):
                yield (f"adjusted mean {vcov}, {factor}: {level}", "coverage",
                       (*limits, true_adjusted_mean(setting, score, factor, level)))


def covariances_of(cohort):
    return ("linearized",) if cohort.weighted else COVARIANCES


def inference(estimates, weights):  # (q, 3)
    """P-values and limits of weighted sums of the coefficients, without the table that `Estimates.of` makes of them."""
    fit = estimates.fit
    estimate = weights @ fit.coef + weights[:, 0] * fit.rows.score_mean
    unknown = (np.abs(weights @ estimates.blind) > 1e-9).any(axis=1)
    error = np.where(unknown, np.nan, np.sqrt(np.einsum("ij,jk,ik->i", weights, estimates.matrix, weights)))
    margin = stdtrit(fit.df_errors, .975) * error
    return np.column_stack([2 * stdtr(fit.df_errors, -np.abs(estimate / error)), estimate - margin, estimate + margin])


def _one_level(factor, level):
    """Shares of the levels: one level of a factor, equal weights for the others."""
    shares = {name: np.full((1, len(levels)), 1 / len(levels)) for name, levels in NAMES.items()}
    return shares | {factor: np.array([[float(name == level) for name in NAMES[factor]]])}


def one_interaction(sample, setting):
    """One pair of factors, in the model of these two."""
    fit = least_squares(rows_of(sample, "math", ["gender", "lunch"], (("gender", "lunch"),)))
    tests = type_2_tests(Estimates(fit, "HC3", *covariance(fit, "HC3"), .95))
    for row in tests.iloc[[2, 5]].itertuples():
        yield f"{row.method}, {row.term}", "false positives", row.p_value


def all_interactions(sample, setting):
    """Ten pairs of factors in one model: how often is any found?"""
    if sample.n < 300:
        return  # fewer students than coefficients
    fit = least_squares(rows_of(sample, "math", list(NAMES), tuple(combinations(NAMES, 2))))
    p_values = type_2_tests(Estimates(fit, "HC3", *covariance(fit, "HC3"), .95))["p_value"].to_numpy().reshape(2, -1)[:, 5:]
    for name, smallest in zip(("classical", "HC3"), (adjusted(row) for row in p_values), strict=True):
        if np.isfinite(smallest).any():
            yield f"interactions {name}, Holm over 10 pairs", "false positives, at most", np.nanmin(smallest)


def multivariate(sample, setting):
    for row in manova(sample, factors=["ethnicity", "parental_education"]).itertuples():
        yield f"{row.criterion}, {row.factor}", "false positives", row.p_value


def ceilings(sample, setting):
    """The ceiling of each score."""
    for row in ceiling(sample, list(STUDENTS.scores) if setting.shift is not None else "math").itertuples():
        truth, name = true_shares(setting, row.score), f"ceiling, {row.score}"
        yield name, "coverage" if truth else "coverage at zero", (row.ci_low, row.ci_high, truth)
        if truth and np.isfinite(row.ci_low):
            yield name, "truth below the interval", (row.ci_low, np.inf, truth)
            yield name, "truth above the interval", (-np.inf, row.ci_high, truth)
        yield name, "mean estimate", (row.ceiling, truth)
        yield name, "mean width", (row.ci_high - row.ci_low, None)
        if setting.shift is None and setting.is_null:
            yield f"lack-of-fit F test, {row.score}", "false positives", row.p_value


def clustered(sample, setting):
    """Coefficients of a factor within schools, and of one between them."""
    fit, plain = (least_squares(rows_of(sample, "math", list(SCHOOL_SCHEMA.factors), cluster=cluster)) for cluster in (True, False))
    names = ("gender: male", "school_type: public")
    for vcov, own in (("classical", plain), ("HC3", plain), ("cluster", fit), ("cluster HC0", fit)):
        p_values = inference(Estimates(own, vcov, *covariance(own, vcov), .95), np.eye(3)[1:])[:, 0]
        for name, p_value in zip(names, p_values, strict=True):
            yield f"regress {vcov}, {name}", "false positives", p_value
    model = mixed(sample, "math")
    for name, p_value in zip(names, model.coefficients["p_value"][1:], strict=True):
        yield f"mixed, {name}", "false positives", p_value


TWO = (("math", "gender"), ("math", "lunch"))
SEVERAL = (("math", "ethnicity"), ("math", "parental_education"))
CHOSEN = (("math", "lunch", "standard"), ("math", "ethnicity", "group E"))
GAPS = (("math", "lunch", "standard"), ("math", "parental_education", "bachelor's degree"))
# The higher the parents' education, the fewer students with free or reduced lunch stay in.
KEPT = np.where(CELLS["lunch"] == "standard", 1, 1 - .15 * CELL_CODES[list(NAMES).index("parental_education")])
# Students with free or reduced lunch are sampled four times as often as the others, those below 60 points in math twice as often.
WEIGHTS = np.where(CELLS["lunch"] == "standard", 4, 1)[:, None] * np.where(np.arange(101) < 60, 1, 2)
ALL_SIZES = (60, 300, 1000)
SETTINGS = (
    Setting("no difference", ALL_SIZES, (two_groups, several_groups, effect_sizes, spreads, trends, holm, regressions, one_interaction,
                                all_interactions, multivariate, ceilings, decompositions), NO_DIFFERENCE,
            two=TWO, several=SEVERAL, coefficients=CHOSEN, gaps=GAPS[:1]),
    Setting("unequal spread", ALL_SIZES, (two_groups, several_groups, effect_sizes, trends, regressions, one_interaction), CENTRED,
            {"math": ("lunch", {"free/reduced": 2}), "reading": ("ethnicity", {"group A": 2, "group E": 2}),
             "writing": ("parental_education", {"bachelor's degree": 2, "master's degree": 2})},
            two=(("math", "lunch"),), several=(("reading", "ethnicity"), ("writing", "parental_education")),
            coefficients=(("math", "lunch", "standard"), ("reading", "ethnicity", "group E"))),
    Setting("truth", ALL_SIZES, (two_groups, several_groups, effect_sizes, trends, equivalences, pearson, regressions, ceilings,
                                 partial_correlations), GENERATOR,
            two=TWO, several=SEVERAL, coefficients=CHOSEN),
    Setting("crossed", (1000,), (ceilings,), GENERATOR, shift=np.random.default_rng(0).normal(0, 6, len(CELLS)).round().astype(int)),
    Setting("20 schools", (400,), (clustered,), schools=20),
    Setting("50 schools", (1000,), (clustered,), schools=50),
    Setting("dependent factors", ALL_SIZES, (decompositions,), GENERATOR, kept=KEPT, gaps=GAPS),
    Setting("independent residuals", ALL_SIZES, (partial_correlations,), INDEPENDENT),
    Setting("unequal chances", ALL_SIZES, (weighted_means, regressions), GENERATOR, weights=WEIGHTS, two=TWO, coefficients=CHOSEN),
    Setting("unequal chances, no difference", ALL_SIZES, (weighted_means, regressions), NO_DIFFERENCE, weights=WEIGHTS, two=TWO,
            several=SEVERAL, coefficients=CHOSEN))
EVERY = {effect_sizes: 5, one_interaction: 5, multivariate: 5, ceilings: 5, partial_correlations: 5, all_interactions: 10}  # the slower ones see fewer cohorts


# ---- Counting


def outcome(quantity, numbers):
    """What is averaged over the cohorts: 1 for an error or a hit, 0 for none, or else the number itself."""
    if quantity.startswith("mean"):
        return numbers[0]
    if quantity.startswith("false positives"):
        return float(numbers < .05) if np.isfinite(numbers) else np.nan
    low, high, truth = numbers
    inside = float(low <= truth <= high) if not np.isnan(low + high) or np.isinf([low, high]).any() else np.nan
    return 1 - inside if quantity.startswith("truth") else inside


def measure(task):
    """Count, sum and sum of squares of every quantity in the first cohorts of a block."""
    setting, (n, block, count) = SETTINGS[task[0]], task[1:]
    sums = defaultdict(lambda: np.zeros(3))
    for i, sample in zip(range(count), drawn(setting, n, block), strict=False):
        for function in setting.measures:
            if i % EVERY.get(function, 1):
                continue
            for method, quantity, numbers in function(sample, setting):
                value = outcome(quantity, numbers)
                if np.isfinite(value):
                    nominal = numbers[1] if quantity.startswith("mean") else NOMINAL[quantity]
                    sums[setting.name, n, method, quantity, nominal] += 1, value, value ** 2
    return dict(sums)


def simulate(cohorts, processes=2, settings=SETTINGS):
    """The table, from so many cohorts of each size in each setting."""
    tasks = [(SETTINGS.index(setting), n, block, min(BLOCK, cohorts - block * BLOCK))
             for setting in settings for n in setting.sizes for block in range(-(-cohorts // BLOCK))]
    total = defaultdict(lambda: np.zeros(3))

    def add(results):
        for result in tqdm(results, total=len(tasks), disable=not sys.stderr.isatty()):
            for key, sums in result.items():
                total[key] += sums

    with threadpool_limits(1):  # the matrices are small
        if processes == 1:
            add(map(measure, tasks))
        else:
            with get_context("spawn").Pool(processes, initializer=threadpool_limits, initargs=(1,)) as pool:
                add(pool.imap(measure, tasks))  # in order, so that sums round alike
    rows = pd.DataFrame([(*key, *sums) for key, sums in total.items()], columns=[*COLUMNS[:5], "count", "sum", "squares"])
    order = {setting.name: i for i, setting in enumerate(SETTINGS)}
    rows = rows.sort_values(["setting", "n", "method", "quantity"], key=lambda column: column.map(order) if column.name == "setting" else column)
    return finished(rows.astype({"nominal": float}).reset_index(drop=True))


def finished(sums):
    """Rates with their Monte Carlo errors, and whether these explain the distance from the nominal rates."""
    table = sums.assign(rate=sums["sum"] / sums["count"], cohorts=sums["count"].astype(int))
    variance = np.maximum(sums["squares"] / sums["count"] - table["rate"] ** 2, 0)
    table["mc_error"] = np.sqrt(variance / sums["count"])
    is_rate = ~table["quantity"].str.startswith("mean")
    error = np.where(is_rate, np.sqrt(table["nominal"] * (1 - table["nominal"]) / sums["count"]), table["mc_error"])
    apart = (table["rate"] - table["nominal"]) / error
    apart = apart.where(~table["quantity"].str.endswith("at most"), np.maximum(apart, 0))
    apart = apart.where(~table["quantity"].str.endswith("at least"), np.minimum(apart, 0))
    within = (apart.abs() <= standard_errors_allowed(len(table))).astype(object)
    return table.assign(within_bounds=within.where(table["nominal"].notna(), None))[COLUMNS]


def standard_errors_allowed(rows):
    """Bonferroni: how many standard errors a rate may lie off, at 5% for all rows together."""
    return float(ndtri(1 - .025 / rows))


# ---- The quick way gives what the public functions give


def check(sample):
    """Raise AssertionError if a Cohort of the same rows has other moments, groups or value counts, or leads to other results."""
    rows = {name: pd.Categorical.from_codes(codes, list(sample.names[name])) for name, codes in sample.codes.items()}
    weights = {"weight": sample.weights} if sample.weighted else {}
    cohort = Cohort.summarize(pd.DataFrame(rows | dict(sample.values) | weights), sample.schema)
    scores, factors = list(sample.schema.scores), list(sample.schema.factors)
    for columns, by in ((scores, factors), (scores, factors[:1]), (scores[:1], list(sample.codes)), (scores, [])):
        quick, slow = sample.moments(columns, by), cohort.moments(columns, by)
        assert all(np.array_equal(getattr(quick, name), getattr(slow, name)) for name in ("n", "mean", "ss"))
        assert quick.keys.astype(str).equals(slow.keys.astype(str))
        for power in (1, 2) if sample.weighted else ():
            quick, slow = sample.moments(columns, by, power=power), cohort.moments(columns, by, power=power)
            for name in ("n", "mean", "ss"):
                np.testing.assert_allclose(getattr(quick, name), getattr(slow, name), rtol=1e-12, atol=1e-8)
    for score, factor in product(scores, factors):
        for quick, slow in ((groups_of, score_groups), (counts_of, level_counts)):
            quick, slow = quick(sample, score, factor), slow(cohort, score, factor)
            assert quick.levels == slow.levels
            for name in ("n", "mean", "var") if isinstance(quick, GroupMeans) else ("values", "counts"):
                np.testing.assert_array_equal(getattr(quick, name), getattr(slow, name))
    return cohort


def check_results(sample, setting):
    """Raise AssertionError if what is measured is not in the tables that users get."""
    cohort = check(sample)
    public = dict(from_tables(cohort, setting))
    quick = {(method, quantity): numbers for function in setting.measures for method, quantity, numbers in function(sample, setting)}
    compared = quick.keys() & public.keys()
    for key in compared:
        np.testing.assert_allclose(quick[key], public[key], rtol=1e-9, atol=1e-12, err_msg=f"{setting.name}, {key}")
    return compared


def from_tables(cohort, setting):
    """The same results, read from the tables of the public functions."""
    if setting.schools:
        for vcov in ("classical", "HC3", "cluster", "cluster HC0"):
            for row in regress(cohort, "math", vcov=vcov).coefficients[1:].itertuples():
                yield (f"regress {vcov}, {row.term}", "false positives"), row.p_value
        for row in mixed(cohort, "math").coefficients[1:].itertuples():
            yield (f"mixed, {row.term}", "false positives"), row.p_value
        return
    if has_all_levels(cohort):
        for score, factor, level in setting.coefficients:
            yield from _from_regressions(cohort, setting, score, factor, level)
        for score, factor, level in setting.gaps:
            yield from _from_decompositions(cohort, setting, score, factor, level)
    if cohort.weighted:
        yield from _from_weighted(cohort, setting)
        return
    for score, factor in (*setting.two, *setting.several):
        yield from _from_comparisons(cohort, setting, score, factor)
    if partial_correlations in setting.measures:
        for row in correlations(cohort, given=list(NAMES)).itertuples():
            name, quantity, numbers = partial_correlation(row, setting)
            yield (name, quantity), numbers
    if setting.is_null:
        yield ("compare, Holm over 15 tests", "false positives, at most"), compare(cohort)["p_adjusted"].min()
        for row in manova(cohort, factors=["ethnicity", "parental_education"]).itertuples():
            yield (f"{row.criterion}, {row.factor}", "false positives"), row.p_value
        pair = interactions(cohort, setting.two[-1][0], factors=["gender", "lunch"])
        yield (f"{pair['method'][0]}, gender x lunch", "false positives"), pair["p_value"][0]
    else:
        for row in correlations(cohort).itertuples():
            yield (f"Pearson correlation, {row.score_a} and {row.score_b}", "coverage"), (
                row.ci_low, row.ci_high, true_correlation(setting, row.score_a, row.score_b))
        for row in ceiling(cohort, "math").itertuples():
            yield ("ceiling, math", "coverage"), (row.ci_low, row.ci_high, true_shares(setting, "math"))


def _from_comparisons(cohort, setting, score, factor):
    test, rank = compare(cohort, score, factor).iloc[0], ranks(cohort, score, factor).iloc[0]
    for row in (test, rank):
        yield (f"{row['method']}, {factor}", "false positives"), row["p_value"]
    if len(NAMES[factor]) == 2:
        yield (f"Welch's t-test, {factor}", "coverage"), (test["ci_low"], test["ci_high"],
                                                          -np.diff(true_groups(setting, score, factor).mean)[0])
        if not setting.is_null:
            same = equivalence(cohort, score, factor, margin=true_margin(setting, score, factor))
            yield (f"equivalence at the margin, {factor}", "false positives, at most"), same["p_value"][0]
        for row, truth in ((test, true_g), (rank, true_rank_biserial)):
            yield (f"{row['effect_name']}, {factor}", "coverage"), (row["effect_low"], row["effect_high"],
                                                                    truth(setting, score, factor))
    else:
        truth = true_omega_squared(setting, score, factor)
        yield (f"omega squared, {factor}", "coverage" if truth else "coverage at zero"), (
            test["effect_low"], test["effect_high"], truth)
    forsythe = spread(cohort, score, factor)
    yield (f"Brown-Forsythe, {factor}", "false positives"), forsythe["p_value"][0]
    if factor in STUDENTS.ordered:
        yield (f"linear trend, {factor}", "false positives"), trend(cohort, score, factor)["p_value"][0]


def _from_weighted(cohort, setting):
    mean = describe(cohort, "math").iloc[0]
    margin = stdtrit(mean["n"] - 1, .975) * mean["std_error"]
    yield ("weighted mean, math", "coverage"), (mean["mean"] - margin, mean["mean"] + margin,
                                                cell_shares(setting) @ cell_moments(setting, "math")[0])
    for score, factor in (*setting.two, *setting.several):
        name, quantity, numbers = weighted_result(compare(cohort, score, factor).iloc[0], setting)
        yield (name, quantity), numbers


def _from_decompositions(cohort, setting, score, factor, level):
    table, truth = decompose(cohort, score, factor), true_parts(setting, score, factor, level)
    for row in table[table["group_a"] == level].itertuples():
        quantity = "coverage" if row.part in ("raw", "adjusted") else quantity_of_part(setting)
        yield (gap_name(row.part, factor, level), quantity), (row.ci_low, row.ci_high, truth[row.part])


def _from_regressions(cohort, setting, score, factor, level):
    for vcov in covariances_of(cohort):
        regression = regress(cohort, score, vcov=vcov)
        row = regression.coefficients.set_index("term").loc[f"{factor}: {level}"]
        name = f"regress {vcov}, {factor}: {level}"
        yield (name, "false positives"), row["p_value"]
        yield (name, "coverage"), (row["ci_low"], row["ci_high"], true_coefficient(setting, score, factor, level))
    for row in regression.tests.itertuples():
        if row.term == factor:
            yield (f"{row.method}, {factor}", "false positives"), row.p_value
    row = regression.means.set_index(["factor", "level", "weights"]).loc[factor, level, "equal"]
    yield (f"adjusted mean {vcov}, {factor}: {level}", "coverage"), (
        row["ci_low"], row["ci_high"], true_adjusted_mean(setting, score, factor, level))


def check_games_howell(sample, setting):
    """Raise AssertionError if the smallest p-value says something else than the public intervals."""
    cohort = check(sample)
    for score, factor in setting.several:
        table = pairs(cohort, score, factor)
        truth = true_groups(setting, score, factor)
        means = dict(zip(truth.levels, truth.mean, strict=True))
        differences = table["group_a"].map(means) - table["group_b"].map(means)
        missed = ((differences < table["ci_low"]) | (differences > table["ci_high"])).any()
        quantity, numbers = games_howell(groups_of(sample, score, factor), setting)
        assert missed == (outcome(quantity, numbers) == setting.is_null)


def check_all(cohorts=1):
    """Compare the first cohort or cohorts of every setting and size with the public functions."""
    for setting in SETTINGS:
        for n in setting.sizes:
            for _, sample in zip(range(cohorts), drawn(setting, n, 0), strict=False):
                check_results(sample, setting)
                if not setting.schools and not sample.weighted:
                    check_games_howell(sample, setting)


# ---- The command


def differences_from(committed, table):
    """The rows of a run whose rates are further from those of the committed table than Monte Carlo error explains."""
    keys = ["setting", "n", "method", "quantity"]
    both = table.merge(committed, on=keys, suffixes=("", "_committed"))
    variance = both["mc_error_committed"] ** 2 * (1 + both["cohorts_committed"] / both["cohorts"])  # of a run of this length
    apart = (both["rate"] - both["rate_committed"]).abs() > standard_errors_allowed(len(both)) * np.sqrt(variance) + 1 / both["cohorts"]
    return both.loc[apart, [*keys, "rate", "cohorts", "rate_committed", "cohorts_committed"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help=f"write {TABLE.name}")
    parser.add_argument("--cohorts", type=int, help="of each size in each setting (default: 100, with --full 10,000)")
    parser.add_argument("--processes", type=int, default=2, help="default: 2")
    args = parser.parse_args()
    check_all()
    table = simulate(args.cohorts or (10_000 if args.full else 100), args.processes)
    with pd.option_context("display.max_rows", None, "display.width", 160, "display.max_colwidth", 60):
        print(table.round(4).to_string(index=False))
    beyond = table[table["within_bounds"] == False]  # noqa: E712 (None: no nominal value)
    print(f"\n{len(beyond)} of {len(table)} rows beyond {standard_errors_allowed(len(table)):.2f} Monte Carlo errors of their nominal value")
    if args.full:
        TABLE.parent.mkdir(exist_ok=True)
        table.to_csv(TABLE, index=False, float_format="%.6g")
        print(f"written: {TABLE}")
    elif TABLE.exists():
        apart = differences_from(pd.read_csv(TABLE), table)
        print(apart.round(4).to_string(index=False) if len(apart) else f"in agreement with {TABLE.name}")
        sys.exit(len(apart) > 0)


if __name__ == "__main__":
    main()
