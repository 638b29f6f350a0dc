"""Predictors of XGBoost and CatBoost in files: the same predictions, forged trees, and a computer without the libraries."""
import hashlib
import json
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import skops.io
from catboost import CatBoostRegressor
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBRegressor

from studperf.models.boosted import storable, trees_of_catboost, trees_of_xgboost
from studperf.rows.reading import load_students
from studperf.rows.simulation import simulate_students
from studperf.models.candidates import candidates
from studperf.models.predictor import fit_predictor, load_predictor
from studperf.models.storage import BOOSTED
from studperf.prediction.formula_file import PredictorFileError, record_hash
from studperf.rows.schema import STUDENTS

BY_NAME = {"XGBoost": trees_of_xgboost, "CatBoost": trees_of_catboost}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Path of a saved predictor, and the predictor, by the name of its model."""
    folder, found = tmp_path_factory.mktemp("saved"), {}
    for model in BOOSTED:
        found[model] = folder / model, fit_predictor(load_students()[:300], "math", inputs="all", model=model, folds=2)
        found[model][1].save(found[model][0], own_use=True)
    return found


def forged(path, predictor, source):
    """A file in which a rewritten pipeline was changed; its checksums fit."""
    with zipfile.ZipFile(source) as archive:
        record, model = json.loads(archive.read("predictor.json")), skops.io.dumps(predictor.pipeline)
    record = {key: value for key, value in record.items() if key != "sha256"} | {"model_sha256": hashlib.sha256(model).hexdigest()}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("predictor.json", json.dumps(record | {"sha256": record_hash(record)}))
        archive.writestr("model.skops", model)
    return path


@pytest.mark.parametrize("model, most", [("XGBoost", 0), ("CatBoost", 1e-10)])
@pytest.mark.parametrize("depth", [1, 2, 5, 8])
def test_rewritten_trees_predict_the_same(model, most, depth):
    random = np.random.default_rng(depth)
    columns = np.column_stack([random.normal(size=(2000, 3)), random.integers(0, 2, (2000, 3))])
    scores = columns @ [1, -2, 3, 4, 5, 6] + 10 * np.abs(columns[:, 0]) + random.normal(size=2000) + 60
    regressor = candidates(STUDENTS, "math")[model].estimator["model"].set_params(**{"depth" if model == "CatBoost" else "max_depth": depth})
    regressor.fit(columns, scores)
    fresh = np.vstack([random.normal(size=(1000, 6)) * 5, columns[:200].astype(np.float32)])  # beyond the rows, and on the thresholds
    assert np.abs(BY_NAME[model](regressor).predict(fresh) - regressor.predict(fresh)).max() <= most


def test_on_a_threshold_and_beside_it():
    columns = np.arange(20.0)[:, None]
    regressor = XGBRegressor(n_estimators=3, max_depth=3).fit(columns, columns[:, 0] ** 2)
    thresholds = np.unique([node for tree in trees_of_xgboost(regressor).trees_ for node in tree.threshold[tree.children_left > 0]])
    beside = np.concatenate([np.nextafter(thresholds.astype(np.float32), np.float32(limit)) for limit in (-np.inf, np.inf)])
    asked = np.concatenate([thresholds, beside])[:, None]
    np.testing.assert_array_equal(trees_of_xgboost(regressor).predict(asked), regressor.predict(asked))


@pytest.mark.parametrize("model", BOOSTED)
def test_a_saved_predictor_can_be_saved_again(tmp_path, saved, model):
    path, predictor = saved[model]
    load_predictor(path).save(tmp_path / "again", own_use=True)
    rows = simulate_students(100, seed=1)
    again = load_predictor(tmp_path / "again")
    pd.testing.assert_frame_equal(again.predict(rows), predictor.predict(rows), rtol=0, atol=1e-9)
    assert again.parameters == predictor.parameters and again.predict_one(rows.iloc[0].to_dict())[0] == pytest.approx(predictor.predict_one(rows.iloc[0].to_dict())[0], abs=1e-9)


@pytest.mark.parametrize("model", BOOSTED)
@pytest.mark.parametrize("fault", ["child", "loop", "negative", "column", "infinite", "classes", "base", "kind", "no trees"])
def test_forged_trees_are_refused(tmp_path, saved, model, fault):
    path, _ = saved[model]
    predictor = load_predictor(path)
    added = predictor.pipeline["model"]
    tree = added.trees_[-1]
    state = tree.__getstate__()
    if fault in ("child", "loop", "negative", "column"):
        field, value = {"child": ("left_child", 10**6), "loop": ("right_child", 0), "negative": ("right_child", -5), "column": ("feature", 10**4)}[fault]
        state["nodes"][field][0] = value
        tree.__setstate__(state)
    elif fault == "infinite":
        state["values"][-1] = np.inf
        tree.__setstate__(state)
    elif fault == "classes":
        added.trees_[-1] = DecisionTreeClassifier().fit(np.eye(14), np.arange(14)).tree_
    elif fault == "base":
        added.base_ = float("nan")
    elif fault == "kind":
        added.trees_[-1] = "tree"
    else:
        added.trees_ = "trees"
    with pytest.raises(PredictorFileError, match="does not hold the model that predictor.json describes"):
        load_predictor(forged(tmp_path / "forged", predictor, path))


def test_a_boosted_name_needs_added_trees(tmp_path, saved):
    path, predictor = saved["XGBoost"]
    other = fit_predictor(load_students()[:300], "math", inputs="all", model="gradient boosting", folds=2)
    with pytest.raises(PredictorFileError, match="expected a pipeline for XGBoost"):
        load_predictor(forged(tmp_path / "forged", other, path))


def test_cut_and_changed_files_are_refused(tmp_path, saved):
    for path, _ in saved.values():
        content = path.read_bytes()
        for damaged in (content[:len(content) // 2], content[:-1], content.replace(b"PK\x03\x04", b"PK\x03\x05")):
            (tmp_path / "damaged").write_bytes(damaged)
            with pytest.raises(PredictorFileError):
                load_predictor(tmp_path / "damaged")


WITHOUT = """
import sys
sys.modules["xgboost"] = sys.modules["catboost"] = None
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in ("xgboost", "catboost") else found(name, *rest)
import pandas as pd
from studperf.models.candidates import candidate_models
from studperf.models.predictor import load_predictor
assert not {"XGBoost", "CatBoost"} & set(candidate_models())
predictor = load_predictor(sys.argv[1])
print(predictor.predict_one(pd.read_json(sys.argv[2], typ="series").to_dict()).prediction)
predictor.save(sys.argv[1] + ".again", own_use=True)
"""


@pytest.mark.parametrize("model", BOOSTED)
def test_the_library_need_not_be_there(tmp_path, saved, model):
    path, predictor = saved[model]
    student = load_students().iloc[0].to_dict()
    (tmp_path / "student.json").write_text(json.dumps(student))
    said = subprocess.run([sys.executable, "-c", WITHOUT, path, tmp_path / "student.json"], capture_output=True, text=True, check=True).stdout
    assert float(said) == pytest.approx(predictor.predict_one(student).prediction, abs=1e-9)


@pytest.mark.parametrize("regressor, reason", [
    (XGBRegressor(objective="reg:absoluteerror", n_estimators=2), "objective 'reg:absoluteerror'"), (XGBRegressor(booster="dart", n_estimators=2), "found 'dart'"),
    (CatBoostRegressor(iterations=2, grow_policy="Lossguide", verbose=False, allow_writing_files=False), "another kind of tree")], ids=["objective", "dart", "lossguide"])
def test_models_of_another_kind_are_not_saved(regressor, reason):
    students = load_students()[:100]
    regressor.fit(students[["reading", "writing"]], students["math"])
    with pytest.raises(ValueError, match=reason):
        storable(Pipeline([("encoder", "passthrough"), ("model", regressor)]))
