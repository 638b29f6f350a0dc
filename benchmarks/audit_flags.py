"""How often does an audit flag a predictor that is right?

    python benchmarks/audit_flags.py              20 tables of 1,000 students, a minute: prints
    python benchmarks/audit_flags.py --full       300 tables, a quarter of an hour: writes results/audit_flags.csv

Students are drawn by `simulate_students`, whose scores add up, and predicted by least squares: so the model is right, and
only what it was fitted to differs. `flagged` is the share of the audits with a flag anywhere in a family (a measure over all groups and pairs
of groups), which Holm's method should keep to 5% or less; `tests_below_05` is the share of single tests with p < .05, unadjusted.
"""
import argparse
import warnings
from pathlib import Path

import joblib
import pandas as pd

from studperf import DataWarning, audit, fit_predictor, simulate_students
from studperf.models.threads import few_threads

TABLE = Path(__file__).parent / "results" / "audit_flags.csv"
ROWS, MANY = 1000, 100_000
AUDITED, OTHERS, MANY_OTHERS = (f"the {ROWS:,} audited rows, cross-validated", f"{ROWS:,} others", f"{MANY:,} others")


def predictor_of(kind, seed, rows):
    """A right model, fitted to the rows themselves or to others."""
    train = {AUDITED: lambda: rows, OTHERS: lambda: simulate_students(ROWS, seed=10_000 + seed), MANY_OTHERS: lambda: simulate_students(MANY, seed=999)}
    return fit_predictor(train[kind](), "math", model="least squares")


def one_table(kind, seed, predictor=None):
    """One audit: a line per measure."""
    rows = simulate_students(ROWS, seed=seed)
    with few_threads(ROWS), warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # combinations of levels that are new
        groups = audit(predictor or predictor_of(kind, seed, rows), rows, left_out=[]).groups
    tested = groups[groups["p_value"].notna()]
    return [{"fitted_to": kind, "measure": measure, "flagged": bool(part["flagged"].any()), "groups": len(part),
             "tests_below_05": (part["p_value"] < .05).mean()} for measure, part in tested.groupby("measure", sort=False)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="300 tables; writes the result")
    options = parser.parse_args()
    tables = 300 if options.full else 20
    fixed = predictor_of(MANY_OTHERS, 0, None)
    tasks = [joblib.delayed(one_table)(kind, seed, fixed if kind == MANY_OTHERS else None)
             for kind in (AUDITED, MANY_OTHERS, OTHERS) for seed in range(tables)]
    lines = pd.DataFrame([line for lines in joblib.Parallel(n_jobs=-1)(tasks) for line in lines])
    result = lines.groupby(["fitted_to", "measure"], sort=False).agg(flagged=("flagged", "mean"), tests_below_05=("tests_below_05", "mean"),
                                                                    groups=("groups", "mean"), tables=("flagged", "size")).reset_index()
    print(result.round(3).to_string(index=False))
    if options.full:
        result.to_csv(TABLE, index=False, float_format="%.4f")


if __name__ == "__main__":
    main()
