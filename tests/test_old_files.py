"""Predictors that an older studperf saved: read as they were, and no safer to forge than files of today."""
import hashlib
import io
import json
import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from studperf import DataWarning, load_predictor, load_students
from studperf.models import storage
from studperf.models.encoding import Encoder
from studperf.models.storage import with_new_names
from studperf.prediction.formula_file import FORMAT_VERSION, PredictorFileError, record_hash

FOLDER = Path(__file__).parent / "old_predictors"  # saved with version 3 of the format
EXPECTED = json.loads((FOLDER / "expected.json").read_text())  # for every fiftieth student of the sample: prediction, low, high


def load_quietly(path):
    """Load a file; it was made with other versions of the libraries as soon as one of them is updated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*: made with ", DataWarning)
        return load_predictor(path)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_file_of_version_3_predicts_what_it_did(name):
    with zipfile.ZipFile(FOLDER / name) as archive:
        assert json.loads(archive.read("predictor.json"))["version"] == 3
    predicted = load_quietly(FOLDER / name).predict(load_students().iloc[::50])
    np.testing.assert_allclose(predicted, EXPECTED[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_an_old_predictor_saved_again_has_the_new_version(tmp_path, name):
    load_quietly(FOLDER / name).save(tmp_path / "again", own_use=True)
    with zipfile.ZipFile(tmp_path / "again") as archive:
        assert json.loads(archive.read("predictor.json"))["version"] == FORMAT_VERSION
    predicted = load_predictor(tmp_path / "again").predict(load_students().iloc[::50])
    np.testing.assert_allclose(predicted, EXPECTED[name], rtol=0, atol=1e-9)


def forged(path, model, number=3):
    """An old file with another model; its checksums fit."""
    with zipfile.ZipFile(FOLDER / "partial_pooling.studperf") as archive:
        record = json.loads(archive.read("predictor.json"))
    record = record | {"version": number, "model_sha256": hashlib.sha256(model).hexdigest()}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("predictor.json", json.dumps(record | {"sha256": record_hash(record)}))
        archive.writestr("model.skops", model)
    return path


def with_name(model, old, new):
    """A description in which another class or module is named."""
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(model)) as source, zipfile.ZipFile(content, "w") as target:
        for name in source.namelist():
            member = source.read(name)
            target.writestr(name, member.replace(old, new) if name == "schema.json" else member)
    return content.getvalue()


def old_model():
    with zipfile.ZipFile(FOLDER / "partial_pooling.studperf") as archive:
        return archive.read("model.skops")


def test_old_names_are_those_of_a_closed_list(tmp_path):
    foreign = skops.io.dumps(Pipeline([("encoder", FunctionTransformer(os.system))]))
    renamed = with_name(old_model(), b'"studperf.model"', b'"studperf.cli"')
    unknown = with_name(old_model(), b'"Encoder"', b'"Candidate"')
    for model, said in ((foreign, "system"), (renamed, r"studperf\.cli\.Encoder"), (unknown, r"studperf\.model\.Candidate")):
        with pytest.raises(PredictorFileError, match=f"model.skops holds .*{said}.*no predictor of studperf needs"):
            load_quietly(forged(tmp_path / "forged", model))


def test_a_name_that_is_no_text_or_lies_deep_is_refused(tmp_path):
    for member in ('{"__module__": ["studperf.model"], "__class__": {"Encoder": 1}, "__loader__": 3}', "[" * 5000 + "]" * 5000, "3", ""):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("schema.json", member)
        with pytest.raises(PredictorFileError):
            load_quietly(forged(tmp_path / "forged", content.getvalue()))


def test_old_names_are_translated_in_old_files_alone(tmp_path, monkeypatch):
    """As if `Encoder` had been in another module at the time."""
    elsewhere = with_name(with_new_names(old_model()), f'"{Encoder.__module__}"'.encode(), b'"studperf.elsewhere"')
    monkeypatch.setattr(storage, "RENAMED_TYPES", {("studperf.elsewhere", kind.__name__): kind for kind in storage.RENAMED_TYPES.values()})
    predicted = load_quietly(forged(tmp_path / "old", elsewhere)).predict(load_students().iloc[::50])
    np.testing.assert_allclose(predicted, EXPECTED["partial_pooling.studperf"], rtol=0, atol=1e-9)
    with pytest.raises(PredictorFileError, match=r"model.skops holds .*studperf\.elsewhere\.Encoder"):
        load_quietly(forged(tmp_path / "new", elsewhere, FORMAT_VERSION))
