"""The command line in copies of a process that has imported what commands need: as its users start it, but for the seconds of the imports.

For tests of what commands say and write, not of how one begins, of its memory, or of signals.
"""
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from serving import PATIENCE

PROGRAM = """
import json, os, signal, sys
import pandas, pyarrow.parquet, scipy.stats, sklearn.compose, sklearn.ensemble, statsmodels.api, matplotlib.pyplot
import studperf.reporting.report, studperf.models.storage
from studperf.cli import main

for line in sys.stdin:
    asked = json.loads(line)
    if (child := os.fork()) == 0:
        signal.alarm(asked["seconds"])  # which ends what waits for ever
        os.chdir(asked["folder"])
        os.environ.update(asked["environment"])
        for number, path in enumerate((os.devnull, asked["out"], asked["err"])):
            os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY), number)
        sys.argv = ["studperf", *asked["words"]]
        code = 99  # main ends by an exit
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # at once: to take down what was imported would take longer than most commands
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def in_full(*words, folder, **environment):
    """The same, with the imports."""
    return subprocess.run([sys.executable, "-c", "from studperf.cli import main; main()", *map(str, words)], cwd=folder, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=PATIENCE, env=os.environ | environment)


@contextmanager
def commands():
    """`run(*words, folder=..., **environment)` is what a command said and how it ended."""
    if not sys.platform.startswith("linux"):  # elsewhere a copy of a process that has imported much may not work
        yield in_full
        return
    with TemporaryDirectory() as place, subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        paths = {name: Path(place, name) for name in ("out", "err")}

        def run(*words, folder, **environment):
            for path in paths.values():
                path.write_bytes(b"")
            asked = {"words": words, "folder": folder, "environment": environment, "seconds": PATIENCE, **paths}
            process.stdin.write(json.dumps(asked, default=str) + "\n")
            process.stdin.flush()
            code = int(process.stdout.readline())
            said = [path.read_text("utf-8") for path in paths.values()]
            return subprocess.CompletedProcess(words, code, *said)
        try:
            yield run
        finally:
            process.stdin.close()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()
