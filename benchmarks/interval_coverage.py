"""Do the predictor's intervals hold as many new students' scores as they say, and are they as narrow as they can be?

    python benchmarks/interval_coverage.py              20 training sets of 1,000 students, half a minute: prints
    python benchmarks/interval_coverage.py --full       200 training sets, some minutes: writes results/interval_coverage.csv
    python benchmarks/interval_coverage.py --full --rows 300 --processes 1

Training sets and 50,000 fresh students are drawn by `simulate_students`. For each score, both sets of inputs and each level:

    coverage            share of the fresh students whose score lies in the interval: mean, standard deviation, lowest and
                        highest over the training sets; `beyond` counts the sets further than 2.5 points from the level
    level of a factor   the same by level of each factor: the furthest of the means over training sets, and how many single
                        sets have a level further off than 5 points
    width               mean width, and as a multiple of the best possible: the interval about the true expected score with the
                        true standard deviation, cut off at 0 and 100 as ours is

Peer: the interval of normal theory by statsmodels (`get_prediction`), on the same columns of the same students.
"""
import argparse
import warnings
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.special import ndtri

from studperf import STUDENTS, DataWarning, fit_predictor, simulate_students
from studperf.rows.simulation import GENERATOR
from studperf.models.threads import few_threads

TABLE = Path(__file__).parent / "results" / "interval_coverage.csv"
LEVELS = (.8, .9, .95)
INPUTS = ("background", "all")
OURS, PEER = "studperf", "statsmodels"
FRESH = 50_000


def truth(rows, target, inputs):
    """The expected score of each student given the inputs, before rounding and limits; and the standard deviation about it."""
    place = GENERATOR.scores.index(target)
    means, sd = GENERATOR.expected(rows), np.array(GENERATOR.residual_sd)
    if inputs == "background":
        return means[:, place], sd[place]
    covariance = np.array(GENERATOR.residual_corr) * np.outer(sd, sd)
    others = [other for other in range(len(sd)) if other != place]
    slopes = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, place])
    known = rows[[GENERATOR.scores[other] for other in others]].to_numpy(float) - means[:, others]
    return means[:, place] + known @ slopes, np.sqrt(covariance[place, place] - covariance[place, others] @ slopes)


@dataclass(frozen=True)
class Measured:
    """How one method's interval does with one training set."""
    coverage: float
    by_level: np.ndarray  # (levels of all factors,)
    width: float  # points


def measured(scores, low, high, groups):
    """Coverage of all, of each group, and mean width; `groups` is (n, groups), 1 where a student belongs to one."""
    inside = ((low <= scores) & (scores <= high)).astype(float)
    return Measured(inside.mean(), inside @ groups / groups.sum(axis=0), float(np.mean(high - low)))


def one_set(seed, rows, target, inputs):
    """The intervals of one training set: (method, level): Measured."""
    fresh = simulate_students(FRESH, seed=10**6)
    groups = group_columns(fresh)
    found, scores = {}, fresh[target].to_numpy(float)
    with few_threads(rows), warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # combinations of levels that are new
        train = simulate_students(rows, seed=seed)
        predictor = fit_predictor(train, target, inputs=inputs, model="least squares")
        design = predictor.pipeline["encoder"].transform
        theory = sm.OLS(train[target].to_numpy(float), sm.add_constant(design(train))).fit()
        theory = theory.get_prediction(sm.add_constant(design(fresh)))
        for level in LEVELS:
            table = predictor.predict(fresh, level=level)
            found[OURS, level] = measured(scores, table["low"].to_numpy(), table["high"].to_numpy(), groups)
            low, high = np.clip(theory.conf_int(obs=True, alpha=1 - level), 0, 100).T
            found[PEER, level] = measured(scores, low, high, groups)
    return found


def group_columns(rows):
    """One column for each level of each factor, 1 where a student has it."""
    return pd.get_dummies(rows[list(STUDENTS.factors)], prefix_sep=": ", dtype=float).to_numpy()


def group_names():
    return [f"{factor}: {level}" for factor, levels in STUDENTS.factors.items() for level in levels]


def best_width(rows, target, inputs, level):
    """Mean width of the interval that knows the truth."""
    expected, sd = truth(rows, target, inputs)
    margin = ndtri((1 + level) / 2) * sd
    return float(np.mean(np.clip(expected + margin, 0, 100) - np.clip(expected - margin, 0, 100)))


def summary(sets, rows, target, inputs, fresh):
    """A line for each method and level, from the measures of all training sets."""
    lines = []
    for method, level in product((OURS, PEER), LEVELS):
        results = [found[method, level] for found in sets]
        coverage, by_level = np.array([one.coverage for one in results]), np.array([one.by_level for one in results])
        width, best = np.mean([one.width for one in results]), best_width(fresh, target, inputs, level)
        means = by_level.mean(axis=0)
        furthest = np.abs(means - level).argmax()
        lines.append({"method": method, "target": target, "inputs": inputs, "rows": rows, "sets": len(sets), "level": level,
                      "coverage": coverage.mean(), "coverage_sd": coverage.std(ddof=1), "coverage_min": coverage.min(),
                      "coverage_max": coverage.max(), "beyond": int((np.abs(coverage - level) > .025).sum()),
                      "furthest_level": group_names()[furthest], "furthest_coverage": means[furthest],
                      "levels_beyond": int((np.abs(by_level - level) > .05).any(axis=1).sum()),
                      "width": width, "width_ratio": width / best})
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="200 training sets; writes the table")
    parser.add_argument("--rows", type=int, default=1000, help="students of a training set (default: 1000)")
    parser.add_argument("--processes", type=int, default=joblib.cpu_count())
    options = parser.parse_args()
    fresh, lines = simulate_students(FRESH, seed=10**6), []
    pd.set_option("display.width", 250, "display.max_columns", 30)
    for target, inputs in product(STUDENTS.scores, INPUTS):
        tasks = (joblib.delayed(one_set)(seed, options.rows, target, inputs) for seed in range(200 if options.full else 20))
        sets = joblib.Parallel(n_jobs=options.processes)(tasks)
        lines += summary(sets, options.rows, target, inputs, fresh)
        print(pd.DataFrame(lines[-6:]).round(3).to_string(index=False, header=len(lines) == 6), flush=True)
    if options.full:
        pd.DataFrame(lines).to_csv(TABLE, index=False, float_format="%.5f")
        print(f"wrote {TABLE.relative_to(Path.cwd()) if TABLE.is_relative_to(Path.cwd()) else TABLE}")


if __name__ == "__main__":
    main()
