"""Does the interval of `ceiling` hold the true share of variance as often as it says?

    python benchmarks/ceiling_coverage.py                    500 cohorts a line, about four minutes
    python benchmarks/ceiling_coverage.py --cohorts 5000

Cohorts are drawn from GENERATOR, whose truth is computed here exactly, rounding and clipping of the scores included. In
the lines "crossed" each of the 240 cells is shifted by points of its own, so that no additive model is true; in the lines
"null" no factor makes a difference. A 95% interval should cover in 95% of cohorts; +- is the Monte Carlo error.
"""
import argparse
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
from scipy.special import ndtr

from studperf import GENERATOR, STUDENTS, Cohort, ceiling, simulate_students

CELLS = pd.DataFrame(list(product(*GENERATOR.margins.values())), columns=list(GENERATOR.margins))
UNLIMITED = replace(STUDENTS, scores=dict.fromkeys(STUDENTS.scores))
NO_SHIFT = np.zeros(len(CELLS))
CROSSED = np.random.default_rng(0).normal(0, 6, len(CELLS)).round()
SCENARIOS = [*(("generator", n, GENERATOR, NO_SHIFT) for n in (60, 300, 1000)),
             ("crossed", 1000, GENERATOR, CROSSED), ("null", 1000, replace(GENERATOR, terms={}), NO_SHIFT)]


def true_shares(truth, shift):
    """Share of each score's variance between the cells, for students drawn from `truth` with whole points added by cell."""
    shares = [np.array(list(margin.values())) / sum(margin.values()) for margin in truth.margins.values()]
    probability = np.prod(np.array(list(product(*shares))), axis=1)
    values = np.arange(101)
    upper = np.append(values[:-1] + .5, np.inf)  # a score of 100 is whatever lies above 99.5
    for mean, sd in zip(truth.expected(CELLS).T, truth.residual_sd, strict=True):
        chances = np.diff(ndtr((upper - mean[:, None]) / sd), axis=1, prepend=0)
        within = chances @ values ** 2 - (chances @ values) ** 2
        means = chances @ values + shift
        between = np.round(probability @ (means - probability @ means) ** 2, 9)  # 0 exactly, where nothing differs
        yield between / (between + probability @ within)


def drawn(n, seed, truth, shift):
    """A Cohort of n students."""
    rows = simulate_students(n, seed=seed, truth=truth)
    codes = [rows[factor].cat.codes for factor in CELLS]
    points = shift[np.ravel_multi_index(codes, [len(margin) for margin in truth.margins.values()])].astype(int)
    return Cohort.summarize(rows.assign(**{score: rows[score] + points for score in truth.scores}), UNLIMITED)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=500, help="simulated cohorts a line (default: 500)")
    count = parser.parse_args().cohorts
    print(f"{count} cohorts a line, 95% intervals\n")
    print("truth         n  score    share   mean estimate     coverage         true share is below  above  mean width")
    for name, n, truth, shift in SCENARIOS:
        tables = pd.concat([ceiling(drawn(n, seed, truth, shift)) for seed in range(count)])
        for score, share in zip(truth.scores, true_shares(truth, shift), strict=True):
            table = tables[tables["score"] == score]
            below, above = (share < table["ci_low"]).mean(), (share > table["ci_high"]).mean()
            coverage = 1 - below - above
            error, width = np.sqrt(coverage * (1 - coverage) / count), (table["ci_high"] - table["ci_low"]).mean()
            print(f"{name:10} {n:4}  {score:8} {share:.3f}   {table['ceiling'].mean():.3f} +- {table['ceiling'].sem():.3f}   "
                  f"{coverage:.3f} +- {error:.3f}               {below:.3f}  {above:.3f}       {width:.3f}", flush=True)


if __name__ == "__main__":
    main()
