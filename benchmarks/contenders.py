"""The battery by studperf and by its peers; each in its best reasonable form. `battery.py` runs this, a process a contender.

    python benchmarks/contenders.py statsmodels students.parquet --warm 5

The battery: for 5 factors and 3 scores Welch's test (two levels: t; more: ANOVA) with an effect size, Games-Howell for all
pairs of levels, and for each score least squares on the five factors with HC3 errors. A contender's `__init__` imports what
it needs, which is not timed; its methods are, and each returns some of its numbers, so that all are seen to do the same work.

Fair to the peers: factors are categorical, never text; each score is converted to floats once and split by level once a
factor; the design matrix is made once and solved by QR, statsmodels' fastest way. A peer does only what it has: see LEFT_OUT.
"""
import argparse
import importlib.metadata
import json
import resource
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter, process_time

FACTORS = ("gender", "ethnicity", "parental_education", "lunch", "test_prep")
SCORES = ("math", "reading", "writing")
LEFT_OUT = {
    "pingouin": "intervals of the effect sizes and of Games-Howell's differences",
    "statsmodels": "nothing",
    "SciPy + pyfixest": "intervals of the effect sizes; Games-Howell's intervals, which SciPy has, but which take 20 s more",
}


class Studperf:
    counts = True

    def __init__(self):
        import studperf
        self.summarize, self.compare_all = studperf.Cohort.summarize, studperf.compare
        self.pairs_of, self.regress_on = studperf.pairs, studperf.regress

    def read(self, path):
        return self.summarize(path) if self.counts else self.summarize(path, counts=False)

    def compare(self, cohort):
        table = self.compare_all(cohort).set_index(["score", "factor"])
        return {"F of math by ethnicity": table.loc[("math", "ethnicity"), "statistic"],
                "t of math by lunch": abs(table.loc[("math", "lunch"), "statistic"])}

    def pairs(self, cohort):
        table = self.pairs_of(cohort).set_index(["score", "factor"])
        return {"p of groups A and B in math": table.loc[("math", "ethnicity"), "p_adjusted"].iloc[0]}

    def regress(self, cohort):
        tables = {score: self.regress_on(cohort, score).coefficients for score in SCORES}
        return {"HC3 error of lunch in math": tables["math"].set_index("term").loc["lunch: standard", "std_error"]}


class StudperfWithoutCounts(Studperf):
    counts = False


class Peer:
    """What the peers share: reading by pandas, splitting by level, the design matrix."""

    def __init__(self):
        import numpy
        import pandas
        import pyarrow.parquet  # noqa: F401  pandas would import it while it reads
        self.numpy, self.pandas = numpy, pandas

    def read(self, path):
        if path.endswith(".parquet"):
            return self.pandas.read_parquet(path)
        return self.pandas.read_csv(path, dtype=dict.fromkeys(FACTORS, "category"), keep_default_na=False)

    def levels(self, rows):
        """For each factor its levels, and for each score the arrays of the levels' values."""
        scores = {score: rows[score].to_numpy(float) for score in SCORES}
        for factor in FACTORS:
            codes, names = rows[factor].cat.codes.to_numpy(), list(rows[factor].cat.categories)
            places = [self.numpy.flatnonzero(codes == code) for code in range(len(names))]
            yield factor, names, {score: [values[place] for place in places] for score, values in scores.items()}

    def design(self, rows):
        dummies = self.pandas.get_dummies(rows[list(FACTORS)], drop_first=True, dtype=float)
        dummies.insert(0, "Intercept", 1.0)
        return dummies.columns.get_loc("lunch_standard"), dummies.to_numpy()


class Statsmodels(Peer):
    def __init__(self):
        super().__init__()
        from statsmodels.api import OLS
        from statsmodels.stats.meta_analysis import effectsize_smd
        from statsmodels.stats.multicomp import pairwise_tukeyhsd
        from statsmodels.stats.oneway import anova_oneway, confint_effectsize_oneway, effectsize_oneway
        from statsmodels.stats.weightstats import CompareMeans, DescrStatsW
        self.OLS, self.smd, self.games_howell, self.welch = OLS, effectsize_smd, pairwise_tukeyhsd, anova_oneway
        self.f2, self.f2_interval, self.CompareMeans, self.Described = (
            effectsize_oneway, confint_effectsize_oneway, CompareMeans, DescrStatsW)

    def compare(self, rows):
        checks = {}
        for factor, _, scores in self.levels(rows):
            for score, groups in scores.items():
                if len(groups) == 2:
                    two = self.CompareMeans(*map(self.Described, groups))
                    statistic, *_ = two.ttest_ind(usevar="unequal")
                    two.tconfint_diff(usevar="unequal")
                    self.smd(*(what for group in (two.d1, two.d2) for what in (group.mean, group.std_ddof(1), group.nobs)))
                else:
                    result = self.welch(groups, use_var="unequal")
                    statistic = result.statistic
                    self.f2_interval(statistic, result.df)
                checks[score, factor] = abs(statistic)
        return {"F of math by ethnicity": checks["math", "ethnicity"], "t of math by lunch": checks["math", "lunch"]}

    def pairs(self, rows):
        tables = {(score, factor): self.games_howell(rows[score].to_numpy(float), rows[factor].to_numpy(), use_var="unequal")
                  for score in SCORES for factor in FACTORS}
        return {"p of groups A and B in math": tables["math", "ethnicity"].pvalues[0]}

    def regress(self, rows):
        place, design = self.design(rows)
        for score in reversed(SCORES):
            fit = self.OLS(rows[score].to_numpy(float), design).fit(method="qr", cov_type="HC3")
            fit.pvalues, fit.conf_int()
        return {"HC3 error of lunch in math": fit.bse[place]}


class Pingouin(Statsmodels):
    def __init__(self):
        super().__init__()
        import pingouin
        self.pingouin = pingouin

    def compare(self, rows):
        checks = {}
        for factor, names, scores in self.levels(rows):
            for score, groups in scores.items():
                if len(names) == 2:
                    table = self.pingouin.ttest(*groups, correction=True)
                    self.pingouin.compute_effsize(*groups, eftype="hedges")
                    checks[score, factor] = abs(table["T"].iloc[0])
                else:
                    checks[score, factor] = self.pingouin.welch_anova(rows, dv=score, between=factor)["F"].iloc[0]
        return {"F of math by ethnicity": checks["math", "ethnicity"], "t of math by lunch": checks["math", "lunch"]}

    def pairs(self, rows):
        tables = {(score, factor): self.pingouin.pairwise_gameshowell(rows, dv=score, between=factor)
                  for score in SCORES for factor in FACTORS}
        return {"p of groups A and B in math": tables["math", "ethnicity"]["pval"].iloc[0]}


class SciPyPyfixest(Peer):
    def __init__(self):
        super().__init__()
        from pyfixest import feols, ssc
        from scipy.stats import f_oneway, ttest_ind, tukey_hsd
        self.plain_hc3 = ssc(k_adj=False, G_adj=False)  # as R's sandwich and statsmodels define HC3
        self.feols, self.f_oneway, self.ttest, self.games_howell = feols, f_oneway, ttest_ind, tukey_hsd

    def compare(self, rows):
        checks = {}
        for factor, names, scores in self.levels(rows):
            for score, groups in scores.items():
                n = self.numpy.array([len(group) for group in groups])
                if len(names) == 2:
                    result = self.ttest(*groups, equal_var=False)
                    result.confidence_interval()
                    mean, var = ([group.mean() for group in groups], [group.var(ddof=1) for group in groups])
                    pooled_sd = (((n - 1) * var).sum() / (n.sum() - 2)) ** .5
                    (mean[0] - mean[1]) / pooled_sd * (1 - 3 / (4 * n.sum() - 9))  # Hedges' g
                else:
                    result = self.f_oneway(*groups, equal_var=False)
                    between = (len(n) - 1) * (result.statistic - 1)
                    between / (between + n.sum())  # omega squared
                checks[score, factor] = abs(result.statistic)
        return {"F of math by ethnicity": checks["math", "ethnicity"], "t of math by lunch": checks["math", "lunch"]}

    def pairs(self, rows):
        tables = {}
        for factor, _, scores in self.levels(rows):
            for score, groups in scores.items():
                tables[score, factor] = self.games_howell(*groups, equal_var=False)
        return {"p of groups A and B in math": tables["math", "ethnicity"].pvalue[0, 1]}

    def regress(self, rows):
        terms = " + ".join(f"C({factor})" for factor in FACTORS)
        fits = self.feols(f"{' + '.join(SCORES)} ~ {terms}", rows, vcov="HC3", ssc=self.plain_hc3, copy_data=False, store_data=False, lean=True)
        return {"HC3 error of lunch in math": fits.fetch_model(0, print_fml=False).tidy().loc["C(lunch)[T.standard]", "Std. Error"]}


class BarePass:
    """What DuckDB needs to read the eight columns and add them up by group: no battery, a floor to compare with."""

    def __init__(self):
        import duckdb
        self.duckdb = duckdb

    def read(self, path):
        reader = "read_parquet" if path.endswith(".parquet") else "read_csv"
        self.duckdb.sql(f"SELECT {', '.join(FACTORS)}, count(*), {', '.join(f'sum({score})' for score in SCORES)} "
                        f"FROM {reader}('{path}') GROUP BY ALL").fetchall()


CONTENDERS = {"studperf": Studperf, "studperf without value counts": StudperfWithoutCounts, "pingouin": Pingouin,
              "statsmodels": Statsmodels, "SciPy + pyfixest": SciPyPyfixest, "DuckDB's bare pass": BarePass}
PACKAGES = ("studperf", "duckdb", "pandas", "numpy", "scipy", "pyarrow", "pingouin", "statsmodels", "pyfixest")


ENOUGH_SECONDS = 5  # after so many no further run is begun


def run(contender, path):
    """Seconds of each part, of all, and of the processor; and the numbers to compare with the other contenders."""
    seconds, checks, cpu = {}, {}, process_time()
    start = perf_counter()
    rows = contender.read(path)
    seconds["read"] = perf_counter() - start
    for part in ("compare", "pairs", "regress"):
        if hasattr(contender, part):
            start = perf_counter()
            checks |= getattr(contender, part)(rows)
            seconds[part] = perf_counter() - start
    return seconds | {"all": sum(seconds.values()), "cpu": process_time() - cpu}, {name: float(value) for name, value in checks.items()}


def reserved():
    """Bytes of address space that the process has already; libraries reserve more than they use."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[0]) * resource.getpagesize() if pages.exists() else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("path", help="students, CSV or Parquet")
    parser.add_argument("--warm", type=int, default=0, help="further runs in the same process; then these are timed (default: 0)")
    parser.add_argument("--most-gb", type=float, help="a limit of memory beyond what the imports reserve")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    contender = CONTENDERS[chosen.contender]()
    if chosen.most_gb:
        resource.setrlimit(resource.RLIMIT_AS, (reserved() + int(chosen.most_gb * 1e9),) * 2)
    runs, start = [run(contender, chosen.path)], perf_counter()
    while len(runs) <= chosen.warm and perf_counter() - start < ENOUGH_SECONDS:
        runs.append(run(contender, chosen.path))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    print(json.dumps({"seconds": [seconds for seconds, _ in runs[chosen.warm and 1:]], "checks": runs[0][1], "peak_mb": peak,
                      "versions": {name: importlib.metadata.version(name) for name in PACKAGES if find_spec(name)}}))


if __name__ == "__main__":
    main()
