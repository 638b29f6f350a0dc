"""Do the intervals of a Cohort with noise hold the true mean as often as they say, and does the noise hide each student?

    python benchmarks/noise.py            4,000 repetitions, ten minutes: prints
    python benchmarks/noise.py --save     writes results/noise.csv and results/noise_audit.csv, too

    coverage    share of repetitions whose 95% interval holds the population's mean, or the difference of two: ours, and the usual
                interval that takes noisy numbers for exact (`plain`); median half-width of ours, of the plain one, and of Student's
                interval without noise. `lost`: share in which the noise hides how many students there are.
                One score by one factor of two levels; group sizes vary; normal and skewed scores
    audit       lower bounds of epsilon, 95% sure, from two attacks on `Cohort.privatize` itself:
                twins: thousands of draws of two tables, one student apart (Jagielski, Ullman and Oprea, 2020);
                one run: 20,000 students, half of whom are in the table, guessed from a single draw (Steinke, Nasr and Jagielski, 2023)
                and the same of mechanisms broken on purpose
    peers       error of number and mean of a group at the same epsilon: diffprivlib (pip install --no-deps diffprivlib), and OpenDP's
                number and sum without squares
"""
import argparse
import sys
from math import log
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
import pandas as pd
from scipy.special import stdtrit
from scipy.stats import beta, binom

from studperf import Cohort, Schema
from studperf.cohort.noise import GRID, MOST_CHANGE, Privacy, laplace_results, with_noise
from studperf.cohort.noisy_means import NoisyMeans, noisy_differences, noisy_limits

RESULTS = Path(__file__).parent / "results"
EPSILONS, SIZES, CONFIDENCE = (.1, .5, 1.0, 5.0), (200, 1_000, 10_000), .95
SCHEMA = Schema({"group": ["a", "b"]}, {"score": (0, 100)})


# Coverage

def normal_scores(random, mean, n):
    return np.clip(np.round(random.normal(mean, 15, n)), 0, 100)


def skewed_scores(random, mean, n):  # nearly one in four has 90 points or more
    return np.minimum(np.round(100 * random.beta(.05 * mean, 1.2, n)), 100)


def drawn_sums(random, draw, mean, size, repetitions):
    """Exact n, total and squares of a group in each repetition, its standard deviation and mean, and the population's mean in units of t."""
    n = random.binomial(size, .5, repetitions)
    sums = np.empty((2, repetitions))
    for place, students in enumerate(n):
        t = (draw(random, mean, students) - 50) / 50
        sums[:, place] = t.sum(), t @ t
    return np.array([n, *sums]), (draw(random, mean, 4_000_000) - 50).mean() / 50


def noisy(sums, epsilon):
    """The sums of all repetitions with OpenDP's noise, as the groups of `NoisyMeans`."""
    privacy = Privacy((epsilon,), 1)
    steps = {what: [int(np.floor(value * MOST_CHANGE[what] + .5)) for value in values] for what, values in zip(MOST_CHANGE, sums, strict=True)}
    results = [values / MOST_CHANGE[what] for what, values in with_noise(steps, privacy).items()]
    noise = np.array([privacy.variances(what) for what in MOST_CHANGE])
    return NoisyMeans("score", (0, 100), pd.DataFrame(index=range(len(results[0]))), *results, noise)


def plain_interval(n, total, squares):
    """Mean and half-width of Student's interval, all numbers taken for exact, in points."""
    with np.errstate(all="ignore"):
        mean = total / n
        return 50 + 50 * mean, 50 * stdtrit(n - 1, (1 + CONFIDENCE) / 2) * np.sqrt((squares / n - mean**2) / (n - 1))


def coverage(repetitions, seed=1):
    """A row per kind of scores, size and epsilon."""
    random, rows = np.random.default_rng(seed), []
    for draw in (normal_scores, skewed_scores):
        for size in SIZES:
            (first, mean_a), (second, mean_b) = (drawn_sums(random, draw, mean, size, repetitions) for mean in (66, 70))
            truth, gap = 50 + 50 * mean_a, 50 * (mean_a - mean_b)
            exact = np.median(plain_interval(*first)[1])
            for epsilon in EPSILONS:
                means = [noisy(sums, epsilon) for sums in (first, second)]
                low, high = np.clip(noisy_limits(means[0], CONFIDENCE), 0, 100)
                both = NoisyMeans("score", (0, 100), pd.DataFrame(index=range(2 * repetitions)), *(
                    np.concatenate([getattr(one, name) for one in means]) for name in ("n", "total", "squares")), means[0].noise)
                places = np.arange(repetitions)
                _, gap_low, gap_high = noisy_differences(both, places, places + repetitions, CONFIDENCE)
                (a, margin), (b, other) = (plain_interval(one.n, one.total, one.squares) for one in means)
                rows.append({
                    "scores": draw.__name__.replace("_", " "), "students": size, "epsilon": epsilon,
                    "mean": np.mean((low <= truth) & (truth <= high)), "plain mean": np.mean(np.abs(a - truth) <= margin),
                    "gap": np.mean((gap_low <= gap) & (gap <= gap_high)),
                    "plain gap": np.mean(np.abs(a - b - gap) <= np.hypot(margin, other)),
                    "half-width": np.median(high - low) / 2, "plain half-width": np.nanmedian(margin), "without noise": exact,
                    "lost": np.mean(~np.isfinite(noisy_limits(means[0], CONFIDENCE)[0]))})
    return pd.DataFrame(rows)


# Audit

def cohort_of(groups, scores, schema=SCHEMA):
    return Cohort.summarize(pd.DataFrame({"group": groups, "score": scores}), schema)


def evidence(cells, without, with_, epsilon, rows_per_student=1):
    """The log of how much likelier the noise makes what was published with the student than without, over all cells."""
    privacy = Privacy((epsilon,), 1, rows_per_student)
    return sum(((np.abs(cells[what].to_numpy() - without[what]) - np.abs(cells[what].to_numpy() - with_[what]))
                / privacy.scale(what, epsilon)).sum() for what in MOST_CHANGE)


def bound_of_twins(without, with_):
    """The largest epsilon that these scores of two tables rule out, 95% sure: the threshold is chosen by one half of them."""
    half = len(without) // 2
    best = max(np.unique(np.concatenate([without[:half], with_[:half]])), default=0,
               key=lambda cut: _lower(np.sum(with_[:half] >= cut), np.sum(without[:half] >= cut), half))
    found = _lower(np.sum(with_[half:] >= best), np.sum(without[half:] >= best), len(without) - half)
    flipped = _lower(np.sum(without[half:] < best), np.sum(with_[half:] < best), len(without) - half)
    return max(found, flipped, 0)


def _lower(hits, false_alarms, n, alpha=.05 / 4):  # Clopper and Pearson (1934), two bounds in each of two directions
    least = beta.ppf(alpha, hits, n - hits + 1) if hits else 0
    most = beta.ppf(1 - alpha, false_alarms + 1, n - false_alarms) if false_alarms < n else 1
    return log(least / most) if least > 0 else -np.inf


def twins(draws, epsilon, privatize=Cohort.privatize):
    """Attack two tables: twenty students, and one more with the highest score, alone in group b."""
    school = cohort_of(["a"] * 20, [50] * 20), cohort_of(["a"] * 20 + ["b"], [50] * 20 + [100])

    def results(more):  # students in the second cell, with t = 1
        return {"n": np.array([20, more, 0]), "total": np.array([0, more * GRID, 0]), "squares": np.array([0, more * GRID, 0])}

    scores = []
    for cohort in school:
        own = []
        for _ in range(draws):
            cells = privatize(cohort, epsilon=epsilon).cells
            found = evidence(cells, results(0), results(1), epsilon) if len(cells) == 3 else np.inf if "b" in set(cells["group"]) else -np.inf
            own.append(found)
        scores.append(np.array(own))
    return bound_of_twins(*scores)


def one_run(epsilon, canaries=20_000, seed=1, privatize=Cohort.privatize, alpha=.05):
    """Guess from one draw which of the canaries, each alone in a cell, are in the table."""
    levels = [f"{i:05}" for i in range(canaries)]
    there = np.random.default_rng(seed).random(canaries) < .5
    schema = Schema({"group": levels}, {"score": (0, 100)})
    cells = privatize(cohort_of(np.array(levels)[there], [100] * there.sum(), schema), epsilon=epsilon).cells
    if len(cells) < canaries:  # only those who are there
        return float("inf")
    cells, privacy = cells[:canaries], Privacy((epsilon,), 1)
    score = sum((np.abs(cells[what].to_numpy()) - np.abs(cells[what].to_numpy() - MOST_CHANGE[what])) / privacy.scale(what, epsilon) for what in MOST_CHANGE)
    best = 0.0
    for guesses in (canaries // 200, canaries // 20, canaries // 4, canaries):  # Bonferroni over four
        chosen = np.argsort(-np.abs(score), kind="stable")[:guesses]
        correct = int(((score[chosen] > 0) == there[chosen]).sum())
        grid = np.linspace(0, 20, 4001)
        ruled_out = grid[binom.sf(correct - 1, guesses, 1 / (1 + np.exp(-grid))) <= alpha / 4]
        best = max(best, ruled_out.max(initial=0))
    return float(best)


def with_half_the_noise(cohort, *, epsilon):
    with patch.object(Privacy, "scale", lambda self, what, one, scale=Privacy.scale: scale(self, what, one) / 2), \
            patch("studperf.cohort.noise.laplace_results", lambda values, scale, steps, epsilon: laplace_results(values, scale, steps, np.inf)):
        return Cohort.privatize(cohort, epsilon=epsilon)


def with_observed_cells_alone(cohort, *, epsilon):
    noisy = Cohort.privatize(cohort, epsilon=epsilon)
    return type(noisy)(noisy.schema, noisy.cells[noisy.cells["group"].isin(cohort.cells["group"])], noisy.privacy)


def without_noise_of_squares(cohort, *, epsilon):
    from studperf.cohort import noisy_cohort

    def leaky(results, privacy, random=None):
        return with_noise(results, privacy, random) | {"squares": np.array([int(one) for one in results["squares"]])}
    with patch.object(noisy_cohort, "with_noise", leaky):
        return Cohort.privatize(cohort, epsilon=epsilon)


def audit(draws):
    """A row per mechanism and epsilon."""
    rows = [{"mechanism": "Cohort.privatize", "epsilon": epsilon, "twins": twins(draws, epsilon), "one run": one_run(epsilon)}
            for epsilon in EPSILONS]
    for broken in (with_half_the_noise, with_observed_cells_alone, without_noise_of_squares):
        rows.append({"mechanism": broken.__name__.replace("_", " "), "epsilon": 1.0, "twins": twins(draws, 1.0, broken),
                     "one run": one_run(1.0, privatize=broken)})
    return pd.DataFrame(rows)


# Peers

def peers(repetitions, n=1_000, seed=1):
    """Root mean squared errors of the number and the mean of one group of n students, all results within epsilon."""
    try:
        sys.modules.setdefault("diffprivlib.models", ModuleType("models"))  # they need an older scikit-learn; the tools do not
        from diffprivlib import tools
    except ImportError:
        tools = None
    scores, rows = normal_scores(np.random.default_rng(seed), 66, n), []
    t = (scores - 50) / 50
    exact = np.repeat([[n], [t.sum()], [t @ t]], repetitions, axis=1)
    def error(values, truth):
        return float(np.sqrt(np.mean((np.asarray(values, float) - truth) ** 2)))
    for epsilon in EPSILONS:
        own = noisy(exact, epsilon)
        number, total = (laplace_results([n] * repetitions, 2 / epsilon, 1, epsilon / 2),
                         laplace_results([round(t.sum() * GRID)] * repetitions, 2 * GRID / epsilon, GRID, epsilon / 2) / GRID)
        rows.append({"epsilon": epsilon, "studperf n": error(own.n, n), "studperf mean": error(50 + 50 * own.share, scores.mean()),
                     "OpenDP n": error(number, n), "OpenDP mean": error(50 + 50 * total / number, scores.mean())})
        if tools:
            third = {"epsilon": epsilon / 3}  # number, mean and standard deviation
            rows[-1] |= {"diffprivlib n": error([tools.count_nonzero(np.ones(n), **third) for _ in range(repetitions)], n),
                         "diffprivlib mean": error([tools.mean(scores, bounds=(0, 100), **third) for _ in range(repetitions)], scores.mean())}
    return pd.DataFrame(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=4_000)
    parser.add_argument("--draws", type=int, default=2_000, help="of each of the two tables")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    tables = {"noise": coverage(options.repetitions), "noise_audit": audit(options.draws), "noise_peers": peers(options.repetitions // 4)}
    for name, table in tables.items():
        print(table.round(3).to_string(index=False), end="\n\n")
        if options.save:
            table.round(4).to_csv(RESULTS / f"{name}.csv", index=False)


if __name__ == "__main__":
    main()
