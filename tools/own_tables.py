"""Try studperf on tables that nobody here made: what each command makes of each file, without any option.

    python tools/own_tables.py FOLDER [FILE ...]      all tables in the folder, or some of them

Each row of the table that is printed is a file: does `schema` draft, `report`, `train` and `predict` end with their work done, how
long they took, and how many roles are those that a person would say. The last comes from a file roles.csv in the folder (columns file,
column, role; the roles are explained in its README): role "scores" may be given to the draft or found by it, so both are counted.
"""
import argparse
import csv
import shutil
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from pathlib import Path
from subprocess import TimeoutExpired, run

LONGEST = 300  # seconds of a command
RIGHT = {"scores": ("score",), "factor": ("factor", "ordered factor"), "ordered": ("ordered factor",), "quantity": ("covariate",),
         "cluster": ("cluster", "left out"), "id": ("left out", "cluster"), "leak": ("left out",), "weight": ("weight",)}


def command(*words, folder):
    """Run a command in a folder; return "ok", or its last line, and the seconds that it took."""
    start = time.perf_counter()
    try:
        ended = run([sys.executable, "-c", "from studperf.cli import main; main()", *words], cwd=folder, capture_output=True, text=True,
                    timeout=LONGEST)
    except TimeoutExpired:
        return f"longer than {LONGEST} s", LONGEST
    said = (ended.stderr.strip() or ended.stdout.strip()).splitlines()[-1:] or [""]
    return "ok" if ended.returncode == 0 else said[0], time.perf_counter() - start


def truth_of(folder):
    """Return the roles that a person gives: file, then pairs of column and role."""
    roles = defaultdict(list)
    if (folder / "roles.csv").is_file():
        with open(folder / "roles.csv", encoding="utf-8", newline="") as lines:
            for line in csv.DictReader(lines):
                roles[line["file"]].append((line["column"], line["role"]))
    return roles


def roles_right(path, truth, scores):
    """Return the columns whose role is right, and the others with what they were taken for."""
    from studperf.rows.reading import read_raw
    from studperf.rows.schema import Schema

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schema = Schema.infer(read_raw(path).frame, scores)
    found = dict(zip(schema.roles["column"], schema.roles["role"], strict=True))
    allowed = defaultdict(set)
    for column, role in truth:
        allowed[column] |= set(RIGHT.get(role, ()))
    wrong = {column: found.get(column, "no column") for column, roles in allowed.items() if roles and found.get(column) not in roles}
    repeated = [column for column, role in truth if role == "repeated"]
    if repeated and schema.rows_per_student < 2:
        wrong[f"{repeated[0]}, several rows a student"] = "not seen"
    return sum(bool(roles) for roles in allowed.values()) + bool(repeated), wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--only", default="schema,report,train,predict", help="commands to try")
    options = parser.parse_args()
    roles, tried = truth_of(options.folder), options.only.split(",")
    names = options.files or sorted(path.name for path in options.folder.iterdir() if path.is_file() and path.suffix not in (".md", ".py")
                                    and path.name != "roles.csv")
    done, counts = defaultdict(int), defaultdict(int)
    for name in names:
        path = (options.folder / name).resolve()
        with tempfile.TemporaryDirectory() as folder:
            said = []
            for what in tried:
                target = next(iter(column for column, role in roles[name] if role == "scores"), None)
                words = {"schema": ["schema", str(path)], "report": ["report", str(path)],
                         "train": ["train", str(path), "--out", "p.studperf", *(["--target", target] if target else [])],
                         "predict": ["predict", "p.studperf", str(path)]}[what]
                outcome, seconds = command(*words, folder=folder)
                done[what] += outcome == "ok"
                said.append(f"{what} {'ok' if outcome == 'ok' else outcome[:150]} ({seconds:.0f} s)")
            shutil.rmtree(folder, ignore_errors=True)
            Path(folder).mkdir()
        print(f"{name}: {'; '.join(said)}", flush=True)
        for how, scores in (("given", [column for column, role in roles[name] if role == "scores"]), ("found", None)):
            if roles[name]:
                try:
                    total, wrong = roles_right(path, roles[name], scores)
                except ValueError as error:
                    total, wrong = len(roles[name]), {column: str(error)[:60] for column, _ in roles[name]}
                counts[how, "of"] += total
                counts[how, "right"] += total - len(wrong)
                if wrong:
                    print(f"    scores {how}: not as a person says: " + ", ".join(f"{column} ({role})" for column, role in wrong.items()))
    print("\n" + "; ".join(f"{what} worked on {done[what]} of {len(names)}" for what in tried))
    for how in ("given", "found"):
        if counts[how, "of"]:
            print(f"roles as a person says, scores {how}: {counts[how, 'right']} of {counts[how, 'of']} ({counts[how, 'right'] / counts[how, 'of']:.0%})")


if __name__ == "__main__":
    main()
