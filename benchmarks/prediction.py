"""Speed and memory of prediction by studperf and by its peers, side by side in one run.

    make bench                                        this script too, in an environment that has the peers
    python benchmarks/prediction.py                   a million rows, no model on more than 10,000: about three minutes
    python benchmarks/prediction.py --parts files     one part of: student, files, comparison, growth
    python benchmarks/prediction.py --full            ten million rows, models on up to a million: about half an hour
    python benchmarks/prediction.py --full --save     and keep the figures in benchmarks/results/prediction_*.csv

`prediction_contenders.py` says what is measured: each contender is a process of its own, timed inside, and those that are compared
take turns. The files are made by `studperf simulate`, and kept for the next time. pycaret has an environment of its own,
`.venv-pycaret`, since it needs older versions of what studperf is built on.
"""
import argparse
import csv
import json
import os
import subprocess
import sys
from math import isclose, log
from pathlib import Path
from statistics import linear_regression, median

from battery import HERE, machine, students

RESULTS = HERE / "results"
PYCARET = HERE.parent / ".venv-pycaret" / "bin" / "python"
TURNS = 3
STUDENT_GOAL, FILE_GOAL, FILE_GOAL_MB = 50, 3, 1000
FILE_CONTENDERS = {  # and what each is given beside the file
    "DuckDB's copy": (), "studperf": ("predictor",), "studperf predict, the whole command": ("predictor",),
    "studperf on Dask": ("predictor",), "scikit-learn on the whole table": ("predictor",)}
BUILT_IN = ("mean", "least squares", "ridge", "lasso", "elastic net", "partial pooling", "decision tree", "k-nearest neighbours",
            "support vectors", "AdaBoost", "random forest", "extra trees", "gradient boosting")
BOOSTED = ("XGBoost", "CatBoost")
versions = {}  # of what the processes said that they used


def said(contender, python=sys.executable, **options):
    """What the process of a contender says; its failure ends the run."""
    done = subprocess.run([python, HERE / "prediction_contenders.py", contender, json.dumps(options)], capture_output=True, text=True,
                          env=os.environ | {"MPLBACKEND": "agg"})
    if done.returncode:
        sys.exit(f"{contender} failed with {options}:\n{done.stderr}")
    answer = json.loads(done.stdout.splitlines()[-1])
    versions.setdefault("pycaret" if python == PYCARET else "studperf", {}).update(answer.pop("versions"))
    return answer


def taking_turns(work, names, turns=TURNS):
    """Answers of each, which go to work one after the other, and backwards every second time."""
    answers = {name: [] for name in names}
    for turn in range(turns):
        for name in names if turn % 2 == 0 else reversed(names):
            answers[name].append(work(name))
    return answers


def student(folder, full):
    """One student: `predict_one` beside the pipeline on a frame of one row."""
    path = str(students(1000, folder))
    lines = [line for inputs in ("background", "all") for line in said("one student", path=path, inputs=inputs, models=BUILT_IN)["lines"]]
    print(f"\nOne student, microseconds (aimed at: {STUDENT_GOAL} times as fast, the difference at most 1e-9)")
    print(f"{'model':20} {'inputs':11} {'formula':8} {'predict_one':>12} {'Pipeline.predict':>17} {'times as fast':>14} {'difference':>11}")
    for line in lines:
        line["ratio"] = line["peer_microseconds"] / line["microseconds"]
        print(f"{line['model']:20} {line['inputs']:11} {'yes' if line['formula'] else 'no':8} {line['microseconds']:12.1f} {line['peer_microseconds']:17,.0f}"
              f" {line['ratio']:14,.0f} {line['difference']:11.1g}    {'' if line['peer'] == 'the same pipeline' else 'beside ' + line['peer']}", flush=True)
        if line["difference"] > 1e-9:
            sys.exit(f"{line['model']}, {line['inputs']}: predict_one differs from the pipeline by {line['difference']:g}")
    return lines


def files(folder, full):
    """A file of students, Parquet to Parquet, beside a copy with no prediction."""
    lines = []
    for rows in (1_000_000, 10_000_000) if full else (1_000_000,):
        source, predictor = str(students(rows, folder)), str(folder / "math.studperf")
        said("predictor", path=str(students(1000, folder)), model="least squares", inputs="all", out=predictor)
        names = [name for name in FILE_CONTENDERS if rows <= 1_000_000 or name != "scikit-learn on the whole table" or full]
        answers = taking_turns(lambda name: said(name, source=source, **({"predictor": predictor} if FILE_CONTENDERS[name] else {})), names)  # noqa: B023
        checks = answers["studperf"][0]["checks"]
        print(f"\n{rows:,} students, Parquet to Parquet (aimed at: {FILE_GOAL} times a plain copy, under {FILE_GOAL_MB:,} MB)")
        for name, found in answers.items():
            agree(name, rows, found, checks)
            line = {"contender": name, "rows": rows, "seconds": median(median(one["seconds"]) for one in found),
                    "peak_mb": median(one["peak_mb"] for one in found), "runs": len(found)}
            lines.append(line)
            line["ratio"] = line["seconds"] / next(other["seconds"] for other in lines if other["rows"] == rows)
            print(f"{name:36} {line['seconds']:8.2f} s {line['peak_mb']:8,.0f} MB {line['ratio']:8.2f} times the copy", flush=True)
    return lines


def agree(name, rows, found, expected):
    """End the run if a contender wrote other numbers than ours."""
    for answer in found:
        for sum_of, value in answer.get("checks", {}).items():
            if not isclose(value, expected[sum_of], rel_tol=1e-9):
                sys.exit(f"{name}, {rows:,} rows: the sum of {sum_of} is {value!r}, studperf's {expected[sum_of]!r}")


def comparison(folder, full):
    """All models compared on 1,000 rows: nested, with a search, beside pycaret's ten folds."""
    path = str(students(1000, folder))
    ours = {"studperf, the built-in models": {"optional": False}, "studperf, with XGBoost and CatBoost": {"optional": True}}
    if not PYCARET.exists():
        sys.exit(f"{PYCARET.relative_to(HERE.parent)} is missing: pycaret is measured from there. Make it with: make .venv-pycaret/.installed")
    answers = taking_turns(
        lambda name: said("compare_models", path=path, **ours[name]) if name in ours else said("pycaret", python=PYCARET, path=path), [*ours, "pycaret"])
    lines = []
    print(f"\nComparing models on 1,000 rows for math from background, seconds of the {TURNS} processes' second runs (aimed at: no slower than pycaret)")
    for name, found in answers.items():
        first, later = (median(one["seconds"][place] for one in found) for place in (0, 1))
        line = {"contender": name, "models": found[0]["models"], "fits": found[0]["fits"], "setup": median(one["setup"] for one in found),
                "first_seconds": first, "seconds": later, "seconds_least": min(one["seconds"][1] for one in found),
                "seconds_most": max(one["seconds"][1] for one in found), "best": found[0]["best"], "r2": found[0]["r2"]}
        lines.append(line)
        print(f"{name:36} {line['seconds']:6.1f} s ({line['seconds_least']:.1f} to {line['seconds_most']:.1f}; the first run {first:.1f} s, set-up {line['setup']:.1f} s)"
              f"   {line['models']} models, {line['fits']:,} fits; best: {line['best']}, R2 {line['r2']:.3f}", flush=True)
    return lines


def growth(folder, full):
    """Seconds of fitting and of predicting, by model and number of rows."""
    most = 1_000_000
    sizes = [1_000, 10_000, 100_000, most] if full else [1_000, 10_000]
    path, lines = str(students(max(sizes), folder)), []
    options = {"path": path, "most_seconds": 60 if full else 10}
    print("\nSeconds by rows, and the power of the rows with which they grow")
    for model in (*BUILT_IN, *BOOSTED):
        lines += shown(model, said("growth", model=model, fitted=sizes, predicted=sizes, **options)["lines"])
    return lines + shown("fit_predictor", said("training", fitted=sizes, **options)["lines"])


def shown(model, lines):
    """The lines with their model and their power, printed."""
    for what in dict.fromkeys(line["what"] for line in lines):
        part = [line for line in lines if line["what"] == what]
        power = growth_power([(line["rows"], line["seconds"]) for line in part if line["outcome"] == "done"])
        for line in part:
            line |= {"model": model, "power": power}
        cells = "  ".join(f"{line['rows']:>9,}: {line['seconds']:8.3f}" if line["outcome"] == "done" else f"{line['rows']:>9,}: {line['outcome']}" for line in part)
        print(f"{model:20} {what:8} {cells}   power {power:.2f}", flush=True)
    return lines


def growth_power(points):
    """The slope of the logarithm of seconds against the logarithm of rows."""
    if len(points) < 2:
        return float("nan")
    return linear_regression([log(rows) for rows, _ in points], [log(seconds) for _, seconds in points]).slope


PARTS = {"student": student, "files": files, "comparison": comparison, "growth": growth}


def save(part, lines):
    """Write a part's table, and what all parts so far were measured on."""
    RESULTS.mkdir(exist_ok=True)
    columns = list(dict.fromkeys(name for line in lines for name in line))
    with (RESULTS / f"prediction_{part}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: f"{value:.5g}" if isinstance(value, float) else value for name, value in line.items()} for line in lines)
    record = RESULTS / "prediction.json"
    before = json.loads(record.read_text())["versions"] if record.exists() else {}
    merged = {name: before.get(name, {}) | versions.get(name, {}) for name in {**before, **versions}}
    record.write_text(json.dumps({"machine": machine(), "versions": merged}, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--full", action="store_true", help="ten million rows in a file, a million for a model")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/prediction_*.csv, which the docs show")
    parser.add_argument("--data", type=Path, default=HERE / "data", help="folder for the files of students (default: benchmarks/data)")
    chosen = parser.parse_args()
    parts = chosen.parts.split(",")
    for part in parts:
        if part not in PARTS:
            parser.error(f"there is no part {part!r}: one of {', '.join(PARTS)}")
    if os.getloadavg()[0] > os.cpu_count() / 4:
        print(f"This machine is busy (load {os.getloadavg()[0]:.1f}): times on the clock are longer than they need be.", flush=True)
    for part in parts:
        lines = PARTS[part](chosen.data, chosen.full)
        if chosen.save:
            save(part, lines)


if __name__ == "__main__":
    main()
