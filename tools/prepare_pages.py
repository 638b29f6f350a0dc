"""Make the pages that Quarto renders: nbdev's, with links that stay on the site and signatures that can be read.

    python tools/prepare_pages.py     writes _proc, from nbs/ and settings.ini
"""
import inspect
import json
import operator
import posixpath
import re
import sys
from dataclasses import is_dataclass
from functools import partial
from importlib import import_module
from unittest.mock import patch

import layout
import yaml
from layout import REPO
from nbdev.config import get_config
from nbdev.processors import FilterDefaults, exec_show_docs
from nbdev.quarto import refresh_quarto_yml
from nbdev.serve import proc_nbs
from nbdev.showdoc import show_doc

sys.path.insert(0, str(REPO))  # this copy's package, also if another one is installed

import studperf

APP = "dashboard.ipynb"  # what Voila serves; on the site it would be an empty page
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
DOCUMENTS = re.compile(r"^show_doc\((\w[\w.]*)", re.MULTILINE)
RAISES = re.compile(r"^Raises\n-+\n(.*)", re.MULTILINE | re.DOTALL)
ERROR = re.compile(r"^(\S.*)((?:\n +.*)*)", re.MULTILINE)
READS_REPO = re.compile(r'"\.\./\.\./|Path\("\w+\.js"\)')  # a file of the repo, which is not beside a notebook that is opened alone
RETURNED = (("models.predictor", "ScorePredictor"), ("statistics.regression", "Regression"), ("statistics.mixed", "MixedModel"),
            ("statistics.odds", "OddsModel"), ("models.audit", "Audit"))  # classes that users meet as results; they import none of them
IMPORT = re.compile(r"from studperf[\w.]* import (?:\(([^)]*)\)|(.*))")


class DocumentWithNames(exec_show_docs):
    """nbdev's step that documents each definition right below it, for definitions that name a class further down, too.

    A function that a class has as a method comes before the class, and names it in its signature.
    """

    def begin(self):
        if not self.nb.has_docs_:  # so nothing would be run
            return
        super().begin()
        module = layout.DEFAULT_EXP.search("\n".join(cell.source for cell in self.nb.cells if cell.cell_type == "code"))
        if module:
            self.k.run_cell(f"from studperf.{module[1]} import *")


class Pages(FilterDefaults):
    """nbdev's steps from a notebook to a page, one of them ours."""

    def base_procs(self):
        return [DocumentWithNames if one is exec_show_docs else one for one in super().base_procs()]


def home(module):
    """The notebook that a module is exported from, within nbs/."""
    return layout.homes()[module].relative_to(REPO / "nbs").as_posix()


def homes():
    """The notebook that documents each public name."""
    return {name: home(module) for name, module in layout.public().items()}


def own_classes(public):
    """A public class and those of the package that it has methods from; none for what is no class."""
    return [one for one in public.__mro__ if one.__module__.startswith("studperf.")] if inspect.isclass(public) else []


def public_methods(one):
    """The methods that a class itself defines for those who use it, by name."""
    return {method: getattr(one, method) for method, member in vars(one).items()
            if not method.startswith("_") and (inspect.isfunction(member) or isinstance(member, classmethod | staticmethod))}


def class_homes():
    """The notebook that documents each class of which a public name, or what a public function returns, has methods."""
    returned = [operator.attrgetter(name)(import_module(f"studperf.{module}")) for module, name in RETURNED]
    return {one: home(one.__module__.removeprefix("studperf."))
            for public in [*(getattr(studperf, name) for name in homes()), *returned] for one in own_classes(public)}


def front_matter(page):
    """What the first cell of a page that nbdev has processed says about it."""
    return yaml.safe_load("".join(page["cells"][0]["source"]).strip().strip("-"))


def relative_links(text, folder, notebooks, public, site):
    """Links that nbdev made to the published site, as links to the notebooks beside this one."""
    def relative(link):
        page, anchor = link[1], link[2] or ""
        name = anchor[1:].split(".")[0]
        notebook = public.get(name, notebooks.get(page))
        if notebook is None:
            raise ValueError(f"nbdev links to {link[0]}, which no notebook becomes")
        return posixpath.relpath(notebook, folder or ".") + anchor
    return re.sub(rf"{re.escape(site)}/([\w./-]+\.html)(#[\w.]+)?", relative, text)


def code_of(path):
    """All code of a notebook."""
    cells = json.loads((REPO / "nbs" / path).read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def own_names(code):
    """The names that a notebook defines, and those of the package that it imports."""
    imported = {name for block, line in IMPORT.findall(code) for name in re.findall(r"\w+", block or line)}
    return set(re.findall(r"^(?:def|class) (\w+)", code, re.MULTILINE)), imported


def documented_names(page):
    """The names that a page has a section for; what only other modules use (`#| exporti`) has none."""
    return {name.split(".")[0] for cell in page["cells"] for name in DOCUMENTS.findall("".join(cell["source"]))}


def meant_links(text, defined, here, known, site):
    """Links only where the name is meant: one of this page leads to its section here, and one that is not public needs an import.

    nbdev makes a link of every word in backticks that any module exports: of `predict`, a method, to another module's function.
    """
    def meant(link):
        name = re.split(r"\W", link[1].strip("`"))[0]
        if name in defined:
            return f"[{link[1]}]({link[2]})" if name in here else link[1]
        return link[0] if name in known else link[1]
    return re.sub(rf"\[(`[^`]+`)\]\({re.escape(site)}/[\w./-]+\.html(#[\w.]+)\)", meant, text)


def flat_links(text):
    """Names that were links before nbdev made them links once more."""
    return re.sub(r"\[\[(`[^`]+`)\]\([^)]*\)\]\(", r"[\1](", text)


def plain_code(text):
    """Names within code as they are typed, where nbdev made links that nothing draws."""
    return FENCE.sub(lambda block: re.sub(r"\[(`[^`]+`)\]\([^)\s]*\)", r"\1", block[0]), text)


def below_headings(text):
    """A whole document that a cell shows, such as a model card, with its headings below those of the page."""
    return re.sub(r"^#", "####", text, flags=re.MULTILINE) if text.startswith("# ") else text


def site_links(text, *, folder, defined, here, known, notebooks, public, site):
    """The links of a text as they should be on this site."""
    return relative_links(meant_links(flat_links(plain_code(text)), defined, here, known, site), folder, notebooks, public, site)


def short_defaults(text):
    """Constants by their names, where a signature shows all that is in them."""
    for name in ("STUDENTS", "GENERATOR"):
        text = text.replace(repr(getattr(studperf, name)), name)
    return text


def open_elsewhere(path, settings):
    """Links to the notebook itself, where it can be run: Binder has the whole repo, Colab this one file."""
    notebook = f"{settings.git_url.removeprefix('https://github.com/')}/blob/{settings.branch}/nbs/{path}"
    binder = f"{settings.git_url.removeprefix('https://github.com/')}/{settings.branch}?labpath=nbs%2F{path.replace('/', '%2F')}"
    yield {"text": "Run it on Binder", "icon": "play-circle", "href": f"https://mybinder.org/v2/gh/{binder}"}
    if not READS_REPO.search(code_of(path)):
        yield {"text": "Open it in Colab", "icon": "journal-code", "href": f"https://colab.research.google.com/github/{notebook}"}


def source_links(text, module):
    """nbdev's links to sources, which lead to no line for a method, and astray for a name that several modules have."""
    def source_link(link):
        shown = operator.attrgetter(link[2])(import_module(f"studperf.{module}"))
        return f"studperf/{module.replace('.', '/')}.py#L{inspect.getsourcelines(shown)[1]}{link[1]}"
    return re.sub(r"studperf/[\w/]+\.py#L\w+(\).*?^#+ ([\w.]+)$)", source_link, text, flags=re.MULTILINE | re.DOTALL) if module else text


def named(path, module):
    """What a page documents under this name, or None if the page belongs to no module."""
    try:
        return operator.attrgetter(path)(import_module(f"studperf.{module}")) if module else None
    except AttributeError:  # defined in the notebook alone
        return None


def with_errors(text, shown):
    """The documentation of a name, and below it what it raises: nbdev shows parameters and results, but no section Raises."""
    raised = RAISES.search(inspect.getdoc(shown) or "")
    said = "\n".join(f"- `{name}`{'. ' if when else ''}{' '.join(when.split())}" for name, when in ERROR.findall(raised[1])) if raised else ""
    return f"{text.rstrip()}\n\n**Raises**\n\n{said}\n" if said else text


def methods(one, documented, link_to):
    """The documentation of a class's methods, which nbdev leaves out unless a cell asks for each.

    A function that is a method, too (`moments = moments`), is documented once, where it is defined.
    """
    own = {method: function for method, function in public_methods(one).items() if function.__qualname__.startswith(f"{one.__name__}.")}
    if verbs := [f"[`{name}`]({link_to(function)})" for name, function in public_methods(one).items() if name not in own]:
        yield {"cell_type": "markdown", "id": f"{one.__name__}-verbs", "metadata": {},
               "source": f"Functions that are methods of `{one.__name__}`, too: {', '.join(verbs)}."}
    for method, function in own.items():
        if f"show_doc({one.__name__}.{method})" not in documented:
            text = with_errors(show_doc(function, title_level=4)._repr_markdown_(), function)
            yield {"cell_type": "markdown", "id": f"{one.__name__}-{method}", "metadata": {}, "source": text}


def add_methods(page, path, classes):
    """Put the methods of each class below the class."""
    def link_to(function):
        target = home(function.__module__.removeprefix("studperf."))
        return f"{posixpath.relpath(target, posixpath.dirname(path) or '.') if target != path else ''}#{function.__qualname__.lower()}"

    documented = json.dumps([cell["source"] for cell in page["cells"]])
    for one in classes:
        shown = [number for number, cell in enumerate(page["cells"]) if f"show_doc({one.__name__})" in "".join(cell["source"])]
        if shown:
            page["cells"][shown[0] + 1:shown[0] + 1] = methods(one, documented, link_to)


def lines_of(text):
    """A text as Jupyter writes it to a file: a list of lines with their ends. Of one string Quarto drops the line ends."""
    return "".join(text).splitlines(keepends=True)


def contents(names):
    """What readers come to a page for, though Python wants what a class is made of above the class."""
    links = ", ".join(f"[`{name}`](#{name.lower()})" for name in names)
    return {"cell_type": "markdown", "id": "on-this-page", "metadata": {}, "source": lines_of(f"**On this page:** {links}")}


def write_as_lines(page):
    """Make every source of a page, and every text that its cells show, a list of lines."""
    for cell in page["cells"]:
        cell["source"] = lines_of(cell["source"])
        for output in cell.get("outputs", []):
            shown = output.get("data", {})
            shown |= {kind: lines_of(text) for kind, text in shown.items() if kind.startswith("text/")}
            if "text" in output:
                output["text"] = lines_of(output["text"])


def finish(page, path, module, change):
    """Change the texts of one page, and say where it can be run."""
    for cell in page["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = short_defaults(source_links(change("".join(cell["source"])), module))
        documented = DOCUMENTS.search("".join(cell["source"]))
        for output in cell.get("outputs", []):
            if "text/markdown" in output.get("data", {}):
                text = below_headings("".join(output["data"]["text/markdown"]))
                if documented and is_dataclass(shown := named(documented[1], module)):
                    text = show_doc(shown)._repr_markdown_()  # of a class of the notebook itself nbdev cannot read the comments
                output["data"]["text/markdown"] = short_defaults(source_links(change(text), module))
    about = front_matter(page)
    if any(cell["cell_type"] == "code" for cell in page["cells"]):
        about["code-links"] = list(open_elsewhere(path, get_config()))
    page["cells"][0]["source"] = f"---\n{yaml.safe_dump(about, sort_keys=True, allow_unicode=True)}---\n"
    write_as_lines(page)


def prepare():
    """Write all pages anew; the folder."""
    refresh_quarto_yml()
    with patch("nbdev.serve.FilterDefaults", Pages):
        folder = proc_nbs(force=True)
    (folder / APP).unlink()
    pages = {path.relative_to(folder).as_posix(): json.loads(path.read_text(encoding="utf-8"))
             for path in sorted(folder.rglob("*.ipynb"))}
    notebooks = {posixpath.join(posixpath.dirname(path), front_matter(page)["output-file"]): path for path, page in pages.items()}
    documented = {path: documented_names(page) for path, page in pages.items()}
    everywhere = set().union(*documented.values())
    site, public, classes = get_config().doc_host + get_config().doc_baseurl, homes(), class_homes()
    for path, page in pages.items():
        add_methods(page, path, [one for one, notebook in classes.items() if notebook == path])
        defined, imported = own_names(code := code_of(path))
        module = layout.module_of(REPO / "nbs" / path)
        finish(page, path, module, partial(site_links, folder=posixpath.dirname(path), defined=defined, here=documented[path],
                                             known=(imported | set(public)) & everywhere, notebooks=notebooks, public=public, site=site))
        if names := [name for name, notebook in public.items() if notebook == path and name in documented[path]]:
            page["cells"].insert(1, contents(names))
        (folder / path).write_text(json.dumps(page, ensure_ascii=False, indent=1), encoding="utf-8")
    return folder


if __name__ == "__main__":
    print(f"Written: {prepare()}")
