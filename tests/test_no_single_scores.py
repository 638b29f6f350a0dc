"""What a predictor's file holds gives no single student's score back: residuals, trees, far values; and `disclosure` sees it where it does."""

import json
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from studperf.dashboard.preparing import facts_of
from studperf.models.candidates import FOR_OWN_USE, candidate_models
from studperf.models.fitted import are_grouped, kept_residuals
from studperf.models.predictor import fit_predictor, load_predictor
from studperf.models.registry import Registry
from studperf.prediction.formula import ErrorDistribution
from studperf.reporting.disclosure import disclosure
from studperf.rows.schema import Schema
from studperf.rows.values import DataWarning

SHAPES = {"normal": lambda random, n: random.normal(0, 10, n), "t3": lambda random, n: 10 * random.standard_t(3, n),
          "uniform": lambda random, n: random.uniform(-20, 20, n), "skewed": lambda random, n: 10 * (random.exponential(1, n) - 1),
          "whole": lambda random, n: random.normal(0, 4, n).round()}
SCHEMA = Schema({"school": None}, {"math": (0, 100)}, covariates=["hours"])


def school(n: int = 300) -> pd.DataFrame:
    random = np.random.default_rng(5)
    rows = pd.DataFrame({"school": random.choice(["A", "B"], n), "hours": random.normal(5, 1, n).round(2)})
    return rows.assign(math=(50 + 6.4 * (rows["school"] == "B") + random.normal(0, 12, n)).round().clip(0, 100))


def solved_by_fractions(record: dict) -> int:
    """Return how many scores an attacker works out: whole scores of a level and fold share the fraction of their residuals."""
    residuals, formula = np.array(record["residuals"]), record["formula"]
    points = {level: formula["constant"] + value for level, value in formula["points"]["school"]}
    sizes, found, fractions = {level: round(share * record["n"]) for level, share in record["profile"]["school"].items()}, 0, np.round(-residuals % 1, 6)
    for fraction in np.unique(fractions):
        own = residuals[fractions == fraction]
        for level, value in points.items():
            others = value - own.sum() / sizes[level]
            found += len(own) * (abs((others - fraction + .5) % 1 - .5) < 1e-5)
    return int(found)


@pytest.mark.parametrize("model", ["least squares", "mean", "ridge"])
def test_residuals_give_no_score_back(tmp_path, model):
    rows = school().drop(columns="hours")
    fitted = fit_predictor(rows, "math", schema=SCHEMA.only(["school", "math"]), model=model, progress=False)
    fitted.save(tmp_path / "math.studperf")
    record = json.loads(zipfile.ZipFile(tmp_path / "math.studperf").read("predictor.json"))
    assert solved_by_fractions(record) < 10 and are_grouped(np.array(record["residuals"]), 300)
    assert record["residuals"] == load_predictor(tmp_path / "math.studperf").residuals.tolist() == fitted.residuals.tolist()
    assert disclosure(tmp_path / "math.studperf").safe


@pytest.mark.parametrize("n", [15, 30, 100, 1000, 3000])
@pytest.mark.parametrize("shape", SHAPES)
def test_kept_residuals_are_told_from_single_ones(shape, n):
    residuals = np.sort(SHAPES[shape](np.random.default_rng(n), n))
    assert are_grouped(kept_residuals(residuals), n) and not are_grouped(residuals, n)


@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_cover_as_the_exact_ones_do(shape):
    random, draw = np.random.default_rng(1), SHAPES[shape]
    new = np.sort(np.abs(draw(random, 100_000)))
    for n, tolerance in ((100, .035), (1000, .012)):
        for level in (.8, .9, .95):
            held = [np.searchsorted(new, ErrorDistribution(kept_residuals(draw(random, n)).tolist(), n).half_width(level), "right") / len(new) for _ in range(100)]
            assert np.mean(held) == pytest.approx(level, abs=tolerance + .025 * (shape == "whole"))


def test_the_same_tens_give_the_same_residuals():
    residuals = np.sort(np.random.default_rng(2).normal(0, 10, 200))
    other = residuals.copy()
    other[[43, 46]] += np.array([-1, 1]) * np.diff(residuals)[43] / 4  # within a ten
    assert (kept_residuals(residuals) == kept_residuals(np.sort(other))).all()


@pytest.mark.parametrize("model", sorted(set(FOR_OWN_USE) & set(candidate_models())))
def test_models_of_many_trees_stay_on_the_own_machine(tmp_path, model):
    fitted = fit_predictor(school(), "math", schema=SCHEMA, model=model, folds=2, progress=False)
    for leave in (lambda: fitted.save(tmp_path / "math.studperf"), lambda: Registry(tmp_path / "registry").publish("math", fitted),
                  lambda: facts_of(fitted)):
        with pytest.raises(ValueError, match="keeps students' rows|together give single students' scores away"):
            leave()
    fitted.save(tmp_path / "math.studperf", own_use=True)
    assert not disclosure(tmp_path / "math.studperf").safe


def test_one_tree_says_no_variance_and_no_neighbours(tmp_path):
    rows = school()
    fitted = fit_predictor(rows, "math", schema=SCHEMA, model="decision tree", progress=False)
    tree, hours = fitted.pipeline["model"].tree_, np.unique(rows["hours"])
    split = tree.threshold[tree.feature == fitted.pipeline["encoder"].get_feature_names_out().tolist().index("hours")]
    assert not tree.impurity.any() and fitted.pipeline["model"].random_state is None and len(split)
    assert not np.isclose(split[:, None], (hours[1:] + hours[:-1]) / 2, atol=1e-7).all()
    assert all(len(f"{value:.10g}") <= 4 for value in split)
    fitted.save(tmp_path / "math.studperf")
    assert disclosure(tmp_path / "math.studperf").safe


@pytest.mark.parametrize("count", [1, 3, 6])
@pytest.mark.parametrize("model", ["least squares", "partial pooling", "ridge"])
def test_far_values_give_no_score_back(model, count):
    rows = school()
    rows.loc[:count - 1, "hours"] = [60 + place * .5 for place in range(count)]
    scores = {}
    for put in (0, 97):
        rows.loc[:count - 1, "math"] = put
        with pytest.warns(DataWarning, match="column 'hours': far values"):
            fitted = fit_predictor(rows, "math", schema=SCHEMA, model=model, progress=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            scores[put] = fitted.pipeline.predict(pd.DataFrame({"school": ["A"], "hours": [float(rows["hours"].nlargest(20).iloc[-1])]}))[0]
    assert abs(scores[97] - scores[0]) <= 97 * count / 10  # each counts for a tenth at most


def test_old_files_with_single_residuals_are_found(tmp_path):
    rows = school().drop(columns="hours")
    fitted = fit_predictor(rows, "math", schema=SCHEMA.only(["school", "math"]), model="least squares", progress=False)
    fitted.save(tmp_path / "new.studperf")
    scores = rows["math"] - fitted.pipeline.predict(rows)
    with zipfile.ZipFile(tmp_path / "new.studperf") as old, zipfile.ZipFile(tmp_path / "old.studperf", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, json.dumps(json.loads(content) | {"residuals": sorted(scores)}) if name == "predictor.json" else content)
    found = disclosure(tmp_path / "old.studperf").findings
    assert "residuals one by one" in set(found["group"])


def test_an_old_predictor_leaves_with_grouped_residuals_alone(tmp_path):
    rows = school(400).drop(columns="hours")
    fitted = fit_predictor(rows, "math", schema=SCHEMA.only(["school", "math"]), model="least squares", progress=False)
    old = replace(fitted, residuals=np.sort(rows["math"] - fitted.pipeline.predict(rows)))
    old.save(tmp_path / "own.studperf", own_use=True)
    old.save(tmp_path / "others.studperf")
    Registry(tmp_path / "registry").publish("math", old)
    assert not are_grouped(load_predictor(tmp_path / "own.studperf").residuals, 400)
    for one in (load_predictor(tmp_path / "others.studperf").residuals, Registry(tmp_path / "registry").load("math").residuals,
                np.array(facts_of(old).formulas["math", ()].errors.residuals)):
        assert are_grouped(one, 400)
