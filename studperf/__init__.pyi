from .adjust import Regression, interactions, regress
from .auditing import Audit, audit, plot_audit
from .card import model_card
from .cohort import Cohort
from .comparison import compare, equivalence, pairs, ranks, spread, trend
from .contrasts import adjusted_pairs, gaps, plot_forest
from .data import GENERATOR, Generator, load_students, simulate_students
from .decomposition import decompose
from .explanation import dependence, explain, importance, plot_dependence, plot_explanation, plot_importance
from .explore import (
    alt_of, caption_of, correlations, describe, missing_values, plot_correlations, plot_distribution, plot_means,
    plot_missing, plot_scores,
)
from .figures import plot_ceiling, plot_cells, plot_gaps, plot_interaction, plot_pairs, plot_trend
from .formula_file import PredictorFileError, read_formula
from .planning import power
from .predicting import predict_partitions
from .prediction import ScorePredictor, fit_predictor, load_predictor
from .predictor import ExpectedScore, PredictorWidget
from .reporting import report
from .schema import STUDENTS, DataError, DataWarning, Schema
from .scoring import predict_file
from .selection import choose_model, compare_models, plot_models
from .serving import serve
from .variation import MixedModel, ceiling, manova, mixed
from .versions import Registry, load_named

__all__ = [
    "GENERATOR", "STUDENTS", "Audit", "Cohort", "DataError", "DataWarning", "ExpectedScore", "Generator",
    "MixedModel", "PredictorFileError", "PredictorWidget", "Registry", "Regression", "Schema", "ScorePredictor",
    "adjusted_pairs", "alt_of", "audit", "caption_of", "ceiling", "choose_model", "compare", "compare_models",
    "correlations", "decompose", "dependence", "describe", "equivalence", "explain", "fit_predictor", "gaps",
    "importance", "interactions", "load_named", "load_predictor", "load_students", "manova", "missing_values",
    "mixed", "model_card", "pairs", "plot_audit", "plot_ceiling", "plot_cells", "plot_correlations",
    "plot_dependence", "plot_distribution", "plot_explanation", "plot_forest", "plot_gaps", "plot_importance",
    "plot_interaction", "plot_means", "plot_missing", "plot_models", "plot_pairs", "plot_scores", "plot_trend", "power",
    "predict_file", "predict_partitions", "ranks", "read_formula", "regress", "report", "serve",
    "simulate_students", "spread", "trend",
]
