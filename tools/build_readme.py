"""Build README.md from nbs/index.ipynb, without Quarto.

    python tools/build_readme.py            writes README.md, and its figures to README_files/
    python tools/build_readme.py --check    writes nothing; a diff and exit code 1 if README.md is not what it would write
"""
import argparse
import difflib
import posixpath
import re
import shutil
import sys
from base64 import b64decode
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from traitlets.config import Config

REPO = Path(__file__).resolve().parents[1]
README, FIGURES = REPO / "README.md", REPO / "README_files"
NOTICE = "<!-- Built from nbs/index.ipynb by tools/build_readme.py: edit there, then run make prepare. -->\n\n"

DIRECTIVE = re.compile(r"^#\s*\|\s*(.+?)\s*(?:\n|\Z)", re.MULTILINE)
CODE = re.compile(r"(^```.*?^```|`[^`\n]*`)", re.MULTILINE | re.DOTALL)
RELATIVE_LINK = re.compile(r"""(\]\(|\b(?:src|href)=")(?![a-z]+:|[#/])([^)\s"]+)""")


def from_top(markdown):
    """Links in a notebook are relative to nbs/, those in the README to the top of the repo."""
    parts = CODE.split(markdown)  # every second part is code and stays as it is
    parts[::2] = [RELATIVE_LINK.sub(lambda link: link[1] + posixpath.normpath(f"nbs/{link[2]}"), part) for part in parts[::2]]
    return "".join(parts)


def as_reader_sees(cell, figures):
    """The cell without what is only for nbdev and Quarto, or None; its pictures go to `figures`, by file name."""
    if cell.cell_type == "markdown":
        cell.source = from_top(cell.source)
        return cell
    directives = dict(re.split(r":\s*|$", text, maxsplit=1) for text in DIRECTIVE.findall(cell.source))
    if cell.cell_type == "raw" or "hide" in directives or directives.get("include") == "false":
        return None
    cell.source = DIRECTIVE.sub("", cell.source).strip()
    cell.metadata["transient"] = {"remove_source": directives.get("echo") == "false"}
    if directives.get("output") == "false":
        cell.outputs = []
    for output in cell.outputs:
        if png := output.get("data", {}).get("image/png"):
            file = f"figure-{len(figures) + 1}.png"
            figures[file] = b64decode(png)
            alt = directives.get("fig-alt", directives.get("fig-cap", "")).strip("\"'")
            output.data = {"text/markdown": f"![{alt}]({FIGURES.name}/{file})"}
    return cell if cell.source or cell.outputs else None


def build():
    """The README's text, and its figures by file name."""
    figures = {}
    notebook = nbformat.read(REPO / "nbs/index.ipynb", as_version=4)
    notebook.cells = [seen for cell in notebook.cells if (seen := as_reader_sees(cell, figures))]
    notebook.metadata = {"language_info": {"name": "python"}}  # marks the code blocks; nbdev_clean drops it
    plain_first = ["text/markdown", "text/plain", "text/html"]  # GitHub and PyPI strip the style of a table in HTML
    exporter = MarkdownExporter(config=Config(NbConvertBase={"display_data_priority": plain_first}))
    text, _ = exporter.from_notebook_node(notebook)
    text = re.sub(r"^[ \t]+$", "", text, flags=re.MULTILINE)
    return NOTICE + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n", figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, compare with what is there")
    check = parser.parse_args().check
    text, figures = build()
    old_text = README.read_text(encoding="utf-8") if README.exists() else ""
    old_figures = {path.name: path.read_bytes() for path in FIGURES.glob("*")}
    if (text, figures) == (old_text, old_figures):
        print("README.md is in step with nbs/index.ipynb")
    elif check:
        print(*difflib.unified_diff(old_text.splitlines(), text.splitlines(), "README.md", "nbs/index.ipynb", lineterm=""),
              *(f"{FIGURES.name}/{name} differs" for name in sorted(figures | old_figures)
                if figures.get(name) != old_figures.get(name)), sep="\n")
        sys.exit("\nREADME.md is not what nbs/index.ipynb gives. Run make prepare.")
    else:
        README.write_text(text, encoding="utf-8", newline="\n")
        shutil.rmtree(FIGURES, ignore_errors=True)
        for name, png in figures.items():
            FIGURES.mkdir(exist_ok=True)
            (FIGURES / name).write_bytes(png)
        print("README.md written")


if __name__ == "__main__":
    main()
