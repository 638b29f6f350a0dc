"""The pages of the docs site hold together, and tools/check_docs.py finds what would break them."""
import inspect
import json
import re
import shlex
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import studperf

REPO = Path(__file__).resolve().parents[1]
SITE = yaml.safe_load((REPO / "_quarto.yml").read_text(encoding="utf-8"))
ABOUT = "---\ntitle: A page\ndescription: It says something.\noutput-file: page.html\n---\n"


@pytest.fixture(scope="module")
def check():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REPO / "tools")
        import check_docs
        yield check_docs


def run(*command, folder):
    """What a tool says; a failure shows it."""
    done = subprocess.run([sys.executable, *command], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=1800)
    if done.returncode:
        pytest.fail(done.stdout, pytrace=False)


@pytest.mark.slow
def test_all_pages_are_in_order(repo_copy):
    run("tools/check_docs.py", folder=repo_copy)
    pages = {path.relative_to(repo_copy / "_proc").as_posix() for path in repo_copy.glob("_proc/**/*.ipynb")}
    assert pages == {path.relative_to(REPO / "nbs").as_posix() for path in REPO.glob("nbs/**/*.ipynb")
                     if ".ipynb_checkpoints" not in path.parts} - {"dashboard.ipynb"}  # which is an app, not a page
    texts = [path.read_text(encoding="utf-8") for path in repo_copy.glob("_proc/**/*.ipynb")]
    assert not any("https://studperf.github.io/studperf/" in text for text in texts), "a link leaves this copy of the site"
    assert any("show_doc(compare)" in text and "#### Cohort.summarize" not in text for text in texts)
    from studperf.models.predictor import ScorePredictor
    base = next(one for one in ScorePredictor.__mro__ if "predict" in vars(one))
    for method in ("Cohort.summarize", f"{base.__name__}.predict"):  # one that a public class defines, and one that it may inherit
        assert sum(f"#### {method}\\n" in text for text in texts) == 1


def test_a_page_that_reads_files_of_the_repo_is_opened_where_they_are(check):
    from prepare_pages import get_config, homes, open_elsewhere
    opened = [[link["text"] for link in open_elsewhere(path, get_config())] for path in (homes()["compare"], "evidence/speed.ipynb")]
    assert opened == [["Run it on Binder", "Open it in Colab"], ["Run it on Binder"]]


def installed_by(*wanted):
    """Names of all distributions that come with these requirements, as far as they are installed here."""
    found, waiting = set(), [Requirement(one) for one in wanted]
    while waiting:
        one = waiting.pop()
        for extra in ("", *one.extras):
            if (key := (canonicalize_name(one.name), extra)) in found:
                continue
            found.add(key)
            waiting += [needed for needed in map(Requirement, requires(one.name) or [])
                        if needed.marker is None or needed.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


def test_binder_installs_what_the_pages_import():
    command = (REPO / "binder/postBuild").read_text(encoding="utf-8").splitlines()[-1]
    wanted = shlex.split(command.partition("constraints.txt ")[2])
    there = installed_by(*(one.replace(".[", "studperf[") for one in wanted))
    imported = {}
    for path in REPO.glob("nbs/**/*.ipynb"):
        sources = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code" and "#| eval: false" not in cell.source]
        imported |= dict.fromkeys(re.findall(r"^(?:from|import) (\w+)", "\n".join(sources), re.MULTILINE), path.name)
    owners = packages_distributions()
    lacking = {name: path for name, path in imported.items() if name in owners and not {canonicalize_name(one) for one in owners[name]} & there}
    assert len(imported) > 20 and not lacking


def test_names_are_those_of_the_package(check, monkeypatch):
    import build_names
    monkeypatch.setattr(sys, "argv", ["build_names.py", "--check"])
    build_names.main()  # which ends with what is wrong


def test_formulas_are_drawn_without_another_host():
    assert SITE["format"]["html"]["html-math-method"] == "mathml"
    theme = (REPO / "nbs/theme.scss").read_text(encoding="utf-8")
    assert "$web-font-path: false;" in theme, "the themes would fetch their fonts"
    assert all("theme.scss" in parts for parts in SITE["format"]["html"]["theme"].values())


def test_the_stub_reads_the_sites_configuration():
    stub = yaml.safe_load((REPO / "nbs/_quarto.yml").read_text(encoding="utf-8"))
    assert stub == {"project": {"type": "website"}, "metadata-files": ["../_quarto.yml", "nbdev.yml"]}


def page(*cells, about=ABOUT):
    """A page as nbdev leaves it: front matter, then Markdown, or code if a cell is a pair of source and outputs."""
    made = [nbformat.v4.new_markdown_cell(cell) if isinstance(cell, str) else nbformat.v4.new_code_cell(cell[0], outputs=cell[1])
            for cell in cells]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_raw_cell(about), *made])


PNG = nbformat.v4.new_output("display_data", {"image/png": "iVBORw0KGgo="})
TABLE = nbformat.v4.new_output("display_data", {"text/html": "<table><tr><td><table></table></td></tr></table>"})
SCRIPT = nbformat.v4.new_output("display_data", {"text/html": '<script src="https://example.org/x.js"></script>'})
WARNING = nbformat.v4.new_output("stream", name="stderr", text="<ipython-input-1-4e>:1: Pandas4Warning: The keyword is deprecated.\n  it()\n")
WIDGET = nbformat.v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}})
NAME = nbformat.v4.new_output("display_data", {"text/markdown": "### one\n\n```python\ndef one()\n```"})
FIGURE = ("#| label: fig-one\n#| fig-cap: A figure.\n#| fig-alt: A line.\n1", [PNG])
FAULTS = {
    "no description": (page(about="---\ntitle: A page\n---\n"), "description is None"),
    "a description that was cut off": (page(about=ABOUT.replace("something.", "something, and")), "expected a sentence"),
    "no title": (page(about=ABOUT.replace("A page", "''")), "title is ''"),
    "a misspelt key of a page": (page(about=ABOUT.replace("output-file", "outputfile")), "unknown key 'outputfile'"),
    "a misspelt option": (page(("#| fig-cpa: A figure\n1", [])), "unknown key 'fig-cpa'"),
    "an option of the wrong kind": (page(("#| echo: no way\n1", [])), "found 'no way', expected true or false"),
    "an option that YAML does not take": (page(("#| fig-alt: Two bars: one, two\n1", [])), "are no YAML"),
    "an option below the top": (page(("x = 1\n#| echo: false", [])), "stands below the top"),
    "a figure without a text": (page(("#| fig-cap: A figure.\n1", [PNG])), "has no fig-alt"),
    "a figure without a caption": (page(("#| fig-alt: A line.\n1", [PNG])), "has no fig-cap"),
    "a picture without a text": (page("![](picture.png)"), "has no text for those"),
    "an image tag without a text": (page('<img src="picture.png">'), "has no text for those"),
    "a missing picture": (page("![A picture](missing.png)"), "missing.png, which does not exist"),
    "a link to a page that is not there": (page("[there](missing.ipynb)"), "missing.ipynb, which does not exist"),
    "a link to an anchor that is not there": (page("## One\n\n[there](#two)"), "#two, which page.ipynb does not have"),
    "an anchor of another page": (page("[there](other.ipynb#two)"), "#two, which other.ipynb does not have"),
    "a link by http": (page("[there](http://example.org)"), "neither relative nor https"),
    "a link from the root": (page("[there](/index.html)"), "neither relative nor https"),
    "a link to a file that the repo does not have": (page("[it](https://github.com/studperf/studperf/blob/main/tools/none.py)"),
                                                    "tools/none.py, which is not in the repo"),
    "a picture of another host": (page("![A picture](https://example.org/picture.png)"), "would be fetched from another host"),
    "a program of another host": (page(("1", [SCRIPT])), "would be fetched from another host"),
    "an output that needs a program": (page(("1", [WIDGET])), "shows application/vnd.jupyter.widget-view+json"),
    "a warning of a library": (page(("1", [WARNING])), "shows a warning: <ipython-input-1-4e>:1: Pandas4Warning"),
    "a link within a link": (page("[see [`one`](other.ipynb)](other.ipynb#one)"), "a link within a link"),
    "an open block": (page("::: {.callout-note}\nText."), "::: is opened"),
    "a reference to no figure": (page(FIGURE, "See @fig-two."), "@fig-two refers to no figure"),
    "a name that would be a citation": (page("Write to @somebody."), "@somebody refers to no figure"),
    "a label that is used twice": (page(FIGURE, FIGURE), "the label fig-one is used 2 times"),
    "a label that is not numbered": (page(("#| label: one\n1", [])), "the label 'one' is not of"),
    "a second title": (page("# Another"), "a second title"),
    "two headings of one name": (page("## One", "## One"), "the anchor #one is that of 2 headings"),
    "a heading that takes the anchor of a name": (page("## One", ("1", [NAME])), "the anchor #one is that of 2 headings"),
    "a link in code": (page("```python\n# from [`one`](other.ipynb)\n```"), "other.ipynb) within code would be shown"),
    "a table in a table": (page(("1", [TABLE])), "a table within a table"),
    "a formula that is no TeX": (page(r"Let $\qquadJ = 1$ be."), r"cannot convert the formula '\\qquadJ = 1': unexpected control sequence"),
    "a formula that is not closed": (page(r"$$\frac{1}{2$$"), "cannot convert the formula"),
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "picture.png").touch()
    nbformat.write(page("## One"), tmp_path / "other.ipynb")
    return tmp_path


def problems_of(check, folder, made):
    nbformat.write(made, folder / "page.ipynb")
    pages = check.read_pages(folder)
    anchors = {name: set(check.anchors(one)) for name, one in pages.items()}
    return list(check.page_problems("page.ipynb", pages["page.ipynb"], folder, anchors, SITE))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(check, folder, fault):
    made, said = FAULTS[fault]
    found = problems_of(check, folder, made)
    assert len(found) == 1 and said in found[0]


def test_a_page_in_order_has_no_fault(check, folder):
    made = page("## One\n\n[a](other.ipynb#one) [b](#one) [c](https://example.org) ![A picture](picture.png)\n\n```\n[x](none.ipynb)\n```",
                FIGURE, "See @fig-one, or [-@fig-one], or `@fig-two`; write to somebody@example.org.",
                ("#| echo: false\n#| fig-cap: A figure.\n#| fig-alt: \"One: a line.\"\n1", [PNG]))
    assert problems_of(check, folder, made) == []


def test_a_source_that_is_no_list_of_lines_is_found(check, folder):
    shown = nbformat.v4.new_output("display_data", {"text/html": "<p>\n</p>"})
    said = nbformat.v4.new_output("stream", text="one\ntwo\n")
    made = page("One\ntwo", ("1\n2", [shown, said]))  # in memory each source is one string, as Quarto should not get it
    assert [problem.split(" is not")[0] for problem in check.line_problems("page.ipynb", made)] == [
        f"page.ipynb, cell {number}: its {what}" for number, what in ((0, "source"), (1, "source"), (2, "source"), (2, "output"), (2, "output"))]
    for wrong in (["One\ntwo"], ["One", "two"]):
        made.cells[1:] = [{"cell_type": "markdown", "source": wrong}]
        assert len(list(check.line_problems("page.ipynb", made))) == 2
    made = json.loads(nbformat.writes(page("One\ntwo", ("1\n2", [shown, said]))))
    assert list(check.line_problems("page.ipynb", made)) == []


def test_pages_are_written_as_lists_of_lines(check):
    import prepare_pages
    made = page("One\n\ntwo", ("1\n2", [nbformat.v4.new_output("display_data", {"text/markdown": "### a\nb", "image/png": "iVBO"})]))
    prepare_pages.write_as_lines(made)
    assert list(check.line_problems("page.ipynb", made)) == []
    assert made.cells[1].source == ["One\n", "\n", "two"]
    assert made.cells[2].outputs[0].data == {"text/markdown": ["### a\n", "b"], "image/png": "iVBO"}


def test_text_that_nbdev_would_drop_is_found(check):
    def found(text):
        return list(check.first_cell_problems("page.ipynb", nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])))
    assert found("# Title\n\n> A sentence.") == []
    assert len(found("# Title\n\n> A sentence.\n\nThis would be gone.")) == len(found("# Title\n\n> Half a\n> sentence.")) == len(found("# Title")) == 1


PAGES = {"a.ipynb": None, "b.ipynb": None}
BASE = {"website": {"navbar": {}, "sidebar": {"contents": ["a.ipynb", {"section": "B", "contents": ["b.ipynb"]}]}}}
SITE_FAULTS = {
    "a misspelt key": ({"websit": {}}, "unknown key 'websit'"),
    "a misspelt key within": ({"format": {"html": {"tocdepth": 3}}}, "unknown key 'tocdepth'"),
    "an unknown style": ({"website": {"navbar": {}, "sidebar": {"style": "flaoting", "contents": ["a.ipynb", "b.ipynb"]}}}, "'flaoting'"),
    "a text for true": ({"format": {"html": {"toc": "yes"}}}, "found 'yes', expected true or false"),
    "a page that is not there": ({"website": {"navbar": {}, "sidebar": {"contents": ["a.ipynb", "b.ipynb", "c.ipynb"]}}}, "c.ipynb is listed"),
    "a page that is not listed": ({"website": {"navbar": {}, "sidebar": {"contents": ["a.ipynb"]}}}, "b.ipynb is not in the sidebar"),
    "a page that is listed twice": ({"website": {"navbar": {}, "sidebar": {"contents": ["a.ipynb", "b.ipynb", "a.ipynb"]}}}, "listed twice"),
    "a bar that leads nowhere": ({"website": {**BASE["website"], "navbar": {"left": [{"text": "C", "href": "c.ipynb"}]}}}, "leads to c.ipynb"),
}


@pytest.mark.parametrize("fault", SITE_FAULTS)
def test_a_fault_of_the_configuration_is_found(check, fault):
    site, said = SITE_FAULTS[fault]
    found = list(check.site_problems(BASE | site, PAGES))
    assert len(found) == 1 and said in found[0]


def test_the_configuration_without_fault(check):
    assert list(check.site_problems(BASE, PAGES)) == []


def test_public_names_are_documented_where_they_stand(check):
    assert [problem for name in studperf.__all__ for problem in check.undocumented(name)] == []


def test_undocumented_names_are_found(check, monkeypatch):
    def mystery(cohort: Any, value: int,  # two in one line
                *,
                told: int = 0,  # an argument
                **options) -> int: ...
    monkeypatch.setattr("studperf.compare", mystery, raising=False)
    assert list(check.undocumented("compare")) == ["compare: has no docstring", *(
        f"compare: {what} has no comment beside it" for what in ("the parameter cohort", "the parameter options", "what it returns"))]


@pytest.mark.parametrize("name, line, problem", [
    ("compare", "cohort: Any,", "compare: the parameter cohort"),
    ("plot_means", ") -> Axes:", "plot_means: what it returns"),
    ("Schema", "factors: Mapping", "Schema: the parameter factors"),  # a field
    ("Cohort", "database: Any = None,", "Cohort.summarize: the parameter database"),  # of a class's own method
    ("Schema", "frame: Any,", "Schema.infer: the parameter frame"),  # of a function that is a method
    ("Cohort", ") -> list[str]:", "CohortData.levels: what it returns"),  # of a method that it inherits
    ("Registry", "**storage_options,", "Registry: the parameter storage_options"),  # of its making
])
def test_a_comment_that_is_taken_away_is_missed(check, monkeypatch, name, line, problem):
    def without_comment(code):
        return "".join(f"{text.split('  # ')[0].rstrip()}\n" if line in text else text for text in inspect.getsource(code).splitlines(True))
    monkeypatch.setattr("fastcore.docments.getsource", without_comment)
    assert list(check.undocumented(name)) == [f"{problem} has no comment beside it"]


def test_errors_of_a_method_are_shown_below_it(check):
    from prepare_pages import with_errors

    def f():
        """Do it.

        Raises
        ------
        DataError
            If a column
            is missing.
        TypeError
        """
    assert with_errors("### f\n", f) == "### f\n\n**Raises**\n\n- `DataError`. If a column is missing.\n- `TypeError`\n"
    f.__doc__ = "Do it."
    assert with_errors("### f\n", f) == "### f\n"


def test_misspelt_words_are_found(check):
    found = list(check.spelling_problems({"page.ipynb": page("We recieve scores.")}))
    assert len(found) == 1 and "recieve ==> receive" in found[0]


def test_headings_get_pandocs_anchors(check):
    given = {"## 1. What can be reached at all?": "what-can-be-reached-at-all", "### Cohort.summarize": "cohort.summarize",
             "## `plot_means` and [links](x.ipynb)": "plot_means-and-links", "## Raw & adjusted": "raw-adjusted", "## Own {#mine}": "mine"}
    assert {text: next(check.anchors(page(text))) for text in given} == given


def test_links_lead_where_the_name_is_meant(check):
    import prepare_pages
    site = "https://example.org"
    text = f"[`Scale`]({site}/pictures.html#scale) [`predict`]({site}/adjust.html#predict) [`compare`]({site}/compare.html#compare)"
    assert prepare_pages.meant_links(text, {"Scale"}, {"Scale"}, {"compare"}, site) == f"[`Scale`](#scale) `predict` [`compare`]({site}/compare.html#compare)"
    assert prepare_pages.meant_links(text, {"Scale"}, set(), set(), site) == "`Scale` `predict` `compare`"  # no page has a section for them
    assert prepare_pages.plain_code("[`one`](a.ipynb)\n\n```python\n# see [`one`](a.ipynb)\n```") == "[`one`](a.ipynb)\n\n```python\n# see `one`\n```"


def test_sources_are_those_of_the_pages_module(check):
    import layout
    import prepare_pages
    for public, name, begins in (("compare", "compare", "def compare("), ("Cohort", "Cohort.summarize", "    ")):
        module = layout.public()[public]
        link = prepare_pages.source_links(f"[source](studperf/cli.py#L1){{style}}\n\n### {name}\n\n", module)
        path, number = re.search(r"\((\S+)#L(\d+)\)", link).groups()
        assert path == f"studperf/{module.replace('.', '/')}.py"
        assert (REPO / path).read_text(encoding="utf-8").splitlines()[int(number) - 1].startswith(begins)


def test_a_function_that_is_a_method_is_documented_once(check):
    import prepare_pages

    class Table:
        def own(self):
            """Do it."""
        compare = studperf.compare
    Table.own.__qualname__ = "Table.own"
    shown = list(prepare_pages.methods(Table, "", lambda function: f"x.ipynb#{function.__name__}"))
    assert [cell["id"] for cell in shown] == ["Table-verbs", "Table-own"]
    assert shown[0]["source"] == "Functions that are methods of `Table`, too: [`compare`](x.ipynb#compare)."


def test_a_document_within_a_page_stands_below_its_headings(check):
    import prepare_pages
    assert prepare_pages.below_headings("# Model card\n\n## Use\n") == "#### Model card\n\n##### Use\n"
    assert prepare_pages.below_headings("### compare\n") == "### compare\n"
