"""Does the quick search choose the model that the full search chooses, and how much less work is it?

    python benchmarks/search_choice.py             a few small tables: prints
    python benchmarks/search_choice.py --full      all tables: writes results/search_choice.csv
    python benchmarks/search_choice.py --wild DIR  with real tables, too: a folder of CSV files
    python benchmarks/search_choice.py --before DIR  seconds of `studperf train` beside those of another checkout, in turns

Every model is fitted to every part of the rows, once: that is the full search. The quick search is then played with the same
results. So both are compared on the same splits, and `fits` and `seconds` (of one core) are what each of them needs. `r2` is that of the
chosen model on all parts.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from studperf import STUDENTS, Schema, load_students, simulate_students
from studperf.models import selection
from studperf.models.candidates import candidates
from studperf.models.encoding import input_columns, with_levels
from studperf.models.selection import choose_model, searchless, splits_of
from studperf.models.training_rows import training_table
from studperf.progress import progress_bar

TABLE = Path(__file__).parent / "results" / "search_choice.csv"
SECONDS = Path(__file__).parent / "results" / "train_seconds.csv"
FOLDS, REPEATS, MOST_ROWS = 5, 2, 5_000
MOST_WILD = 1_000  # rows of a real table; of more a sample
# Of each real table the scores; the first is predicted, from the other columns.
WILD = {"student-por.csv": ["G3", "G1", "G2"], "StudentPerformanceFactors.csv.gz": ["Exam_Score"], "Exam.csv.gz": ["normexam"],
        "CASchools.csv": ["math", "read"], "pisa2009.csv.gz": ["readingScore"], "egsingle.csv.gz": ["math"], "xAPI.csv": ["raisedhands"],
        "Student_performance_data.csv": ["GPA"]}


def crossed(n, seed):
    """Scores in which levels do not add up: lunch helps in two ethnic groups and harms in the others."""
    rows, random = simulate_students(n, seed=seed), np.random.default_rng(seed)
    sign = np.where(rows["ethnicity"].isin(["group A", "group C"]), 1, -1) * np.where(rows["lunch"] == "standard", 1, -1)
    return rows.assign(math=np.clip(np.round(55 + random.choice([3, 6, 12]) * sign + random.normal(0, 10, n)), 0, 100).astype(int))


def curved(n, seed):
    """Scores that depend on numbers by a curve and a threshold."""
    random = np.random.default_rng(seed)
    rows = simulate_students(n, seed=seed).assign(hours=random.gamma(2, 3, n).round(1), age=random.normal(16, 1, n).round(2))
    points = 40 + 12 * np.sqrt(rows["hours"]) - 8 * (rows["age"] > 16.5) * (rows["hours"] < 5)
    return rows.assign(math=np.clip(np.round(points + random.normal(0, 9, n)), 0, 100).astype(int))


def many_factors(n, seed):
    """Thirty questions with four answers each, of which five count."""
    random = np.random.default_rng(seed)
    rows = pd.DataFrame({f"question {place}": random.choice(list("abcd"), n) for place in range(30)})
    points = sum((rows[f"question {place}"] == "a") * (6 - place) for place in range(5))
    return rows.assign(mark=np.clip(np.round(40 + points + random.normal(0, 8, n)), 0, 100))


def tables(full):
    """Name, rows, target, inputs and Schema of each table."""
    for target in STUDENTS.scores if full else ["math"]:
        for inputs in ("background", "all"):
            yield f"sample, {target} from {inputs}", load_students(), target, inputs, STUDENTS
    with_numbers = Schema(STUDENTS.factors, STUDENTS.scores, STUDENTS.ordered, ["hours", "age"])
    for n, seeds in {200: 4, 500: 3, 1000: 2, 3000: 1}.items() if full else [(200, 1)]:
        for seed in range(seeds):
            yield f"simulated {n}, seed {seed}", simulate_students(n, seed=seed), "math", "background", STUDENTS
            yield f"crossed {n}, seed {seed}", crossed(n, seed), "math", "background", STUDENTS
            yield f"curved {n}, seed {seed}", curved(n, seed), "math", "background", with_numbers
    for n in (200, 1000) if full else ():
        rows = many_factors(n, n)
        yield f"30 factors, {n}", rows, "mark", "background", Schema.infer(rows, ["mark"])


def wild_tables(folder):
    """The real tables of a folder, by what they are called in WILD."""
    for name, (target, *others) in WILD.items():
        if (path := folder / name).exists():
            rows = pd.read_csv(path, sep=None, engine="python")
            rows = rows if len(rows) <= MOST_WILD else rows.sample(MOST_WILD, random_state=0)
            schema = Schema.infer(rows, [target, *others])
            yield name, load_students(rows, schema=schema), target, "background", schema


def compared(rows, target, inputs, schema, jobs, full=None):
    """What the full and the quick search choose, and what they need; the results of the full search, which may be known already."""
    names = input_columns(inputs, target, schema)
    table = training_table(rows, target, names, schema, folds=FOLDS)
    table = table if len(table) <= MOST_ROWS else table.sample(MOST_ROWS, random_state=0)
    splits = [split for repeat in range(REPEATS) for split in splits_of(table, FOLDS, schema, seed=repeat)]
    chosen = selection._affordable(None, len(table), 0)
    estimators = candidates(with_levels(schema.only((*names, target)), table), target, names, models=chosen,
                            rows=min(len(train) for train, _ in splits))
    frame, scores = table[list(names)], table[target].to_numpy(float)
    tasks = {(name, place): (estimators[name], frame, scores, *splits[place]) for name in chosen for place in range(len(splits))}
    with progress_bar(len(tasks), verb="fitted", unit="models", shown=False) as bar:
        full = selection._results(tasks, chosen, FOLDS, jobs, bar) if full is None else full
        known = {one: full.loc[one].to_dict() for one in tasks}
        measure = selection._all_measured
        try:  # the quick search asks for results that are known
            selection._all_measured = lambda asked, jobs, bar: asked
            quick = selection._results(known, searchless(chosen, 0), FOLDS, jobs, bar)
        finally:
            selection._all_measured = measure
    found = {}
    for search, results in {"full": full, "quick": quick}.items():
        comparison = selection._compared(results, FOLDS).rename_axis("model").reset_index()
        found |= {f"{search}_choice": choose_model(comparison), f"{search}_fits": len(results),
                  f"{search}_seconds": results[["fit_seconds", "predict_seconds"]].to_numpy().sum()}
    r2 = full["r2"].unstack("model").mean()
    best = selection._compared(full, FOLDS).loc[found["quick_choice"]]
    return {"n": len(table), "inputs": len(names)} | found | {
        "full_r2": r2[found["full_choice"]], "quick_r2": r2[found["quick_choice"]], "best_r2": r2.max(), "same": found["full_choice"] == found["quick_choice"],
        "within_rule": bool(best["difference_high"] >= 0)}, full


def trained(checkout, arguments, folder):
    """Seconds of `studperf train` with the package of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    run = subprocess.run([sys.executable, "-c", "from studperf.cli import main; main()", "train", *arguments, "--out", f"{folder}/model.studperf"],
                         env=environment, cwd=folder, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(run.stderr)
    return time.perf_counter() - start, run.stdout.split(" on ")[0].splitlines()[-1]


def train_seconds(before, runs):
    """Seconds before and after, in turns, so that both meet the same load."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        few, wide = Path(folder, "few.csv"), Path(folder, "wide.csv")
        simulate_students(200, seed=1).to_csv(few, index=False)
        many_factors(1000, 1).to_csv(wide, index=False)
        for name, arguments in {"the sample, 1,000 rows": [], "200 rows": [str(few)],
                                "30 factors, 1,000 rows": [str(wide), "--scores", "mark", "--target", "mark"]}.items():
            for _ in range(runs):
                (old, chosen), (new, now) = (trained(checkout, arguments, folder) for checkout in (before, Path(__file__).parents[1]))
                lines.append({"table": name, "seconds_before": old, "seconds_after": new, "ratio": old / new, "before": chosen, "after": now})
                print(lines[-1], flush=True)
    return pd.DataFrame(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="all tables; writes the result")
    parser.add_argument("--wild", type=Path, help="a folder of real tables")
    parser.add_argument("--before", type=Path, help="a checkout of an earlier studperf, to be timed beside this one")
    parser.add_argument("--runs", type=int, default=2, help="timed runs of each table")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--parts", type=Path, help="a CSV file that keeps the results of the full searches; those in it are not measured again")
    options = parser.parse_args()
    if options.before:
        train_seconds(options.before, options.runs).to_csv(SECONDS, index=False, float_format="%.2f")
        return
    lines, parts = [], {}
    if options.parts and options.parts.exists():
        parts = {name: part.droplevel(0) for name, part in pd.read_csv(options.parts, index_col=[0, 1, 2]).groupby(level=0)}
    for name, *question in sorted([*tables(options.full), *(wild_tables(options.wild) if options.wild else ())], key=lambda one: len(one[1])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            line, parts[name] = compared(*question, options.jobs, parts.get(name))
        lines.append({"table": name} | line)
        print(pd.Series(lines[-1]).to_frame().T.to_string(index=False, header=len(lines) == 1), flush=True)
        if options.parts:
            pd.concat(parts, names=["table"]).to_csv(options.parts)
        if options.full:
            pd.DataFrame(lines).to_csv(TABLE, index=False, float_format="%.4f")
    result = pd.DataFrame(lines)
    print(f"{result['same'].sum()} of {len(result)} choices are the same; the quick search needs "
          f"{result['quick_fits'].sum() / result['full_fits'].sum():.0%} of the fits and "
          f"{result['quick_seconds'].sum() / result['full_seconds'].sum():.0%} of the seconds")


if __name__ == "__main__":
    main()
