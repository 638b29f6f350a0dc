"""How students' test scores differ by group, how sure we can be, and what score to expect."""
__version__ = "0.1.0"

import importlib
import importlib.machinery
import sys
import warnings

import lazy_loader

# __init__.pyi lists the public names; each module is imported when a name of it is first used.
_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# What only the dashboard and notebooks need is not installed by `pip install studperf` alone: the extra that brings it.
_DASHBOARD = ("ipywidgets", "jupyter_client", "jupyter_server", "tornado", "traitlets", "voila")
_EXTRAS = dict.fromkeys(_DASHBOARD, "dashboard") | {"nbclient": "lab", "nbformat": "lab", "opendp": "privacy"}


def with_remedy(error):
    """Return the error for a missing package, with the command that installs it if it belongs to an extra."""
    package = (error.name or "").partition(".")[0]
    if package not in _EXTRAS:
        return error
    remedy = f'pip install "studperf[{_EXTRAS[package]}]"'
    return ModuleNotFoundError(f"{package} is not installed; install it with: {remedy}", name=package)


# Names that were public in version 0.1, and where they are now. They go with version 0.3.
_FORMER = {
    "Audit": "models.audit.Audit",
    "ExpectedScore": "dashboard.answers.ExpectedScore",
    "GENERATOR": "rows.simulation.GENERATOR",
    "Generator": "rows.simulation.Generator",
    "MixedModel": "statistics.mixed.MixedModel",
    "Predictor": "dashboard.predictor.PredictorWidget",
    "PredictorFileError": "prediction.formula_file.PredictorFileError",
    "Regression": "statistics.regression.Regression",
    "ScorePredictor": "models.predictor.ScorePredictor",
    "adjusted_pairs": "statistics.regression.adjusted_pairs",
    "alt_of": "reporting.canvas.alt_of",
    "caption_of": "reporting.canvas.caption_of",
    "choose_model": "models.selection.choose_model",
    "dependence": "models.explanation.dependence",
    "explain": "models.explanation.explain",
    "load_named": "models.registry.load_named",
    "plot_cells": "reporting.figures_of_groups.plot_cells",
    "plot_dependence": "reporting.figures_of_models.plot_dependence",
    "plot_forest": "reporting.figures_of_groups.plot_forest",
    "plot_missing": "reporting.figures_of_scores.plot_missing",
    "plot_scores": "reporting.figures_of_scores.plot_scores",
    "predict_partitions": "prediction.tables.predict_partitions",
    "read_formula": "prediction.formula_file.read_formula",
}


def __getattr__(name):
    module, _, now = _FORMER.get(name, name).rpartition(".")
    try:
        if not module:
            return _public(name)
        warnings.warn(f"import {now} from studperf.{module}: studperf.{name} goes with version 0.3",
                      DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(f"studperf.{module}"), now)
    except ModuleNotFoundError as error:
        raise with_remedy(error) from None


# The modules of version 0.1, which lay side by side: what was public in them is in studperf. They go with version 0.3.
_FORMER_MODULES = """adjust auditing boosted card class_list comparison contrasts data decomposition distributions
encoded explanation explore facts figures forking formula formula_file logs model one_student page parts pictures
planning predicting prediction_part predictor private registry report_notebook reporting schema scoring selection
sentences serving strips sums variation versions weights""".split()


def former_names_of(module):
    """Return the `__getattr__` of a module of version 0.1: it finds the names that were public, and warns."""
    def find(name):
        if name not in __all__ and name not in _FORMER:
            raise AttributeError(f"studperf has other modules since version 0.2, and studperf.{module}.{name} was not "
                                 "public; the page of the house says where things are now")
        warnings.warn(f"import {name} from studperf: studperf.{module} goes with version 0.3",
                      DeprecationWarning, stacklevel=2)
        return getattr(sys.modules[__name__], name)
    return find


class _FormerModules:
    """Finds the modules of version 0.1 after everything else was looked for."""
    def find_spec(self, name, path=None, target=None):
        package, _, module = name.partition(".")
        return importlib.machinery.ModuleSpec(name, self) if package == __name__ and module in _FORMER_MODULES else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.__getattr__ = former_names_of(module.__name__.partition(".")[2])


sys.meta_path.append(_FormerModules())
