"""`import studperf` costs next to nothing: everything heavy is loaded when it is first used."""
import subprocess
import sys

HEAVY = {"numpy", "pandas", "pyarrow", "duckdb", "scipy", "sklearn", "statsmodels", "matplotlib", "seaborn", "ipywidgets",
         "IPython", "typer", "jinja2", "narwhals", "tqdm", "nbdev", "fastcore"}


def imported_by(statement):
    run = subprocess.run([sys.executable, "-X", "importtime", "-c", statement], capture_output=True, text=True, check=True)
    return {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in run.stderr.splitlines() if line.startswith("import time:")}


def test_import_loads_nothing_heavy():
    assert not imported_by("import studperf") & HEAVY


def test_the_check_would_see_a_heavy_import():
    assert {"pandas", "numpy"} <= imported_by("import studperf; studperf.load_students")


def test_package_needs_no_development_tool():
    everything = "import studperf; [getattr(studperf, name) for name in studperf.__all__]; import studperf.cli"
    assert not imported_by(everything) & {"nbdev", "fastcore", "execnb", "mapie", "polars", "hypothesis", "playwright"}


def test_public_names_are_what_they_say():
    code = ("import studperf, studperf.comparison, studperf.reporting\n"
            "assert all(callable(getattr(studperf, name)) for name in ('compare', 'report', 'describe', 'regress'))\n"
            "assert studperf.compare.__module__ == 'studperf.comparison'")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_who_names_a_model_does_not_wait_for_the_libraries_of_others():
    found = imported_by("import studperf; studperf.compare_models(studperf.load_students(), 'math', models=['mean', 'least squares'], repeats=1)")
    assert "sklearn" in found and not found & {"xgboost", "catboost"}
    assert "xgboost" in imported_by("import studperf; studperf.compare_models(studperf.load_students().head(60), 'math', models=['XGBoost'], repeats=1)")
