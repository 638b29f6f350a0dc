from .rows.values import DataError, DataWarning
from .rows.schema import STUDENTS, Schema
from .rows.reading import load_students
from .rows.simulation import simulate_students
from .cohort.cohort import Cohort
from .statistics.description import describe, missing_values
from .statistics.correlations import correlations
from .statistics.comparison import compare, equivalence, pairs, trend
from .statistics.ranks import ranks, spread
from .statistics.planning import power
from .statistics.regression import interactions, regress
from .statistics.gaps import gaps
from .statistics.decomposition import decompose
from .statistics.manova import manova
from .statistics.mixed import mixed
from .statistics.ceiling import ceiling
from .statistics.odds import odds
from .prediction.files import predict_file
from .models.selection import compare_models
from .models.explanation import importance
from .models.predictor import fit_predictor, load_predictor
from .models.audit import audit
from .models.registry import Registry
from .reporting.figures_of_scores import plot_correlations, plot_distribution
from .reporting.figures_of_groups import plot_gaps, plot_interaction, plot_means, plot_pairs, plot_trend
from .reporting.figures_of_models import plot_audit, plot_ceiling, plot_explanation, plot_importance, plot_models
from .reporting.disclosure import disclosure
from .reporting.report import report
from .reporting.model_card import model_card
from .dashboard.predictor import PredictorWidget
from .dashboard.server.serving import serve

__all__ = [
    "STUDENTS", "Cohort", "DataError", "DataWarning", "PredictorWidget", "Registry", "Schema", "audit", "ceiling",
    "compare", "compare_models", "correlations", "decompose", "describe", "disclosure", "equivalence",
    "fit_predictor", "gaps", "importance", "interactions", "load_predictor", "load_students", "manova",
    "missing_values", "mixed", "model_card", "odds", "pairs", "plot_audit", "plot_ceiling", "plot_correlations",
    "plot_distribution", "plot_explanation", "plot_gaps", "plot_importance", "plot_interaction", "plot_means",
    "plot_models", "plot_pairs", "plot_trend", "power", "predict_file", "ranks", "regress", "report", "serve",
    "simulate_students", "spread", "trend",
]
