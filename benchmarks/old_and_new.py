"""Did a change cost speed? The same work by two copies of studperf, in turns.

    git worktree add ../before HEAD~20
    python benchmarks/old_and_new.py ../before                   the copy in that folder beside this one: four minutes
    python benchmarks/old_and_new.py ../before --only report     only the work whose name begins so
    python benchmarks/old_and_new.py ../before --runs 15         more turns, on a busy machine

Every measurement is a fresh process of this Python with one thread for each library. What counts is the seconds of the processor,
which other programs disturb least; the two copies take turns, and each figure is the median of the turns. "First" work begins
before studperf is imported, as a command does; other work was done once before, and is the median of several times.

Packages that a plain installation lacks are hidden (--hide): statsmodels, for example, imports polars where it is installed.
"""
import argparse
import importlib.abc
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from statistics import median
from time import process_time

from battery import HERE, machine, students

ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")} | {"MPLBACKEND": "agg"}
SIZES = (1_000, 100_000, 1_000_000)
ENOUGH_SECONDS, MOST_REPEATS = .5, 200  # of work that is repeated in a process


class Hidden(importlib.abc.MetaPathFinder):
    """Finds no package of these names, as if they were not installed."""

    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def imported(files):
    import studperf
    return studperf.__version__


def first_compare(files):
    import studperf
    return studperf.compare(studperf.Cohort.summarize(files["1,000"]))


def first_report(files):
    import studperf
    return studperf.report(files["1,000"], files["out"] + "/report.html")


FIRST = {"import studperf": imported, "first compare, 1,000 rows": first_compare, "first report, 1,000 rows": first_report}


def on_the_cohort(call):
    """Work on the Cohort of 1,000 rows, which is made before."""
    def prepare(files):
        import studperf
        cohort = studperf.Cohort.summarize(files["1,000"])
        return lambda: call(studperf, cohort)
    return prepare


def again_report(files):
    import studperf
    return lambda: studperf.report(files["1,000"], files["out"] + "/report.html")


def fitted(files):
    import studperf
    return studperf.fit_predictor(studperf.load_students(files["1,000"]), "math", model="least squares")


def file_predicted(files):
    import studperf
    predictor = fitted(files)
    return lambda: studperf.predict_file(predictor, files["100,000"], files["out"] + "/predicted.csv", progress=False)


def one_predicted(files):
    predictor = fitted(files)
    student = {"gender": "female", "ethnicity": "group C", "parental_education": "some college", "lunch": "standard", "test_prep": "none",
               "reading": 70, "writing": 70}
    return lambda: [predictor.predict_one(student) for _ in range(1000)]


def loaded(files):
    import studperf
    return lambda: studperf.load_students(files["100,000"])


def summarized(files):
    import studperf
    return lambda: studperf.Cohort.summarize(files["1,000,000"], progress=False)


AGAIN = {
    "compare, 1,000 rows": on_the_cohort(lambda studperf, cohort: studperf.compare(cohort)),
    "pairs, 1,000 rows": on_the_cohort(lambda studperf, cohort: studperf.pairs(cohort)),
    "ranks, 1,000 rows": on_the_cohort(lambda studperf, cohort: studperf.ranks(cohort)),
    "regress, 1,000 rows": on_the_cohort(lambda studperf, cohort: studperf.regress(cohort, "math").coefficients),
    "gaps, 1,000 rows": on_the_cohort(lambda studperf, cohort: studperf.gaps(cohort)),
    "report, 1,000 rows": again_report,
    "predict_file, 100,000 rows of CSV": file_predicted,
    "predict_one, 1,000 times": one_predicted,
    "load_students, 100,000 rows of CSV": loaded,
    "summarize, 1,000,000 rows of Parquet": summarized,
}


def seconds_of(name, files):
    """The processor's seconds of one piece of work in this process."""
    if name in FIRST:
        start = process_time()
        FIRST[name](files)
        return process_time() - start
    work, found = AGAIN[name](files), []
    work()
    while len(found) < 3 or (sum(found) < ENOUGH_SECONDS and len(found) < MOST_REPEATS):
        start = process_time()
        work()
        found.append(process_time() - start)
    return median(found)


def child(options):
    """Do one piece of work with the studperf of PYTHONPATH, and print its seconds."""
    sys.meta_path.insert(0, Hidden(options["hide"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what studperf says of the rows is not the subject here
        seconds = seconds_of(options["name"], options["files"])
    import studperf
    if not Path(studperf.__file__).is_relative_to(os.environ["PYTHONPATH"]):
        sys.exit(f"found studperf in {studperf.__file__}, expected it under {os.environ['PYTHONPATH']}")
    print(json.dumps(seconds))


def measured(folder, name, files, hide):
    """The seconds of a fresh process with the studperf of a folder."""
    command = [sys.executable, __file__, "--child", json.dumps({"name": name, "files": files, "hide": hide})]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ONE_THREAD | {"PYTHONPATH": str(folder)})
    if done.returncode:
        sys.exit(f"{name} failed with the studperf of {folder}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="folder of the copy to compare with: the one that holds the folder studperf")
    parser.add_argument("--runs", type=int, default=7, help="turns of each copy (default: 7)")
    parser.add_argument("--only", default="", help="the beginning of the names of the work to do (default: all)")
    parser.add_argument("--hide", nargs="*", default=["polars"], help="packages that are treated as not installed (default: polars)")
    parser.add_argument("--data", type=Path, default=HERE / "data", help="folder for the files of students (default: benchmarks/data)")
    chosen = parser.parse_args()
    names = [name for name in (*FIRST, *AGAIN) if name.startswith(chosen.only)]
    if not names:
        parser.error(f"--only: found {chosen.only!r}, expected the beginning of one of: {', '.join((*FIRST, *AGAIN))}")
    if not (chosen.old / "studperf" / "__init__.py").is_file():
        parser.error(f"{chosen.old}: found no studperf/__init__.py in it, expected the folder of a copy of the repo")
    files = {f"{rows:,}": str(students(rows, chosen.data).resolve()) for rows in SIZES
             if rows == SIZES[0] or any(f", {rows:,} rows" in name for name in names)}
    print(f"{machine()}\n\n{'processor seconds, medians of ' + str(chosen.runs):40} {'old':>10} {'new':>10} {'new / old':>10}")
    with tempfile.TemporaryDirectory() as out:
        for name in names:
            both = [[measured(folder, name, files | {"out": out}, chosen.hide) for folder in (chosen.old.resolve(), HERE.parent)]
                    for _ in range(chosen.runs)]
            old, new = (median(turn) for turn in zip(*both, strict=True))
            print(f"{name:40} {old:10.4f} {new:10.4f} {new / old:10.2f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(json.loads(sys.argv[2]))
    else:
        main()
