"""What leaves must not name anybody: files, formulas, cards, prepared facts and error texts, attacked with tables that have small groups."""
import itertools
import json
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest

from studperf import STUDENTS, Cohort, DataError, DataWarning, Schema, fit_predictor, load_predictor, load_students, odds, simulate_students
from studperf.cohort.bounds import LEAST_LEARNED, LEAST_SHOWN
from studperf.cohort.small_groups import given_back, grouped_in_tens, merged_bars, shown_together, usual_range, without_small_groups
from studperf.dashboard.answers import Question, expected_score, one_thing_different, question_problems
from studperf.dashboard.class_list import predict_class, read_class_list
from studperf.dashboard.drawing import compare_html, picture_html
from studperf.dashboard.facts import facts_to_dict
from studperf.dashboard.form import Form
from studperf.dashboard.preparing import facts_of, without_levels
from studperf.models.candidates import FOR_OWN_USE, candidate_models
from studperf.models.explanation import dependence, explain
from studperf.prediction.formula_file import formula_to_dict, read_formula
from studperf.reporting.model_card import model_card

pytestmark = pytest.mark.filterwarnings("ignore::studperf.rows.values.DataWarning")
SHARED = [name for name in candidate_models() if name not in FOR_OWN_USE]  # models whose files may be passed on
NATIONS = Schema({"nation": None, "lunch": None}, {"math": (0, 100)})


def with_lone_student(score, nation="Ukrainian", count=1, n=300):
    """A school in which `count` students come from one country, all with the same score."""
    rows = simulate_students(n, seed=3)[["lunch", "math"]]
    nations = np.random.default_rng(0).choice(["Jordan", "Kuwait", "Egypt"], n, p=[.6, .3, .1]).astype(object)
    nations[:count] = nation
    rows = rows.assign(nation=nations)
    rows.loc[rows.index[:count], "math"] = score
    return rows


@pytest.mark.parametrize("model", SHARED)
def test_a_lone_student_gets_the_answer_for_a_level_that_is_not_known(tmp_path, model):
    """Least squares said 7 of a student with 7 points."""
    rows = with_lone_student(7)
    fitted = fit_predictor(rows, "math", schema=NATIONS, model=model, folds=3)
    own = fitted.predict(rows[:1])
    assert own.equals(fitted.predict(rows[:1].assign(nation=None))) and own.equals(fitted.predict(rows[:1].assign(nation="Atlantis")))
    assert abs(own["prediction"].item() - 7) > 25
    assert fitted.schema.others == ("nation",) and "Ukrainian" not in str(fitted.schema.factors)
    fitted.save(tmp_path / "file")
    with zipfile.ZipFile(tmp_path / "file") as archive:
        assert not any(b"Ukrainian" in archive.read(name) for name in archive.namelist())
    assert load_predictor(tmp_path / "file").predict(rows[:1]).equals(own)
    if fitted.formula is not None:
        assert read_formula(tmp_path / "file").predict_one({"nation": "Ukrainian", "lunch": rows["lunch"].iloc[0]}) == fitted.predict_one(rows.iloc[0].to_dict())
    assert np.isclose(explain(fitted, rows[:1])["points"].sum(), own["prediction"].item())
    assert "Ukrainian" not in model_card(fitted) and "Ukrainian" not in str(dependence(fitted, "nation")["value"].tolist())


@pytest.mark.parametrize("count", [1, 4, 9])
def test_a_small_level_is_not_named_and_leaves_no_trace_of_its_own(count):
    """Two schools that differ in the scores of the small level alone: what is said of it differs as little as what is said of others."""
    low, high = (fit_predictor(with_lone_student(score, count=count), "math", schema=NATIONS, model="least squares", folds=3) for score in (20, 90))
    moved = {nation: high.predict_one({"nation": nation, "lunch": "standard"}).prediction
             - low.predict_one({"nation": nation, "lunch": "standard"}).prediction for nation in ("Ukrainian", "Jordan")}
    assert moved["Ukrainian"] < 70 * count / 30 and moved["Ukrainian"] - moved["Jordan"] < 70 * count / 60


def test_ten_students_are_a_level():
    fitted = fit_predictor(with_lone_student(90, count=LEAST_LEARNED), "math", schema=NATIONS, model="least squares", folds=3)
    assert "Ukrainian" in fitted.schema.factors["nation"] and fitted.schema.others == ()


def test_the_warning_counts_levels_and_names_none():
    with pytest.warns(DataWarning, match="column 'nation': 1 level of fewer than 10 students counts as not known") as caught:
        fitted = fit_predictor(with_lone_student(7), "math", schema=NATIONS, model="mean", folds=3)
    with pytest.warns(DataWarning, match="column 'nation', row 0: a level of fewer than 10 training students, or of none"):
        fitted.predict(with_lone_student(7)[:1])
    assert not any("Ukrainian" in str(one.message) for one in caught)


def test_a_column_of_small_levels_alone_is_left_out():
    rows = with_lone_student(7).assign(nation=[f"country {place // 5}" for place in range(300)])
    fitted = fit_predictor(rows, "math", schema=NATIONS, model="least squares", folds=3)
    assert fitted.inputs == ("lunch",)
    with pytest.raises(DataError, match="no level of 'nation' has 10 rows"):
        fit_predictor(rows, "math", inputs=["nation"], schema=NATIONS, model="least squares", folds=3)


@pytest.mark.parametrize("model", ["least squares", "partial pooling"])
def test_one_level_less_another_gives_no_student_back(model):
    """All of class 7b but one go to the same school; the sum of both columns fitted this one exactly."""
    random, n = np.random.default_rng(2), 240
    school = np.repeat(["north", "south", "east"], [80, 80, 80])
    group = np.where(school == "north", "7b", np.where(np.arange(n) % 2, "7a", "7c"))
    group[100] = "7b"
    rows = pd.DataFrame({"school": school, "class": group, "math": random.normal(60, 12, n).round().clip(0, 100)})
    rows.loc[100, "math"] = 3
    schema = Schema({"school": None, "class": None}, {"math": (0, 100)})
    fitted = fit_predictor(rows, "math", schema=schema, model=model, folds=3)
    assert fitted.n == 239 and abs(fitted.predict(rows[100:101])["prediction"].item() - 3) > 25
    assert fitted.fingerprint == fit_predictor(rows.sample(frac=1, random_state=0), "math", schema=schema, model=model, folds=3).fingerprint


def test_what_least_squares_gives_back_is_found():
    """Over random tables: no group of two levels, or of one without another, or alike in all is fitted exactly any more."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        n = int(random.choice([60, 120, 400]))
        first = random.choice(5, n, p=random.dirichlet(np.full(5, .5)))
        second = np.where(random.random(n) < .97, first // 2, random.integers(0, 3, n))  # nearly nested
        rows = pd.DataFrame({"a": first.astype(str), "b": second.astype(str), "math": random.integers(0, 101, n)})
        try:
            fitted = fit_predictor(rows, "math", schema=Schema({"a": None, "b": None}, {"math": (0, 100)}), model="least squares", folds=3)
        except DataError:
            continue
        used = rows.copy()
        for name, levels in fitted.schema.factors.items():
            used[name] = used[name].where(used[name].isin(levels))
        own = fitted.pipeline.predict(used[list(fitted.inputs)].astype(object))
        for _, group in used.assign(own=own).groupby(list(fitted.inputs), dropna=False):
            if len(group) < LEAST_LEARNED and not (group["math"] == group["math"].iloc[0]).all():
                continue
            if len(group) < LEAST_LEARNED and group["math"].nunique() == 1 and len(group) > 1:
                continue
            assert len(group) >= LEAST_LEARNED or abs(group["own"].iloc[0] - group["math"].iloc[0]) > 1e-6, (seed, group)


def leaves(fitted):
    """The nodes of each tree to which each training row comes, as the file's own model has them."""
    model = fitted.pipeline["model"]
    def nodes(rows):
        if hasattr(model, "_predictors"):
            for step in model._predictors:
                yield np.array([leaf_of(step[0].nodes, row) for row in rows])
        else:
            trees = getattr(model, "trees_", None) or [getattr(one, "tree_", None) for one in getattr(model, "estimators_", [model])]
            yield from (tree.apply(np.float32(rows)) for tree in trees)
    return nodes


def leaf_of(nodes, row):
    place = 0
    while not nodes[place]["is_leaf"]:
        place = int(nodes[place]["left" if row[nodes[place]["feature_idx"]] <= nodes[place]["num_threshold"] else "right"])
    return place


@pytest.mark.parametrize("model", [name for name in candidate_models() if name in ("decision tree", "AdaBoost", "random forest", "extra trees", "gradient boosting", "XGBoost", "CatBoost")])
@pytest.mark.usefixtures("no_search")
def test_ten_different_students_share_each_leaf(model):
    rows = simulate_students(220, seed=4)
    fitted = fit_predictor(rows, "math", inputs="all", model=model, folds=2)
    columns = fitted.pipeline["encoder"].transform(rows)
    bootstrap = model in ("random forest", "extra trees")  # whose trees have not seen each row: ten of those that they have
    smallest = min(np.bincount(found)[np.unique(found)].min() for found in leaves(fitted)(columns))
    assert smallest >= LEAST_LEARNED
    if bootstrap:
        assert min(tree.tree_.n_node_samples[tree.tree_.children_left < 0].min() for tree in fitted.pipeline["model"].estimators_) >= LEAST_LEARNED


def test_small_cells_keep_no_deviation():
    rows = simulate_students(400, seed=6)
    rows["math"] += np.where((rows["lunch"] == "standard") & (rows["ethnicity"] == "group C"), 12, 0)
    rows["math"] = rows["math"].clip(0, 100)
    fitted = fit_predictor(rows, "math", inputs=["ethnicity", "lunch", "parental_education"], model="partial pooling", folds=3)
    sizes = rows.groupby(["ethnicity", "lunch", "parental_education"], observed=True).size()
    assert len(fitted.pipeline["model"].cells_) == (sizes >= LEAST_LEARNED).sum() < len(sizes)


def test_no_comparison_chooses_a_model_that_keeps_students():
    from studperf.models.selection import choose_model
    table = pd.DataFrame({"model": ["k-nearest neighbours", "random forest", "ridge"], "r2": [.3, .29, .28], "r2_low": [.2, .2, .2], "difference_high": [0., .1, -.01]})
    assert choose_model(table) == "ridge"
    assert choose_model(table[:1]) == "k-nearest neighbours"  # nothing else was asked for


def test_a_profile_shows_no_single_number():
    rows = simulate_students(120, seed=1).assign(income=np.r_[[9e6], np.random.default_rng(0).normal(40_000, 9_000, 119).round()])
    schema = Schema({"lunch": None}, {"math": (0, 100)}, covariates=["income"])
    with pytest.warns(DataWarning, match="column 'income': far values"):
        fitted = fit_predictor(rows, "math", schema=schema, model="mean", folds=3)
    profile = fitted.profile["income"]
    assert max(profile["quantiles"]) < 60_000 and not set(profile["quantiles"]) & set(rows["income"])
    assert fitted.n == 120 and profile["mean"] == pytest.approx(rows["income"][1:].mean(), rel=.02)  # the first one is drawn in
    with pytest.warns(DataWarning, match="column 'income': far values"):
        facts = facts_of(rows, schema=schema)
    assert facts.numbers["income"].high < 300_000 and "9000000" not in json.dumps(facts_to_dict(facts))


@pytest.mark.parametrize("seed", range(6))
def test_numbers_of_a_page_do_not_follow_the_outermost_student(seed):
    values = np.random.default_rng(seed).normal(50, 20, 80)
    changed = np.sort(values)
    changed[0], changed[-1] = changed[0] - 500, changed[-1] + 500
    assert usual_range(np.abs(values)) == usual_range(np.r_[np.sort(np.abs(values))[:-1], 1e6])
    assert usual_range(values) == usual_range(changed)
    assert np.allclose(grouped_in_tens(values).sum(), values.sum())
    assert np.unique(grouped_in_tens(values), return_counts=True)[1].min() >= 10


def test_combinations_of_single_students_are_not_listed(tmp_path):
    fitted = fit_predictor(load_students(), "math", model="least squares", folds=3)
    assert fitted.combinations is None and fitted.predict_one(load_students().iloc[0].to_dict()).seen is None
    assert len(fit_predictor(load_students(), "math", inputs=["gender", "lunch"], model="mean", folds=3).combinations) == 4


# --- the page -----------------------------------------------------------------------------------------------------------

def page_of(count=4):
    rows = with_lone_student(97, count=count)
    rows["reading"] = (rows["math"] + np.random.default_rng(1).integers(-9, 9, len(rows))).clip(0, 100)
    return rows, facts_of(rows, schema=Schema(NATIONS.factors, {"math": (0, 100), "reading": (0, 100)}))


def test_four_students_are_on_no_tab():
    """The issue's case: 'Ukrainian 73, +13.6' in Compare."""
    rows, facts = page_of()
    assert "Ukrainian" not in json.dumps(facts_to_dict(facts))
    question = Question("math", {"nation": "Jordan", "lunch": "standard"}, mark=60)
    assert not any(one.level == "Ukrainian" for one in one_thing_different(facts, question))
    assert "Ukrainian" not in compare_html(facts, question, question.factors) + picture_html(facts, question)
    control = Form(facts).factors["nation"]
    assert [text for text, _ in control.options] == ["Egypt", "Jordan", "Kuwait", "other, or not known"]
    assert not question_problems(facts, Question("math", {"nation": None, "lunch": "standard"}))
    asked = [expected_score(facts, Question("math", {"nation": nation, "lunch": "standard"})).prediction for nation in (None, "Ukrainian")]
    assert asked[0] == asked[1]


def test_a_class_list_answers_for_a_small_level_with_a_note():
    _, facts = page_of()
    table = read_class_list(b"nation,lunch\nUkrainian,standard\n,standard\nJordan,standard\n", facts)
    found = predict_class(facts, table, "math")
    assert not found.problems and found.predictions[0] == found.predictions[1] != found.predictions[2]
    assert any("'Ukrainian' as 'not known' (1 row)" in note for note in found.notes)


def determined(equations, groups):
    """The groups whose number of students follows from sums that are known."""
    known = np.linalg.matrix_rank(equations) if len(equations) else 0
    return [group for group in groups if np.linalg.matrix_rank(np.vstack([*equations, group])) == known]


@pytest.mark.parametrize("seed", range(12))
def test_no_small_group_follows_from_prepared_facts(seed):
    """Each count on the page is a sum over the combinations of levels that occur; which small groups are sums of such sums?"""
    random = np.random.default_rng(seed)
    n = int(random.choice([60, 150, 400]))
    rows = pd.DataFrame({"a": random.choice(list("ABCD"), n, p=random.dirichlet(np.ones(4))).astype(object),
                         "b": random.choice(list("xyz"), n, p=random.dirichlet(np.ones(3))).astype(object), "math": random.integers(0, 21, n)})
    rows.loc[random.choice(n, 3, replace=False), "b"] = None
    try:
        facts = facts_of(rows, schema=Schema({"a": None, "b": None}, {"math": (0, 20)}))
    except DataError:  # hardly any level has ten students
        return
    shown = without_small_groups(Cohort.summarize(rows, Schema({"a": None, "b": None}, {"math": (0, 20)}))).cells
    keys = shown.astype({"a": object, "b": object}).fillna("?").groupby(["a", "b"])["n"].sum()  # whom all artefacts are of
    cells = keys.index.to_frame(index=False)
    equations = [np.ones(len(cells))]
    equations += [(cells[group.factor] == group.level).to_numpy(float) for group in facts.means["math"]]
    names = list(facts.factors)
    equations += [np.logical_and.reduce([cells[name] == level for name, level in zip(names, levels, strict=True)]).astype(float)
                  for levels in facts.alike["math"]]
    small = [cells["a"] == level for level in cells["a"].unique()] + [cells["b"] == level for level in cells["b"].unique()]
    small += [np.arange(len(cells)) == place for place in range(len(cells))]
    small = [np.asarray(group, float) for group in small if 0 < keys.to_numpy() @ np.asarray(group, float) < LEAST_SHOWN]
    assert not determined(equations, small)
    assert all(count >= LEAST_SHOWN for _, _, count in facts.counts["math"])
    assert all(98 <= sum(percent for _, _, percent in bars) <= 105 for bars in facts.alike["math"].values())
    assert all(count % 10 == 0 for levels in facts.factors.values() for count in levels.values())


@pytest.mark.parametrize("seed", range(60))
def test_groups_of_several_factors_give_no_small_one_away(seed):
    """Schools, classes that are nearly parts of them, and a third factor: which small groups follow from what is kept?"""
    random = np.random.default_rng(seed)
    n = int(random.choice([60, 200]))
    school = random.choice(5, n, p=random.dirichlet(np.ones(5)))
    part = np.where(random.random(n) < .9, school, random.integers(0, 4, n))
    rows = pd.DataFrame({"school": school, "class": part, "bus": random.integers(0, 3, n)})
    cells = rows.groupby(list(rows)).size()
    keys = cells.index.to_frame(index=False)
    groups = [(keys[name] == level).to_numpy() for name in keys for level in keys[name].unique()]
    groups += [((keys["school"] == a) & (keys["bus"] == b)).to_numpy() for a in range(5) for b in range(3)]
    groups = np.array([group for group in groups if group @ cells.to_numpy() >= LEAST_SHOWN])
    levels = np.array([(keys[name] == level).to_numpy() for name in keys for level in keys[name].unique()])
    kept = shown_together(groups, cells.to_numpy(), levels)
    small = [group for group in ((keys[name] == level).to_numpy(float) for name in keys for level in keys[name].unique())
             if group @ cells.to_numpy() < LEAST_SHOWN]
    small += [one.astype(float) for one in np.eye(len(cells)) if one @ cells.to_numpy() < LEAST_SHOWN]
    small += [(one & ~other).astype(float) for one, other in itertools.permutations(groups[kept], 2)
              if 0 < (one & ~other) @ cells.to_numpy() < LEAST_SHOWN]
    assert not determined([np.ones(len(cells)), *groups[kept].astype(float)], small)


def test_bars_hold_ten_students_and_no_end_is_a_student():
    random = np.random.default_rng(0)
    edges = np.linspace(0, 100, 21)
    for _ in range(200):
        values = random.normal(random.uniform(20, 80), random.uniform(1, 20), int(random.integers(1, 60))).clip(0, 100).round()
        bars = merged_bars(values, np.ones(len(values)), edges)
        assert sum(count for *_, count in bars) in (0, len(values)) and bool(bars) == (len(values) >= 10)
        assert all(count >= 10 for *_, count in bars) and all(low in edges and high in edges for low, high, _ in bars)
        assert all(one[1] == other[0] for one, other in itertools.pairwise(bars))


def test_a_predictor_of_an_older_studperf_is_served_without_its_small_levels(tmp_path):
    fitted = fit_predictor(with_lone_student(90, count=12), "math", schema=NATIONS, model="least squares", folds=3)
    formula, shares = without_levels(fitted.formula, {"nation": {"Jordan": .5, "Ukrainian": .5}, "lunch": {"standard": 1.}},
                                     {"nation": {"Jordan": 100}, "lunch": {"standard": 10, "free/reduced": 10}})
    assert "Ukrainian" not in json.dumps(formula_to_dict(formula)) and shares["nation"] == {"Jordan": 1}


# --- error texts, Cohorts -----------------------------------------------------------------------------------------------

def test_odds_name_no_small_level():
    rows = with_lone_student(97, count=3).assign(math=lambda table: table["math"].astype(int))
    with pytest.raises(ValueError) as raised:
        odds(rows, "math", 60, schema=NATIONS)
    assert "Ukrainian" not in str(raised.value) and "merge small levels" in str(raised.value)


def test_a_suppressed_cohort_keeps_no_notes_of_the_draft():
    rows = with_lone_student(97, count=3)
    schema = Schema.infer(rows, ["math"])
    assert schema.notes
    shared = Cohort.summarize(rows, schema).suppress()
    assert not shared.schema.notes and "Ukrainian" not in str((shared.schema.factors, shared.cells.to_dict(), shared.levels("nation")))
    assert "Ukrainian" not in str(shared.cells["nation"].cat.categories.tolist())
    assert (shared + shared).n == 2 * shared.n


def test_cards_name_no_small_level_of_an_older_predictor():
    fitted = fit_predictor(with_lone_student(90, count=12), "math", schema=NATIONS, model="least squares", folds=3)
    from dataclasses import replace
    older = replace(fitted, profile={**fitted.profile, "nation": {**fitted.profile["nation"], "Ukrainian": 3 / fitted.n}})
    assert "Ukrainian" in model_card(fitted) and "Ukrainian" not in model_card(older)


def test_given_back_finds_lone_rows_and_leaves_others():
    random = np.random.default_rng(0)
    columns = np.column_stack([random.integers(0, 2, 200), random.normal(size=200)])
    columns[0, 1] = 1e4
    assert np.flatnonzero(given_back(columns, {"a": columns[:, 0].astype(int)})).tolist() == [0]


def test_the_rules_change_no_prediction_where_groups_are_large():
    """Coefficients of the sample are what they were: no level is small."""
    fitted = fit_predictor(load_students(), "math", model="least squares")
    assert fitted.n == 1000 and fitted.schema.others == () and fitted.learned_missing == ()
    assert "no error of a single student" in model_card(fitted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_predictor(load_students(), "math", model="least squares")
    assert set(fitted.schema.factors) == set(STUDENTS.factors)


# --- found by attack ----------------------------------------------------------------------------------------------------

def drafted_rows(n=120):
    """A table whose draft notes a level of one student, and the outermost scores."""
    rows = simulate_students(n, seed=5)[["lunch", "math", "reading"]]
    rows["need"] = ["deafblind", *["none", "some"] * 60][:n]
    rows["remark"] = [None, "suspended", *[None] * (n - 2)]
    return rows


def test_no_note_of_a_draft_leaves(tmp_path):
    """The lowest score, a level of one student and the only entry of a column stood in the predictor's file and in the report's notebook."""
    from studperf import report

    rows = drafted_rows()
    schema = Schema.infer(rows, ["math", "reading"])
    assert schema.notes and "deafblind" in str(schema.notes) and "suspended" not in str(schema.left_out)
    fitted = fit_predictor(rows, "math", schema=schema, model="least squares", folds=3)
    assert not fitted.schema.notes and not fitted.schema.certainty
    fitted.save(tmp_path / "file")
    with zipfile.ZipFile(tmp_path / "file") as archive:
        record = archive.read("predictor.json").decode()
    assert "deafblind" not in record and "whole numbers from" not in record
    report(rows, tmp_path / "report.html", schema=schema, notebook=True)
    for name in ("report.html", "report.ipynb"):
        assert "whole numbers from" not in (tmp_path / name).read_text()
    assert "certainty={" not in (tmp_path / "report.ipynb").read_text() and "suspended" not in (tmp_path / "report.ipynb").read_text()


def test_the_levels_that_all_reach_a_mark_do_not_leave_the_few_who_do_not():
    rows = pd.DataFrame({"school": ["A"] * 40 + ["B"] * 40 + ["C"] * 40, "gender": ["f", "m"] * 60, "math": [70] * 119 + [10]})
    with pytest.raises(ValueError) as raised:
        odds(rows, "math", 40, schema=Schema({"school": None, "gender": None}, {"math": (0, 100)}))
    assert "'A'" not in str(raised.value) and "Choose another mark" in str(raised.value)


def test_a_comparison_that_is_written_has_no_small_group(tmp_path, capsys):
    from studperf import cli

    rows = pd.DataFrame({"school": ["A"] * 298 + ["Z"] * 2, "math": np.random.default_rng(0).integers(20, 90, 300)})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", str(tmp_path / "rows.csv"), "--scores", "math", "--factors", "school", "--out", str(tmp_path / "out.csv")])
    assert ended.value.code == 0 and "Z" not in (tmp_path / "out.csv").read_text() + capsys.readouterr().out


@pytest.mark.parametrize("record", ["[1]", '{"cells": 5}', '{"formulas": [], "means": [5]}', '{"profile": [1], "target": "math", "n": 5}',
                                    '{"profile": {"a": {"b": "c"}}, "target": "math", "n": 5}', "[" * 20_000, '{"cells": 1e400}'])
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path, record):
    from studperf import disclosure

    (tmp_path / "file.json").write_text(record)
    with pytest.raises(DataError):
        disclosure([tmp_path / "file.json"])
