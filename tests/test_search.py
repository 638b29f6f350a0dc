"""The quick search chooses as the full one does; progress is told; copies and clusters stay together; predictions stay within the scale."""
import io
import re
import warnings

import numpy as np
import pandas as pd
import pytest

from conftest import shared_file

from studperf import DataWarning, Schema, audit, fit_predictor, load_predictor, load_students, model_card, predict_file
from studperf.models import selection
from studperf.models.candidates import candidate_models
from studperf.models.selection import choose_model, compare_models, searchless, splits_of, still_open
from studperf.prediction.formula_file import formula_from_dict, formula_to_dict
from studperf.progress import ProgressLines, progress_bar
from studperf.rows.repetition import equal_rows, repeated_rows
from studperf.rows.schema import STUDENTS

FOLDS, PARTS = 5, 10
BACKGROUND = list(STUDENTS.factors)


@pytest.fixture(scope="module")
def students():
    return load_students()


# The search

class Silent:
    total = 0

    def update(self, n=1):
        pass


def searched(r2, monkeypatch, first):
    """The comparison that a search makes if the R2 of each model (column) and part (row) are these."""
    monkeypatch.setattr(selection, "_all_measured", lambda asked, jobs, bar: asked)
    tasks = {(name, part): {"r2": r2.loc[part, name], "mae": 1.0, "rmse": 1.0, "fit_seconds": 0.0, "predict_seconds": 0.0}
             for name in r2 for part in r2.index}
    results = selection._results(tasks, first, FOLDS, 1, Silent())
    return selection._compared(results, FOLDS).rename_axis("model").reset_index()


def made_up_parts(random):
    """R2 of all models on ten parts, as cross-validation gives them: each part is easy or hard for all, models differ by little or much."""
    names = list(candidate_models())
    strength = np.sort(random.normal(0, random.choice([.003, .02, .1]), len(names))) if random.random() < .3 else (
        random.normal(0, random.choice([.003, .02, .1]), len(names)))
    easy, own = random.normal(.4, .06, (PARTS, 1)), random.normal(0, random.choice([.005, .02, .04]), (PARTS, len(names)))
    return pd.DataFrame(easy + strength + own, columns=names)


def test_a_quick_search_chooses_as_a_full_one_does(monkeypatch):
    random, same, fits = np.random.default_rng(0), [], []
    for _ in range(40):
        r2 = made_up_parts(random)
        full, quick = (searched(r2, monkeypatch, first) for first in (list(r2), searchless(list(r2), 0)))
        chosen = [choose_model(table) for table in (full, quick)]
        same.append(chosen[0] == chosen[1])
        fits.append(quick["parts"].sum() / full["parts"].sum())
        assert full["parts"].eq(PARTS).all() and quick.set_index("model")["parts"][chosen[1]] == PARTS
    assert np.mean(same) >= .95, f"{np.mean(same):.1%} of the choices are the same"
    assert np.mean(fits) < .8


def test_a_full_search_measures_every_model_on_every_part(students):
    models = ["mean", "least squares", "decision tree"]
    full, quick = (compare_models(students[:200], "math", models=models, search=search, jobs=1, progress=False) for search in ("full", "quick"))
    assert full["parts"].eq(PARTS).all() and full["chosen"].tolist() == [True, False, False]
    kept = quick[quick["parts"] == PARTS].set_index("model")
    measures = ["r2", "r2_low", "r2_high", "mae", "rmse", "chosen"]
    pd.testing.assert_frame_equal(kept[measures], full.set_index("model").loc[kept.index, measures])
    with pytest.raises(ValueError, match="search: found 'fast', expected 'full' or 'quick'"):
        compare_models(students, "math", search="fast")


def test_models_that_all_need_a_search_are_raced_too(students):
    table = compare_models(students[:150], "math", models=["decision tree", "k-nearest neighbours"], search="quick", folds=2, repeats=1, jobs=1, progress=False)
    assert table["chosen"].sum() == 1 and table["parts"].max() == 2


def test_a_model_that_leads_by_far_is_measured_to_the_end():
    parts = pd.DataFrame({"least squares": np.linspace(.2, .3, PARTS), "CatBoost": [.9, .91, .92] + [np.nan] * 7, "random forest": [.1] * 3 + [np.nan] * 7})
    if "CatBoost" not in candidate_models():
        parts = parts.rename(columns={"CatBoost": "gradient boosting"})
    assert still_open(parts, parts.notna().sum(), PARTS, FOLDS) == [parts.columns[1]]


@pytest.mark.filterwarnings("ignore:column.*count as not known")
def test_a_comparison_of_an_earlier_version_is_accepted(students):
    table = compare_models(students[:100], "math", models=["mean", "least squares"], progress=False).drop(columns="parts")
    fitted = fit_predictor(students[:100], "math", comparison=table, progress=False)
    assert "least squares" in model_card(fitted, form="markdown") and fitted.model == choose_model(table)


def test_the_card_says_which_models_were_dropped(students):
    table = compare_models(students[:300], "math", models=["mean", "least squares", "decision tree"], search="quick", jobs=1, progress=False)
    card = model_card(fit_predictor(students[:300], "math", comparison=table, progress=False), form="markdown")
    if (table["parts"] < PARTS).any():
        assert "were dropped early" in card and f"dropped after {table['parts'].min()} of 10 parts" in card
    else:
        assert "dropped" not in card


# Progress

def test_a_line_is_written_every_few_seconds():
    seconds, log = iter([0, 1, 2, 4, 4.5, 7.2]), io.StringIO()
    with ProgressLines(40, "fitted", "models", stream=log, clock=lambda: next(seconds)) as lines:
        for _ in range(5):
            lines.update()
    assert log.getvalue().splitlines() == ["studperf: fitted 3 of 40 models, 4 s", "studperf: fitted 5 of 40 models, 7 s"]


@pytest.mark.filterwarnings("ignore:column.*count as not known")
def test_redirected_output_has_whole_lines_and_no_bar(monkeypatch, capsys, students):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    seconds = iter(range(0, 10_000, 2))
    monkeypatch.setattr("studperf.progress.ProgressLines.__init__.__kwdefaults__", {"stream": None, "clock": lambda: next(seconds), "every": 3})
    fit_predictor(students[:100], "math", model="least squares", progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines and all(re.fullmatch(r"studperf: fitted \d+ of 11 models, \d+ s", line) for line in lines)
    fit_predictor(students[:100], "math", model="least squares", progress=False)
    assert capsys.readouterr().err == ""


def test_a_terminal_has_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr("sys.stderr", Terminal())
    with progress_bar(3, verb="fitted", unit="models") as bar:
        assert not isinstance(bar, ProgressLines) and not bar.disable
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert isinstance(progress_bar(3, verb="fitted", unit="models"), ProgressLines)
    for switched_off in (progress_bar(3, verb="fitted", unit="models", shown=False),):
        assert switched_off.disable
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert progress_bar(3, verb="fitted", unit="models").disable


# Rows that were entered twice

@pytest.mark.parametrize("seed", range(20))
def test_rows_that_are_equal_by_chance_are_not_repeated(seed):
    random = np.random.default_rng(seed)
    n, levels = int(random.integers(30, 2000)), int(random.integers(2, 6))
    rows = pd.DataFrame({f"factor {place}": random.choice(list("abcdef")[:levels], n) for place in range(5)})
    rows["mark"] = random.integers(1, 7, n)
    rows["other mark"] = np.clip(rows["mark"] + random.integers(-1, 2, n), 1, 6)  # marks of one student are alike
    rows["total"] = rows["mark"] + rows["other mark"]
    assert not repeated_rows(rows).any()


@pytest.mark.parametrize("share", [.05, .5, 1])
def test_copies_are_found(students, share):
    copied = pd.concat([students, students[:int(1000 * share)]]).sample(frac=1, random_state=1)
    assert repeated_rows(copied).tolist() == copied.duplicated().tolist()
    assert (pd.Series(equal_rows(copied)).groupby(equal_rows(copied)).size() == 2).sum() == 1000 * share


def test_copies_in_real_tables():
    """In one of thirteen public tables half of the rows are copies; in the others equal rows are different students."""
    folder = shared_file("wild", "xAPI.csv").parent
    found = {path.name: int(repeated_rows(pd.read_csv(path, sep=None, engine="python")).sum()) for path in sorted(folder.glob("*.csv*")) if "roles" not in path.name}
    assert found["xAPI.csv"] == 523 and sum(found.values()) == 523


def doubled(n=300, seed=0):
    """Students each of whom has an own number, which a forest can recognise; every row twice."""
    random = np.random.default_rng(seed)
    rows = pd.DataFrame({"group": random.choice(list("ab"), n), "hours": random.normal(0, 1, n), "age": random.normal(16, 1, n),
                         "points": random.normal(50, 10, n).round(1)})
    return pd.concat([rows, rows], ignore_index=True)


NOISE = Schema(["group"], {"points": (0, 100)}, covariates=["hours", "age"])


def test_copies_do_not_let_a_model_look_better(students):
    rows, r2, said = doubled(), {}, {}
    for duplicates in ("keep", "group", "remove"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fitted = fit_predictor(rows, "points", schema=NOISE, model="random forest", duplicates=duplicates, folds=5, progress=False)
        r2[duplicates], said[duplicates] = fitted.metrics["r2"], " ".join(str(one.message) for one in caught)
        assert fitted.n == (300 if duplicates == "remove" else 600)
        assert bool(fitted.together) == (duplicates == "group")
    assert r2["keep"] > .1 > max(r2["group"], r2["remove"]) + .05
    assert all("300 of 600 rows equal an earlier row" in text for text in said.values())
    assert "kept together" in said["group"] and "left out" in said["remove"] and "errors look smaller" in said["keep"]
    with pytest.raises(ValueError, match="duplicates: found 'drop', expected one of 'group', 'remove', 'keep'"):
        fit_predictor(rows, "points", schema=NOISE, model="mean", duplicates="drop")


def test_copies_stay_together_in_every_split():
    rows, numbers = doubled(), equal_rows(doubled())
    for train, test in splits_of(rows, 5, NOISE, seed=3):
        assert not set(numbers[train]) & set(numbers[test])
    assert any(set(numbers[train]) & set(numbers[test]) for train, test in splits_of(rows, 5, NOISE, seed=3, duplicates="keep"))


@pytest.mark.filterwarnings("ignore::studperf.rows.values.DataWarning")
def test_an_audit_keeps_copies_together_or_leaves_them_out_as_the_fit_did():
    rows = doubled()
    for duplicates, n in (("group", 600), ("remove", 300)):
        fitted = fit_predictor(rows, "points", schema=NOISE, model="decision tree", duplicates=duplicates, folds=5, progress=False)
        found = audit(fitted, rows, schema=NOISE, left_out=[], folds=5)
        assert found.n == n and found.source.startswith("the rows it was fitted to")
        assert found.overall.set_index("measure")["value"]["mae"] == pytest.approx(fitted.metrics["mae"], rel=1e-5)
        assert ("300 rows that equal an earlier row" in model_card(fitted, found, form="markdown")) == (duplicates == "group")


def test_what_was_kept_together_is_saved(tmp_path):
    with pytest.warns(DataWarning, match="equal an earlier row"):
        fitted = fit_predictor(doubled(), "points", schema=NOISE, model="least squares", progress=False)
    fitted.save(tmp_path / "model.studperf")
    assert load_predictor(tmp_path / "model.studperf").together == fitted.together == ("300 rows that equal an earlier row, with that row",)


# Rows that share a student

def test_rows_of_one_student_stay_together():
    random = np.random.default_rng(1)
    student = np.repeat(np.arange(100), 4)
    rows = pd.DataFrame({"pupil": [f"P{number}" for number in student], "sex": np.repeat(list("fm"), 200),
                         "height": np.repeat(random.normal(0, 1, 100), 4), "shoes": np.repeat(random.normal(0, 1, 100), 4), "mark": np.repeat(random.normal(50, 10, 100), 4) + random.normal(0, 1, 400)})
    known = Schema({"sex": None}, ["mark"], covariates=["height", "shoes"], cluster="pupil", people="results", rows_per_student=4)
    fitted = fit_predictor(rows, "mark", schema=known, model="k-nearest neighbours", folds=5, progress=False)
    assert fitted.metrics["r2"] < .1 and fitted.together == ("rows with the same 'pupil'",)
    assert "rows with the same 'pupil'" in model_card(fitted, form="markdown")
    unknown = Schema({"sex": None}, ["mark"], covariates=["height", "shoes"], people="results", rows_per_student=4)
    with pytest.warns(DataWarning, match="one student has up to 4 rows.*Schema's cluster"):
        leaking = fit_predictor(rows, "mark", schema=unknown, model="k-nearest neighbours", folds=5, progress=False)
    assert leaking.metrics["r2"] > .15 and "nothing: each row is on its own" in model_card(leaking, form="markdown")


# Predictions within the scale

@pytest.mark.filterwarnings("ignore::studperf.rows.values.DataWarning")
@pytest.mark.parametrize("model", ["least squares", "partial pooling", "decision tree"])
def test_predictions_stay_within_the_scale_everywhere(tmp_path, model):
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"group": random.choice(list("ab"), 400), "hours": random.uniform(0, 10, 400)})
    rows["mark"] = np.clip(rows["hours"] * 14 - 20 + random.normal(0, 8, 400), 0, 100).round()
    fitted = fit_predictor(rows, "mark", schema=Schema({"group": None}, {"mark": (0, 100)}, covariates=["hours"]), model=model, folds=3, progress=False)
    assert model != "least squares" or fitted.pipeline.predict(rows).max() > 105  # the model itself goes beyond the scale
    table = fitted.predict(rows)
    singly = pd.DataFrame([fitted.predict_one(student)[:3] for student in rows.to_dict("records")])
    rows.to_csv(tmp_path / "rows.csv", index=False)
    predict_file(fitted, tmp_path / "rows.csv", tmp_path / "predicted.csv", progress=False)
    in_file = pd.read_csv(tmp_path / "predicted.csv")[["prediction", "low", "high"]]
    for found in (table, singly, in_file):
        assert found.to_numpy().min() >= 0 and found.to_numpy().max() <= 100
        np.testing.assert_allclose(found.to_numpy(), table.to_numpy(), atol=1e-6)
    assert (table["high"] == 100).any() and (table["low"] == 0).any()
    if fitted.formula is not None:
        kept = formula_from_dict(formula_to_dict(fitted.formula))
        assert kept.predict_one({"group": "a", "hours": 10.0})[2] == 100 == fitted.formula.limits[1]
