"""Do the predictor's intervals hold as many new students' scores as they say?

    python benchmarks/interval_coverage.py              60 training sets of 1,000 students, 20,000 fresh students
    python benchmarks/interval_coverage.py --sets 200

"level of a factor" is the lowest and highest coverage of any level of any factor, on average over the training sets.
"""
import argparse

import pandas as pd

from studperf import STUDENTS, fit_predictor, simulate_students


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=60, help="training sets (default: 60)")
    sets, fresh = parser.parse_args().sets, simulate_students(20_000, seed=10**6)
    print("inputs      level   coverage (single sets)      level of a factor   mean width")
    for inputs in ("background", "all"):
        predictors = [fit_predictor(simulate_students(1000, seed=seed), "math", inputs=inputs, model="least squares") for seed in range(sets)]
        for level in (.8, .9, .95):
            overall, by_level, widths = [], [], []
            for predictor in predictors:
                limits = predictor.predict(fresh, level=level)
                inside = fresh["math"].between(limits["low"], limits["high"])
                overall.append(inside.mean())
                widths.append((limits["high"] - limits["low"]).mean())
                by_level.append(pd.concat([inside.groupby(fresh[factor], observed=True).mean() for factor in STUDENTS.factors]))
            levels = pd.concat(by_level, axis=1).mean(axis=1)
            print(f"{inputs:10}  {level:.0%}     {pd.Series(overall).mean():.3f} ({min(overall):.3f} to {max(overall):.3f})     "
                  f"{levels.min():.3f} to {levels.max():.3f}      {pd.Series(widths).mean():.1f}", flush=True)


if __name__ == "__main__":
    main()
