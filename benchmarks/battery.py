"""Speed and memory of the battery by studperf and by its peers, side by side in one run.

    make bench                                        this script, in an environment that has the peers
    python benchmarks/battery.py                      1,000 and a million rows: about three minutes
    python benchmarks/battery.py --rows 1e3,1e7       these sizes
    python benchmarks/battery.py --full               up to a hundred million rows: about half an hour
    python benchmarks/battery.py --full --save        and keep the figures in benchmarks/results/battery.csv, size by size

`contenders.py` says what the battery is. Each measurement is a fresh process, timed inside (imports left out; on the clock, and
the processors' time of all threads) and as a whole; its peak of memory is what the system says of it. Up to 100,000 rows, where importing takes longer than working, the time
inside is the median of five runs after a first. The files are made by `studperf simulate`, and kept for the next time.
This script imports the standard library alone: a process that is started here begins with this one's peak of memory.
"""
import argparse
import csv
import json
import os
import platform
import subprocess
import sys
from math import isclose
from pathlib import Path
from statistics import median
from time import perf_counter

from contenders import LEFT_OUT

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "battery.csv"
OURS, BARE = ("studperf", "studperf without value counts"), "DuckDB's bare pass"
PEERS = ("pingouin", "statsmodels", "SciPy + pyfixest")
SIZES, ALL_SIZES = (1_000, 1_000_000), (1_000, 1_000_000, 10_000_000, 100_000_000)
MOST_ROWS = 10_000_000  # for the peers
MOST_GB, MOST_SECONDS = 16, 600  # for each process
ENOUGH_SECONDS = 30  # a peer that took so long is not measured again, else up to three times
MEASURES = {"inside": "seconds_inside", "processor": "seconds_cpu", "process": "seconds_process", "memory": "peak_mb"}
COLUMNS = ("contender", "rows", "part", "seconds_inside", "seconds_cpu", "seconds_process", "peak_mb", "runs", "load", "outcome")


def students(rows, folder):
    """The file of so many students, made if it is not there."""
    path = folder / f"students_{rows}.{'csv' if rows <= 100_000 else 'parquet'}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        print(f"making {rows:,} students ...", flush=True)
        subprocess.run([sys.executable, "-c", "from studperf.cli import main; main()", "simulate", str(rows), "--out", path],
                       check=True, stdout=subprocess.DEVNULL)
    return path


def measured(contender, path, warm):
    """What one process of a contender says, its seconds as a whole, and its outcome."""
    command = [sys.executable, HERE / "contenders.py", contender, str(path), "--warm", str(warm), "--most-gb", str(MOST_GB)]
    start = perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS, env=os.environ | {"MPLBACKEND": "agg"})
    except subprocess.TimeoutExpired:
        return {}, float("nan"), f"stopped after {MOST_SECONDS / 60:.0f} minutes"
    seconds = perf_counter() - start
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1]), seconds, "done"
    if any(word in done.stderr for word in ("MemoryError", "bad_alloc", "Unable to allocate", "out of memory")):
        return {}, seconds, f"needs more than {MOST_GB} GB"
    sys.exit(f"{contender} failed on {path.name}:\n{done.stderr}")


def measurements(contender, rows, path):
    """One process after the other, until their number or the time is enough."""
    found, spent = [], 0
    warm, enough = 5 if rows <= 100_000 else 0, ENOUGH_SECONDS if contender in PEERS else MOST_SECONDS
    while len(found) < 3 and spent < enough:
        found.append(measured(contender, path, warm))
        if found[-1][2] != "done":
            return found[-1:]
        spent += found[-1][1]
    return found


def summary(contender, rows, found, load):
    """The lines of the result for one contender and size: medians; and how many processes wanted a processor before it ran."""
    outcome = found[0][2]
    line = {"contender": contender, "rows": rows, "part": "all", "runs": len(found), "load": load, "outcome": outcome}
    if outcome != "done":
        return [line]
    runs = [run for answer, *_ in found for run in answer["seconds"]]
    lines = [line | {"part": part, "seconds_inside": median(run[part] for run in runs)} for part in runs[0] if part != "cpu"]
    lines[-1] |= {"seconds_cpu": median(run["cpu"] for run in runs), "seconds_process": median(seconds for _, seconds, _ in found),
                  "peak_mb": median(answer["peak_mb"] for answer, *_ in found)}
    return lines


def check(contender, rows, checks, expected):
    """End the run if a contender found other numbers than ours."""
    for name, value in checks.items():
        if not isclose(value, expected[name], rel_tol=1e-6, abs_tol=1e-9):
            sys.exit(f"{contender}, {rows:,} rows: {name} is {value!r}, studperf finds {expected[name]!r}")


def battery(rows, folder):
    """The lines of all contenders for one size, and the versions that were used."""
    path, lines, versions, expected = students(rows, folder), [], {}, {}
    for contender in (*OURS, BARE, *(PEERS if rows <= MOST_ROWS else ())):
        load = os.getloadavg()[0]
        found = measurements(contender, rows, path)
        for answer, *_ in found:
            expected = expected or answer["checks"]
            check(contender, rows, answer.get("checks", {}), expected)
            versions |= answer.get("versions", {})
        lines += summary(contender, rows, found, load)
        show(lines[-1], lines)
    return lines, versions


def show(line, lines):
    """Print a contender's line, with ratios to studperf's of the same size."""
    ours = next(other for other in lines if other["part"] == "all")
    if line is ours:
        print(f"\n{line['rows']:>11,} rows                inside    processor      process       memory    times studperf's: {', '.join(MEASURES)}")
    if line["outcome"] != "done":
        return print(f"{line['contender']:30} {line['outcome']}", flush=True)
    ratios = [line[column] / ours[column] for column in MEASURES.values()]
    print(f"{line['contender']:30} {line['seconds_inside']:9.4f} s {line['seconds_cpu']:10.4f} s {line['seconds_process']:10.3f} s {line['peak_mb']:9,.0f} MB"
          f"    {'  '.join(f'{ratio:8.2f}' for ratio in ratios)}", flush=True)


def machine():
    """What the figures were measured on."""
    names = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")] \
        if Path("/proc/cpuinfo").exists() else [platform.processor()]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {"processor": names[0], "cores": os.cpu_count(), "memory_gb": round(memory), "system": platform.system(), "python": platform.python_version()}


def save(lines, versions):
    """Write the lines in the place of those of the same size, and what they were measured on."""
    RESULTS.parent.mkdir(exist_ok=True)
    sizes = {str(line["rows"]) for line in lines}
    kept = [line for line in csv.DictReader(RESULTS.open()) if line["rows"] not in sizes] if RESULTS.exists() else []
    lines = [{name: f"{value:.5g}" if isinstance(value, float) else value for name, value in line.items()} for line in lines]
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(kept + lines, key=lambda line: int(line["rows"])))
    record = {"machine": machine(), "versions": versions, "left_out": LEFT_OUT}
    RESULTS.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    print(f"wrote {RESULTS.relative_to(HERE.parent)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", help="sizes, such as 1e3,1e6")
    parser.add_argument("--full", action="store_true", help=f"the sizes {', '.join(f'{size:,}' for size in ALL_SIZES)}")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/battery.csv, which the docs show")
    parser.add_argument("--data", type=Path, default=HERE / "data", help="folder for the files of students (default: benchmarks/data)")
    chosen = parser.parse_args()
    sizes = [int(float(size)) for size in chosen.rows.split(",")] if chosen.rows else ALL_SIZES if chosen.full else SIZES
    if os.getloadavg()[0] > os.cpu_count() / 4:
        print(f"This machine is busy (load {os.getloadavg()[0]:.1f}): times on the clock are longer than they need be.", flush=True)
    for rows in sizes:
        lines, versions = battery(rows, chosen.data)
        if chosen.save:
            save(lines, versions)


if __name__ == "__main__":
    main()
