"""How often intervals hold that are made from means of ten residuals, beside exact conformal ones: a table by shape, n and level.

    python benchmarks/grouped_residuals.py
"""

import numpy as np
import pandas as pd

from studperf.models.fitted import kept_residuals
from studperf.prediction.formula import ErrorDistribution

SHAPES = {"normal": lambda random, n: random.normal(0, 10, n), "t3": lambda random, n: 10 * random.standard_t(3, n),
          "uniform": lambda random, n: random.uniform(-20, 20, n),
          "skewed": lambda random, n: 10 * (random.exponential(1, n) - 1),
          "whole": lambda random, n: random.normal(0, 4, n).round()}
LEVELS, SIZES, REPEATS = (.8, .9, .95), (30, 60, 100, 300, 1000), 300


def coverage(shape: str, n: int) -> pd.DataFrame:
    random = np.random.default_rng([list(SHAPES).index(shape), n])
    new = np.sort(np.abs(SHAPES[shape](random, 400_000)))
    found = []
    for _ in range(REPEATS):
        residuals = SHAPES[shape](random, n)
        for kind, kept in (("exact", np.sort(residuals)), ("grouped", kept_residuals(residuals))):
            errors = ErrorDistribution(kept.tolist(), n)
            found += [(shape, n, level, kind, np.searchsorted(new, errors.half_width(level), "right") / len(new)) for level in LEVELS]
    return pd.DataFrame(found, columns=["shape", "n", "level", "residuals", "coverage"])


if __name__ == "__main__":
    table = pd.concat([coverage(shape, n) for shape in SHAPES for n in SIZES])
    print(table.pivot_table("coverage", ["shape", "n"], ["level", "residuals"], sort=False).round(3).to_string())
