"""`import studperf` costs next to nothing: everything heavy is loaded when it is first used."""
import importlib
import inspect
import re
import subprocess
import sys

import pytest

import studperf

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
    """What is not there cannot be imported: statsmodels would take polars where it is installed."""
    tools = {"nbdev", "fastcore", "execnb", "mapie", "polars", "hypothesis", "playwright", "fairlearn", "opendp"}
    code = (f"import sys; sys.modules |= dict.fromkeys({sorted(tools)})\n"
            "import studperf; [getattr(studperf, name) for name in studperf.__all__]; import studperf.cli")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_are_what_they_say():
    code = ("import importlib, pkgutil, studperf\n"  # a module or room of the same name would hide a function
            "for found in pkgutil.walk_packages(studperf.__path__, 'studperf.'): importlib.import_module(found.name)\n"
            "modules = {name for name in studperf.__all__ if type(getattr(studperf, name)).__name__ == 'module'}\n"
            "assert not modules, modules\n"
            "assert all(callable(getattr(studperf, name)) for name in ('compare', 'report', 'describe', 'regress'))")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_who_names_a_model_does_not_wait_for_the_libraries_of_others():
    found = imported_by("import studperf; studperf.compare_models(studperf.load_students(), 'math', models=['mean', 'least squares'], repeats=1)")
    assert "sklearn" in found and not found & {"xgboost", "catboost"}
    assert "xgboost" in imported_by("import studperf; studperf.compare_models(studperf.load_students().head(60), 'math', models=['XGBoost'], repeats=1)")


def test_who_fits_a_predictor_does_not_wait_for_what_files_need():
    fit = "import studperf; predictor = studperf.fit_predictor(studperf.load_students(), 'math', model='least squares', folds=2)"
    assert not imported_by(fit) & {"skops", "fsspec", "matplotlib"}
    assert "skops" in imported_by(f"{fit}; from studperf.models.storage import predictor_to_bytes; predictor_to_bytes(predictor, 'math')")


def test_a_package_that_is_no_extra_keeps_its_error():
    for name, remedy in (("voila.app", 'voila is not installed; install it with: pip install "studperf[dashboard]"'),
                         ("nbformat", 'nbformat is not installed; install it with: pip install "studperf[lab]"'), ("numpy", "No module"), ("opendp.mod", 'opendp is not installed; install it with: pip install "studperf[privacy]"'),
                         (None, "No module")):
        error = ModuleNotFoundError("No module", name=name)
        assert str(studperf.with_remedy(error)) == remedy and (studperf.with_remedy(error) is error) == (remedy == "No module")


def helped(shown):
    """The functions whose help a reader asks for: a function itself, or a class and its public methods."""
    if not inspect.isclass(shown) or not issubclass(shown, BaseException):
        yield shown
    if inspect.isclass(shown):
        yield from (getattr(shown, name) for one in shown.__mro__ if one.__module__.startswith("studperf.") for name, member in vars(one).items()
                    if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, classmethod | staticmethod)))


@pytest.mark.parametrize("name", [name for name in studperf.__all__ if callable(getattr(studperf, name))])
def test_help_explains_each_parameter(name):
    def texts(shown):  # of a class those that it extends, too: a dataclass has their fields
        return "\n".join(inspect.getdoc(one).partition("\n---")[2] for one in getattr(shown, "__mro__", [shown]) if one.__module__.startswith("studperf."))

    silent = [f"{shown.__qualname__}: {parameter}" for shown in helped(getattr(studperf, name)) for parameter in inspect.signature(shown).parameters
              if parameter != "self" and not re.search(rf"^ *\**{parameter}( :.*)?\n +\S", texts(shown), re.MULTILINE)]
    assert not silent, "help() does not say what these are: write a comment beside each, then run tools/export.py"


def test_help_does_not_repeat_itself():
    text = inspect.getdoc(studperf.compare)
    assert [text.count(f"\n{title}\n{'-' * len(title)}\n") for title in ("Parameters", "Returns")] == [1, 1]
    assert text.splitlines()[0].endswith(".") and '"holm"' in text


@pytest.mark.parametrize("code", [
    "from studperf import Predictor, plot_forest, alt_of", "import studperf; studperf.GENERATOR", "from studperf.schema import Schema, DataError",
    "from studperf.cohort import Cohort", "from studperf.prediction import fit_predictor", "import studperf.data; studperf.data.load_students",
    "from studperf.predictor import Predictor"])
def test_what_was_public_in_version_0_1_works_and_warns(code):
    run = [sys.executable, "-W", "error::DeprecationWarning", "-c", code]
    assert subprocess.run([*run[:1], "-W", "ignore", *run[3:]], capture_output=True).returncode == 0
    warned = subprocess.run(run, capture_output=True, text=True)
    assert warned.returncode and "goes with version 0.3" in warned.stderr


def test_what_was_never_public_says_where_to_look():
    with pytest.raises(ImportError):
        from studperf.schema import words  # noqa: F401
    with pytest.raises(AttributeError, match="was not public"):
        assert studperf.cohort.Sums is None
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("studperf.nonsense")
