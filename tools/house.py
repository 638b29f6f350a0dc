"""Measure the package, draw its rooms, and list them in nbs/contribute/house.ipynb and the README.

    python tools/house.py            prints the figures, writes nbs/images/house.svg and the lists
    python tools/house.py --check    writes nothing; exit code 1 if a figure is beyond its limit, or the picture or a list is stale
    python tools/house.py --long     names the modules, cells and names behind the figures, too

The rooms and their order are those of the contract in pyproject.toml. What a room is for is said in the docstring of its
`__init__.py`, what a module is for in the line below the title of its notebook.
"""
import argparse
import ast
import json
import re
import sys
import textwrap
from collections import defaultdict
from html import escape
from pathlib import Path
from statistics import median

import layout
from execnb.nbio import nb2str

# The most that is allowed; of what is not named here there is no limit.
LIMITS = {"circles of imports": 0, "imports up": 0, "median lines of a cell": 12, "share of cells over 25 lines": .10,
          "most lines of a cell": 60, "longest line": 120, "public names": 50, "names in two modules": 0}
LONG = 25  # lines of a cell
PICTURE = layout.REPO / "nbs/images/house.svg"
MARK = "<!-- house: written by tools/house.py -->"
MODULES_MARK = "<!-- modules: written by tools/house.py -->"
EXPORTED = re.compile(r"^#\s*\|\s*exports?i?\b", re.MULTILINE)
DEFINES = re.compile(r"^(?:async def|def|class|@)", re.MULTILINE)


# What is measured

def exported_cells():
    """The notebook, the first definition and the code lines of each exported cell."""
    for path in layout.notebooks():
        for source in layout.cells(path):
            if EXPORTED.search(source):
                lines = [line for line in source.splitlines() if line.strip() and not re.match(r"#\s*\|", line)]
                name = re.search(r"^(?:async def|def|class) (\w+)", source, re.MULTILINE)
                yield path.relative_to(layout.REPO).as_posix(), name and name[1], lines


def top_level_names(path):
    """The names that a module defines at its top level."""
    for one in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield one.name
        elif isinstance(one, ast.Assign | ast.AnnAssign):
            targets = one.targets if isinstance(one, ast.Assign) else [one.target]
            yield from (name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store))


def names_in_two():
    """The names that more than one module defines."""
    found = defaultdict(list)
    for module, path in layout.file_modules().items():
        for name in dict.fromkeys(top_level_names(path)):
            found[name].append(module)
    return {name: modules for name, modules in sorted(found.items()) if len(modules) > 1 and name != "__all__"}


def imports_up():
    """Imports of a room that is higher in the house, as pairs of modules."""
    place = {room: number for number, room in enumerate(reversed(layout.layers()))}

    def height(module):
        return place.get(module.split(".")[0], 0)

    return [(one, other) for one, others in layout.imports().items() for other in sorted(others) if height(other) > height(one)]


def figures():
    """What the house is like, in numbers."""
    cells = list(exported_cells())
    sizes = [len(lines) for _, _, lines in cells if DEFINES.search("\n".join(lines))]
    return {"rooms": len({layout.room(module) for module in layout.file_modules() if "." in module}),
            "modules": len(layout.file_modules()),
            "floors": len(layout.floors()),
            "circles of imports": len(layout.circles()),
            "imports up": len(imports_up()) if layout.is_built() else 0,
            "cells with definitions": len(sizes),
            "median lines of a cell": median(sizes),
            "share of cells over 25 lines": sum(size > LONG for size in sizes) / len(sizes),
            "most lines of a cell": max(sizes),
            "longest line": max(len(line) for _, _, lines in cells for line in lines),
            "public names": len(layout.public()),
            "names in two modules": len(names_in_two())}


def details():
    """What is behind the figures."""
    yield from (f"circle: {' '.join(group)}" for group in layout.circles())
    yield "longest chain: " + " > ".join("/".join(group) for group in layout.floors())
    if layout.is_built():
        yield from (f"import up: {one} imports {other}" for one, other in imports_up())
    for path, name, lines in exported_cells():
        if len(lines) > LONG and DEFINES.search("\n".join(lines)):
            yield f"{path}: the cell of {name} has {len(lines)} lines"
        yield from (f"{path}: {len(line)} characters: {line.strip()[:60]}" for line in lines if len(line) > LIMITS["longest line"])
    yield from (f"in two modules: {name} ({', '.join(modules)})" for name, modules in names_in_two().items())


# What is drawn and listed

def first_sentence(text):
    """A description up to the end of its first sentence."""
    return re.split(r"(?<=[.?!])\s", " ".join((text or "").split()), maxsplit=1)[0]


def about_room(name):
    """What a room is for, by the docstring of its `__init__.py`."""
    path = layout.REPO / layout.PACKAGE / name.replace(".", "/") / "__init__.py"
    return first_sentence(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path.exists() else "")


def about_module(name):
    """What a module is for: the line below the title of its notebook."""
    texts = layout.cells(layout.homes()[name], "markdown")
    return next((found[1] for text in texts[:1] if (found := re.search(r"^> (.+)$", text, re.MULTILINE))), "")


def in_layers():
    """The floors from top to ground: of each its room, or None for modules of the package itself, and its modules."""
    found = []
    for layer in layout.layers():
        modules = [module for module in layout.homes() if module == layer or module.startswith(f"{layer}.")]
        if modules == [layer] and found and found[-1][0] is None and len(found) > 1:
            found[-1][1].append(layer)
        elif modules:
            found.append((None if modules == [layer] else layer, modules))
    return found


def without_room(module, room):
    return module.removeprefix(f"{room}.") if room else module


def room_list():
    """The rooms as a Markdown list, in the order in which data pass through them."""
    for room, _ in reversed(in_layers()):
        if room:
            about = about_room(room)
            yield f"- **{room}**: {about[:1].lower()}{about[1:]}"


def module_tables(folder):
    """A heading and a table of modules for each room, top to ground, with links from a notebook in this folder."""
    for room, modules in in_layers():
        yield from ("", f"### {room or ', '.join(modules)}", "", *([about_room(room), ""] if room and about_room(room) else []),
                    "| module | what it does |", "|---|---|")
        for module in modules:
            target = Path(*[".."] * folder.count("/"), layout.homes()[module].relative_to(layout.REPO / "nbs")).as_posix()
            yield f"| [{without_room(module, room)}]({target}) | {about_module(module).replace('|', chr(92) + '|')} |"


STYLE = """
    svg { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
    .page { fill: #ffffff } .box { fill: #eaf1f8; stroke: #3f6184; stroke-width: 1.5 }
    .name { fill: #10202f; font-size: 17px; font-weight: 700 } .about { fill: #10202f; font-size: 14px }
    .way { fill: #3f6184 }
    @media (prefers-color-scheme: dark) {
      .page { fill: #12181f } .box { fill: #1d2935; stroke: #86abd0 } .name, .about { fill: #eef3f8 }
      .way { fill: #86abd0 } }
"""
WIDE, MARGIN, STEP = 390, 12, 19  # pixels: the width of a telephone, so that nothing is scaled down there


def lines_of_room(room, modules):
    """The lines of a room in the picture: their class and their text."""
    yield "name", room or " · ".join(modules)
    about = about_room(room) if room else " ".join(map(about_module, modules))
    yield from (("about", line) for line in textwrap.wrap(about, 46))


def picture():
    """The house as an SVG: a roof, and a box for each room with its name and what it is for."""
    drawn, top = [], 54
    for room, modules in in_layers():
        lines = list(lines_of_room(room, modules))
        height = STEP * len(lines) + 16
        drawn.append(f'<rect class="box" x="{MARGIN}" y="{top}" width="{WIDE - 2 * MARGIN}" height="{height}" rx="5"/>')
        for number, (kind, line) in enumerate(lines):
            drawn.append(f'<text class="{kind}" x="{MARGIN + 12}" y="{top + 22 + STEP * number}">{escape(line)}</text>')
        top += height + 16
        drawn.append(f'<path class="way" d="M{WIDE // 2 - 7} {top - 12}h14l-7 9z"/>')
    drawn.pop()  # below the ground there is nothing
    names = ", ".join(room or ", ".join(modules) for room, modules in in_layers())
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {top}" width="{WIDE}" height="{top}" role="img" aria-labelledby="title about">',
        "<title id=\"title\">The rooms of studperf</title>",
        f'<desc id="about">From top to ground: {escape(names)}. Each imports only what lies below it.</desc>',
        f"<style>{STYLE}</style>", f'<rect class="page" width="{WIDE}" height="{top}"/>',
        f'<path class="box" d="M{MARGIN} 54L{WIDE // 2} 10L{WIDE - MARGIN} 54z"/>', *drawn, "</svg>", ""])


def written():
    """What each file should hold, by its path."""
    found = {PICTURE: picture()}
    names = ", ".join(room or ", ".join(modules) for room, modules in in_layers())
    image = f"![The rooms of studperf from top to ground: {names}. Each imports only what lies below it.](../images/house.svg)"
    for path, parts in ((layout.REPO / "nbs/contribute/house.ipynb", {MARK: [image], MODULES_MARK: module_tables("contribute/house.ipynb")}),
                        (layout.REPO / "nbs/index.ipynb", {MARK: room_list()})):
        page = json.loads(path.read_text(encoding="utf-8"))
        for cell in page["cells"]:
            for mark, lines in parts.items():
                before, is_there, _ = "".join(cell["source"]).partition(mark)
                if is_there:
                    cell["source"] = "\n".join([before + mark, "", *lines]).rstrip().splitlines(keepends=True)
        found[path] = nb2str(page)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail beyond a limit, or if something is stale")
    parser.add_argument("--long", action="store_true", help="name what is behind the figures")
    args = parser.parse_args()
    measured = figures()
    for name, figure in measured.items():
        shown, limit = (f"{one:.0%}" if isinstance(one, float) and one < 1 else f"{one:g}" for one in (figure, LIMITS.get(name, 0)))
        print(f"{name:29} {shown:>5}{f'   at most {limit}' if name in LIMITS else ''}")
    if args.long:
        print(*details(), sep="\n")
    wrong = [f"{name} is {measured[name]:.4g}, at most {limit:g} allowed: see python tools/house.py --long"
             for name, limit in LIMITS.items() if measured[name] > limit]
    if layout.is_built():
        for path, text in written().items():
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                if args.check:
                    wrong.append(f"{path.relative_to(layout.REPO)} is not what the rooms give. Run make prepare.")
                else:
                    path.write_text(text, encoding="utf-8", newline="\n")
                    print(f"{path.relative_to(layout.REPO)} written")
    if args.check and wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
