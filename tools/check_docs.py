"""Look for what is wrong with the pages before Quarto renders them; no Quarto is needed.

    python tools/check_docs.py     makes the pages in _proc, checks them, prints each problem; exit code 1 if there is one

Quarto passes over a key that it does not know, or stops at it, and it ends with code 0 when a link leads nowhere. So every
key that is used is written down here, with what its value may be, and every link is followed.
"""
import inspect
import json
import posixpath
import re
import sys
from collections import Counter
from dataclasses import is_dataclass
from html import unescape
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, run
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pypandoc
import yaml
from fastcore.docments import docments
from prepare_pages import REPO, front_matter, homes, own_classes, prepare, public_methods

import studperf

TEXT, FLAG = str, bool
ENTRY = {"text": TEXT, "href": TEXT, "icon": TEXT, "aria-label": TEXT, "section": TEXT, "contents": [...],
         "menu": [...]}
CODE_LINK = {"text": TEXT, "icon": TEXT, "href": TEXT}
# What Quarto 1.10 knows, as far as it is used here (quarto.org/docs/reference).
SITE = {
    "project": {"type": {"website"}, "output-dir": TEXT},
    "metadata-files": [TEXT],
    "lang": TEXT,
    "format": {"html": {
        "theme": {"light": [TEXT], "dark": [TEXT]}, "css": TEXT, "toc": FLAG, "toc-depth": {2, 3}, "code-copy": FLAG,
        "html-math-method": {"mathml"},  # MathJax and KaTeX would come from another host
        "code-overflow": {"scroll", "wrap"}, "embed-resources": FLAG, "anchor-sections": FLAG,
        "link-external-newwindow": FLAG}},
    "website": {
        "title": TEXT, "description": TEXT, "site-url": TEXT, "repo-url": TEXT, "repo-branch": TEXT,
        "repo-actions": [{"edit", "source", "issue"}], "search": FLAG, "page-navigation": FLAG, "bread-crumbs": FLAG,
        "back-to-top-navigation": FLAG, "open-graph": {"image": TEXT},
        "page-footer": {"left": TEXT, "center": TEXT, "right": TEXT},
        "navbar": {"background": TEXT, "search": FLAG, "left": [ENTRY], "right": [ENTRY]},
        "sidebar": {"style": {"floating", "docked"}, "collapse-level": {1, 2, 3}, "contents": [ENTRY]}}}
PAGE = {"title": TEXT, "description": TEXT, "output-file": TEXT, "code-links": [CODE_LINK]}
CELL = {"echo": FLAG, "eval": FLAG, "output": {True, False, "asis"}, "include": FLAG, "code-fold": {True, False, "show"},
        "code-summary": TEXT, "label": TEXT, "fig-cap": TEXT, "fig-alt": TEXT, "tbl-cap": TEXT}

OPTION = re.compile(r"^#\|\s?(.*)$")
FENCED = re.compile(r"^(```|~~~).*?^\1\s*$|`[^`\n]+`|<style\b.*?</style>", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]*)(?:\s+\"[^\"]*\")?\)")
TAG = re.compile(r"<(a|img)\b([^>]*)>")
LABEL = re.compile(r"^#\|\s?label:\s*(.+?)\s*$", re.MULTILINE)
REFERENCE = re.compile(r"(?<![\w.+@])-?@([A-Za-z][\w:-]*)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*(?:\{#([\w.-]+)[^}]*\})?\s*$", re.MULTILINE)


def wrong_keys(found, known, where):
    """Keys and values that `known` does not hold, by their path."""
    if isinstance(known, dict):
        if not isinstance(found, dict):
            yield f"{where}: found {found!r}, expected keys of {sorted(known)}"
            return
        for key, value in found.items():
            if key in known:
                yield from wrong_keys(value, known[key], f"{where}: {key}")
            else:
                yield f"{where}: unknown key {key!r}; known are {sorted(known)}"
    elif isinstance(known, list):
        kind = ENTRY if known == [...] else known[0]
        if not isinstance(found, list):
            yield f"{where}: found {found!r}, expected a list"
            return
        for number, item in enumerate(found):
            if not (kind is ENTRY and isinstance(item, str)):  # a page alone
                yield from wrong_keys(item, kind, f"{where}[{number}]")
    elif isinstance(known, set):
        if not any(found == value and type(found) is type(value) for value in known):
            yield f"{where}: found {found!r}, expected one of {sorted(map(str, known))}"
    elif not isinstance(found, known):
        yield f"{where}: found {found!r}, expected {'a text' if known is TEXT else 'true or false'}"


def listed_pages(entries):
    """The pages that a sidebar or a navigation bar leads to, in their order."""
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            if not entry.get("href", "https:").startswith("https:"):
                yield entry["href"]
            yield from listed_pages(entry.get("contents", []) + entry.get("menu", []))


def site_problems(site, pages):
    """Of the configuration: keys, and pages that are there but not listed, or the other way round."""
    yield from wrong_keys(site, SITE, "_quarto.yml")
    sidebar = list(listed_pages(site["website"]["sidebar"]["contents"]))
    yield from (f"_quarto.yml: {page} is listed in the sidebar and does not exist" for page in sidebar if page not in pages)
    yield from (f"_quarto.yml: {page} is not in the sidebar" for page in sorted(pages) if page not in sidebar)
    yield from (f"_quarto.yml: {page} is listed twice" for page in sorted(set(sidebar)) if sidebar.count(page) > 1)
    bar = site["website"]["navbar"]
    for page in listed_pages(bar.get("left", []) + bar.get("right", [])):
        if page not in pages:
            yield f"_quarto.yml: the navigation bar leads to {page}, which does not exist"


def cell_options(source):
    """The options at the top of a cell; raises yaml.YAMLError if they are none."""
    lines = []
    for line in source.splitlines():
        if not (option := OPTION.match(line)):
            break
        lines.append(option[1])
    return yaml.safe_load("\n".join(lines)) or {}


def option_problems(cell, where):
    """Of a cell's options, and of figures that have no text."""
    source = "".join(cell["source"])
    try:
        options = cell_options(source)
    except yaml.YAMLError as error:
        yield f"{where}: its options are no YAML: {str(error).splitlines()[0]}"
        return
    yield from wrong_keys(options, CELL, where)
    below = source.splitlines()[len(options):]
    yield from (f"{where}: the option {line!r} stands below the top, where it is a comment" for line in below if OPTION.match(line))
    yield from (f"{where}: shows a warning: {shown.splitlines()[0][:100]}" for output in cell["outputs"]
                if re.search(r"^\S*:\d+: \w*Warning: ", shown := "".join(output.get("text", "")), re.MULTILINE))
    for kind in ("application/javascript", "application/vnd.jupyter.widget-view+json"):
        if any(kind in output.get("data", {}) for output in cell["outputs"]):
            yield f"{where}: shows {kind}, for which Quarto would fetch programs from another host"
    if any("image/png" in output.get("data", {}) for output in cell["outputs"]) and options.get("include") is not False:
        yield from (f"{where}: shows a figure and has no {key}" for key in ("fig-cap", "fig-alt") if not options.get(key))


def identifier(heading):
    """The anchor that Pandoc gives a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    text = re.sub(r"\s+", "-", re.sub(r"[^\w\s.-]", "", text).strip())
    return re.sub(r"^[^a-z]+", "", text) or "section"


def texts(page):
    """The Markdown of a page, its own and what its cells give out, by the number of the cell."""
    for number, cell in enumerate(page["cells"]):
        if cell["cell_type"] == "markdown":
            yield number, "".join(cell["source"])
        for output in cell.get("outputs", []):
            if text := output.get("data", {}).get("text/markdown"):
                yield number, "".join(text)
            if text := output.get("data", {}).get("text/html"):
                yield number, "".join(text)


def without_code(text):
    return FENCED.sub("", text)


def headings(text):
    """The anchors of a text's headings."""
    text = re.sub(r"^(```|~~~).*?^\1\s*$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [own or identifier(heading) for heading, own in HEADING.findall(text)]


def heading_problems(name, page):
    """Headings of the text that take an anchor which another one has: links would lead to the first of them."""
    written = Counter(anchor for cell in page["cells"] if cell["cell_type"] == "markdown" for anchor in headings("".join(cell["source"])))
    every = Counter(anchor for _, text in texts(page) for anchor in headings(text))
    yield from (f"{name}: the anchor #{anchor} is that of {every[anchor]} headings; give the one in the text another name"
                for anchor in written if every[anchor] > 1)


def anchors(page):
    """All places of a page that a link can lead to."""
    for _, text in texts(page):
        yield from headings(text)
        yield from re.findall(r"\bid=[\"']([\w.-]+)[\"']", text)


def reference_problems(name, page):
    """Figures that a text refers to (@fig-…) and the page does not have; labels that Quarto would not number, or has twice."""
    labels = Counter(label for cell in page["cells"] for label in LABEL.findall("".join(cell["source"])))
    yield from (f"{name}: the label {label} is used {uses} times" for label, uses in labels.items() if uses > 1)
    yield from (f"{name}: the label {label!r} is not of small letters, digits and '-' after 'fig-'" for label in labels
                if not re.fullmatch(r"fig-[a-z0-9-]+", label))
    for number, text in texts(page):
        yield from (f"{name}, cell {number}: @{label} refers to no figure of the page" for label in REFERENCE.findall(without_code(text))
                    if label not in labels)


def link_problem(link, page, folder, found, settings):
    """Why a link leads nowhere, or None."""
    target, _, anchor = link.partition("#")
    repo = f"{settings['website']['repo-url']}/"
    if link.startswith(("https://", "mailto:", "data:")):
        path = re.sub(r"^(blob|tree)/main/", "", target.removeprefix(repo)) if target.startswith(repo) else ""
        inside = target.startswith(repo) and target.removeprefix(repo).startswith(("blob/", "tree/"))
        return f"leads to {path}, which is not in the repo" if inside and not (REPO / path).exists() else None
    if re.match(r"[a-z]+:|/", link):
        return "is neither relative nor https"
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), target)) if target else page
    if not (folder / path).is_file():
        return f"leads to {path}, which does not exist"
    if anchor and unescape(anchor) not in found.get(path, ()):
        return f"leads to #{anchor}, which {path} does not have"
    return None


def text_problems(name, page, folder, found, site):
    """Of the texts of a page: links that lead nowhere, pictures without a text, what Quarto would stumble over."""
    for number, text in texts(page):
        where = f"{name}, cell {number}"
        yield from (f"{where}: {link} within code would be shown as it is typed" for link in re.findall(
            r"\[`[^`]+`\]\([^)\s]*\)", "".join(block[0] for block in FENCED.finditer(text))))
        text = without_code(text)
        if re.search(r"^# ", text, re.MULTILINE):
            yield f"{where}: a second title (#); the page has its own"
        links = [(bool(mark), label, link) for mark, label, link in LINK.findall(text)]
        for kind, attributes in TAG.findall(text):
            values = dict(re.findall(r"([\w-]+)=\"([^\"]*)\"", attributes))
            if link := values.get("src" if kind == "img" else "href"):
                links.append((kind == "img", values.get("alt", ""), link))
        for fetched in re.findall(r"<(?:script|link|iframe|img)\b[^>]*?(?:src|href)=[\"'](\w+://[^\"']*)", text):
            yield f"{where}: {fetched} would be fetched from another host"
        for picture, label, link in links:
            if picture and "://" in link and not link.startswith("data:") and f'"{link}"' not in text:
                yield f"{where}: {link} would be fetched from another host"
            if picture and not label.strip():
                yield f"{where}: the picture {link[:60]} has no text for those who cannot see it"
            if problem := link_problem(link, name, folder, found, site):
                yield f"{where}: the link {link} {problem}"
        if re.search(r"\[[^\]\n]*(?<!!)\[[^\]\n]*\]\([^)]*\)[^\[\]\n]*\]\(", text):
            yield f"{where}: a link within a link"
        if len(re.findall(r"^:{3,}", text, re.MULTILINE)) % 2:
            yield f"{where}: a ::: is opened and not closed"
        if re.search(r"<table(?:(?!</table).)*<table", text, re.DOTALL):
            yield f"{where}: a table within a table"


def sources(page):
    """Each source of a page and each text that its cells show, as they are written in the file, by where that is."""
    for number, cell in enumerate(page["cells"]):
        yield f"cell {number}: its source", cell["source"]
        for output in cell.get("outputs", []):
            shown = {kind: text for kind, text in output.get("data", {}).items() if kind.startswith("text/")}
            yield from ((f"cell {number}: its output", text) for text in (*shown.values(), *([output["text"]] if "text" in output else [])))


def line_problems(name, page):
    """Sources that are no lists of lines: Quarto joins what is in them, and drops the line ends within."""
    for where, text in sources(page):
        if not isinstance(text, list) or any("\n" in line[:-1] for line in text) or any(line[-1:] != "\n" for line in text[:-1]):
            yield f"{name}, {where} is not a list of lines with their ends: {text[:1 if isinstance(text, list) else 60]!r}"


def unreadable_formulas(text):
    """The formulas of a Markdown text that Pandoc cannot convert to MathML, each with Pandoc's reason."""
    with TemporaryDirectory() as folder:
        log = Path(folder, "log.json")
        run([pypandoc.get_pandoc_path(), "--from=markdown", "--to=html", "--mathml", f"--log={log}"],
            input=text, text=True, encoding="utf-8", stdout=DEVNULL, stderr=DEVNULL, check=True)
        said = json.loads(log.read_text(encoding="utf-8"))
    return {one["contents"]: one["message"] for one in said if one["type"] == "CouldNotConvertTeXMath"}


def formula_problems(name, page):
    """Formulas that readers would see as TeX."""
    written = [text for _, text in texts(page) if "$" in text and not text.startswith("<")]
    for formula, reason in (unreadable_formulas("\n\n".join(written)) if written else {}).items():
        yield f"{name}: Pandoc cannot convert the formula {formula!r}: {reason.splitlines()[2]}"


def page_problems(name, page, folder, found, site):
    """Everything of one page."""
    yield from line_problems(name, page)
    about = front_matter(page)
    yield from wrong_keys(about, PAGE, f"{name}, front matter")
    for key, end in (("title", ""), ("description", (".", "?", "!"))):
        if not str(about.get(key, "")).strip() or not about[key].endswith(end):
            yield f"{name}: its {key} is {about.get(key)!r}, expected {'a sentence on one line' if end else 'one'}"
    for number, cell in enumerate(page["cells"]):
        if cell["cell_type"] == "code":
            yield from option_problems(cell, f"{name}, cell {number}")
    yield from heading_problems(name, page)
    yield from reference_problems(name, page)
    yield from text_problems(name, page, folder, found, site)
    yield from formula_problems(name, page)


def public_functions(name):
    """A public name's function, or the class and its methods, those that it has from others of the package, too."""
    public = getattr(studperf, name)
    plain = inspect.isclass(public) and issubclass(public, BaseException) and "__init__" not in vars(public)
    if callable(public) and not plain:
        yield name, public
    for one in own_classes(public):
        yield from ((f"{one.__name__}.{method}", function) for method, function in public_methods(one).items())


def comments_beside(function):
    """What the comments beside the parameters of a function say; not what tools/export.py has put into its docstring from them."""
    with patch("fastcore.docments.parse_docstring", lambda _: {"Parameters": {}, "Returns": None}):
        return docments(function, full=True, args_kwargs=True)


def undocumented(name):
    """What is not said of a public name: what it does, and beside each parameter and the result what that is."""
    for path, function in public_functions(name):
        own = {"self", "cls"}
        if "." in path and inspect.isfunction(function) and "." not in function.__qualname__:  # `moments = moments`
            own.add(next(iter(inspect.signature(function).parameters)))  # the object itself
        if not inspect.getdoc(function):
            yield f"{path}: has no docstring"
        # The fields of a dataclass that another one extends are described there.
        inherited = {field for base in inspect.getmro(function)[1:] if is_dataclass(base)
                     for field, about in docments(base, full=True).items() if about.docment} if inspect.isclass(function) else set()
        for argument, about in comments_beside(function).items():
            if argument in own | inherited or (about.docment or "").strip():
                continue
            if argument != "return":
                yield f"{path}: the parameter {argument} has no comment beside it"
            elif about.anno not in (None, "None", inspect.Signature.empty):
                yield f"{path}: what it returns has no comment beside it"


def name_problems(found):
    """Public names that no page documents, documented names that are none, and names whose parameters are not told."""
    places = homes()
    yield from (f"{name}: is in __all__ and not imported in __init__.pyi" for name in set(studperf.__all__) - set(places))
    for name, notebook in places.items():
        if name.lower() not in found.get(notebook, ()) and not name.isupper():
            yield f"{name}: {notebook} has no heading of this name"
        yield from undocumented(name)


def spelling_problems(pages):
    """What codespell finds in the texts of the pages and beside them."""
    lines = "\n".join(f"{text}" for page in pages.values() for _, text in texts(page))
    files = [str(path) for path in (REPO / "CONTRIBUTING.md", REPO / "CHANGELOG.md", REPO / "README.md") if path.exists()]
    done = run([sys.executable, "-m", "codespell_lib", "-", *files], input=lines, stdout=PIPE, stderr=STDOUT, text=True)
    yield from (line for line in done.stdout.splitlines() if "==>" in line)
    if done.returncode and "==>" not in done.stdout:
        yield f"codespell failed: {done.stdout[-300:]}"


def first_cell_problems(name, notebook):
    """What nbdev would drop without a word: of the cell with the title it keeps the title and the description."""
    cell = next(("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"), "")
    if not re.fullmatch(r"# [^\n]+\n\n> [^\n]+", cell.strip()):
        yield f"{name}: its first text holds {cell[:80]!r}, expected a title (#) and a line of description (>), the rest in a cell of its own"


def read_pages(folder):
    return {path.relative_to(folder).as_posix(): json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.ipynb"))
            if ".ipynb_checkpoints" not in path.parts}


def problems(folder, site):
    """All that is wrong with the pages in `folder`."""
    pages = read_pages(folder)
    found = {name: set(anchors(page)) for name, page in pages.items()}
    yield from site_problems(site, pages)
    yield from wrong_keys(yaml.safe_load((REPO / "nbs/_quarto.yml").read_text(encoding="utf-8")), SITE, "nbs/_quarto.yml")
    for name, page in pages.items():
        yield from page_problems(name, page, folder, found, site)
    for name, notebook in read_pages(REPO / "nbs").items():
        yield from first_cell_problems(name, notebook)
    yield from name_problems(found)
    yield from spelling_problems(pages)


def main():
    found = list(problems(prepare(), yaml.safe_load((REPO / "_quarto.yml").read_text(encoding="utf-8"))))
    if found:
        sys.exit("\n".join([*found, f"{len(found)} problems"]))
    print("The pages in _proc are in order")


if __name__ == "__main__":
    main()
