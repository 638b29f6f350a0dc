"""Make the pages that Quarto renders: nbdev's, with links that stay on the site and signatures that can be read.

    python tools/prepare_pages.py     writes _proc, from nbs/ and settings.ini
"""
import inspect
import json
import operator
import posixpath
import re
import sys
from importlib import import_module
from pathlib import Path

import yaml
from nbdev.config import get_config
from nbdev.quarto import refresh_quarto_yml
from nbdev.serve import proc_nbs
from nbdev.showdoc import show_doc

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))  # this copy's package, also if another one is installed

import studperf

APP = "dashboard.ipynb"  # what Voila serves; on the site it would be an empty page
NOTEBOOK = re.compile(r"File to edit: \.\./nbs/(\S+\.ipynb)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
PUBLIC = re.compile(r"from \.(\w+) import (?:\(([^)]*)\)|(.*))")


def home(module):
    """The notebook that a module is exported from."""
    return NOTEBOOK.search((REPO / "studperf" / f"{module}.py").read_text(encoding="utf-8"))[1]


def homes():
    """The notebook that documents each public name."""
    stub = (REPO / "studperf/__init__.pyi").read_text(encoding="utf-8")
    found = {}
    for module, block, line in PUBLIC.findall(stub):
        found |= dict.fromkeys(re.findall(r"\w+", block or line), home(module))
    return found


def own_classes(public):
    """A public class and those of the package that it has methods from; none for what is no class."""
    return [one for one in public.__mro__ if one.__module__.startswith("studperf.")] if inspect.isclass(public) else []


def public_methods(one):
    """The methods that a class itself defines for those who use it, by name."""
    return {method: getattr(one, method) for method, member in vars(one).items()
            if not method.startswith("_") and (inspect.isfunction(member) or isinstance(member, classmethod | staticmethod))}


def class_homes():
    """The notebook that documents each class of which a public name has methods."""
    return {one: home(one.__module__.removeprefix("studperf.")) for name in homes() for one in own_classes(getattr(studperf, name))}


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
    return re.sub(rf"{re.escape(site)}/(\w+\.html)(#[\w.]+)?", relative, text)


def flat_links(text):
    """Names that were links before nbdev made them links once more."""
    return re.sub(r"\[\[(`[^`]+`)\]\([^)]*\)\]\(", r"[\1](", text)


def plain_code(text):
    """Names within code as they are typed, where nbdev made links that nothing draws."""
    return FENCE.sub(lambda block: re.sub(r"\[(`[^`]+`)\]\([^)\s]*\)", r"\1", block[0]), text)


def below_headings(text):
    """A whole document that a cell shows, such as a model card, with its headings below those of the page."""
    return re.sub(r"^#", "####", text, flags=re.MULTILINE) if text.startswith("# ") else text


def short_defaults(text):
    """Constants by their names, where a signature shows all that is in them."""
    for name in ("STUDENTS", "GENERATOR"):
        text = text.replace(repr(getattr(studperf, name)), name)
    return text


def open_elsewhere(path, settings):
    """Links to the notebook itself, where it can be run."""
    notebook = f"{settings.git_url.removeprefix('https://github.com/')}/blob/{settings.branch}/nbs/{path}"
    binder = f"{settings.git_url.removeprefix('https://github.com/')}/{settings.branch}?labpath=nbs%2F{path.replace('/', '%2F')}"
    return [{"text": "Run it on Binder", "icon": "play-circle", "href": f"https://mybinder.org/v2/gh/{binder}"},
            {"text": "Open it in Colab", "icon": "journal-code", "href": f"https://colab.research.google.com/github/{notebook}"}]


def source_line(link):
    """nbdev's link to a source with the line in which a method or class begins, which nbdev does not find."""
    public = operator.attrgetter(link[2])(import_module(f"studperf.{link[1]}"))
    return link[0].replace("#LNone", f"#L{inspect.getsourcelines(public)[1]}")


def with_lines(text):
    return re.sub(r"studperf/(\w+)\.py#LNone\).*?^#+ ([\w.]+)$", source_line, text, flags=re.MULTILINE | re.DOTALL)


def methods(one, documented):
    """The documentation of a class's methods, which nbdev leaves out unless a cell asks for each."""
    for method, function in public_methods(one).items():
        if f"show_doc({one.__name__}.{method})" not in documented:
            text = show_doc(function, title_level=4)._repr_markdown_()
            yield {"cell_type": "markdown", "id": f"{one.__name__}-{method}", "metadata": {}, "source": text}


def add_methods(page, classes):
    """Put the methods of each class below the class."""
    documented = json.dumps([cell["source"] for cell in page["cells"]])
    for one in classes:
        shown = [number for number, cell in enumerate(page["cells"]) if f"show_doc({one.__name__})" in "".join(cell["source"])]
        if shown:
            page["cells"][shown[0] + 1:shown[0] + 1] = methods(one, documented)


def finish(page, path, change):
    """Change the texts of one page, and say where it can be run."""
    for cell in page["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = short_defaults(with_lines(change("".join(cell["source"]))))
        for output in cell.get("outputs", []):
            if "text/markdown" in output.get("data", {}):
                text = below_headings("".join(output["data"]["text/markdown"]))
                output["data"]["text/markdown"] = short_defaults(with_lines(change(text)))
    about = front_matter(page)
    if any(cell["cell_type"] == "code" for cell in page["cells"]):
        about["code-links"] = open_elsewhere(path, get_config())
    page["cells"][0]["source"] = f"---\n{yaml.safe_dump(about, sort_keys=True, allow_unicode=True)}---\n"


def prepare():
    """Write all pages anew; the folder."""
    refresh_quarto_yml()
    folder = proc_nbs(force=True)
    (folder / APP).unlink()
    pages = {path.relative_to(folder).as_posix(): json.loads(path.read_text(encoding="utf-8"))
             for path in sorted(folder.rglob("*.ipynb"))}
    notebooks = {front_matter(page)["output-file"]: path for path, page in pages.items() if "/" not in path}
    site, public, classes = get_config().doc_host + get_config().doc_baseurl, homes(), class_homes()
    for path, page in pages.items():
        add_methods(page, [one for one, notebook in classes.items() if notebook == path])
        finish(page, path, lambda text, path=path: relative_links(flat_links(plain_code(text)), posixpath.dirname(path), notebooks, public, site))
        (folder / path).write_text(json.dumps(page, ensure_ascii=False, indent=1), encoding="utf-8")
    return folder


if __name__ == "__main__":
    print(f"Written: {prepare()}")
