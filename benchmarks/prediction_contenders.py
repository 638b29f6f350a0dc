"""What `prediction.py` measures, a process each: studperf's predictor and its peers, each in its best reasonable form.

    python benchmarks/prediction_contenders.py studperf '{"source": "students.parquet", "predictor": "math.studperf"}'

A contender is a function of options that says, as JSON, the seconds of its runs and some of its numbers, so that all are seen
to do the same work. Imports, reading of what all are given, and a first run are not timed. Nothing is imported before it is
needed: pycaret's environment has no studperf, and what is imported counts towards the memory.
"""
import importlib.metadata
import json
import os
import resource
import subprocess
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

TARGET = "math"
OTHER_SCORES = ["reading", "writing"]
FACTORS = ["gender", "ethnicity", "parental_education", "lunch", "test_prep"]
OPTIONAL = ("XGBoost", "CatBoost")  # the models of the extra `boost`
PACKAGES = ("studperf", "scikit-learn", "duckdb", "pandas", "numpy", "pyarrow", "dask", "xgboost-cpu", "catboost", "pycaret", "lightgbm")
ENOUGH_SECONDS = 2  # what takes longer is not done again and again in one process


def seconds_of(work, repeats=3):
    """Seconds of each run after a first one, which is the only one if it takes long."""
    found = []
    while len(found) < 1 + repeats and (not found or found[0] < ENOUGH_SECONDS):
        start = perf_counter()
        work()
        found.append(perf_counter() - start)
    return found[1:] or found


def peak_mb(whose=resource.RUSAGE_SELF):
    """The most memory that this process, or the largest that it started and that ended, has held."""
    return resource.getrusage(whose).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


# One student

def one_student(path, inputs, models, students=100):
    """`predict_one` beside the pipeline on frames of one row, which are made beforehand."""
    from studperf import fit_predictor, load_students

    rows, lines = load_students(path), []
    for model in models:
        predictor = fit_predictor(rows, TARGET, inputs=inputs, model=model, folds=2, progress=False)
        lines.append(_one_model(predictor, rows, students, predictor.pipeline, "the same pipeline"))
        if (model, inputs) == ("least squares", "background"):
            lines.append(_one_model(predictor, rows, students, plain_pipeline().fit(rows[FACTORS], rows[TARGET]), "scikit-learn's encoder"))
    return {"lines": lines}


def plain_pipeline():
    """Least squares as scikit-learn's own parts make it."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    return make_pipeline(make_column_transformer((OneHotEncoder(drop="first", sparse_output=False), FACTORS)), LinearRegression())


def _one_model(predictor, rows, students, pipeline, peer):
    """Microseconds of both for each of some students, and the largest difference of their predictions."""
    import numpy as np

    table = rows[list(predictor.inputs)].sample(students, random_state=0)
    asked = table.to_dict("records")
    frames = [table.iloc[[place]] for place in range(students)]
    lowest, highest = predictor.schema.scores[predictor.target]
    expected = predictor.predict(table)
    expected["prediction"] = pipeline.predict(table).clip(lowest, highest)
    found = [predictor.predict_one(student)[:3] for student in asked]
    ours = seconds_of(lambda: [predictor.predict_one(student) for student in asked], 5)
    theirs = seconds_of(lambda: [pipeline.predict(frame) for frame in frames])
    return {"model": predictor.model, "inputs": "background" if set(predictor.inputs) <= set(FACTORS) else "all", "peer": peer,
            "formula": predictor.formula is not None, "microseconds": 1e6 * float(np.median(ours)) / students,
            "peer_microseconds": 1e6 * float(np.median(theirs)) / students,
            "difference": float(np.abs(np.array(found) - expected.to_numpy()).max())}


# A file of students

def make_predictor(path, model, inputs, out):
    """The predictor that all who predict a file are given."""
    from studperf import fit_predictor, load_students

    fit_predictor(load_students(path), TARGET, inputs=inputs, model=model, progress=False).save(out, own_use=True)
    return {}


def file_by_studperf(source, predictor):
    from studperf import load_predictor, predict_file

    loaded = load_predictor(predictor)
    return _file_written(lambda out: predict_file(loaded, source, out, progress=False))


def file_by_command(source, predictor):
    """The whole process, with Python's start and the imports; its memory is that of the command."""
    def work(out):
        subprocess.run([sys.executable, "-c", "from studperf.cli import main; main()", "predict", predictor, source, "--out", out],
                       check=True, stdout=subprocess.DEVNULL)

    return _file_written(work, lambda: peak_mb(resource.RUSAGE_CHILDREN))


def file_copied(source):
    """What DuckDB needs to copy the file, with no prediction at all: a floor to compare with."""
    import duckdb

    duckdb.execute("SET memory_limit = '500MB'")
    return _file_written(lambda out: duckdb.execute(f"COPY (FROM '{source}') TO '{out}' (FORMAT parquet, COMPRESSION zstd)"), checked=False)


def file_by_scikit_learn(source, predictor):
    """The table as a whole, in memory: pandas reads it, the same pipeline predicts, and the interval has the same width."""
    import pandas as pd
    from studperf import load_predictor

    loaded = load_predictor(predictor)
    margin = loaded.errors.half_width(.9)
    lowest, highest = loaded.schema.scores[loaded.target]

    def work(out):
        rows = pd.read_parquet(source)
        raw = loaded.pipeline.predict(rows[list(loaded.inputs)])
        rows["prediction"], rows["low"], rows["high"] = ((raw + by).clip(lowest, highest) for by in (0, -margin, margin))
        rows.to_parquet(out, compression="zstd", index=False)

    return _file_written(work)


def file_by_dask(source, predictor):
    """Two workers in one process, which read, predict and write a row group at a time."""
    import dask.dataframe as dd
    from distributed import Client, LocalCluster
    from studperf import load_predictor

    loaded = load_predictor(predictor)
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster, Client(cluster):
        def work(out):
            rows = dd.read_parquet(source, split_row_groups=1)
            predicted = loaded.predict(rows)
            rows.assign(**{name: predicted[name] for name in predicted}).to_parquet(out, compression="zstd", write_index=False)

        return _file_written(work)


def _file_written(work, memory=peak_mb, checked=True):
    """Seconds of writing, memory, and what was written added up."""
    with TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.parquet")
        seconds = seconds_of(lambda: work(out))
        answer = {"seconds": seconds, "peak_mb": memory()}
        return answer | {"checks": written(out)} if checked else answer


def written(out):
    """The sums of a written file, which the contenders must agree in; of a folder, if it was written in parts."""
    import duckdb

    files = f"{out}/*.parquet" if Path(out).is_dir() else out
    sums = ", ".join(f"sum({name})" for name in (TARGET, "prediction", "low", "high", f"{TARGET} * prediction"))
    found = duckdb.execute(f"SELECT count(*), {sums} FROM '{files}'").fetchone()
    return dict(zip(("rows", TARGET, "prediction", "low", "high", "product"), map(float, found), strict=True))


# The comparison of models

def fits_of(model):
    """How often a model is fitted, search included; a forest judges itself, so that the best is kept as it is."""
    from sklearn.model_selection import GridSearchCV, ParameterGrid

    if not isinstance(model, GridSearchCV):
        return 1
    tried = len(ParameterGrid(model.param_grid))
    return tried * model.cv.get_n_splits() + 1 if model.cv else tried


def comparison_by_studperf(path, optional):
    """Five folds, twice, and within each training part a search for the parameters where a model has some."""
    from studperf import STUDENTS, compare_models, load_students
    from studperf.models.candidates import candidates

    known = candidates(STUDENTS, TARGET)
    models = [name for name in known if optional or name not in OPTIONAL]
    rows, tables = load_students(path), []
    seconds = first_and_later(lambda: tables.append(compare_models(rows, TARGET, models=models, progress=False)))
    best = tables[-1].iloc[0]
    return {"seconds": seconds, "setup": 0, "models": len(models), "fits": 10 * sum(fits_of(known[name]) for name in models),
            "best": best["model"], "r2": float(best["r2"])}


def comparison_by_pycaret(path):
    """Ten folds of the training part, which is 70% of the rows, with every default; no search."""
    import pandas as pd
    from pycaret.regression import RegressionExperiment

    rows = pd.read_csv(path, keep_default_na=False)
    experiment = RegressionExperiment()
    start = perf_counter()
    experiment.setup(rows, target=TARGET, ignore_features=OTHER_SCORES, session_id=0, verbose=False, html=False, system_log=False)
    setup = perf_counter() - start
    seconds = first_and_later(lambda: experiment.compare_models(verbose=False))
    found = experiment.pull()
    return {"seconds": seconds, "setup": setup, "models": len(found), "fits": 10 * len(found),
            "best": found["Model"].iloc[0], "r2": float(found["R2"].iloc[0])}


def first_and_later(work):
    """Seconds of a first run, which starts processes and loads code, and of a second."""
    found = []
    for _ in range(2):
        start = perf_counter()
        work()
        found.append(perf_counter() - start)
    return found


# Growth with the rows

def growth(path, model, fitted, predicted, most_seconds):
    """Seconds for fitting a model to so many rows, its search included, and for predicting so many with one fitted to 1,000."""
    from studperf import STUDENTS, fit_predictor, load_students
    from studperf.models.candidates import candidate_models, candidates
    from studperf.models.threads import few_threads

    rows, most_rows = load_students(path), candidate_models()[model].most_rows
    estimator = candidates(STUDENTS, TARGET)[model]

    def fit(table):
        with few_threads(len(table)):
            estimator.fit(table[FACTORS], table[TARGET].to_numpy(float))

    lines = _grown("fit", fit, rows, [size for size in fitted if size <= most_rows], most_seconds)
    lines += [{"what": "fit", "rows": size, "outcome": f"not meant for more than {most_rows:,}"} for size in fitted if size > most_rows]
    predictor = fit_predictor(rows.head(1000), TARGET, model=model, folds=2)
    return {"lines": lines + _grown("predict", predictor.predict, rows, predicted, most_seconds)}


def growth_of_training(path, fitted, most_seconds):
    """Seconds of all that `fit_predictor` does: compare the models, choose one, fit it eleven times."""
    from studperf import fit_predictor, load_students

    rows, models = load_students(path), []
    lines = _grown("train", lambda table: models.append(fit_predictor(table, TARGET, progress=False).model), rows, fitted, most_seconds)
    return {"lines": [line | {"chosen": models[-1]} for line in lines]}


def _grown(what, work, rows, sizes, most_seconds):
    """A line for each size; none is begun that would take too long if the time grew as the rows do."""
    lines, last = [], (1, 0.0)
    for size in sizes:
        expected = last[1] * size / last[0]
        if expected > most_seconds:
            lines.append({"what": what, "rows": size, "outcome": f"left out: {last[0]:,} rows took {last[1]:.0f} s"})
            continue
        table = rows.head(size)
        seconds = seconds_of(lambda: work(table))  # noqa: B023  done before the next table is made
        last = size, sorted(seconds)[len(seconds) // 2]
        lines.append({"what": what, "rows": size, "seconds": last[1], "outcome": "done"})
    return lines


CONTENDERS = {
    "one student": one_student,
    "predictor": make_predictor,
    "studperf": file_by_studperf,
    "studperf predict, the whole command": file_by_command,
    "DuckDB's copy": file_copied,
    "scikit-learn on the whole table": file_by_scikit_learn,
    "studperf on Dask": file_by_dask,
    "compare_models": comparison_by_studperf,
    "pycaret": comparison_by_pycaret,
    "growth": growth,
    "training": growth_of_training,
}


def main():
    warnings.simplefilter("ignore")
    name, options = sys.argv[1], json.loads(sys.argv[2])
    answer = CONTENDERS[name](**options)
    print(json.dumps(answer | {"versions": {name: importlib.metadata.version(name) for name in PACKAGES if _installed(name)}}))


def _installed(name):
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False


if __name__ == "__main__":
    main()
