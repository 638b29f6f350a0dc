"""Groups of enough students that give single scores away: dominance, quartiles of few, fingerprints, names of rare levels."""
import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studperf import Cohort, Schema, disclosure, fit_predictor, report
from studperf.cli import main
from studperf.cohort.dominance import LEAST_CONTRIBUTORS, dominated
from studperf.cohort.small_groups import reported_scores, small_groups, without_small_groups
from studperf.dashboard.preparing import facts_of
from studperf.models.fitted import fingerprint_of
from studperf.statistics.description import describe, quantiles_shown

SPEC = importlib.util.spec_from_file_location("disclosure_benchmark", Path(__file__).parents[1] / "benchmarks/disclosure.py")
BENCHMARK = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(BENCHMARK)
TWELVE = [100, 100, 100, 98, 99, 97, 100, 100, 96, 99, 100, 12]


def school(seed=5):
    """300 students; of the twelve of school C all but one are near the highest score."""
    random = np.random.default_rng(seed)
    rows = pd.DataFrame({"school": ["A"] * 160 + ["B"] * 128 + ["C"] * 12, "gender": random.choice(["f", "m"], 300)})
    rows["math"] = (60 + random.normal(0, 12, 300)).round().clip(41, 95).astype(int)
    rows.loc[288:, "math"] = TWELVE
    return rows, Schema({"school": None, "gender": None}, {"math": (0, 100)})


def solutions(n, total, squares, most=100):
    """The possible largest numbers of n whole numbers from 0 to `most` with this sum and this sum of squares."""
    def fits(n, total, squares, most):
        if n == 1:
            return total ** 2 == squares and 0 <= total <= most
        if total <= 0 or squares < total or total ** 2 > n * squares or squares > most * total:
            return total == squares == 0
        return any(fits(n - 1, total - one, squares - one ** 2, one)
                   for one in range(-(-squares // total), min(most, int(squares ** .5)) + 1))
    return [one for one in range(most + 1) if one * n >= total and fits(n - 1, total - one, squares - one ** 2, one)]


@pytest.mark.parametrize("lacked, known", [([88] + [0] * 9, True), ([88, 3, 1, 2] + [0] * 8, True), ([60, 20] + [1] * 8, True),
                                           ([30, 35, 40, 20, 10] + [0] * 5, False), ([25] * 10, True), (list(range(10, 60, 5)), False)])
def test_dominated_groups_have_few_solutions(lacked, known):
    lacked = np.array(lacked)
    found = solutions(len(lacked), int(lacked.sum()), int((lacked ** 2).sum()))
    scores = 100 - lacked
    sums = np.array([[len(scores), scores.sum(), (scores ** 2).sum()]])
    assert dominated(sums, (0, 100))[0] == known
    assert (max(found) - min(found) < 10) == known, found  # the lowest score is known within ten points


def test_random_groups_that_are_shown_keep_their_lowest_score():
    """Of groups near the highest score that are not dominated, the lowest score is seldom known within ten points."""
    random, narrow, shown, caught = np.random.default_rng(0), 0, 0, 0
    for _ in range(80):
        lacked = np.r_[random.exponential(4, 7), random.uniform(20, 80, 3)].round().astype(int)
        n, total, squares = len(lacked), int(lacked.sum()), int((lacked ** 2).sum())
        found = solutions(n, total, squares) if total ** 2 / squares > 1.5 else [0]
        if total ** 2 < LEAST_CONTRIBUTORS * squares:
            caught += 1
        else:
            shown += 1
            narrow += max(found) - min(found) < 10
    assert shown > 50 and narrow / shown < .1, (shown, caught, narrow)


def test_a_dominated_group_counts_as_small_everywhere(tmp_path):
    rows, schema = school()
    cohort = Cohort.summarize(rows, schema)
    assert small_groups(cohort) == [("school", "C")]
    assert without_small_groups(cohort).levels("school") == ["A", "B"] and small_groups(cohort, 1) == []
    text = report(rows, tmp_path / "report.html", schema=schema).read_text()
    assert "91.8" not in text and ">C<" not in text
    facts = facts_of(rows, schema=schema)
    assert {group.level for group in facts.means["math"]} == {"A", "B", "f", "m"}
    shared = cohort.suppress()
    assert shared.levels("school") == ["A", "B"] and shared.n == 288


def test_a_suppressed_cohort_does_not_give_the_lone_low_score():
    rows = pd.DataFrame({"class": ["A"] * 40 + ["B"] * 10, "math": [*np.random.default_rng(1).integers(30, 90, 40), *[100] * 9, 12]})
    cohort = Cohort.summarize(rows, Schema({"class": None}, {"math": (0, 100)}))
    for shared in (cohort.suppress(), cohort.suppress(alone=True)):
        assert shared.levels("class") == ["A"]
    assert cohort.suppress(min_n=1).levels("class") == ["A", "B"]


def test_those_who_are_left_out_are_not_dominated_either():
    """Two small groups of six and five are left out; together they are eleven, of whom one is far from the limit."""
    random = np.random.default_rng(2)
    rows = pd.DataFrame({"class": ["A"] * 60 + ["B"] * 60 + ["C"] * 6 + ["D"] * 5, "math": random.integers(30, 80, 131)})
    rows.loc[120:, "math"] = [100] * 10 + [7]
    cohort = Cohort.summarize(rows, Schema({"class": None}, {"math": (0, 100)}))
    assert without_small_groups(cohort).n == 120
    assert cohort.suppress().n == 120  # or the eleven were the total of a report less the rest
    other = rows.assign(math=rows["math"].where(rows.index < 120, random.integers(30, 80, 131)))
    assert without_small_groups(Cohort.summarize(other, cohort.schema)).n == 131


def test_a_score_that_nearly_all_have_at_the_limit_is_left_out(tmp_path):
    rows, schema = school()
    rows["effort"] = [10] * 299 + [1]
    schema = Schema(schema.factors, {**schema.scores, "effort": (0, 10)})
    assert reported_scores(Cohort.summarize(rows, schema)) == ["math"]
    text = report(rows, tmp_path / "report.html", schema=schema).read_text()
    assert "leaves out effort" in text


def test_quartiles_are_those_of_forty():
    rows = pd.DataFrame({"class": ["A"] * 12 + ["B"] * 25 + ["C"] * 60, "math": np.random.default_rng(0).integers(0, 100, 97)})
    table = describe(Cohort.summarize(rows, Schema({"class": None}, {"math": (0, 100)})), "math", "class")
    shown = quantiles_shown(table).set_index("level")
    assert shown.loc["A", ["q25", "median", "q75"]].isna().all()
    assert shown.loc["B", ["q25", "q75"]].isna().all() and shown.loc["B", "median"] >= 0
    assert shown.loc["C", ["q25", "median", "q75"]].notna().all() and shown[["min", "max"]].isna().all(axis=None)
    assert quantiles_shown(table, 1) is table


def test_a_report_shows_no_quartiles_of_twelve(tmp_path):
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"class": ["A"] * 12 + ["B"] * 80, "math": random.integers(20, 90, 92)})
    text = report(rows, tmp_path / "report.html", schema=Schema({"class": None}, {"math": (0, 100)})).read_text()
    row = re.search(r"<tr[^>]*>\s*<t[hd][^>]*>[Mm]ath</t[hd]>\s*<t[hd][^>]*>A</t[hd]>.*?</tr>", text, re.S).group(0)
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row)
    assert cells[2] == "12" and not any(re.search(r"\d", cell) for cell in cells[5:8]), cells
    assert "A (n = 12): mean" in text and not re.search(r"A \(n = 12\): mean [\d.]+, middle half", text)


def test_a_report_names_no_small_group(tmp_path):
    rows, schema = school()
    rows["need"] = ["none"] * 150 + ["some"] * 149 + ["deafblind"]
    schema = Schema({**schema.factors, "need": None}, schema.scores)
    text = report(rows, tmp_path / "report.html", schema=schema).read_text()
    assert "deafblind" not in text and "2 groups of fewer than 10 students, or whose mean" in text


def test_a_fingerprint_confirms_no_guess_of_one_student():
    rows, schema = school()
    own = fingerprint_of(rows)
    assert own == fingerprint_of(rows.sample(frac=1, random_state=1))
    guesses = [fingerprint_of(rows.assign(math=rows["math"].where(rows.index != 40, points))) for points in range(101)]
    assert len(set(guesses)) <= 2  # at most that the score is above or below some number
    assert own != fingerprint_of(rows[:-1]) and own != fingerprint_of(school(seed=6)[0])
    assert fit_predictor(rows, "math", schema=schema, inputs=["school", "gender"], model="least squares").fingerprint


@pytest.mark.filterwarnings("ignore::studperf.DataWarning")
@pytest.mark.parametrize("seed", [0, 1, 6, 10, 14, 22])  # schools that gave a group away before
def test_report_facts_and_cohort_state_the_same_groups(seed, tmp_path):
    table, schema = BENCHMARK.random_school(seed)
    plain = schema.only([name for name in schema.columns if name != schema.weight])
    Cohort.summarize(table, schema).suppress().save(tmp_path / "shared.parquet")
    with BENCHMARK.quick_reports(True):
        report(table, tmp_path / "report.html", schema=plain)
    facts_of(table, schema=plain).save(tmp_path / "facts.json")
    paths = [tmp_path / name for name in ("shared.parquet", "report.html", "facts.json")]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        found = disclosure([paths[first], paths[second]])
        assert found.findings.empty, (paths[first].name, paths[second].name, found.findings.to_string())


def test_facts_say_no_number_of_those_alike(tmp_path):
    rows, schema = school()
    facts_of(rows, schema=schema).save(tmp_path / "facts.json")
    cells = json.loads((tmp_path / "facts.json").read_text())["alike"]["math"]
    assert cells and all(98 <= sum(bar[2] for bar in bars) <= 105 for _, bars in cells)


@pytest.mark.filterwarnings("ignore::studperf.DataWarning")
def test_compare_leaves_out_a_score_of_few(tmp_path, capsys):
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"g": random.choice(["a", "b"], 200), "math": random.integers(20, 90, 200), "essay": np.nan})
    rows.loc[:7, "essay"] = random.integers(1, 20, 8)
    rows.to_csv(tmp_path / "few.csv", index=False)
    with pytest.raises(SystemExit):
        main(["compare", str(tmp_path / "few.csv"), "--scores", "math,essay", "--factors", "g"])
    said = capsys.readouterr().out
    assert re.search(r"^ *math", said, re.M) and not re.search(r"^ *essay", said, re.M), said
