"""Names and levels that would break out of a page, a notebook, a card, a file name or a terminal do not."""
import json
import re
import unicodedata
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import studperf
from studperf import cli
from studperf.dashboard.downloads import download_link
from studperf.dashboard.own_table import download_name, safe_name
from studperf.text import as_markdown, printable

LEVELS = ['"); import os; os.system("touch pwned"); ("', "a\nimport os\nos.system('touch pwned')", "`__import__('os')`", "<img src=http://evil.host/a onerror=alert(1)>",
          "</script><script>alert(1)</script>", "$\\frac{a}{b}$", "[x](javascript:alert(1))", "![x](http://evil.host/b.png)", "{{7*7}}{% raw %}",
          "\x1b[2J\x1b]0;owned\x07red", "\u202eevil", "'''\n%%bash\ntouch pwned\n'''", "!touch pwned", "<!--", "]]>&lt;b&gt;"]
NAMES = ['x"); import os\nos.system("touch pwned")#', "<script>alert(1)</script>![x](http://evil.host/c.png)", "\x1b[2J$x^2$ `!touch pwned` | a", "m<b>ath\x1b[31m\n# Head",
         "read${y}_"]


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(0)
    levels = [LEVELS[place:place + 5] for place in (0, 5, 10)]
    frame = pd.DataFrame({name: random.choice(own, 900) for name, own in zip(NAMES, levels, strict=False)} | {name: random.integers(0, 100, 900) for name in NAMES[3:]})
    return frame, studperf.Schema({name: own for name, own in zip(NAMES, levels, strict=False)}, {name: (0, 100) for name in NAMES[3:]})


class Page(HTMLParser):
    """The tags, attributes and addresses of a page, as a browser finds them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.addresses = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        self.addresses |= {value for name, value in attributes if name in ("src", "href", "action", "xlink:href", "srcset", "data")}


def check_page(text):
    page = Page(text)
    assert not [name for name in page.attributes if name.startswith("on")]
    assert all(address.startswith(("#", "data:")) for address in page.addresses), page.addresses
    assert not page.tags & {"img", "iframe", "object", "embed", "link", "form", "base"} or all(a.startswith(("#", "data:")) for a in page.addresses)
    policy, = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert "default-src 'none'" in policy and "base-uri 'none'" in policy and "form-action 'none'" in policy
    assert "unsafe-eval" not in policy and "script-src 'unsafe-inline'" not in policy and not re.search(r"https?:", policy)
    assert "<script>alert" not in text and "49{% raw" not in text


@pytest.fixture(scope="module")
def written(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    frame, schema = table
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        studperf.report(frame, folder / "report.html", schema=schema, title="<b>t</b>![t](http://evil.host/t.png)\x1b", notebook=True, summary=True)
    return folder


def test_the_report(written):
    check_page((written / "report.html").read_text())
    svg = (written / "report-summary.svg").read_text()
    assert "<script" not in svg and not re.search(r"\son\w+=", svg)
    assert not {value for value in re.findall(r'href="([^"]*)"', svg) if not value.startswith(("#", "data:"))}


def test_the_report_notebook(written):
    """Its code is Python's own writing of the names; its words are words."""
    assert not list(written.rglob("pwned")) and not Path("pwned").exists()
    notebook = json.loads((written / "report.ipynb").read_text())
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            assert not any(line.startswith(("!", "%%", "import os", "os.")) for line in text.splitlines()), text
            continue
        assert "\x1b" not in text and "<b>" not in text and "<script" not in text
        for line in text.splitlines():
            assert not re.search(r"(?<!\\)(!\[|\]\(|\$)", line), line
        assert [line for line in text.splitlines() if line.startswith("#")] == text.splitlines()[:1] * text.startswith("#")


def test_the_model_card(table):
    frame, schema = table
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        predictor = studperf.fit_predictor(frame, NAMES[3], schema=schema, model="least squares")
        card, page = (studperf.model_card(predictor, None, form=form) for form in ("markdown", "html"))
    check_page(page)
    assert "\x1b" not in card and not re.search(r"(?<!\\)(!\[|\]\(|<script|<img)", card)
    assert not [line for line in card.splitlines() if line.startswith(("# Head", "import os", "%%"))]


@pytest.mark.parametrize("text", [*LEVELS, *NAMES])
def test_markdown_shows_the_text(text):
    """Pandoc, which is not ours, finds one paragraph of plain text."""
    import pypandoc

    read = json.loads(pypandoc.convert_text("x " + as_markdown(text), "json", format="gfm"))
    paragraph, = read["blocks"]
    assert {part["t"] for part in paragraph["c"]} <= {"Str", "Space", "Quoted", "SoftBreak"}, paragraph
    plain = "".join({"Str": lambda part: part["c"], "Space": lambda part: " "}[part["t"]](part) for part in paragraph["c"])
    assert plain.split() == ["x", *printable(" ".join(text.split())).split()]


@pytest.mark.parametrize("command", [["schema"], ["report"], ["compare"], ["summarize"], ["train", "--out", "m.studperf", "--model", "least squares"]])
def test_terminals_obey_no_name(tmp_path, monkeypatch, capsys, table, command):
    frame, _ = table
    frame = frame.assign(**{"\x1b[31mred\x07": "one"})
    frame.to_csv(tmp_path / "marks.csv", index=False)
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            cli.main([command[0], "marks.csv", *command[1:]])
        except SystemExit:
            pass
    said = "".join(capsys.readouterr())
    assert said and not [sign for sign in said if unicodedata.category(sign) == "Cc" and sign != "\n" or sign in "\u202e\u2066"]


@pytest.mark.parametrize("arguments", [["report", "marks\x1b[2J.csv", "--scores", "points"], ["compare", "absent\x1b[2J.csv"],
                                       ["report", "marks\x1b[2J.csv", "--scores", "\x1b[2J"]])
def test_terminals_obey_no_error(tmp_path, monkeypatch, capsys, table, arguments):
    frame, _ = table
    frame[:60].assign(points=["\x1b[2J\r\x07"] * 30 + list(range(30))).to_csv(tmp_path / "marks\x1b[2J.csv", index=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    said = "".join(capsys.readouterr())
    assert ended.value.code == 2 and "error: " in said and "\x1b" not in said and "\r" not in said


def test_every_command_tells_by_one_function():
    text = Path(cli.__file__).read_text()
    assert text.count("typer.echo(") == 1 and not re.search(r"^\s*print\(", text, re.MULTILINE)


@pytest.mark.parametrize("name", ['a"; filename="b.exe', "a\r\nSet-Cookie: x=1", "../../etc/passwd", "a\0b", "\u202egnp.exe", "<img>", "con", ".htaccess", "a/b\\c", ""])
def test_file_names(name):
    for found in (safe_name(name), download_name(name, "report.html")):
        assert found and not re.search(r'[\r\n\0"<>/\\;]', found) and not found.startswith(".") and found.isprintable()
    link = download_link("Text", download_name(name, "report.html"), "content", "text/html")
    assert set(Page(link).attributes) == {"class", "download", "href"} and Page(link).tags == {"a"}
