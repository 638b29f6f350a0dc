"""Every row of a file gets what `predict` says, whichever way is taken; what predict refuses or tells, predict_file does too."""
import gzip
import re
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from studperf import STUDENTS, DataError, DataWarning, Schema, fit_predictor, load_students, simulate_students
from studperf.prediction import files
from studperf.models.candidates import candidate_models
from studperf.prediction.tables import PREDICTED, predict_partitions
from studperf.prediction.files import predict_file

MODELS = [name for name in candidate_models() if name not in ("XGBoost", "CatBoost")]
OWN = Schema({"class": ["7", "8", "9"], "sex": ["boy", "girl"]}, {"exam": (0, 60), "essay": (-5.5, 20)}, ["class"], covariates=["age"],
             aliases={"sex": ["gender at birth"]})


def own_rows(n=400, seed=3):
    """Fictional pupils whose exam goes along with class, sex, essay and age; some lack an essay."""
    random = np.random.default_rng(seed)
    rows = pd.DataFrame({"class": random.choice(["7", "8", "9"], n), "sex": random.choice(["boy", "girl"], n),
                         "essay": random.integers(-11, 41, n) / 2, "age": random.normal(13, 1, n)})
    rows["exam"] = (25 + rows["essay"] + 2 * (rows["sex"] == "girl") + rows["age"] + random.normal(0, 4, n)).round().clip(0, 60)
    return rows.assign(essay=rows["essay"].where(random.random(n) > .1))


def fit_own(rows, model="least squares", **options):
    with pytest.warns(DataWarning, match="some lack an input .'essay'"):
        return fit_predictor(rows, "exam", inputs="all", model=model, schema=OWN, **options)


def told_if(condition):
    return pytest.warns(DataWarning) if condition else nullcontext()


@pytest.fixture(scope="module")
def students():
    return simulate_students(600, seed=11)


@pytest.fixture(scope="module")
def additive(students):
    return fit_predictor(students, "math", model="least squares")


@pytest.fixture(scope="module")
def with_numbers():
    return fit_own(own_rows())


@pytest.fixture(params=["database", "batches", "memory"])
def way(request, monkeypatch):
    """Each way, though the rule would choose another."""
    monkeypatch.setattr(files, "SMALL_FILE", 10**9 if request.param == "memory" else 0)
    if request.param == "batches":
        monkeypatch.setattr(files, "MOST_COMBINATIONS", 0)
        monkeypatch.setattr(files, "BATCH", 150)
    if request.param == "memory":
        monkeypatch.setattr(files, "_is_for_loader", lambda source: True)
    else:
        monkeypatch.setattr(files, "predicted_in_memory", None)
    return request.param


def read(path):
    """A written file as a table, all of it as texts if it is CSV but for the predictions."""
    if path.suffix == ".parquet":
        return pa.parquet.read_table(path).to_pandas()
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def numbers(frame):
    return frame[list(PREDICTED)].replace("", np.nan).to_numpy(float)


def same(found, expected):
    np.testing.assert_allclose(numbers(found), expected[list(PREDICTED)].to_numpy(float), rtol=0, atol=1e-9)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.usefixtures("no_search")
def test_each_model_of_factors(model, students, tmp_path):
    predictor = fit_predictor(students, "math", model=model, folds=2)
    students.to_parquet(tmp_path / "students.parquet")
    assert predict_file(predictor, tmp_path / "students.parquet", tmp_path / "out.parquet", level=.8) == 600
    same(read(tmp_path / "out.parquet"), predictor.predict(students, level=.8))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.usefixtures("no_search")
def test_each_model_of_factors_and_numbers(model, tmp_path):
    rows = own_rows()
    predictor = fit_own(rows, model, folds=2)
    assert predictor.learned_missing == ("essay",)
    rows.to_parquet(tmp_path / "pupils.parquet")
    assert predict_file(predictor, tmp_path / "pupils.parquet", tmp_path / "out.csv") == len(rows)
    same(read(tmp_path / "out.csv"), predictor.predict(rows))


@pytest.mark.parametrize("kind", ["csv", "tsv", "csv.gz", "parquet"])
@pytest.mark.parametrize("out", ["csv", "parquet"])
def test_each_kind_of_file_keeps_its_columns(kind, out, with_numbers, way, tmp_path):
    rows = own_rows(350, seed=9).rename(columns={"sex": "gender at birth"}).drop(columns="exam")
    rows["class"] = rows["class"].astype(int)
    rows.insert(1, "note", ['he said "no"', "a, b; c", "two\nlines", "", "plain", "'quoted'", "ärgerlich"] * 50)
    path, written = tmp_path / f"pupils.{kind}", tmp_path / f"out.{out}"
    save = {"csv": rows.to_csv, "tsv": lambda path, index: rows.to_csv(path, index=index, sep="\t"), "csv.gz": rows.to_csv,
            "parquet": rows.to_parquet}[kind]
    save(path, index=False)
    assert predict_file(with_numbers, path, written, progress=False) == 350
    found = read(written)
    assert list(found) == [*rows, *PREDICTED]
    same(found, with_numbers.predict(rows))
    assert found["note"].fillna("").tolist() == rows["note"].tolist()
    assert found["class"].astype(float).tolist() == rows["class"].tolist()
    np.testing.assert_array_equal(pd.to_numeric(found["essay"]), rows["essay"])
    if kind == out == "parquet":
        assert found["class"].dtype == rows["class"].dtype and found["essay"].dtype == rows["essay"].dtype
    assert sorted(tmp_path.iterdir()) == sorted([path, written])


def test_rows_of_many_groups_and_batches_stay_in_order(additive, tmp_path, monkeypatch):
    rows = simulate_students(700_000, seed=2).drop(columns=["reading", "writing"]).assign(number=np.arange(700_000))
    pa.parquet.write_table(pa.Table.from_pandas(rows, preserve_index=False), tmp_path / "many.parquet", row_group_size=20_000)
    expected = additive.predict(rows)
    for most in (10_000, 0):
        monkeypatch.setattr(files, "MOST_COMBINATIONS", most)
        assert predict_file(additive, tmp_path / "many.parquet", tmp_path / "out.parquet") == len(rows)
        found = read(tmp_path / "out.parquet")
        assert (found["number"] == rows["number"]).all()
        same(found, expected)


def test_an_unknown_level_and_an_impossible_number(with_numbers, way, tmp_path):
    rows = own_rows(300, seed=4)
    rows["sex"] = rows["sex"].where(rows.index != 7, "grl")
    rows["essay"] = rows["essay"].where(~rows.index.isin([11, 12]), 99)
    rows["age"] = rows["age"].where(rows.index != 13, np.inf)
    rows.to_csv(tmp_path / "pupils.csv", index=False)
    (tmp_path / "out.csv").write_text("what was there")
    with pytest.raises(DataError) as told:
        predict_file(with_numbers, tmp_path / "pupils.csv", tmp_path / "out.csv")
    with pytest.raises(DataError) as loaded:
        load_students(tmp_path / "pupils.csv", schema=with_numbers.schema.only(with_numbers.inputs))
    texts = "\n".join(told.value.problems)
    assert told.value.source == str(tmp_path / "pupils.csv")
    assert "row 9, column 'sex': found 'grl', expected one of 'boy', 'girl'; did you mean 'girl'?" in texts
    assert re.search(r"rows 13, 14, column 'essay': found '?99(\.0)?'?, expected a number from -5.5 to 20", texts)
    assert re.search(r"row 15, column 'age': found '?inf'?, expected a number", texts)
    assert len(told.value.problems) == len(loaded.value.problems) == 3
    assert (tmp_path / "out.csv").read_text() == "what was there" and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("text", ["many", "7_0", "1,5"])
def test_a_text_among_numbers(text, with_numbers, way, tmp_path):
    rows = own_rows(300, seed=4).astype({"age": object})
    rows.loc[20, "age"] = text
    rows.to_csv(tmp_path / "pupils.csv", index=False)
    with pytest.raises(DataError, match=f"row 22, column 'age': found '{text}', expected a number"):
        predict_file(with_numbers, tmp_path / "pupils.csv", tmp_path / "out.csv")


def test_very_many_faults_are_counted(additive, students, tmp_path):
    rows = pd.concat([students.astype({"lunch": object})] * 4).replace({"lunch": {"standard": "full"}})
    rows.to_parquet(tmp_path / "students.parquet")
    faulty = int((rows["lunch"] == "full").sum())
    with pytest.raises(DataError, match=f"{faulty:,} rows have faults; these are those of the first 1,000"):
        predict_file(additive, tmp_path / "students.parquet", tmp_path / "out.parquet")


def test_missing_values_are_counted_and_get_no_prediction(with_numbers, way, tmp_path):
    rows = own_rows(300, seed=5)
    rows["sex"] = rows["sex"].where(~rows.index.isin([0, 4, 5, 6, 7, 8, 200]), np.where(rows.index % 2, "n/a", ""))
    rows["age"] = rows["age"].where(rows.index != 4)
    rows.to_csv(tmp_path / "pupils.csv", index=False)
    with pytest.warns(DataWarning) as told:
        predict_file(with_numbers, tmp_path / "pupils.csv", tmp_path / "out.parquet")
    assert len(told) == 1
    assert "column 'sex' is missing in rows 2, 6, 7, 8, 9 and 2 more" in str(told[0].message)
    assert "column 'age' is missing in row 6" in str(told[0].message) and "essay" not in str(told[0].message)
    found = read(tmp_path / "out.parquet")
    assert found.index[found["prediction"].isna()].tolist() == [0, 4, 5, 6, 7, 8, 200]
    with pytest.warns(DataWarning):
        same(found, with_numbers.predict(rows))


def test_new_combinations_are_counted(students, way, tmp_path):
    schema = STUDENTS.only(["lunch", "gender", "math", "reading"])
    seen = students[(students["gender"] != "male") | (students["lunch"] != "standard")]
    predictor = fit_predictor(seen, "math", inputs=["lunch", "gender", "reading"], model="least squares", schema=schema)
    rows = students.astype({"reading": float})
    rows.loc[rows.index[(rows["gender"] == "male") & (rows["lunch"] == "standard")][0], "reading"] = np.nan
    rows.to_parquet(tmp_path / "students.parquet")
    with pytest.warns(DataWarning) as told:
        predict_file(predictor, tmp_path / "students.parquet", tmp_path / "out.parquet")
    new = np.flatnonzero((rows["gender"] == "male") & (rows["lunch"] == "standard") & rows["reading"].notna())
    expected = f"rows {', '.join(map(str, new[:5] + 2))} and {len(new) - 5} more: no student of the training rows had this combination"
    assert expected in str(told[-1].message) and len(told) == 2
    with pytest.warns(DataWarning):
        same(read(tmp_path / "out.parquet"), predictor.predict(rows))


def test_a_file_without_rows_or_without_a_column(additive, students, way, tmp_path):
    students[:0].to_parquet(tmp_path / "none.parquet")
    students[:0].to_csv(tmp_path / "none.csv", index=False)
    for name in ("none.parquet", "none.csv"):
        with pytest.raises(DataError, match="there are headings but no rows"):
            predict_file(additive, tmp_path / name, tmp_path / "out.csv")
    students.drop(columns="lunch").to_parquet(tmp_path / "some.parquet")
    with pytest.raises(DataError, match="column 'lunch': not found"):
        predict_file(additive, tmp_path / "some.parquet", tmp_path / "out.csv")


def test_headings_that_clash_or_that_databases_do_not_know(additive, students, way, tmp_path):
    rows = students.assign(**{"Prediction": 1, "low": "2", "raw": 3, 'a "b"': "x", "": 5, "Raw": 6})
    rows.to_csv(tmp_path / "students.csv", index=False)
    assert predict_file(additive, tmp_path / "students.csv", tmp_path / "out.csv") == 600
    found = pd.read_csv(tmp_path / "out.csv", header=None, dtype=str)
    assert found.iloc[0].fillna("").tolist() == [*(name or "column 13" for name in rows), "prediction (predicted)", "low (predicted)", "high"]
    np.testing.assert_allclose(found.iloc[1:, -3:].astype(float), additive.predict(students), rtol=0, atol=1e-9)
    assert found.iloc[1:, -9:-3].to_numpy().tolist() == [["1", "2", "3", "x", "5", "6"]] * 600


@pytest.mark.parametrize("values", [[7, 8, 9], [7.0, 8.0, None], ["7", "8", "9"], pytest.param([pd.Timestamp("2026-01-02")] * 3, id="dates")])
def test_levels_of_any_type(values, way, tmp_path):
    kinds = sorted({str(value).removesuffix(" 00:00:00").removesuffix(".0") for value in values if value is not None} | {"4"})
    schema = Schema({"group": kinds}, ["exam"])
    rows = pd.DataFrame({"group": kinds * 20, "exam": np.arange(20 * len(kinds)) % 17.})
    predictor = fit_predictor(rows, "exam", model="decision tree", schema=schema, folds=2)
    asked = pd.DataFrame({"group": values * 50})
    asked.to_parquet(tmp_path / "pupils.parquet")
    with told_if(None in values):
        predict_file(predictor, tmp_path / "pupils.parquet", tmp_path / "out.parquet")
    with told_if(None in values):
        expected = predictor.predict(asked)
    same(read(tmp_path / "out.parquet"), expected)


@pytest.mark.filterwarnings("ignore:column 'class'.*not known:studperf.rows.values.DataWarning")
def test_a_score_without_limits_and_too_few_students_for_the_level(tmp_path):
    rows = own_rows(30).drop(columns="essay")
    schema = Schema(OWN.factors, ["exam"], covariates=["age"])
    with pytest.warns(DataWarning, match="column 'age': far values of few students are drawn in"):
        predictor = fit_predictor(rows, "exam", model="ridge", schema=schema, folds=3)
    rows.to_parquet(tmp_path / "pupils.parquet")
    predict_file(predictor, tmp_path / "pupils.parquet", tmp_path / "out.parquet", level=.99)
    found = read(tmp_path / "out.parquet")
    assert (found["low"] == -np.inf).all() and (found["high"] == np.inf).all()
    same(found, predictor.predict(rows, level=.99))


def test_predictions_are_clipped_to_the_scores_limits(tmp_path):
    rows = own_rows(300)
    predictor = fit_predictor(rows, "exam", inputs=["age"], model="least squares", schema=OWN)
    asked = pd.DataFrame({"age": [-500., 13, 500]})
    asked.to_parquet(tmp_path / "pupils.parquet")
    predict_file(predictor, tmp_path / "pupils.parquet", tmp_path / "out.parquet")
    found = read(tmp_path / "out.parquet")
    assert found["prediction"].tolist()[::2] == [0, 60]
    same(found, predictor.predict(asked))


def test_what_duckdb_cannot_read_is_loaded(additive, students, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SMALL_FILE", 0)
    rows = students.assign(name="Zoë")
    (tmp_path / "latin.csv").write_bytes(rows.to_csv(index=False).encode("cp1252"))
    with pytest.warns(DataWarning, match="read as Windows-1252"):
        assert predict_file(additive, tmp_path / "latin.csv", tmp_path / "out.csv") == 600
    assert set(read(tmp_path / "out.csv")["name"]) == {"Zoë"}
    (tmp_path / "ragged.csv").write_text(students.to_csv(index=False) + "female,group A\n")
    with pytest.raises(DataError, match="row 602: found 2 fields, expected 8"):
        predict_file(additive, tmp_path / "ragged.csv", tmp_path / "out.csv")
    whole = gzip.compress(students.to_csv(index=False).encode())
    (tmp_path / "cut.csv.gz").write_bytes(whole[:len(whole) // 2])
    with pytest.raises(DataError, match="cannot be unpacked"):
        predict_file(additive, tmp_path / "cut.csv.gz", tmp_path / "out.csv")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        predict_file(additive, tmp_path / "cut.parquet", tmp_path / "out.csv")


@pytest.mark.parametrize("out", ["csv", "parquet"])
def test_a_workbook_with_numbers_and_words_in_a_column(out, additive, students, tmp_path):
    rows = students[:20].assign(room=[12, "B 3"] * 10, seat=[1, None] * 10)
    rows.to_excel(tmp_path / "students.xlsx", index=False)
    assert predict_file(additive, tmp_path / "students.xlsx", tmp_path / f"out.{out}") == 20
    found = read(tmp_path / f"out.{out}")
    assert found["room"].tolist() == ["12", "B 3"] * 10 and found["seat"].replace("", None).isna().sum() == 10
    same(found, additive.predict(students[:20]))


def test_mistakes_are_told_before_anything_is_read(additive, students, tmp_path):
    students.to_csv(tmp_path / "students.csv", index=False)
    before = (tmp_path / "students.csv").read_bytes()
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "students.csv")
    for out, words in ((tmp_path / "students.csv", "is the file that is read"), (link, "is the file that is read"),
                       (tmp_path / "out.xlsx", "must end in .csv or .parquet")):
        with pytest.raises(ValueError, match=words):
            predict_file(additive, tmp_path / "students.csv", out)
    with pytest.raises(ValueError, match="level: found 90"):
        predict_file(additive, tmp_path / "students.csv", tmp_path / "out.csv", level=90)
    with pytest.raises(FileNotFoundError, match="the folder .* does not exist"):
        predict_file(additive, tmp_path / "students.csv", tmp_path / "nowhere" / "out.csv")
    with pytest.raises(FileNotFoundError, match="absent.csv"):
        predict_file(additive, tmp_path / "absent.csv", tmp_path / "out.csv")
    assert (tmp_path / "students.csv").read_bytes() == before


def test_memory_is_limited(additive, students, tmp_path):
    students.to_parquet(tmp_path / "students.parquet")
    with pytest.raises(ValueError, match="memory_limit: found 'much'"):
        predict_file(additive, tmp_path / "students.parquet", tmp_path / "out.csv", memory_limit="much")
    pd.concat([students] * 500).to_parquet(tmp_path / "many.parquet")
    with pytest.raises(MemoryError, match="a memory limit of 2MB is too small; raise memory_limit"):
        predict_file(additive, tmp_path / "many.parquet", tmp_path / "out.parquet", memory_limit="2MB")
    assert predict_file(additive, tmp_path / "many.parquet", tmp_path / "out.parquet", memory_limit="200MB") == 300_000
    assert not (tmp_path / "out.csv").exists()


@pytest.fixture(scope="module")
def cluster():
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster, Client(cluster):
        yield cluster


def test_a_dask_cluster(cluster, additive, with_numbers, students, tmp_path):
    import dask.dataframe

    frame = dask.dataframe.from_pandas(students, npartitions=4)
    lazy = additive.predict(frame, level=.8)
    pd.testing.assert_frame_equal(lazy.compute(), additive.predict(students, level=.8))
    pupils = own_rows(300).rename(columns={"sex": "Sex"})
    pd.testing.assert_frame_equal(predict_partitions(with_numbers, dask.dataframe.from_pandas(pupils, npartitions=3)).compute(),
                                  with_numbers.predict(pupils))
    joined = frame.assign(**{name: lazy[name] for name in PREDICTED})
    joined.to_parquet(tmp_path / "out")
    found = pd.read_parquet(tmp_path / "out")
    assert list(found) == [*students, *PREDICTED]
    same(found, additive.predict(students, level=.8))


def test_a_dask_cluster_refuses(cluster, additive, students):
    import dask.dataframe

    wrong = students.astype({"lunch": object})
    wrong.loc[500, "lunch"] = "free lunch"
    with pytest.raises(ValueError, match="row 500, column 'lunch': found 'free lunch', expected one of 'free/reduced', 'standard'"):
        additive.predict(dask.dataframe.from_pandas(wrong, npartitions=4)).compute()
    with pytest.raises(DataError, match="column 'lunch': not found"):
        additive.predict(dask.dataframe.from_pandas(students.drop(columns="lunch"), npartitions=4))
    with pytest.raises(ValueError, match="level: found 90"):
        additive.predict(dask.dataframe.from_pandas(students, npartitions=4), level=90)


def test_parts_without_rows_and_rows_that_lack_a_value(additive, students):
    import dask.dataframe

    rows = students.astype({"lunch": object})
    rows.loc[3, "lunch"] = None
    frame = dask.dataframe.from_pandas(rows, npartitions=4)
    some = frame[frame["math"] > 98]
    assert len(additive.predict(some).compute()) == (rows["math"] > 98).sum()
    found = additive.predict(frame).compute()
    assert found.index[found["prediction"].isna()].tolist() == [3]
