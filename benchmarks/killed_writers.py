"""Kill writers in mid-write, fifty times each, and look at what is left.

    python benchmarks/killed_writers.py            prints the table (about five minutes)
    python benchmarks/killed_writers.py --save     keeps it in results/killed_writers.csv, too
    python benchmarks/killed_writers.py --kills 3  a quick look

A process writes one file again and again, two contents in turn. Another one waits until a part of the file is there, waits a random moment
more (up to five milliseconds), and kills it by SIGKILL, as a lack of memory or a power cut does. Then the file must be one of the two, whole,
and the next writer must leave nothing beside it. A registry must hold all its versions, load the one in force, and take a new one.
"""
import argparse
import os
import random
import signal
import tempfile
import time
import warnings
from pathlib import Path

import pandas as pd
import studperf
from studperf import Registry
from studperf.dashboard.preparing import prepared_facts
from studperf.models.predictor import load_predictor
from studperf.prediction import files as scoring

COLUMNS = ["writer", "kills", "in mid-write", "first content", "second content", "damaged", "files left beside it"]
RESULTS = Path(__file__).parent / "results" / "killed_writers.csv"


def writers(folder):
    """What writes: a name, the file, and a function that writes the first or the second content to it."""
    students = studperf.load_students().head(400)
    (folder / "model").mkdir()
    students.to_csv(folder / "students.csv", index=False)
    pd.concat([students] * 100).to_csv(folder / "large.csv", index=False)
    predictor = studperf.fit_predictor(students, "math", model="least squares")
    predictor.save(folder / "model" / "math.studperf")
    loaded, cohorts = load_predictor(folder / "model" / "math.studperf"), [studperf.Cohort.summarize(students.head(n)) for n in (300, 400)]
    few = [studperf.Cohort.summarize(students.head(n), studperf.STUDENTS.only(["gender", "math"])) for n in (60, 70)]  # a quick report
    facts = [prepared_facts(students.head(n), None, None, "least squares") for n in (300, 400)]

    def predicted(out, second, source="students.csv", small=None):
        scoring.SMALL_FILE = 0 if small is None else small  # 0: by DuckDB, as large files are
        studperf.predict_file(loaded, folder / source, out, level=.8 if second else .9, progress=False)

    return {
        "report": ("report.html", lambda out, second: studperf.report(few[second], out)),
        "prepared facts": ("facts.json", lambda out, second: facts[second].save(out)),
        "Cohort": ("cohort.parquet", lambda out, second: cohorts[second].save(out)),
        "predict, one by one": ("small.csv", lambda out, second: predicted(out, second, small=10**9)),
        "predict, by DuckDB": ("large.csv", lambda out, second: predicted(out, second, "large.csv")),
        "predict, Parquet": ("large.parquet", lambda out, second: predicted(out, second, "large.csv")),
        "predictor": ("math.studperf", lambda out, second: (predictor, loaded)[second].save(out)),
    }, predictor


def parts(folder):
    return [path for path in folder.rglob(".*.part")]


def killed(folder, write):
    """Start a process that writes, kill it once a part is there; say whether the part was left."""
    if not (child := os.fork()):
        for turn in range(10**6):
            write(turn)
        os._exit(0)
    while not parts(folder):
        if os.waitpid(child, os.WNOHANG)[0]:
            raise RuntimeError("the writer ended by itself")
    wait = time.perf_counter() + random.uniform(0, .005)
    while time.perf_counter() < wait:
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return bool(parts(folder))


def content_of(out, contents):
    """Which of the contents a file has: its place, or -1. Two files of one predictor differ in the time that is in them; they must load."""
    if out.suffix == ".studperf":
        try:
            return int(load_predictor(out).n > 0)
        except Exception as error:  # whatever it is, it is what a user would meet
            print(error)
            return -1
    return contents.index(out.read_bytes()) if out.read_bytes() in contents else -1


def file_row(name, out, write, kills):
    """Kill the writer of a file so many times."""
    contents = []
    for second in (False, True):
        write(out, second)
        contents.append(out.read_bytes())
    found, left, after = [], 0, 0
    for _ in range(kills):
        left += killed(out.parent, lambda turn: write(out, bool(turn % 2)))
        found.append(content_of(out, contents))
        write(out, False)
        after += len(list(out.parent.iterdir())) - 1
    return {"writer": name, "kills": kills, "in mid-write": left, "first content": found.count(0), "second content": found.count(1),
            "damaged": found.count(-1), "files left beside it": after}


def registry_row(folder, predictor, kills):
    """Kill what publishes versions so many times."""
    Registry(folder).publish("math", predictor)
    left = damaged = versions = 0
    for _ in range(kills):
        left += killed(folder, lambda turn: Registry(folder).publish("math", predictor, note=str(turn)))
        registry = Registry(folder)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                table, number = registry.versions("math"), registry.in_force("math")
                registry.load("math")
                assert table.loc[table["in_force"], "version"].item() == number and len(table) >= versions
                versions = registry.publish("math", predictor)
            except Exception as error:  # whatever it is, it is what a user would meet
                print(error)
                damaged += 1
        for part in parts(folder):  # so that the next one is seen; a registry keeps them, and never reads them
            part.unlink()
    return {"writer": "registry", "kills": kills, "in mid-write": left, "damaged": damaged}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--only", metavar="WRITER", help="one of them, such as report; with --save its row is replaced")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    random.seed(0)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        jobs, predictor = writers(folder)
        for name, (file, write) in jobs.items():
            if options.only not in (None, name):
                continue
            (folder / name).mkdir()
            rows.append(file_row(name, folder / name / file, write, options.kills))
        if options.only in (None, "registry"):
            rows.append(registry_row(folder / "registry", predictor, options.kills))
    if options.only and options.save:
        rows = [next((row for row in rows if row["writer"] == old["writer"]), old) for old in pd.read_csv(RESULTS).to_dict("records")]
    table = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(COLUMNS[1:], "Int64"))
    print(table.to_string(index=False, na_rep="-"))
    if options.save:
        table.to_csv(RESULTS, index=False)
        print(f"Written: {RESULTS}")
    return int(table["damaged"].sum() + table["files left beside it"].sum())


if __name__ == "__main__":
    raise SystemExit(main())
