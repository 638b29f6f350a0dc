"""Seconds for drawing a million students, summarising a million and ten million rows, and writing the report.

    python benchmarks/speed.py    median of five runs each; about a minute
"""
import resource
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from studperf import Cohort, report, simulate_students


def seconds(work, runs=5):
    """The median time of some runs."""
    times = []
    for _ in range(runs):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return median(times)


def main():
    with tempfile.TemporaryDirectory() as folder:
        print(f"simulate_students(1_000_000)            {seconds(lambda: simulate_students(1_000_000)):6.2f} s")
        rows = simulate_students(1_000_000)
        for part in range(10):
            rows.to_parquet(Path(folder, f"{part}.parquet"))
        for count in (1, 10):
            files = [Path(folder, f"{part}.parquet") for part in range(count)]
            print(f"Cohort.summarize, {count:2} million rows, Parquet {seconds(lambda files=files: Cohort.summarize(files)):6.2f} s")
        print(f"report, 1,000 rows                      {seconds(lambda: report(None, Path(folder, 'report.html'))):6.2f} s")
    print(f"most memory of the whole process        {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:6.0f} MB")


if __name__ == "__main__":
    main()
