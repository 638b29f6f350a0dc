"""Write the tables of all public names in nbs/reference/names.ipynb, from studperf/__init__.pyi and the docstrings.

    python tools/build_names.py            writes them
    python tools/build_names.py --check    writes nothing; exit code 1 if they are not what it would write
"""
import argparse
import inspect
import json
import sys

from execnb.nbio import nb2str
from prepare_pages import REPO, homes

import studperf

PAGE = REPO / "nbs/reference/names.ipynb"
MARK = "<!-- names: written by tools/build_names.py -->"
CONSTANTS = {"GENERATOR": "The `Generator` from which the embedded sample was drawn.",
             "STUDENTS": "The `Schema` of the exam data: five factors, three scores."}


def title(notebook):
    """The title of a notebook's page."""
    cells = json.loads((REPO / "nbs" / notebook).read_text(encoding="utf-8"))["cells"]
    return next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown").splitlines()[0].removeprefix("# ")


def first_sentence(name):
    """What a name does, by the first line of its docstring."""
    return CONSTANTS.get(name) or inspect.getdoc(getattr(studperf, name)).splitlines()[0]


def tables():
    """A heading and a table per notebook, in the order of the notebooks."""
    places = homes()
    for notebook in sorted(set(places.values())):
        names = sorted((name for name in places if places[name] == notebook), key=lambda name: (name.startswith("plot_"), name.lower()))
        yield f"### {title(notebook)}\n\n| name | what it is or does |\n|---|---|"
        for name in names:
            anchor = "" if name in CONSTANTS else f"#{name.lower()}"
            yield f"| [`{name}`](../{notebook}{anchor}) | {first_sentence(name).replace('|', chr(92) + '|')} |"
        yield ""


def build():
    """The notebook's text."""
    page = json.loads(PAGE.read_text(encoding="utf-8"))
    cell = next(cell for cell in page["cells"] if "<!-- names" in "".join(cell["source"]))
    cell["source"] = "\n".join(["## Names", "", MARK, "", *tables()]).strip()
    cell["source"] = cell["source"].splitlines(keepends=True)
    return nb2str(page)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, compare with what is there")
    check, text = parser.parse_args().check, build()
    if text == PAGE.read_text(encoding="utf-8"):
        print("nbs/reference/names.ipynb is in step with studperf/__init__.pyi")
    elif check:
        sys.exit("nbs/reference/names.ipynb is not what the public names give. Run make prepare.")
    else:
        PAGE.write_text(text, encoding="utf-8", newline="\n")
        print("nbs/reference/names.ipynb written")


if __name__ == "__main__":
    main()
