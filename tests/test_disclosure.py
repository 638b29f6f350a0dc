"""What can be computed from what is shared: the solver against an enumeration, its readers, and everything that is shared of random schools."""
import importlib.util
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from studperf import Cohort, DataError, Registry, Schema, disclosure, fit_predictor, missing_values, plot_distribution, report, simulate_students
from studperf.cli import app
from studperf.cohort.small_groups import levelled, shares_counted, without_small_groups
from studperf.cohort.what_follows import KNOWN, Stated, what_follows
from studperf.dashboard.preparing import page_formula
from studperf.models.candidates import candidates
from studperf.reporting.published import published, read_page, whole_shares

pytestmark = pytest.mark.filterwarnings("ignore::studperf.rows.values.DataWarning")
BENCHMARK = Path(__file__).parents[1] / "benchmarks/disclosure.py"
NATIONS = Schema({"nation": None, "lunch": None}, {"math": (0, 100)})


def benchmark():
    spec = importlib.util.spec_from_file_location("disclosure_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def with_lone_student(n=120):
    """A school in which one student comes from one country."""
    rows = simulate_students(n, seed=3)[["lunch", "math"]]
    nations = np.random.default_rng(0).choice(["Jordan", "Kuwait"], n).astype(object)
    nations[0] = "Ukraine"
    return rows.assign(nation=nations)


# --- the solver -------------------------------------------------------------------------------------------------------

def says(n, values=False, of="math", **group):
    return Stated(f"{group}", of, group, n, n, values)


@pytest.mark.parametrize("seed", range(40))
def test_the_solver_finds_what_an_enumeration_of_all_tables_finds(seed):
    """Two by two with the rest of each: every table of up to nine students a cell that fits the margins is written down."""
    random = np.random.default_rng(seed)
    table = random.integers(0, 4, (2, 2))
    stated = [says(int(table.sum())), says(int(table.sum()), a=KNOWN), says(int(table.sum()), b=KNOWN)]
    stated += [says(int(table[i].sum()), a=f"a{i}") for i in range(2)] + [says(int(table[:, j].sum()), b=f"b{j}") for j in range(2)]
    if random.random() < .5:
        stated.append(says(int(table[0, 0]), a="a0", b="b0"))
    found, stopped = what_follows(stated, least=10)
    fitting = [cells for cells in itertools.product(range(int(table.sum()) + 1), repeat=4)
               if (lambda t: t.sum(axis=1).tolist() == table.sum(axis=1).tolist() and t.sum(axis=0).tolist() == table.sum(axis=0).tolist()
                   and (len(stated) < 8 or t[0, 0] == table[0, 0]))(np.array(cells).reshape(2, 2))]
    assert not stopped
    for place, (i, j) in enumerate(itertools.product(range(2), repeat=2)):
        low, high = min(cells[place] for cells in fitting), max(cells[place] for cells in fitting)
        own = [one for one in found if one.group == f"a: a{i}; b: b{j}"]
        if 1 <= low and high < 10 and (low == high or high - low < 5):
            assert [(one.low, one.high) for one in own] == [(low, high)]
        else:
            assert not own


def test_what_follows_by_subtraction_has_the_mean_only_if_both_means_are_stated():
    for first, second in itertools.product([True, False], repeat=2):
        (one,), _ = what_follows([says(40, first), says(33, second, a="x")], least=10)
        assert (one.low, one.high, one.tells) == (7, 7, "mean" if first and second else "number")


def test_two_hidden_groups_of_fewer_than_ten_give_each_other_away_if_they_are_eighteen():
    def both(rest):
        stated = [says(100), says(100 - rest, a="x"), says(100, a=KNOWN)]
        return [*stated, *(Stated(f"{level} is small", "math", {"a": level}, 1, 9) for level in "yz")]
    assert {(one.low, one.high) for one in what_follows(both(18), least=10)[0]} >= {(9, 9)}
    assert {(one.low, one.high) for one in what_follows(both(16), least=10)[0]} >= {(7, 9)}
    assert all(one.low >= 10 for one in what_follows(both(11), least=10)[0])


def test_a_search_that_is_cut_short_is_not_called_safe():
    many = {f"f{number}": "x" for number in range(20)}
    table = pd.DataFrame([{**dict.fromkeys(many), "n": 500}, *({**dict.fromkeys(many), name: "x", "n": 400} for name in many)])
    found = disclosure(table)
    assert found.stopped and not found.safe and "two at a time" in repr(found)


# --- unsafe things are found ------------------------------------------------------------------------------------------

def test_a_difference_of_two_files_is_found(tmp_path):
    pd.DataFrame({"class": [None, "7a"], "n": [60, 31], "mean": [61, 60]}).to_csv(tmp_path / "spring.csv", index=False)
    pd.DataFrame({"class": ["7b"], "n": [28], "mean": [62]}).to_csv(tmp_path / "autumn.csv", index=False)
    assert disclosure(tmp_path / "spring.csv").safe and disclosure(tmp_path / "autumn.csv").safe
    together = disclosure([tmp_path / "spring.csv", tmp_path / "autumn.csv"])
    assert not together.safe and together.smallest == 1 and together.findings["tells"].tolist() == ["mean"]


def test_a_cohort_that_is_not_suppressed_is_found_and_one_that_is_not(tmp_path):
    cohort = Cohort.summarize(with_lone_student(), NATIONS)
    cohort.save(tmp_path / "own.parquet")
    cohort.suppress().save(tmp_path / "shared.parquet")
    own, shared = disclosure(tmp_path / "own.parquet"), disclosure(tmp_path / "shared.parquet")
    assert own.smallest == 1 and not own.safe and shared.safe and shared.smallest >= 10
    (tmp_path / "again.parquet").write_bytes((tmp_path / "shared.parquet").read_bytes())
    again = Cohort.load(tmp_path / "again.parquet")
    (again + again).save(tmp_path / "again.parquet")
    assert disclosure(tmp_path / "again.parquet").safe


def test_a_report_for_own_eyes_is_found_and_one_to_share_is_not(tmp_path):
    rows = with_lone_student()
    report(rows, tmp_path / "own.html", schema=NATIONS, min_n=1)
    report(rows, tmp_path / "shared.html", schema=NATIONS)
    own = disclosure(tmp_path / "own.html").findings
    assert (own["tells"] == "score").any() and own["group"].str.contains("lowest").any() and own["group"].str.contains("bar").any()
    assert disclosure(tmp_path / "shared.html").safe
    page = (tmp_path / "shared.html").read_text("utf-8")
    assert "Lowest" not in page and "highest " not in page.split("<h2")[-1] and ">Lowest<" in (tmp_path / "own.html").read_text("utf-8")


def test_a_page_that_tells_few_students_in_a_sentence_or_a_bar_is_found():
    said = read_page("<p>Only 3 students sat the test, the lowest 17.</p><div class='strip'><span>all n = 31</span><svg>"
                     "<path d='M0 40V0H50V38.6667H100V40Z'/></svg></div>", 10)
    assert sorted((one.low, one.tells) for one in said.found) == [(1, "score"), (1, "score"), (3, "number")]
    assert not read_page("<p>Groups of fewer than 10 students are not shown; 13 students are.</p>", 10).found


def test_models_that_keep_rows_are_found_and_stay_on_the_own_machine(tmp_path):
    rows = with_lone_student()
    fitted = fit_predictor(rows, "math", schema=NATIONS, model="k-nearest neighbours", folds=3)
    with pytest.raises(ValueError, match="keeps students' rows.*own_use=True"):
        fitted.save(tmp_path / "math.studperf")
    with pytest.raises(ValueError, match="a registry is for others"):
        Registry(tmp_path / "registry").publish("math", fitted)
    with pytest.raises(ValueError, match="which a page must not hold"):
        page_formula(fitted)
    assert not list(tmp_path.glob("*.studperf"))
    fitted.save(tmp_path / "math.studperf", own_use=True)
    assert disclosure(tmp_path / "math.studperf").findings["tells"].eq("rows").any()


def test_shares_do_not_say_how_few_lack_a_level(tmp_path):
    rows = with_lone_student().assign(nation=["Jordan"] * 59 + ["Kuwait"] * 57 + [None] * 4)
    fitted = fit_predictor(rows, "math", schema=NATIONS, model="least squares", folds=3)
    assert whole_shares({"Jordan": 59 / 116, "Kuwait": 57 / 116}, 120) == {"Jordan": 59, "Kuwait": 57}
    assert whole_shares(fitted.profile["nation"], 120) == {"Jordan": 61, "Kuwait": 59}
    fitted.save(tmp_path / "math.studperf")
    assert disclosure(tmp_path / "math.studperf").safe
    for seed in range(50):
        counts = dict(zip("abc", np.random.default_rng(seed).integers(1, 40, 3).tolist(), strict=True))
        n = sum(counts.values()) + seed % 10
        made = shares_counted(counts, n)
        assert sum(made.values()) == n and all(counts[level] <= made[level] < counts[level] + 10 for level in counts)


def test_files_of_others_are_refused(tmp_path):
    with_lone_student().to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "odd.bin").write_bytes(b"\x00\x01")
    (tmp_path / "odd.zip").write_bytes(b"PK\x03\x04nothing")
    (tmp_path / "odd.json").write_text("{}")
    with_lone_student().to_parquet(tmp_path / "rows.parquet")
    for name in ("rows.csv", "odd.bin", "odd.zip", "odd.json", "rows.parquet"):
        with pytest.raises(DataError):
            disclosure(tmp_path / name)


def test_the_command_fails_above_the_threshold_and_names_the_statement(tmp_path):
    pd.DataFrame({"class": [None, "7a"], "n": [60, 55], "mean": [61, 60]}).to_csv(tmp_path / "letter.csv", index=False)
    said = CliRunner().invoke(app, ["disclosure", str(tmp_path / "letter.csv")])
    assert said.exit_code == 1 and "5 students" in said.output and "class: 7a" in said.output
    assert CliRunner().invoke(app, ["disclosure", str(tmp_path / "letter.csv"), "--least", "5"]).exit_code == 0


# --- what is shared ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("seed", [2, 3, 5, 8, 12])
def test_nothing_that_is_shared_of_a_random_school_gives_a_student_away(seed):
    rows = pd.DataFrame(benchmark().measured(seed, notebook=False))
    assert len(rows) >= 3 and (rows["numbers"] > 0).any()
    found = rows[(rows["groups"] > 0) | (rows["with rows"] > 0) | (rows["stopped"] != "")]
    assert found.empty, found.to_string()


def test_the_notebook_of_a_report_shows_no_lone_student(tmp_path):
    report(with_lone_student(), tmp_path / "report.html", schema=NATIONS, notebook=True)
    found = disclosure(tmp_path / "report.ipynb")
    assert found.findings.empty and found.numbers > 10 and found.smallest >= 10
    assert "Ukraine" not in json.dumps([cell.get("outputs") for cell in json.loads((tmp_path / "report.ipynb").read_text("utf-8"))["cells"]])


def test_bars_and_counts_of_few_students_are_not_shown():
    rows = with_lone_student().assign(lunch=lambda table: table["lunch"].mask(table.index < 2))
    cohort = Cohort.summarize(rows, NATIONS)
    ax = plot_distribution(cohort, "math")
    assert "lowest" not in ax.figure.axes[0].get_title() + str(getattr(ax, "alt", ""))
    shared = missing_values(cohort, min_n=10)
    assert shared.loc[shared["column"] == "lunch", ["n", "missing"]].isna().all(axis=None)
    assert missing_values(cohort)["missing"].tolist() == [0, 2, 0]
    heights = np.random.default_rng(0).poisson(2, 40)
    runs = [sum(run) for _, run in itertools.groupby(levelled(heights))]
    assert min(runs) > 9.9 and np.isclose(sum(runs), heights.sum())


def test_value_counts_of_a_suppressed_cohort_have_ten_students_each():
    random = np.random.default_rng(1)
    rows = pd.DataFrame({"class": random.choice(list("ab"), 500), "essay": random.integers(0, 100, 500), "talk": random.normal(5, 1, 500).round(1)})
    cohort = Cohort.summarize(rows, Schema(["class"], ["essay", "talk"]))
    shared = cohort.suppress()
    assert (shared.counts["count"] >= 10).all() and shared.counts.groupby("score")["count"].sum().eq(500).all()
    for score in ("essay", "talk"):
        near = np.average(shared.value_counts(score)["value"], weights=shared.value_counts(score)["count"])
        assert abs(near - rows[score].mean()) < .5 and (np.diff(shared.value_counts(score, by=["class"]).query("`class` == 'a'")["value"]) > 0).all()


def test_students_left_out_of_a_cohort_are_none_or_enough():
    for seed in range(20):
        table, schema = benchmark().random_school(seed)
        cohort = Cohort.summarize(table, schema)
        shared = cohort.suppress()
        assert shared.suppressed == 0 or shared.suppressed >= 10 or shared.n == 0
        for factor in schema.factors:
            for score in schema.scores:
                before, after = (one.moments([score], [factor]) for one in (without_small_groups(cohort), shared))
                kept = dict(zip(after.keys[factor], after.n, strict=True))
                assert all((left := n - kept.get(level, 0)) == 0 or left >= 10 or level not in kept
                           for level, n in zip(before.keys[factor], before.n, strict=True))


# --- small levels -----------------------------------------------------------------------------------------------------

def test_small_levels_are_merged_dropped_or_refused_as_the_user_chooses():
    rows = with_lone_student()
    merged, dropped = (fit_predictor(rows, "math", schema=NATIONS, model="least squares", folds=3, small_levels=choice) for choice in ("merge", "drop"))
    assert (merged.n, dropped.n) == (120, 119)
    without = fit_predictor(rows[1:], "math", schema=NATIONS, model="least squares", folds=3)
    assert dropped.formula.points == without.formula.points
    with pytest.raises(DataError, match="column 'nation': 1 level of fewer than 10 students, expected none") as raised:
        fit_predictor(rows, "math", schema=NATIONS, model="least squares", folds=3, small_levels="refuse")
    assert "Ukraine" not in str(raised.value)
    with pytest.raises(ValueError, match="small_levels: found 'keep', expected one of 'merge', 'drop', 'refuse'"):
        fit_predictor(rows, "math", schema=NATIONS, model="least squares", folds=3, small_levels="keep")


def test_no_tree_of_a_forest_is_fitted_to_few_students():
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"group": ["x", "y"] * 10, "math": random.integers(0, 100, 20)})
    for model, n in itertools.product(("random forest", "extra trees"), (10, 20)):
        search = candidates(Schema({"group": ["x", "y"]}, {"math": (0, 100)}), "math", models=[model])[model].fit(rows[["group"]][:n], rows["math"][:n])
        trees = search.best_estimator_["model"].estimators_
        assert trees and all(tree.tree_.n_node_samples[tree.tree_.children_left < 0].min() >= 10 for tree in trees)


def test_every_form_is_read_by_its_content(tmp_path):
    rows = with_lone_student()
    fitted = fit_predictor(rows, "math", schema=NATIONS, model="least squares", folds=3)
    fitted.save(tmp_path / "any name")
    assert published(tmp_path / "any name", 10).stated[0].low == 120
