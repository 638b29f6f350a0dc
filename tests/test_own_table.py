"""A visitor's own table: read and worked on in a process with limits, shown and corrected in the page, and gone afterwards."""
import io
import os
import re
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import psutil
import pytest
from playwright.sync_api import expect
from conftest import shared_file, violations
from serving import PATIENCE, Served

from studperf.dashboard.facts import Facts, facts_from_dict
from studperf.limited_jobs import JOB_LIMITS, JOB_PLACES_VARIABLE, JobError, job_place, jobs_allowed, make_job_places, run_job
from studperf.dashboard.own_table import OwnChoices, own_table_of
from studperf.dashboard.page import OWN_TABLE, PredictorPage

WORK = "studperf.dashboard.own_table_work"
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
ODD_JOBS = '''
import os, socket, subprocess, time

def sleep(content): time.sleep(600)
def spin(content):
    while True: pass
def eat(content): return len(bytearray(3 * 2**30))
def connect(content): socket.create_connection(("127.0.0.1", 9))
def start(content): subprocess.run(["true"])
def talk(content): print("a student's name"); return {"folder": os.getcwd(), "files": os.listdir(), "secret": os.environ.get("SECRET"), "size": len(content)}
def flood(content): return "x" * 30_000_000
def die(content): os.abort()
def remember(content, path):
    with open(path, "w") as file: file.write(f"{os.getpid()} {os.getcwd()}.")
    time.sleep(600)
'''


@pytest.fixture(scope="module", autouse=True)
def modules(tmp_path_factory):
    """A folder with the module of odd jobs, for the other processes."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "odd_jobs.py").write_text(ODD_JOBS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))
        yield folder


@pytest.fixture(scope="module")
def portuguese():
    return shared_file("wild", "student-por.csv").read_bytes()


# The process with limits

@pytest.mark.parametrize("job, words, limits", [
    ("sleep", "took too long", {"clock": 1}), ("spin", "took too long", {"processor": 1}), ("eat", "needs more memory", {}),
    ("flood", "larger than a page can hold", {}), ("die", "needs more memory", {}), ("connect", "PermissionError in limited_jobs.py", {}),
    ("start", "PermissionError in limited_jobs.py", {}), ("none", "AttributeError", {})])
def test_a_job_that_goes_wrong_ends_politely(job, words, limits):
    with pytest.raises(JobError, match=words):
        run_job(f"odd_jobs:{job}", b"x", limits=replace(JOB_LIMITS, **limits))


def test_a_job_gets_a_folder_of_its_own_and_no_secret(monkeypatch):
    monkeypatch.setenv("SECRET", "sesame")
    found = run_job("odd_jobs:talk", b"x" * 3_000_000)
    assert (found["files"], found["secret"], found["size"]) == ([], None, 3_000_000)
    assert not Path(found["folder"]).exists()


def test_a_job_ends_with_its_page(tmp_path):
    """Whoever asked is killed; the job notices, as its pipe closes."""
    told = tmp_path / "pid"
    program = f"from studperf.limited_jobs import run_job; run_job('odd_jobs:remember', b'x', {{'path': {str(told)!r}}})"
    page = subprocess.Popen([sys.executable, "-c", program])
    while not (told.exists() and told.read_text().endswith(".")):
        assert page.poll() is None
    number, folder = told.read_text()[:-1].split(" ", 1)
    job = psutil.Process(int(number))
    assert Path(folder).is_dir()
    page.kill()
    page.wait()
    assert psutil.wait_procs([job], PATIENCE)[1] == []
    assert not Path(folder).exists()


def test_a_server_does_few_jobs_at_a_time(tmp_path, monkeypatch, prepared):
    monkeypatch.setenv(JOB_PLACES_VARIABLE, str(tmp_path / "one"))
    make_job_places(tmp_path / "one", 1)
    with job_place(0), pytest.raises(JobError, match="other tables are being worked on; try again in a minute"):
        run_job("odd_jobs:talk", b"", limits=replace(JOB_LIMITS, wait=.1))
    with pytest.raises(JobError, match="took too long"):
        run_job("odd_jobs:sleep", b"", limits=replace(JOB_LIMITS, clock=.5))
    assert run_job("odd_jobs:talk", b"")["size"] == 0, "the place is free again"
    assert OWN_TABLE in PredictorPage(Facts.read(prepared)).section.options
    monkeypatch.setenv(JOB_PLACES_VARIABLE, str(tmp_path / "none"))
    make_job_places(tmp_path / "none", 0)
    assert not jobs_allowed()
    assert OWN_TABLE not in PredictorPage(Facts.read(prepared)).section.options


# What is read

def huge_workbook():
    """A workbook of 1,4 kB whose two cells lie 1,048,576 rows and 100 columns apart: read as a table it takes 2.5 GB."""
    office, package = "http://schemas.openxmlformats.org/spreadsheetml/2006/main", "http://schemas.openxmlformats.org/package/2006"
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    parts = {"[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
             '<Default Extension="xml" ContentType="application/xml"/></Types>',
             "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{relations}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
             "xl/workbook.xml": f'<workbook xmlns="{office}" xmlns:r="{relations}"><sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>',
             "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{relations}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
             "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{office}"><sheetData><row r="1"><c r="A1"><v>1</v></c></row>'
             '<row r="1048576"><c r="CV1048576"><v>1</v></c></row></sheetData></worksheet>'}
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return written.getvalue()


def test_a_workbook_that_needs_gigabytes():
    with pytest.raises(JobError, match="more memory than a page may use|more than 10,000 rows|names only 2 cells"):
        run_job(f"{WORK}:draft_table", huge_workbook(), {"name": "marks.xlsx"})


def test_files_that_are_refused_as_a_class_list_is():
    for content, words in ((b"", "the file is empty"), (b"a,b\n" + b"1,2\n" * 10_001, "more than 10,000 rows"), (b"\0\1\2", "binary data")):
        with pytest.raises(JobError, match=words):
            run_job(f"{WORK}:draft_table", content, {"name": "../<b>.csv"})


def test_a_draft_names_no_rare_value(portuguese):
    drafted = run_job(f"{WORK}:draft_table", portuguese.replace(b";teacher;", b";astronaut;", 3), {"name": "student-por.csv"})
    assert b";astronaut;" in portuguese.replace(b";teacher;", b";astronaut;", 3)
    table = own_table_of(drafted)
    assert (table.rows, len(table.columns), table.named("score")) == (649, 34, ["G1", "G2", "G3"])
    assert not [column for column in table.columns if "astronaut" in column.holds + column.reason]
    jobs = next(column for column in table.columns if column.name == "Mjob")
    assert "services" in jobs.holds and "1 more" in jobs.holds


def test_a_table_without_scores_asks_for_them():
    rows = "\n".join(f"{'fm'[place % 2]},{('art', 'law', 'sport')[place % 3]},{place * 7 % 11}" for place in range(60))
    content = f"sex,track,siblings\n{rows}\n".encode()
    table = own_table_of(run_job(f"{WORK}:draft_table", content, {"name": "x.csv"}))
    assert table.problem
    assert {column.role for column in table.columns} == {"left out"}
    assert len(table.parts()["look"]) == 3
    again = own_table_of(run_job(f"{WORK}:draft_table", content, {"name": "x.csv", "scores": ["siblings"]}))
    assert {column.name: column.role for column in again.columns} == {"sex": "factor", "track": "factor", "siblings": "score"}
    choices = OwnChoices({"sex": "factor", "track": "left out", "siblings": "score"}, schema=table.schema)
    assert "siblings" in run_job(f"{WORK}:table_report", content, {"name": "x.csv", "choices": asdict(choices)})["report"]


def test_what_is_corrected_is_what_is_used(portuguese):
    table = own_table_of(run_job(f"{WORK}:draft_table", portuguese, {"name": "student-por.csv"}))
    roles = {column.name: column.role for column in table.columns} | {"school": "cluster", "Medu": "factor", "Fjob": "left out", "freetime": "covariate"}
    choices = asdict(OwnChoices(roles, {"G3": (0, 20)}, ("G1",), "pupils", None, table.schema))
    made = run_job(f"{WORK}:table_predictor", portuguese, {"name": "student-por.csv", "choices": choices, "target": "G3"})
    facts = facts_from_dict(made["facts"])
    assert (facts.scores, facts.people) == (("G3",), "pupils") and 600 < facts.n <= 649  # without few who lack a small level
    assert (facts.numbers["G3"].low, facts.numbers["G3"].high, facts.numbers["G3"].scale) == (0, 20, True)
    assert {"G1", "G2"} <= set(facts.others("G3")) and len(facts.factors) == 10
    assert not {"school", "Fjob"} & set(facts.factors)
    choices["limits"]["G3"] = (0, 10)
    with pytest.raises(JobError, match="column 'G3'"):
        run_job(f"{WORK}:table_predictor", portuguese, {"name": "student-por.csv", "choices": choices, "target": "G3"})


# In a browser

@pytest.fixture(scope="module")
def own(prepared, modules):
    """A server under a path, as behind a proxy, with a folder of its own for what it needs for a while."""
    with TemporaryDirectory() as folder:
        served = Served("--prepared", prepared, "--base-url", "/school/", TMPDIR=folder)
        served.folder = folder
        yield served
        served.stop()


@contextmanager
def opened(browser, own, size, scheme="light", forgiven=None):
    page, wrong, hosts = browser.new_page(viewport=size, color_scheme=scheme), [], set()
    page.set_default_timeout(PATIENCE * 1000)
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    try:
        page.goto(f"{own.address}/school/", wait_until="commit")
        page.locator(".sp-score b").wait_for()
        page.get_by_role("button", name="Close the tour").click()
        page.get_by_role("radio", name=OWN_TABLE).check()
        page.locator(".sp-own .sp-drop[data-ready]").wait_for()
        yield page
        assert hosts <= {"localhost", None}
        assert [text for text in wrong if not (forgiven and forgiven in text)] == []
    finally:
        page.goto("about:blank")
        page.close()


def upload(page, name, content):
    with page.expect_file_chooser() as chooser:
        page.locator(".sp-own .sp-upload").click()
    chooser.value.set_files({"name": name, "mimeType": "text/csv", "buffer": content})


def assert_fits(page, size):
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
    outside = page.locator(".sp *:visible").evaluate_all(
        "(parts, width) => parts.filter(part => part.getBoundingClientRect().right > width + 1).map(part => part.outerHTML.slice(0, 200))", size["width"])
    assert outside == []


def role_of(page, name):
    return page.get_by_role("combobox", name=f"Role of {name}", exact=True)


def show_all(page):
    more = page.get_by_role("button", name=re.compile("^Show the .*column"))
    if more.count() and more.is_visible():
        more.click()


def test_from_upload_to_report_and_predictor(browser, own, axe, artefacts, portuguese, tmp_path):
    with opened(browser, own, WIDE) as page:
        upload(page, "<img src=x onerror=window.harm=1>.csv", portuguese)
        expect(page.locator(".sp-own-draft")).to_contain_text("649 rows and 34 columns were read")
        show_all(page)
        role_of(page, "school").select_option("School or class they share")
        role_of(page, "G1").select_option("Leave out")
        scale = page.locator(".sp-own-column").filter(has=role_of(page, "G3"))
        scale.get_by_role("textbox", name="Lowest").fill("")
        scale.get_by_role("textbox", name="Highest").fill("2O")
        page.get_by_role("button", name="Make the report").click()
        expect(page.locator(".sp-own-outcome")).to_contain_text("G3: found nothing as its lowest and 2O as its highest possible value")
        scale.get_by_role("textbox", name="Lowest").fill("0")
        scale.get_by_role("textbox", name="Highest").fill("20")
        page.screenshot(path=artefacts / "own-table-draft-1280-light.png", full_page=True)
        assert violations(page, axe) == []
        page.get_by_role("button", name="Make the report").click()
        expect(page.locator(".sp-busy")).to_be_visible()
        expect(page.get_by_role("button", name="Make a predictor")).to_be_disabled()
        page.get_by_role("radio", name="Explore").check()  # the page answers meanwhile
        expect(page.locator(".sp-view")).to_contain_text("How groups differ")
        page.get_by_role("radio", name=OWN_TABLE).check()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the report").click()
        assert download.value.suggested_filename.endswith("-report.html")
        report = Path(download.value.path()).read_text("utf-8-sig")
        assert re.search(r"6[34]\d students", report) and "small groups" in report and "G3" in report and "school" in report
        assert "<img src=x" not in report
        page.get_by_label("Score to predict").last.select_option("G3")
        page.get_by_role("button", name="Make a predictor").click()
        expect(page.locator(".sp-own-banner")).to_contain_text(re.compile("Predictor of your own table: G3 of 6[34]. students"))
        expect(page.locator(".sp-what")).to_have_text("Expected G3 score")
        expect(page.locator(".sp-score")).to_contain_text("on a scale from 0 to 20")
        assert page.evaluate("scrollY") == 0
        assert page.locator(".sp-copy").count() == 0
        assert "G3" not in page.url, "the address holds nothing of the table"
        page.screenshot(path=artefacts / "own-table-predictor-1280-light.png", full_page=True)
        for view in ("Why", "Compare", "Class list", "Explore", "About"):
            page.get_by_role("radio", name=view).check()
            expect(page.locator(".sp-view")).not_to_be_empty()
            assert page.locator(".sp-problem:visible").count() == 0, view
        page.get_by_role("button", name="Back to the usual predictor").click()
        expect(page.locator(".sp-own-banner")).to_be_hidden()
        page.get_by_role("radio", name="Predict", exact=True).check()
        expect(page.locator(".sp-what")).to_have_text("Expected math score")
        page.get_by_role("radio", name=OWN_TABLE).check()
        page.get_by_role("button", name="Remove this table").click()
        expect(page.locator(".sp-own-draft")).to_be_hidden()
        assert page.evaluate("window.harm") is None
    there = os.listdir(own.folder)
    assert there and not [name for name in there if name.startswith("studperf-job-")]


def hsb(n=200):
    """A table of the form of hsb2, a sample of a national survey of schools; of made-up students."""
    def row(place):
        return (f"{place},{place % 2},{1 + place % 4},{1 + place % 3},{'public' if place % 5 else 'private'},{place * 7 % 3 + 1},"
                f"{30 + place * 37 % 41},{31 + place * 53 % 37},{33 + place * 29 % 43}")
    return "\n".join(["id,female,race,ses,schtyp,prog,read,write,math", *map(row, range(1, n + 1))]).encode()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(browser, own, axe, artefacts, scheme):
    with opened(browser, own, NARROW, scheme) as page:
        upload(page, "hsb2.csv", hsb())
        expect(page.locator(".sp-own-draft")).to_contain_text("200 rows and 9 columns were read")
        show_all(page)
        role_of(page, "ses").select_option("Groups with an order")
        role_of(page, "race").select_option("Groups to compare")
        page.screenshot(path=artefacts / f"own-table-draft-390-{scheme}.png", full_page=True)
        assert_fits(page, NARROW)
        assert violations(page, axe) == []
        page.get_by_label("Score to predict").last.select_option("Math")
        page.get_by_role("button", name="Make a predictor").click()
        expect(page.locator(".sp-own-banner")).to_contain_text("math of 200 students, from hsb2.csv")
        expect(page.get_by_role("radiogroup", name="Ses")).to_be_visible()
        page.screenshot(path=artefacts / f"own-table-predictor-390-{scheme}.png", full_page=True)
        assert_fits(page, NARROW)
        assert violations(page, axe) == []


def test_a_hostile_workbook_leaves_the_page_alive(browser, own):
    with opened(browser, own, WIDE, forgiven="404") as page:
        upload(page, "marks.xlsx", huge_workbook())
        expect(page.locator(".sp-own-said .sp-problem")).to_contain_text(re.compile("more memory than a page may use|more than 10,000 rows|names only 2 cells"))
        upload(page, "marks.csv", b"one column\n1\n")
        expect(page.locator(".sp-own-said .sp-problem")).to_contain_text("found the single column")
        page.get_by_role("radio", name="Class list").check()
        page.locator(".sp-rest .sp-drop[data-ready]").wait_for()
        with page.expect_file_chooser() as chooser:
            page.locator(".sp-rest .sp-upload").click()
        chooser.value.set_files({"name": "class.xlsx", "mimeType": "text/csv", "buffer": huge_workbook()})
        page.get_by_role("alert").filter(has_text=re.compile("paused|program has ended|not read")).wait_for()  # the server lives
        assert own.process.poll() is None
