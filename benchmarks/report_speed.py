"""Speed, memory and size of the whole report beside the profilers that people use, in one run.

    make bench                                        this script, too, with the environments that it needs
    python benchmarks/report_speed.py                 a thousand rows: a minute
    python benchmarks/report_speed.py --full          a million as well, and a hundred million by studperf alone: a quarter of an hour
    python benchmarks/report_speed.py --full --save   and keep the figures in benchmarks/results/report_speed.csv

Each contender makes its whole page of one file, at its defaults, in a fresh process of its own environment: the seconds after import
(on the clock, and of all processors), the seconds of the process as a whole, the peak of memory, the size of the page. None of the
profilers compares groups: they describe columns and how they are associated (skrub on a sample of 3,000 rows). The contenders take
turns, and each figure is the median of three processes up to a million rows, else of one.
"""
import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from battery import HERE, MOST_SECONDS, machine, students

RESULTS = HERE / "results" / "report_speed.csv"
ENVIRONMENTS = HERE.parent / ".venv-profiling"
SIZES, ALL_SIZES = (1_000,), (1_000, 1_000_000, 100_000_000)
MOST_ROWS = 1_000_000  # for the profilers
RUNS = 3  # processes of each contender up to MOST_ROWS; one for more
COLUMNS = ("contender", "rows", "seconds_inside", "seconds_cpu", "seconds_process", "peak_mb", "page_mb", "runs", "load", "outcome")


def studperf(path, page):
    from studperf.reporting.report import report
    yield
    report(path, page)


def fg_data_profiling(path, page):
    from data_profiling import ProfileReport
    yield
    ProfileReport(frame(path), progress_bar=False).to_file(page, silent=True)


def sweetviz(path, page):
    import sweetviz
    yield
    sweetviz.analyze(frame(path)).show_html(page, open_browser=False)


def skrub(path, page):
    from skrub import TableReport
    yield
    TableReport(frame(path), verbose=0).write_html(page)


CONTENDERS = {"studperf": studperf, "fg-data-profiling": fg_data_profiling, "sweetviz": sweetviz, "skrub": skrub}


def frame(path):
    """The rows as the profilers take them; "none" is a level."""
    import pandas
    return pandas.read_parquet(path) if path.endswith(".parquet") else pandas.read_csv(path, keep_default_na=False)


def make_page(name, path, page):
    """Import what a contender needs, then make its page; what that took."""
    steps = CONTENDERS[name](path, page)
    next(steps)
    start, cpu = perf_counter(), process_time()
    next(steps, None)
    seconds = {"seconds_inside": perf_counter() - start, "seconds_cpu": process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return seconds | {"peak_mb": peak, "page_mb": Path(page).stat().st_size / 1e6, "version": version(name)}


def interpreter(name):
    """The Python of a contender's environment."""
    python = Path(sys.executable) if name == "studperf" else ENVIRONMENTS / name / "bin" / "python"
    if not python.exists():
        sys.exit(f"{name} is not installed in {python.parents[1]}: make .venv-profiling/.installed")
    return python


def measured(name, path):
    """One process of a contender: what it says, its seconds as a whole, its outcome."""
    with tempfile.TemporaryDirectory() as folder:
        command = [interpreter(name), __file__, "--one", name, str(path), f"{folder}/page.html"]
        start = perf_counter()
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS, env=os.environ | {"MPLBACKEND": "agg"})
        except subprocess.TimeoutExpired:
            return {"outcome": f"stopped after {MOST_SECONDS / 60:.0f} minutes"}
        seconds = perf_counter() - start
    if done.returncode:
        sys.exit(f"{name} failed on {path.name}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1]) | {"seconds_process": seconds, "outcome": "done"}


def lines_of(rows, path):
    """A line of the result for each contender, and the versions that were used; they take turns."""
    names = [name for name in CONTENDERS if name == "studperf" or rows <= MOST_ROWS]
    load, found = os.getloadavg()[0], {name: [] for name in names}
    for _ in range(RUNS if rows <= MOST_ROWS else 1):
        for name in names:
            found[name].append(measured(name, path))
    lines = []
    for name, runs in found.items():
        done = [run for run in runs if run["outcome"] == "done"]
        line = {"contender": name, "rows": rows, "runs": len(runs), "load": load, "outcome": runs[-1]["outcome"]}
        lines.append(line | {measure: median(run[measure] for run in done) for measure in COLUMNS[2:7] if len(done) == len(runs)})
    return lines, {name: runs[0]["version"] for name, runs in found.items() if "version" in runs[0]}


def show(lines):
    """Print the lines of one size, with the time beside studperf's."""
    print(f"\n{lines[0]['rows']:>11,} rows    after import    processor      process       memory       page    times studperf's", flush=True)
    for line in lines:
        if line["outcome"] != "done":
            print(f"{line['contender']:20} {line['outcome']}", flush=True)
            continue
        ratio = f"{line['seconds_inside'] / lines[0]['seconds_inside']:8.2f}" if lines[0]["outcome"] == "done" else ""
        print(f"{line['contender']:20} {line['seconds_inside']:9.2f} s {line['seconds_cpu']:10.2f} s {line['seconds_process']:10.2f} s "
              f"{line['peak_mb']:9,.0f} MB {line['page_mb']:7.2f} MB {ratio}", flush=True)


def save(lines, versions):
    """Write the lines in the place of those of the same size, and what they were measured on."""
    RESULTS.parent.mkdir(exist_ok=True)
    sizes = {str(line["rows"]) for line in lines}
    kept = [line for line in csv.DictReader(RESULTS.read_text().splitlines()) if line["rows"] not in sizes] if RESULTS.exists() else []
    lines = [{name: f"{value:.5g}" if isinstance(value, float) else value for name, value in line.items()} for line in lines]
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(kept + lines, key=lambda line: int(line["rows"])))
    about = RESULTS.with_suffix(".json")
    known = json.loads(about.read_text())["versions"] if about.exists() else {}
    about.write_text(json.dumps({"machine": machine(), "versions": known | versions}, indent=1) + "\n")
    print(f"wrote {RESULTS.relative_to(HERE.parent)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help=f"the sizes {', '.join(f'{size:,}' for size in ALL_SIZES)}")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/report_speed.csv")
    parser.add_argument("--data", type=Path, default=HERE / "data", help="folder for the files of students (default: benchmarks/data)")
    parser.add_argument("--one", nargs=3, metavar=("CONTENDER", "FILE", "PAGE"), help="make one page, and say what it took")
    chosen = parser.parse_args()
    if chosen.one:
        warnings.simplefilter("ignore")
        return print("\n" + json.dumps(make_page(*chosen.one)))
    if os.getloadavg()[0] > os.cpu_count() / 4:
        print(f"This machine is busy (load {os.getloadavg()[0]:.1f}): times on the clock are longer than they need be.", flush=True)
    for rows in ALL_SIZES if chosen.full else SIZES:
        lines, versions = lines_of(rows, students(rows, chosen.data))
        show(lines)
        if chosen.save:
            save(lines, versions)


if __name__ == "__main__":
    main()
