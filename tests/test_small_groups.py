"""The rules on small groups, attacked: no group under the bound is shown, or follows from what is shown."""
import numpy as np
import pandas as pd
import pytest

from studperf import STUDENTS, Cohort, Schema, report, simulate_students
from studperf.cohort.bounds import LEAST_AUDITED, LEAST_SHOWN
from studperf.cohort.merging import select_cells
from studperf.cohort.small_groups import (
    reported_scores, shown_combinations, shown_levels, small_groups, without_small_groups, withheld,
)


def follows(counts, secret):
    """The withheld cells whose numbers a reader works out: each row and column gives an equation, the cells that are shown are known."""
    unknown = np.flatnonzero(secret.ravel() & (counts.ravel() > 0))
    places = np.indices(counts.shape).reshape(counts.ndim, -1)[:, unknown]
    lines = [places[axis] == level for axis in range(counts.ndim) for level in range(counts.shape[axis])] if counts.ndim > 1 else [np.ones(len(unknown), bool)]
    equations, rank = np.array(lines, float), np.linalg.matrix_rank(lines)
    return [cell for i, cell in enumerate(unknown) if np.linalg.matrix_rank(np.vstack([equations, np.eye(len(unknown))[i]])) == rank]


@pytest.mark.parametrize("shape", [(5,), (4, 4), (6, 5), (3, 3, 4)])
@pytest.mark.parametrize("least", [LEAST_SHOWN, LEAST_AUDITED])
def test_no_small_cell_is_shown_or_follows_from_totals(shape, least):
    random, found = np.random.default_rng(0), 0
    for _ in range(25):
        counts = random.poisson(random.choice([least / 3, least, 3 * least], size=shape))
        secret = withheld(counts, np.zeros(shape, bool), least)
        assert (counts[~secret] >= least).all()
        found += secret.any() and not secret.all()
        assert secret.all() or not [cell for cell in follows(counts, secret) if counts.ravel()[cell] < least]
    assert found > 5  # or nothing was tried


def test_a_cell_between_two_blocks_follows_from_several_lines():
    counts = np.full((4, 4), 50)
    counts[:2, :2] = counts[2:, 2:] = 8
    counts[0, 2] = 4
    assert follows(counts, counts < 10) == [2]  # each line alone gives nothing away
    assert follows(counts, withheld(counts, np.zeros((4, 4), bool), 10)) == []


def test_nothing_is_withheld_without_need():
    assert not withheld(np.full((5, 6), 10), np.zeros((5, 6), bool), 10).any()
    assert withheld(np.zeros((2, 2), int), np.zeros((2, 2), bool), 1).all()  # nobody is there, and nobody is shown


def remainder(rows, keys, shown, score):
    """The number of students with the score who are in no group that is shown."""
    there = rows[rows[score].notna()]
    return int((~pd.MultiIndex.from_frame(there[keys]).isin(shown)).sum())


@pytest.mark.parametrize("n", [60, 300, 1000, 5000])
def test_levels_and_combinations_of_a_cohort_leave_no_small_remainder(n):
    for seed in range(4):
        random = np.random.default_rng(seed)
        rows = simulate_students(n, seed=seed)
        rows["lunch"] = rows["lunch"].where(random.random(n) > .003)
        rows["math"] = rows["math"].where(random.random(n) > .1)
        cohort, factors = Cohort.summarize(rows), ["gender", "ethnicity", "lunch"]
        for factor in factors:
            shown = shown_levels(cohort, "math", factor)
            sizes = rows[rows["math"].notna()].groupby(factor, observed=True).size()
            assert (sizes[shown] >= LEAST_SHOWN).all()
            rest = remainder(rows, [factor], [(level,) for level in shown], "math")
            assert not rest or rest >= LEAST_SHOWN or not shown
        shown = list(shown_combinations(cohort, "math", factors).itertuples(index=False, name=None))
        sizes = rows[rows["math"].notna()].groupby(factors, observed=True).size()
        assert all(sizes[levels] >= LEAST_SHOWN for levels in shown)
        for i, factor in enumerate(factors):
            for level in {levels[i] for levels in shown}:  # the rest of a level, of which some combinations are shown
                rest = remainder(rows[rows[factor] == level], factors, shown, "math")
                assert not rest or rest >= LEAST_SHOWN, (n, seed, factor, level)


def test_a_reported_cohort_has_no_small_group_and_no_small_remainder():
    for seed in range(30):
        random = np.random.default_rng(seed)
        n = int(random.choice([40, 80, 200]))
        rows = pd.DataFrame({"class": random.choice(["7a", "7b", "7c", "7d", None], n, p=[.5, .3, .1, .06, .04]),
                             "bus": random.choice(["yes", "no", "late", None], n, p=[.6, .3, .06, .04]),
                             "essay": np.where(random.random(n) < .2, np.nan, random.integers(0, 20, n)), "exam": random.integers(0, 20, n)})
        everyone = Cohort.summarize(rows, Schema(["class", "bus"], ["essay", "exam"]))
        shown = without_small_groups(everyone, 10)
        assert type(shown) is Cohort and not small_groups(shown, 10)
        for score in reported_scores(shown, 10):
            for factor in ("class", "bus"):
                rest = shown.moments([score]).n.sum() - shown.moments([score], [factor]).n.sum()
                assert rest == 0 or rest >= 10


def test_a_level_that_becomes_small_by_leaving_students_out_goes_too():
    """Three students lack a bus; without them class 7b, of ten, is small."""
    rows = pd.DataFrame({"class": ["7a"] * 40 + ["7c"] * 40 + ["7b"] * 10, "bus": ["yes", "no"] * 43 + ["no"] + [None] * 3, "essay": range(90)})
    shown = without_small_groups(Cohort.summarize(rows, Schema(["class", "bus"], ["essay"])), 10)
    assert shown.levels("class") == ["7a", "7c"]
    assert shown.n == 80  # and the seven who are left of it would be all students less the two other classes


def test_levels_that_single_few_students_out_together_are_not_all_shown():
    """All of class 7a and three of 7c take the bus: who knows that, has the three's mean from those of 7a and of the bus."""
    rows = pd.DataFrame({"class": ["7a"] * 40 + ["7c"] * 40, "bus": ["yes"] * 43 + ["no"] * 37, "essay": range(80)})
    shown = without_small_groups(Cohort.summarize(rows, Schema(["class", "bus"], ["essay"])), 10)
    assert {*shown.levels("class"), *shown.levels("bus")} < {"7a", "7c", "yes", "no"}


def test_a_group_of_one_heavy_student_is_small():
    rows = simulate_students(400, seed=1)
    weight = np.ones(400)
    weight[np.flatnonzero(rows["ethnicity"] == "group B")[0]] = 1e6
    cohort = Cohort.summarize(rows.assign(w=weight), Schema(STUDENTS.factors, STUDENTS.scores, weight="w"))
    assert ("ethnicity", "group B") in small_groups(cohort) and ("ethnicity", "group C") not in small_groups(cohort)
    assert "group B" not in without_small_groups(cohort).levels("ethnicity")


def test_verbs_give_the_class_that_they_got():
    cohort = Cohort.summarize()
    for result in (cohort + cohort, cohort.suppress(), select_cells(cohort, cohort.has("math")), without_small_groups(cohort)):
        assert type(result) is Cohort
    assert cohort.moments(["math"]).n == cohort.moments(["math"]).n and len(cohort._asked)


def test_a_report_adjusts_nothing_by_groups_that_are_small_among_the_complete(tmp_path):
    """Most students lack the second factor, so among the others a group of the first has nine students: too few to show."""
    random = np.random.default_rng(4)
    rows = pd.DataFrame({"sex": [*"fffffffffmmmmmmmmmmm", *"fm" * 14], "club": [*"abababababababababab", *[None] * 28]})
    rows["essay"] = np.where(rows["sex"] == "f", 14, 5) + random.integers(0, 4, 48)
    page = report(rows, tmp_path / "report.html", schema=Schema(["sex", "club"], {"essay": (0, 20)})).read_text("utf-8")
    assert "Adjusted mean<" not in page and "adjusted, by" not in page
