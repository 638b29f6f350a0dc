"""Check one notebook in seconds: export it, run it, look for bugs with ruff, run the quick tests that name what it defines.

    make check NB=nbs/3_statistics/comparison.ipynb

Its outputs are written, as by `make prepare`. Other notebooks and the rest of the tests are left to `make prepare test`.
"""
import ast
import re
import sys
import time
from pathlib import Path
from subprocess import TimeoutExpired, run

import layout


PATIENCE = 60  # seconds for the tests: what many tests name would take them all


def names_of(module, tree):
    """How the tests of a file name a module: by its path, by a public name that it defines, or by a name that they import from it."""
    path = f"{layout.PACKAGE}.{module}"
    return {path, *(name for name, place in layout.public().items() if place == module),
            *(one.asname or one.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
              for one in node.names if path in (node.module, f"{node.module}.{one.name}"))}


def tests_of(module, folder=layout.REPO / "tests"):
    """The tests that name a module or what it defines."""
    for path in sorted(folder.glob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in names_of(module, tree)))
        yield from (f"{path.as_posix()}::{one.name}" for one in tree.body if isinstance(one, ast.FunctionDef)
                    and one.name.startswith("test_") and names.search(ast.unparse(one)))


def steps(notebook, python=sys.executable):
    """What is to be done, and the command that does it."""
    module, tools = layout.module_of(notebook), layout.REPO / "tools"
    yield "export", [python, tools / "export.py"]
    yield "run the notebook", [python, tools / "run_nbs.py", notebook]
    if module:
        yield "ruff", [python, "-m", "ruff", "check", "--quiet", layout.file_of(module)]
        if tests := list(tests_of(module)):
            yield f"tests ({len(tests)})", [python, "-m", "pytest", "-q", "-x", "-m", "not slow", *tests]


def main():
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit(f"Name one notebook: make check NB=nbs/index.ipynb; found {sys.argv[1:]}")
    for name, command in steps(Path(sys.argv[1]).resolve()):
        start = time.monotonic()
        print(f"{name} ...", flush=True)
        try:
            code = run(list(map(str, command)), cwd=layout.REPO, timeout=PATIENCE if name.startswith("tests") else None).returncode
        except TimeoutExpired:
            print(f"\nStopped after {PATIENCE} s without a failure; make test runs the rest.")
            break
        if code not in (0, 5):  # 5: all of its tests are slow ones
            sys.exit(code)
        print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
