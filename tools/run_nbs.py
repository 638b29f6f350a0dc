"""Run the notebooks and write their outputs, or check that the outputs there are what a run gives.

    python tools/run_nbs.py                        every notebook under nbs/
    python tools/run_nbs.py nbs/2_cohort/cohort.ipynb    this one
    python tools/run_nbs.py --changed              those that a change since the last commit can have touched
    python tools/run_nbs.py --check                writes nothing; a diff and exit code 1 if an output is stale

A cell with `#| eval: false`, or with a flag of `tst_flags` in settings.ini, is not run and has no output.
"""
import argparse
import json
import multiprocessing
import os
import re
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from platform import machine
from subprocess import PIPE, run
from tempfile import TemporaryDirectory

import layout
from execnb.nbio import nb2str, read_nb
from execnb.shell import CaptureShell
from nbdev.clean import clean_nb
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.process import extract_directives
from notebook_outputs import REPO, staleness, unportable

# So that a run gives the same bytes anywhere. Most are read when a program starts, so they are set before those of the notebooks do.
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
    "MPLBACKEND": "agg",
    "MATPLOTLIBRC": os.devnull,  # a reader's own settings would change the figures
    "COLUMNS": "120", "LINES": "60",  # pandas and typer fit what they print to the terminal
    "NO_COLOR": "1", "_TYPER_FORCE_DISABLE_TERMINAL": "1",
    "TQDM_DISABLE": "1",
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",  # threads add up in another order each time
}
if machine() in ("x86_64", "AMD64"):  # code for newer processors rounds the last digit differently
    ENVIRONMENT |= {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"}

# Each notebook has a process of its own. Where that is safe it begins as a copy of one that has imported what most of them do,
# which takes four seconds else. Not Polars: it starts threads, and a copy has none of them.
COMMAND = re.compile(r"""^\s*!.*studperf|["']studperf["'],|-m",? "?studperf|^%%(?:sh|bash)""", re.MULTILINE)  # a cell that runs the command line
PROCESSES = multiprocessing.get_context("forkserver" if sys.platform.startswith("linux") else "spawn")
IMPORTED = ["__main__", "matplotlib.pyplot", "IPython.core.completer", "fastcore.test", "studperf.cli"]
PUBLIC = ("report", "Predictor", "PredictorWidget")  # whose modules are imported, too

# A change of these may change every notebook's outputs; one of another file those of the notebooks that name its folder.
EVERYWHERE = ("constraints.txt", "settings.ini", "studperf/assets/", "studperf/__init__.py", "tools/run_nbs.py", "tools/notebook_outputs.py")


def is_skipped(cell, flags):
    """Whether nbdev_test would skip the cell."""
    directives = extract_directives(cell, remove=False)
    switched_off = [value.lower() for value in directives.get("eval:", [])] == ["false"]
    return switched_off or not flags.isdisjoint(directives) or "nbdev_export(" in cell.source


def execute(path):
    """The notebook's text after a run in this process; ends the process at the first cell that fails."""
    config = get_config()
    notebook = read_nb(path)
    sys.path.insert(0, str(REPO))
    shell = CaptureShell(path, mpl_format="png")
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        cell.outputs = []  # execnb leaves the old output of a cell that now shows nothing
        if is_skipped(cell, set(config.tst_flags.split())):
            continue
        shell.cell(cell)
        if error := shell.exc:
            frames = error.__traceback__ and error.__traceback__.tb_next  # the first one is IPython's
            trace = "".join(traceback.format_exception(type(error), error, frames))
            sys.exit(f"cell {number} (id {cell.id}) failed:\n\n{cell.source}\n\n{trace}")
    clean_nb(notebook, config.clear_all, config.allowed_metadata_keys.split(),
             config.allowed_cell_metadata_keys.split(), config.clean_ids)
    notebook.metadata.pop("jupytext", None)  # left by an edit in a terminal; a notebook here is paired with nothing
    return nb2str(notebook)


def execute_into(path, result, said):
    """Write the notebook's text after a run in this process, and what this process says, standard error included."""
    with said.open("wb") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    os.chdir(path.parent)
    write(result, execute(path))
    if "joblib" in sys.modules:  # its workers wait five minutes for more work, and this process would wait for them
        sys.modules["joblib"].externals.loky.get_reusable_executor().shutdown()


def execute_apart(path):
    """The notebook's text after a run in a process of its own, or else None; what that process said; its seconds."""
    start = time.monotonic()
    with TemporaryDirectory() as folder:
        result, said = Path(folder, path.name), Path(folder, "said.txt")
        said.touch()
        process = PROCESSES.Process(target=execute_into, args=(path, result, said))
        process.start()
        process.join()
        text = result.read_text(encoding="utf-8") if result.exists() else None
        failure = said.read_text(encoding="utf-8", errors="replace") or f"its process ended with code {process.exitcode}"
    return text, failure, time.monotonic() - start


def changed_files():
    """The files that differ from the last commit, untracked ones too."""
    listed = [run(["git", *command, "-z"], cwd=REPO, stdout=PIPE, text=True, check=True).stdout.split("\0")
              for command in (("diff", "--name-only", "HEAD"), ("ls-files", "--others", "--exclude-standard"))]
    return sorted(name for names in listed for name in names if name)


def touched(notebooks, changed):
    """Those of the notebooks whose outputs the changed files can have changed: those that were edited, and those that use, by
    whatever way, a module that was; a module counts by its exported code, so that an edit of the prose concerns its notebook alone."""
    if any(name.startswith(EVERYWHERE) for name in changed):
        return list(notebooks)
    modules = {module for module in layout.file_modules() if layout.file_of(module).relative_to(REPO).as_posix() in changed}
    folders = {name.split("/")[0] for name in changed if "/" in name} - {"nbs", "studperf"}
    found = []
    for path in notebooks:
        code = "\n".join(layout.cells(path))
        used = layout.used_by(path) | ({"cli"} if COMMAND.search(code) else set())
        if (path.relative_to(REPO).as_posix() in changed or modules & layout.below(used)
                or any(f"{folder}/" in code for folder in folders)):
            found.append(path)
    return found


def write(path, text):
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    os.replace(temporary, path)  # whole or not at all


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--changed", action="store_true", help="only those that a change since the last commit can have touched")
    parser.add_argument("--check", action="store_true", help="write nothing, compare with what is there")
    parser.add_argument("--workers", type=int, default=2, help="notebooks run at a time (default: 2)")
    args = parser.parse_args()

    paths = [path.resolve() for path in args.notebooks]
    os.chdir(REPO)
    os.environ |= ENVIRONMENT
    paths = paths or sorted(path.resolve() for path in nbglob(as_path=True))
    if args.changed:
        every, paths = len(paths), touched(paths, changed_files())
        print(f"{len(paths)} of {every} notebooks can have changed{': all by make prepare ALL=1' if len(paths) < every else ''}", flush=True)
    if len(paths) > args.workers:
        PROCESSES.set_forkserver_preload([*IMPORTED, *(f"studperf.{layout.public()[name]}" for name in PUBLIC if name in layout.public())])
    problems = []
    with ThreadPoolExecutor(args.workers) as pool:
        started = [(path, path.read_text(encoding="utf-8"), pool.submit(execute_apart, path)) for path in paths]
        for path, committed, future in started:
            name = path.relative_to(REPO)
            text, failure, seconds = future.result()
            if text is None:
                pool.shutdown(wait=False, cancel_futures=True)
                sys.exit(f"{name}, {failure}")
            found = [*unportable(name, json.loads(text)), *(staleness(name, committed, text) if args.check else [])]
            if path.read_text(encoding="utf-8") != committed:
                found.append(f"{name} was edited while it ran, so its outputs were not touched: run it again")
            elif not args.check and text != committed:
                write(path, text)
            verdict = "has problems" if found else "in step" if args.check or text == committed else "written"
            print(f"{name}: {verdict} ({seconds:.0f} s)", flush=True)
            problems += found
    if problems:
        sys.exit("\n" + "\n\n".join(problems) + ("\n\nRun make prepare, and look at what changed." if args.check else ""))


if __name__ == "__main__":
    main()
