"""Some hundreds of altered files for each reader: each is read, or refused in one line. Ten thousand are in benchmarks/altered_files.py."""
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import SHARED

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "altered_files.py"
FILES, MOST_MEMORY, MOST_SECONDS = 150, 300, 5  # MB, seconds
READERS = {"tables": ["text", "workbooks", "Parquet", "Arrow", "SPSS", "SAS", "class list"], "descriptions": ["formula", "predictor", "predictor of files", "Cohort", "Schema", "registry"]}


@pytest.mark.skipif(not hasattr(os, "fork") or not Path("/proc/self/status").exists(), reason="copies of a process and their memory are Linux's")
@pytest.mark.parametrize("kind", READERS)
def test_altered_files_are_read_or_refused(kind, tmp_path):
    readers = [word for name in READERS[kind] for word in ("--reader", name)]
    also = ["--also", str(SHARED / "wild")] if (SHARED / "wild").is_dir() else []
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS")}
    done = subprocess.run([sys.executable, BENCHMARK, "--files", str(FILES), "--out", tmp_path / "found.csv", *readers, *also], capture_output=True, text=True, timeout=900,
                          env={**os.environ, **threads, "ARROW_DEFAULT_MEMORY_POOL": "system", "STUDPERF_SHARED": str(SHARED)})
    found = pd.read_csv(tmp_path / "found.csv").set_index("reader")
    assert list(found.index) == READERS[kind], done.stderr
    assert (found["other"] == 0).all(), done.stderr
    assert (found["files"] == FILES).all()
    assert (found["refused"] > 0).all()
    assert (found["read"] > 0).all()
    assert (found["most_memory_mb"] <= MOST_MEMORY).all(), found
    assert (found["longest_s"] <= MOST_SECONDS).all(), found
