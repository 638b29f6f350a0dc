"""Which notebook makes which module, and which module imports which: read from the files, without importing anything.

A notebook's module is what its `#| default_exp` says, wherever the notebook is: `statistics.comparison` is studperf/statistics/comparison.py.
"""
import ast
import json
import re
import tomllib
from functools import cache
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
PACKAGE = "studperf"
DEFAULT_EXP = re.compile(r"^#\s*\|\s*default_exp\s+([\w.]+)", re.MULTILINE)
BY_NAME = re.compile(r"\b(?:studperf|sp)\.(\w+)")


def notebooks(folder=None):
    """All notebooks, in the order of their paths."""
    return sorted(path for path in (folder or REPO / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)


def cells(notebook, kind="code"):
    """The sources of a notebook's cells of one kind."""
    return ["".join(cell["source"]) for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def module_of(notebook):
    """The module that a notebook is exported to, such as `statistics.comparison`; None if it exports nothing."""
    found = DEFAULT_EXP.search("\n".join(cells(notebook)))
    return found and found[1]


@cache
def homes():
    """The notebook of each module, in the order of the notebooks."""
    found = {module_of(path): path for path in notebooks()}
    found.pop(None, None)
    return found


def file_of(module):
    """The file of a module."""
    return REPO / PACKAGE / f"{module.replace('.', '/')}.py"


def file_modules():
    """The modules that there are, by name, but for packages themselves and nbdev's index."""
    files = sorted((REPO / PACKAGE).rglob("*.py"))
    return {".".join(path.relative_to(REPO / PACKAGE).with_suffix("").parts): path for path in files if path.name not in ("__init__.py", "_modidx.py")}


@cache
def public():
    """The module of each public name, in the order of `__init__.pyi`."""
    tree = ast.parse((REPO / PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    return {one.asname or one.name: node.module for node in tree.body if isinstance(node, ast.ImportFrom) for one in node.names}


def imported(tree, package=()):
    """The modules that a piece of code imports, within functions, too; `package` is where relative imports start."""
    known = file_modules()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [one.name.split(".") for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [PACKAGE, *package[:len(package) - node.level + 1]] if node.level else []
            base += node.module.split(".") if node.module else []
            names = [base, *([*base, one.name] for one in node.names)]
        for first, *rest in names:
            if first == PACKAGE:
                yield from (name for name in [".".join(rest), public().get(".".join(rest))] if name in known)


@cache
def imports():
    """The modules that each module imports."""
    return {name: set(imported(ast.parse(path.read_text(encoding="utf-8")), name.split(".")[:-1])) - {name}
            for name, path in file_modules().items()}


def used_by(notebook):
    """The modules that a notebook uses: its own, those it imports, and those of the names that it writes as `studperf.name`."""
    found = {module_of(notebook)} - {None}
    for source in cells(notebook):
        code = "\n".join(line for line in source.splitlines() if not re.match(r"\s*[%!]", line))
        try:
            found |= set(imported(ast.parse(code)))
        except SyntaxError:  # a cell of another language
            continue
        found |= {public()[name] for name in BY_NAME.findall(code) if name in public()}
    return found


def below(modules):
    """These modules and all that they import, and what those import in turn."""
    found, waiting = set(), list(modules)
    while waiting:
        if (one := waiting.pop()) not in found:
            found.add(one)
            waiting += imports().get(one, ())
    return found


def circles():
    """Groups of modules that import each other, by whatever way (Tarjan, 1972)."""
    order, low, stack, found = {}, {}, [], []

    def visit(one):
        order[one] = low[one] = len(order)
        stack.append(one)
        for other in sorted(imports()[one]):
            if other not in order:
                visit(other)
            if other in stack:
                low[one] = min(low[one], low[other])
        if low[one] == order[one]:
            group = [stack.pop()]
            while group[-1] != one:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for one in imports():
        if one not in order:
            visit(one)
    return sorted(found)


def floors():
    """The longest chain of imports, from the top to the ground, each a module or a circle of modules."""
    together = {one: tuple(group) for group in circles() for one in group}

    @cache
    def chain(group):
        further = {together.get(other, (other,)) for one in group for other in imports()[one]} - {group}
        return (group, *max((chain(other) for other in sorted(further)), key=len, default=()))

    return max((chain(together.get(one, (one,))) for one in imports()), key=len, default=())


def layers():
    """The rooms and modules of the package from top to ground, as the contract in pyproject.toml names them."""
    contracts = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    lines = next(one["layers"] for one in contracts if one["type"] == "layers" and one.get("containers") == [PACKAGE])
    return [name for line in lines for name in re.findall(r"[\w.]+", line)]


def room(module):
    """The sub-package of a module; for one at the top its own name."""
    return module.rpartition(".")[0] or module


def is_built():
    """Whether the package has rooms; else all modules lie in one folder."""
    return any("." in module for module in homes())
