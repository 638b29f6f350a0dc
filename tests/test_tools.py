"""tools/run_nbs.py and tools/build_readme.py on a project of one notebook."""
import io
import json
import shutil
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture
def tool(tmp_path):
    """`tool("run_nbs.py", "--check")` runs a tool in a project whose nbs/index.ipynb holds the cells of `tool.cells`."""
    for path in ("settings.ini", "tools/run_nbs.py", "tools/notebook_outputs.py", "tools/layout.py", "studperf/__init__.pyi"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(REPO / path, tmp_path / path)
    notebook = tmp_path / "nbs/index.ipynb"
    notebook.parent.mkdir()

    def cells(*sources):
        """Replace the sources of the notebook's cells, keeping their outputs."""
        old = json.loads(notebook.read_text())["cells"] if notebook.exists() else [{}] * len(sources)
        new = [nbformat.v4.new_code_cell(source, id=f"cell-{number}", outputs=cell.get("outputs", []))
               for number, (source, cell) in enumerate(zip(sources, old, strict=True))]
        nbformat.write(nbformat.from_dict(nbformat.v4.new_notebook(cells=new)), notebook)

    def run(name, *options):
        return subprocess.run([sys.executable, tmp_path / "tools" / name, *options], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120)

    run.cells, run.notebook, run.folder = cells, notebook, tmp_path
    return run


@pytest.fixture
def tools_on_path(monkeypatch):
    monkeypatch.syspath_prepend(REPO / "tools")


@pytest.fixture
def outputs_module(tools_on_path):
    import notebook_outputs
    return notebook_outputs


def shown(notebook):
    return [cell["outputs"] for cell in json.loads(notebook.read_text())["cells"]]


FIGURE = "import matplotlib.pyplot as plt\nfigure, axes = plt.subplots(figsize=(3, 2))\naxes.plot([0, 1], [0, {}]);"


def test_outputs_are_written_once_and_then_in_step(tool):
    tool.cells("6 * 7", "#| eval: false\n1 / 0", "#| slow\n1 / 0", FIGURE.format(1), "hash('seeded')")
    assert "written" in tool("run_nbs.py").stdout
    first = tool.notebook.read_bytes()
    assert [len(outputs) for outputs in shown(tool.notebook)] == [1, 0, 0, 1, 1]
    assert "in step" in tool("run_nbs.py").stdout
    assert tool.notebook.read_bytes() == first
    assert tool("run_nbs.py", "--check").returncode == 0


def test_check_names_each_stale_cell_and_changes_nothing(tool):
    tool.cells("6 * 7", "6 * 7", "6 * 7", "6 * 7", FIGURE.format(1))
    tool("run_nbs.py")
    tool.cells("6 * 7", "6 * 8", "6 * 7;", "#| eval: false\n6 * 7", FIGURE.format(2))
    stale = tool.notebook.read_bytes()
    check = tool("run_nbs.py", "--check")
    assert check.returncode == 1
    assert [number for number in range(5) if f"--- nbs/index.ipynb, cell {number} (id cell-{number})" in check.stderr] == [1, 2, 3, 4]
    assert tool.notebook.read_bytes() == stale


@pytest.mark.parametrize("source, complaint", [("def f():\n    raise ValueError('no')\nf()", "ValueError: no"),
                                               ("import os; os._exit(9)", "ended with code 9")])
def test_failing_notebook_is_named_and_not_written(tool, source, complaint):
    tool.cells("1", source)
    before = tool.notebook.read_bytes()
    run = tool("run_nbs.py")
    assert run.returncode == 1 and complaint in run.stderr and "nbs/index.ipynb" in run.stderr
    assert tool.notebook.read_bytes() == before


@pytest.mark.parametrize("text, complaint", [
    ("at 0x7f1c2ab3d4e8", "a memory address"), ("np.float64(1.0)", "a NumPy scalar's repr"), ("np.True_", "a NumPy scalar's repr"),
    (f"{REPO}/nbs", "a path of this machine"), ("/home/me/scores.csv", "a path of this machine"),
    ("10%\r20%", "a progress bar"), ("3.1it/s", "a progress bar"),
    ("https://example.org/home/x", None), ("a\r\nb", None), ("np.mean(x)", None), ("0x1f", None), (r"\rho", None)])
def test_unportable_outputs_are_named(outputs_module, text, complaint):
    cell = nbformat.v4.new_code_cell(id="a", outputs=[nbformat.v4.new_output("stream", text=text)])
    found = list(outputs_module.unportable("x.ipynb", {"cells": [cell]}))
    assert [line.splitlines()[0] for line in found] == ([f"x.ipynb, cell 0 (id a) shows {complaint}:"] if complaint else [])


@pytest.mark.parametrize("changed, level, same", [(1, 255, True), (48 * 48, 5, True), (3, 20, False)])
def test_pictures_are_compared_by_pixel(outputs_module, changed, level, same):
    def png(pixels):
        stream = io.BytesIO()
        Image.fromarray(pixels.reshape(150, 100).astype("uint8")).save(stream, "png")
        return b64encode(stream.getvalue()).decode()

    pixels = np.zeros(15_000)
    other = pixels.copy()
    other[:changed] = level
    assert outputs_module.same_picture(png(pixels), png(other)) == same


def test_readme_shows_what_a_reader_needs(tool, tools_on_path, monkeypatch):
    import build_readme
    tool.cells("#| hide\nhidden = 1", "#| eval: false\n#| fig-cap: x\nshown = 2", "import pandas; pandas.DataFrame({'math': [71]})",
               f"#| echo: false\n#| fig-alt: A line\n{FIGURE.format(1)}")
    tool("run_nbs.py")
    monkeypatch.setattr(build_readme, "REPO", tool.folder)
    monkeypatch.setattr(build_readme, "README", tool.folder / "README.md")
    monkeypatch.setattr(build_readme, "FIGURES", tool.folder / "README_files")

    def build(*options):
        monkeypatch.setattr(sys, "argv", ["build_readme.py", *options])
        build_readme.main()

    with pytest.raises(SystemExit, match="README.md is not what nbs/index.ipynb gives"):
        build("--check")
    build()
    readme = (tool.folder / "README.md").read_text()
    assert "hidden" not in readme and "#|" not in readme and "<div" not in readme and "plt.subplots" not in readme
    assert "```python\nshown = 2\n```" in readme and "       math\n    0    71" in readme
    assert "![A line](README_files/figure-1.png)" in readme and (tool.folder / "README_files/figure-1.png").exists()
    build("--check")


def test_readme_links_from_the_top(tools_on_path):
    from build_readme import from_top
    assert from_top("[a](1_rows/schema.ipynb#b) ![p](images/p.png) [l](../LICENSE)") == \
        "[a](nbs/1_rows/schema.ipynb#b) ![p](nbs/images/p.png) [l](LICENSE)"
    same = "[a](https://example.org/x) [b](#there) `[c](d)`\n```\n[e](f)\n```\n"
    assert from_top(same) == same


@pytest.fixture
def package(tmp_path, tools_on_path, monkeypatch):
    """`package(one="import a", ...)` writes modules; the tools take them for ours. Each has a notebook, that of `a.b` in nbs/1_a."""
    import layout
    monkeypatch.setattr(layout, "REPO", tmp_path)
    (tmp_path / "studperf").mkdir()
    (tmp_path / "studperf/__init__.pyi").write_text("from .top import shown\nfrom .rows.schema import Schema\n")

    def make(**modules):
        for name, source in modules.items():
            *rooms, module = name.split("__")
            path = tmp_path.joinpath("studperf", *rooms, f"{module}.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
            notebook = tmp_path.joinpath("nbs", *(f"1_{room}" for room in rooms), f"{module}.ipynb")
            notebook.parent.mkdir(parents=True, exist_ok=True)
            cells = [nbformat.v4.new_code_cell(f"#| default_exp {'.'.join([*rooms, module])}"),
                     nbformat.v4.new_markdown_cell(f"# {module}\n\n> What {module} does."), nbformat.v4.new_code_cell(f"#| export\n{source}")]
            nbformat.write(nbformat.v4.new_notebook(cells=cells), notebook)
        for cached in (layout.homes, layout.public, layout.imports):
            cached.cache_clear()
        return layout

    yield make
    for cached in (layout.homes, layout.public, layout.imports):
        cached.cache_clear()


HOUSE = {"top": "from .rows.schema import Schema\ndef shown(): ...", "rows__schema": "class Schema: ...",
         "rows__reading": "def read():\n    from studperf.rows import schema\n    from studperf import Schema",
         "text": "def words(): ..."}


def test_the_layout_is_read_from_the_files(package, tmp_path):
    layout = package(**HOUSE)
    assert {module: path.relative_to(tmp_path / "nbs").as_posix() for module, path in layout.homes().items()} == {
        "rows.reading": "1_rows/reading.ipynb", "rows.schema": "1_rows/schema.ipynb", "text": "text.ipynb", "top": "top.ipynb"}
    assert layout.imports() == {"rows.reading": {"rows.schema"}, "rows.schema": set(), "text": set(), "top": {"rows.schema"}}
    assert layout.public() == {"shown": "top", "Schema": "rows.schema"}
    assert layout.circles() == [] and layout.floors() == (("rows.reading",), ("rows.schema",)) and layout.is_built()


def test_circles_of_lazy_imports_are_found(package):
    layout = package(**HOUSE | {"rows__schema": "def lazy():\n    from .reading import read\n    from .. import text"})
    assert layout.circles() == [["rows.reading", "rows.schema"]]
    assert layout.floors() == (("top",), ("rows.reading", "rows.schema"), ("text",))


def test_notebooks_that_a_change_can_have_touched(package, tmp_path):
    layout = package(**HOUSE)
    import run_nbs

    def others(name, *sources):
        nbformat.write(nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, sources))), tmp_path / "nbs" / name)
    others("prose.ipynb", "1")
    others("user.ipynb", "import studperf\nstudperf.shown()")
    others("terminal.ipynb", "%matplotlib inline\n!studperf --help")
    others("results.ipynb", "open('../benchmarks/speed.csv')")

    def touched(*changed):
        return [path.stem for path in run_nbs.touched(layout.notebooks(tmp_path / "nbs"), changed)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_nbs, "REPO", tmp_path)
        assert touched() == touched("README.md", "tests/test_x.py") == []
        assert touched("nbs/1_rows/reading.ipynb") == touched("studperf/rows/reading.py") == ["reading"]
        assert touched("studperf/rows/schema.py") == ["reading", "schema", "top", "user"]
        assert touched("studperf/text.py") == ["text"] and touched("benchmarks/speed.csv") == ["results"]
        assert len(touched("settings.ini")) == len(touched("studperf/assets/students.csv")) == 8


def test_the_house_is_measured_and_drawn(package, tmp_path):
    package(**HOUSE)
    import house
    (tmp_path / "studperf/rows/__init__.py").write_text('"""Tables & what they say. More."""')
    (tmp_path / "pyproject.toml").write_text('[[tool.importlinter.contracts]]\ntype = "layers"\ncontainers = ["studperf"]\nlayers = ["top", "(none)", "rows", "text"]')
    found = house.figures()
    assert found["rooms"] == 1 and found["modules"] == 4 and found["floors"] == 2 and found["circles of imports"] == found["imports up"] == 0
    assert found["cells with definitions"] == 4 and found["most lines of a cell"] == 3 and found["public names"] == 2
    assert list(house.room_list()) == ["- **rows**: tables & what they say."]
    assert "| [schema](../1_rows/schema.ipynb) | What schema does. |" in list(house.module_tables("contribute/house.ipynb"))
    assert house.picture().count('class="box"') == 4 and "Tables &amp; what they say." in house.picture()
    package(text="from .top import shown\nSchema = 1")
    assert house.imports_up() == [("text", "top")] and house.names_in_two() == {"Schema": ["rows.schema", "text"]}


def test_tests_of_a_notebook_are_found(package, tmp_path):
    package(**HOUSE)
    import check_notebook
    (tmp_path / "test_x.py").write_text("import studperf\nfrom studperf.rows import schema as s\ndef test_a(): s.x\ndef test_b(): studperf.Schema\n"
                                        "def test_c(): studperf.shown\ndef helper(): s.x\n")
    assert [name.split("::")[1] for name in check_notebook.tests_of("rows.schema", tmp_path)] == ["test_a", "test_b"]


MODULE = '''"A module."
__all__ = ["Sorted", "sort", "Odd", "command", "fail"]

# %% ../nbs/a.ipynb #1
def sort(rows: list,  # of numbers, one a line; "a" or
         # the comment above
         key="x",
         by: "str | None" = None, ascending: bool = True,  # lowest first
         *more,  # further rows
         **options: str,  # for the sorter
         ) -> list:  # a new one
    """Sort; raises ValueError for rows that
    differ, TypeError if `x.y` is none; warns (UserWarning) of ties."""
    return rows


def _hidden(rows):  # nothing
    "Stay as it is."

# %% ../nbs/a.ipynb #2
@dataclass(frozen=True)
class Sorted:
    "Rows in order."
    kind: ClassVar[int] = 1  # not a field
    rows: tuple[int, ...]  # ascending
    label: str = "it's"  # of the column

    def first(self) -> int:  # the lowest
        "Return the first row."
        return self.rows[0]

    def _own(self, n):  # nothing
        "Stay."


class Odd(Exception):
    """Say what is odd."""

    def __init__(self, name: str):  # of the column
        self.name = name

    @property
    def said(self) -> str:
        "Return a text. Raise KeyError if there is none."


@app.command()
def command(path: str):  # a file
    "Read a file."


def fail(n):  # a number
    "Raise ValueError."
'''


EXPLAINED = '''    """Sort. Warns (UserWarning) of ties.

    Parameters
    ----------
    rows : list
        of numbers, one a line; "a" or
    key : default 'x'
        the comment above
    by : str | None = None
    ascending : bool = True
        lowest first
    *more
        further rows
    **options : str
        for the sorter

    Returns
    -------
    list
        a new one

    Raises
    ------
    ValueError
        For rows that differ.
    TypeError
        If `x.y` is none.
    """
'''


def test_docstrings_repeat_the_comments_in_sections(tools_on_path):
    from export import Docstrings
    made = Docstrings(MODULE).source()
    assert EXPLAINED in made
    for text in ("Attributes\n    ----------\n    rows : tuple[int, ...]\n        ascending\n    label : str = \"it's\"\n        of the column\n    \"\"\"\n",
                 "    Parameters\n    ----------\n    name : str\n        of the column\n    \"\"\"\n",
                 "        Returns\n        -------\n        int\n            the lowest\n        \"\"\"\n",
                 "Return a text.\n\n        Raises\n        ------\n        KeyError\n            If there is none.\n"):
        assert text in made
    for kept in ('"Stay as it is."', '"Stay."', '"Read a file."', "# of numbers, one a line", "kind: ClassVar[int] = 1"):
        assert kept in made
    assert "Raise ValueError.\n\n    Parameters" in made
    assert Docstrings(made).source() == made


@pytest.mark.parametrize("text, rest, errors", [
    ("Raise DataError if it is wrong.", "Raise DataError if it is wrong.", []),
    ("Load.\n\nRaises DataError with every fault; warns of gaps.", "Load.\n\nWarns of gaps.", ["DataError", "    With every fault."]),
    ("Write; raises ValueError, DataError or OSError as `one` does.", "Write.", ["ValueError, DataError, OSError", "    As `one` does."]),
    ("Check; warns of gaps, raises DataError if few are left.", "Check; warns of gaps.", ["DataError", "    If few are left."]),
    ("Add; raises DataError if not. `a + b` is the same.", "Add. `a + b` is the same.", ["DataError", "    If not."]),
    ("Say which error a reader raises where.", "Say which error a reader raises where.", []),
])
def test_what_is_raised_gets_a_section(tools_on_path, text, rest, errors):
    from export import raised
    assert raised(text) == (rest, errors)
