"""A Cohort with noise: what it publishes, that one student changes it by no more than the noise hides, and that no interval ignores the noise."""
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

import studperf
from studperf import STUDENTS, Cohort, DataError, Schema, compare, describe, gaps, pairs, simulate_students
from studperf.cli import main
from studperf.cohort.noise import GRID, SHARES, MOST_CHANGE, Privacy, laplace_results, with_noise
from studperf.cohort.noisy_cohort import NoisyCohort, exact_results, load_noisy, noisy_groups, places_of_cells
from studperf.cohort.noisy_means import NoisyMeans, noisy_differences, noisy_limits, noisy_p_values

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SCHEMA = Schema({"group": ["a", "b", "c"], "lunch": ["free", "paid"]}, {"score": (0, 20), "mark": (1, 6)})


def rows(n, seed=0, groups="ab", decimals=0):
    random = np.random.default_rng(seed)
    return pd.DataFrame({"group": random.choice([*groups, None], n), "lunch": random.choice(["free", "paid"], n),
                         "score": random.uniform(0, 20, n).round(decimals), "mark": random.integers(1, 7, n).astype(float)})


@pytest.fixture(scope="module")
def exact():
    return Cohort.summarize(rows(3_000), SCHEMA)


@pytest.fixture(scope="module")
def noisy(exact):
    return exact.privatize(epsilon=1)


@pytest.fixture(scope="module")
def saved(noisy, tmp_path_factory):
    path = tmp_path_factory.mktemp("noise") / "open.parquet"
    noisy.save(path)
    return path


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import noise
    return noise


# What is published does not depend on the students, but for the noise

@pytest.mark.parametrize("crossed", [False, True])
def test_cells_are_those_of_the_declared_levels_whoever_is_there(crossed, tmp_path):
    one, other = (Cohort.summarize(table, SCHEMA).privatize(epsilon=1, crossed=crossed)
                  for table in (rows(500, groups="abc", decimals=3), rows(3, groups="a").assign(mark=np.nan)))
    keys = ["group", "lunch", "table", "score"]
    pd.testing.assert_frame_equal(one.cells[keys], other.cells[keys])
    assert len(one.cells) == 2 * (4 * 3 if crossed else 4 + 3) and (one.schema, one.privacy) == (other.schema, other.privacy)
    about = []
    for place, cohort in enumerate((one, other)):
        cohort.save(tmp_path / f"{place}.parquet")
        about.append(pa.parquet.read_schema(tmp_path / f"{place}.parquet"))
    assert about[0].equals(about[1], check_metadata=True)


def test_the_file_says_how_private_it_is_and_names_nothing_else(noisy, saved):
    about = json.loads(pa.parquet.read_schema(saved).metadata[b"studperf.cohort"])
    assert about["privacy"]["epsilon"] == 1 and "OpenDP" in about["privacy"]["mechanism"] and len(about["privacy"]["noise"]) == 3
    assert set(about) == {"version", "schema", "crossed", "privacy"} and set(about["schema"]) == {"factors", "scores"}
    assert "epsilon 1 for each student" in repr(noisy) and "epsilon 1" in noisy._repr_html_()


def test_what_a_draft_found_in_the_rows_is_not_published():
    table = rows(400)
    drafted = Schema.infer(table, ["score", "mark"], limits=(0, 20))
    with pytest.raises(ValueError, match="drafted from the rows"):
        Cohort.summarize(table, drafted).privatize(epsilon=1)
    noted = replace(SCHEMA, notes={"group": "Zoe is in c"}, left_out={"name": "Zoe"}, aliases={"group": ["Zoes"]}, recode={"group": {"Zoe": "c"}})
    published = Cohort.summarize(table, noted).privatize(epsilon=1)
    assert "Zoe" not in str(vars(published.schema)) and published.schema.notes == published.schema.left_out == {}


# One student changes the results by no more than the noise hides

@pytest.mark.parametrize("limits", [(0, 20), (0, 20.3), (-1, 1e6), (.1, 20.7)])
@pytest.mark.parametrize("decimals", [0, 1, 5])
def test_a_student_changes_one_cell_by_a_step_for_each_score(limits, decimals):
    random, schema = np.random.default_rng(decimals), replace(SCHEMA, scores={"score": limits})
    table = rows(40, decimals=decimals)[["group", "lunch", "score"]].assign(score=lambda t: t["score"].clip(limits[0], 20))
    extremes = [limits[0], limits[1], np.nan, round(random.uniform(1, 19), decimals)]
    for value in extremes:
        more = pd.concat([table, pd.DataFrame([{"group": random.choice(["a", "c", None]), "lunch": "paid", "score": value}])])
        for factors in (["group"], ["group", "lunch"]):
            one, other = (exact_results(cohort, "score", places_of_cells(cohort, cohort.schema, factors), 12)
                          for cohort in (Cohort.summarize(table, schema), Cohort.summarize(more, schema)))
            for what, most in MOST_CHANGE.items():
                change = np.abs(np.array(other[what], object) - np.array(one[what], object))
                assert (change != 0).sum() <= 1 and change.max() <= most
                if value in limits and what != "n":
                    assert change.max() >= most - 1  # the bound is reached: no noise is wasted


def test_opendp_agrees_that_all_results_together_stay_within_epsilon():
    opendp = pytest.importorskip("opendp.mod", reason="the extra privacy is not installed")
    from opendp.domains import atom_domain, vector_domain
    from opendp.measurements import make_laplace
    from opendp.metrics import l1_distance
    opendp.enable_features("contrib")
    for epsilon in (.001, .1, 1 / 3, 1.0, 5.0):
        for shares, most_rows in ((1, 1), (15, 1), (6, 4)):
            privacy = Privacy((epsilon,), shares, most_rows)
            spent = sum(make_laplace(vector_domain(atom_domain(T="i64")), l1_distance(T="i64"), privacy.scale(what, epsilon)).map(steps * most_rows)
                        for what, steps in MOST_CHANGE.items()) * shares
            assert epsilon * (1 - 1e-9) < spent <= epsilon * (1 + 1e-14)
    assert sum(SHARES.values()) == 1


def test_more_rows_of_a_student_need_more_noise():
    several = replace(SCHEMA, rows_per_student=3)
    one, three = (Cohort.summarize(rows(50), schema).privatize(epsilon=1).privacy for schema in (SCHEMA, several))
    assert three.scale("total", 1) == pytest.approx(3 * one.scale("total", 1)) and one.scale("n", 1) == pytest.approx(1 / (.25 / 4))


def test_the_noise_has_the_spread_that_intervals_allow_for():
    privacy = Privacy((1.0,), 2)
    for random in (None, np.random.default_rng(4)):
        drawn = with_noise({what: [7] * 20_000 for what in MOST_CHANGE}, privacy, random)
        for what, steps in MOST_CHANGE.items():
            noise = (drawn[what] - 7) / steps
            assert noise.var() == pytest.approx(privacy.variances(what)[0], rel=.15) and abs(noise.mean()) < 6 * noise.std() / math.sqrt(20_000)
    assert len(set(drawn["total"])) > 15_000 and drawn["total"].dtype == "int64"


def test_each_draw_is_another_one(exact):
    assert not exact.privatize(epsilon=1).cells.equals(exact.privatize(epsilon=1).cells)
    assert exact.privatize(epsilon=1, seed=1) == exact.privatize(epsilon=1, seed=1)


def test_an_attacker_learns_no_more_than_epsilon_and_catches_broken_noise(bench):
    sure = {"canaries": 3_000, "alpha": 1e-6}  # the noise is another one each time, and the test must not fail by chance
    assert .3 < bench.one_run(1.0, **sure) <= 1
    for broken in (bench.with_half_the_noise, bench.with_observed_cells_alone, bench.without_noise_of_squares):
        assert bench.one_run(1.0, privatize=broken, **sure) > 1
    assert bench.twins(60, 5.0) <= 5 and bench.twins(60, 1.0, bench.with_observed_cells_alone) > 1.3


# Intervals allow for the noise

def test_intervals_hold_the_truth_as_often_as_they_say(bench):
    table = bench.coverage(400, seed=7)
    for name in ("mean", "gap"):
        assert table[name].mean() == pytest.approx(.95, abs=.02) and table[name].min() > .90
    little = table[(table["students"] == 1_000) & (table["epsilon"] == .1)]
    assert (little["plain mean"] < .5).all() and (little["plain gap"] < .5).all()  # what ignoring the noise would do


@pytest.mark.parametrize("crossed", [False, True])
def test_the_whole_way_from_rows_to_intervals(crossed):
    truth = 60.0
    held, missed = 0, 0
    random, schema = np.random.default_rng(2), Schema({"group": ["a", "b"], "lunch": ["x", "y"]}, {"score": (0, 100)})
    for seed in range(40):
        table = pd.DataFrame({"group": random.choice(["a", "b", None], 400, p=[.5, .4, .1]), "lunch": random.choice(["x", "y"], 400),
                              "score": random.normal(truth, 12, 400).round(1).clip(0, 100)})
        table.loc[:20, "score"] = np.nan
        found = Cohort.summarize(table, schema).privatize(epsilon=2, crossed=crossed, seed=seed).means("score", "group")
        inside = (found["ci_low"] <= truth) & (truth <= found["ci_high"])
        held, missed = held + inside.sum(), missed + (~inside).sum()
    assert .88 < held / (held + missed) <= 1


def test_little_noise_gives_the_exact_tables():
    exact = Cohort.summarize(simulate_students(4_000), STUDENTS)
    sharp = exact.privatize(epsilon=1e6, scores="reading", factors=["gender", "lunch"], seed=1)
    one, other = (describe(cohort, "reading", ["gender", "lunch"]) for cohort in (sharp, exact))
    for name in ("n", "mean", "sd", "std_error"):
        np.testing.assert_allclose(one[name].astype(float), other[name].astype(float), rtol=2e-3)
    assert list(one.columns) == list(other.columns)
    for table in (compare, pairs):
        one, other = (table(cohort, "reading", ["gender", "lunch"]) for cohort in (sharp, exact))
        assert list(one.columns) == list(other.columns)
        for name in ("estimate", "ci_low", "ci_high"):
            np.testing.assert_allclose(one[name], other[name], atol=.02)
    raw = gaps(exact, "reading", ["gender", "lunch"]).query("kind == 'raw'").reset_index(drop=True)
    found = gaps(sharp).query("kind == 'raw'").reset_index(drop=True)
    assert list(found.columns) == list(raw.columns) and found[["group_a", "group_b"]].equals(raw[["group_a", "group_b"]])
    np.testing.assert_allclose(found[["gap", "ci_low", "ci_high", "up_to"]], raw[["gap", "ci_low", "ci_high", "up_to"]], atol=.02)


def test_p_values_and_intervals_agree(noisy):
    for conf_level in (.5, .9, .95, .99):
        table = pairs(noisy, conf_level=conf_level).dropna(subset="p_value")
        apart = (table["ci_low"] > 0) | (table["ci_high"] < 0)
        assert (apart == (table["p_adjusted"] < 1 - conf_level)).all()


def test_three_hundred_pairs_agree_with_each_alone():
    levels, random = [f"level {i}" for i in range(25)], np.random.default_rng(0)
    table = pd.DataFrame({"f": random.choice(levels, 5_000), "s": random.integers(0, 101, 5_000)})
    cohort = Cohort.summarize(table, Schema({"f": levels}, {"s": (0, 100)})).privatize(epsilon=5, seed=1)
    means = noisy_groups(cohort, "s", ["f"])
    first, second = np.triu_indices(25, 1)
    together, p_values = noisy_differences(means, first, second, .9), noisy_p_values(means, first, second)
    for place in (0, 17, 299):
        alone = first[[place]], second[[place]]
        np.testing.assert_allclose(together[:, [place]], noisy_differences(means, *alone, .9))
        np.testing.assert_allclose(p_values[[place]], noisy_p_values(means, *alone), rtol=1e-6)


def test_a_group_that_the_noise_hides_has_no_mean(exact):
    lost = exact.privatize(epsilon=1e-4, seed=5)
    table = lost.means("score", "group")
    hidden = table["mean"].isna()
    assert hidden.any() and (table.loc[hidden, ["ci_low", "ci_high"]] == [0, 20]).all(axis=None) and (table["n"] >= 0).all()
    assert np.isinf(noisy_limits(noisy_groups(lost, "score", ["group"]), .95)).any()
    assert pairs(lost)["method"].str.contains("are too few").any() and gaps(lost)["method"].notna().all()


WITH_FORM = {"describe", "compare", "pairs", "gaps", "plot_pairs"}
CALLS = {"equivalence": ((), {"margin": 1}), "trend": (("score", "group"), {}), "interactions": (("score",), {}), "regress": (("score",), {}),
         "decompose": (("score", "group"), {}), "mixed": (("score",), {}), "odds": (("score", 10), {}), "plot_distribution": (("score",), {}),
         "plot_gaps": (("score", "group"), {}), "plot_interaction": (("score", "group", "lunch"), {}), "plot_means": (("score",), {}),
         "plot_pairs": (("score", "group"), {}), "plot_trend": (("score", "group"), {})}
COHORT_VERBS = ["missing_values", "describe", "correlations", "compare", "equivalence", "pairs", "trend", "ranks", "spread", "power", "interactions",
                "regress", "gaps", "decompose", "manova", "mixed", "ceiling", "odds", "plot_correlations", "plot_distribution", "plot_gaps",
                "plot_interaction", "plot_means", "plot_pairs", "plot_trend", "plot_ceiling", "report"]


@pytest.mark.parametrize("name", [name for name in COHORT_VERBS if name not in WITH_FORM])
def test_what_has_no_form_for_noise_refuses_it(name, noisy, saved, tmp_path):
    positional, named = CALLS.get(name, ((), {})) if name != "report" else ((tmp_path / "r.html",), {})
    with pytest.raises((ValueError, AttributeError), match="describe, compare, pairs or gaps"):
        getattr(studperf, name)(noisy, *positional, **named)
    if not name.startswith("plot_"):
        with pytest.raises(ValueError, match="describe, compare, pairs or gaps"):
            getattr(studperf, name)(str(saved), *positional, **named)


def test_what_has_a_form_takes_the_file_too(noisy, saved):
    for verb in (describe, compare, pairs, gaps):
        pd.testing.assert_frame_equal(verb(noisy), verb(saved))
        with pytest.raises(ValueError, match="leave out schema"):
            verb(noisy, schema=replace(SCHEMA, scores={"score": (0, 30)}))
    with pytest.raises(ValueError, match="keeps no value counts"):
        describe(noisy, pass_mark=10)


def test_no_attribute_of_an_exact_cohort_passes(noisy, exact):
    for name in (*(name for name in dir(exact) if not name.startswith("_") and name not in ("cells", "schema", "save")),):
        with pytest.raises(AttributeError, match="describe, compare, pairs or gaps"):
            getattr(noisy, name)
    with pytest.raises(TypeError):
        noisy + exact
    with pytest.raises(TypeError):
        exact + noisy


# Adding up, and files

def test_noise_adds_up_with_the_cohorts(exact, noisy):
    both = sum([noisy, exact.privatize(epsilon=.25)])
    assert (both.epsilon, both.privacy.epsilon_if_same, both.privacy.releases) == (1, 1.25, (1.0, .25))
    assert both.privacy.variances("n").sum() == pytest.approx(sum(Privacy((one,), 4).variances("n")[0] for one in (1.0, .25)))
    assert "2 Cohorts of different students" in repr(both)
    with pytest.raises(ValueError, match="the same factors"):
        noisy + exact.privatize(epsilon=1, crossed=True)


def test_a_sum_is_saved_and_loaded(exact, noisy, tmp_path):
    for cohort in (noisy, noisy + exact.privatize(epsilon=.25), exact.privatize(epsilon=2, crossed=True), exact.privatize(epsilon=1, factors=())):
        cohort.save(tmp_path / "open.parquet")
        loaded = Cohort.load(tmp_path / "open.parquet")
        assert loaded == cohort and isinstance(loaded, NoisyCohort)
        pd.testing.assert_frame_equal(loaded.means("mark"), cohort.means("mark"))


def test_an_altered_file_is_refused_in_a_line(saved, tmp_path):
    table = pa.parquet.read_table(saved)
    about = json.loads(table.schema.metadata[b"studperf.cohort"])

    def with_about(**changes):
        return table.replace_schema_metadata({b"studperf.cohort": json.dumps(about | changes)})
    many = Privacy((1.0,) * 100_000, 1)
    assert NoisyMeans("score", (0, 20), table.to_pandas()[:1], *np.ones((3, 1)), np.array([many.variances(what) for what in MOST_CHANGE]),
                      cells=1_000_000).error.shape == (1,)  # as much as a file may say, in little memory
    altered = [table.slice(1), table.drop_columns("total"), with_about(privacy={}), with_about(privacy={"releases": []}),
               with_about(privacy={"releases": [-1.0]}), with_about(privacy={"releases": [math.nan]}), with_about(privacy=None),
               with_about(crossed=True), with_about(schema={"factors": {"group": []}, "scores": {"score": [0, 20]}}), with_about(schema=3),
               with_about(schema={"factors": {f"f{i}": ["a", "b"] for i in range(40)}, "scores": {"score": [0, 20]}}, crossed=True),
               with_about(schema={"factors": {}, "scores": {"score": []}}), with_about(privacy={"releases": 7}),
               table.set_column(0, "group", pa.array(["x"] * len(table))), table.set_column(4, "n", pa.array([.5] * len(table)))]
    for place, one in enumerate(altered):
        path = tmp_path / f"{place}.parquet"
        pa.parquet.write_table(one, path)
        with pytest.raises(DataError, match="damaged"):
            Cohort.load(path)


def test_random_damage_never_ends_in_another_error(saved, tmp_path):
    content, random, loaded = saved.read_bytes(), np.random.default_rng(0), 0
    for _ in range(300):
        broken = bytearray(content)
        for place in random.integers(0, len(content), random.integers(1, 8)):
            broken[place] = random.integers(0, 256)
        path = tmp_path / "broken.parquet"
        path.write_bytes(broken)
        try:
            load_noisy(path)
            loaded += 1
        except DataError:
            pass
    assert loaded < 300


# Refusals

def test_what_cannot_be_private_is_refused(exact):
    for wrong in (0, -1, 1e-9, math.inf, math.nan, "1", True, None):
        with pytest.raises(ValueError, match="epsilon: found"):
            exact.privatize(epsilon=wrong)
    with pytest.raises(ValueError, match="before suppress"):
        Cohort.summarize(rows(60, groups="abc"), SCHEMA).suppress(min_n=12).privatize(epsilon=1)
    with pytest.raises(ValueError, match="levels that were found"):
        Cohort.summarize(rows(60), Schema(["group"], {"score": (0, 20)})).privatize(epsilon=1)
    with pytest.raises(ValueError, match="'score' has no limits; declare"):
        Cohort.summarize(rows(60), replace(SCHEMA, scores=["score"])).privatize(epsilon=1)
    with pytest.raises(ValueError, match="'score' has no limits; declare"):
        Cohort.summarize(rows(60), replace(SCHEMA, scores={"score": (0, math.inf)})).privatize(epsilon=1)
    with pytest.raises(ValueError, match="floating-point numbers; round it"):
        Cohort.summarize(rows(60, decimals=9), SCHEMA).privatize(epsilon=1)
    with pytest.raises(ValueError, match="weight"):
        Cohort.summarize(rows(60).assign(w=1.5), replace(SCHEMA, weight="w")).privatize(epsilon=1)
    with pytest.raises(ValueError, match="beyond 5 to 6"):
        narrower = Cohort._of(replace(exact, schema=replace(SCHEMA, scores={"score": (5, 6), "mark": (1, 6)})))
        narrower.privatize(epsilon=1)
    with pytest.raises(ValueError, match="'table' is a column of the result"):
        Cohort.summarize(rows(60).rename(columns={"group": "table"}), replace(SCHEMA, factors={"table": ["a", "b", "c"]})).privatize(epsilon=1)
    with pytest.raises(ValueError, match="scores: found none"):
        exact.privatize(epsilon=1, scores=())
    with pytest.raises(ValueError, match="no factor 'class'"):
        exact.privatize(epsilon=1, factors="class")
    with pytest.raises(ValueError, match="leave out crossed"):
        levels = {f"f{i}": list("abcdefghi") for i in range(7)}
        Cohort.summarize(pd.DataFrame(dict.fromkeys(levels, ["a"]) | {"score": [1]}), Schema(levels, {"score": (0, 1)})).privatize(epsilon=1, crossed=True)


def test_noise_from_a_seed_does_not_leave(exact, tmp_path):
    with pytest.raises(ValueError, match="from a seed"):
        exact.privatize(epsilon=1, seed=0).save(tmp_path / "open.parquet")
    with pytest.raises(ValueError, match="from a seed"):
        (exact.privatize(epsilon=1) + exact.privatize(epsilon=1, seed=0)).save(tmp_path / "open.parquet")
    assert not list(tmp_path.iterdir())


def test_without_opendp_the_error_says_what_to_install(exact, monkeypatch):
    monkeypatch.setitem(sys.modules, "opendp.domains", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "studperf\[privacy\]"'):
        exact.privatize(epsilon=1)
    assert exact.privatize(epsilon=1, seed=1).epsilon == 1


def test_too_little_noise_is_an_error():
    with pytest.raises(ArithmeticError, match="too small for epsilon 1"):
        laplace_results([5], GRID * .99, GRID, 1.0)


def test_the_command_line_adds_noise(tmp_path, capsys):
    def studperf_says(*command):
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, command)))
        return ended.value.code, *capsys.readouterr()

    simulate_students(3_000).to_csv(tmp_path / "s.csv", index=False)
    code, said, _ = studperf_says("summarize", tmp_path / "s.csv", "--epsilon", "1", "-o", tmp_path / "open.parquet")
    assert code == 0 and "epsilon 1 for each student" in said
    code, said, _ = studperf_says("compare", tmp_path / "open.parquet")
    assert code == 0 and "lunch" in said
    for command in (("report", tmp_path / "open.parquet", "-o", tmp_path / "r.html"),
                    ("summarize", tmp_path / "s.csv", "--epsilon", "0", "-o", tmp_path / "x.parquet")):
        code, _, error = studperf_says(*command)
        assert code == 2 and error.startswith("error: ") and error.count("\n") == 1
    assert not (tmp_path / "x.parquet").exists() and not (tmp_path / "r.html").exists()
