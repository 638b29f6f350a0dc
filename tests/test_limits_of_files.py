"""Files that were made to take all memory, all time, or a way out: each is refused, with a line that says what and what to do."""
import gzip
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from begun import commands
from conftest import SHARED, missing
from serving import PATIENCE

from studperf import Cohort, DataError, DataWarning, Registry, fit_predictor, load_predictor, load_students
from studperf.cohort.cohort_file import COHORT_FORMAT
from studperf.dashboard.class_list import class_list_apart, read_class_list
from studperf.dashboard.facts import Facts
from studperf.dashboard.page import ClassListPart
from studperf.limited_jobs import reading_limits
from studperf.prediction.files import formula_predictor
from studperf.prediction.formula_file import PredictorFileError, read_formula, record_hash
from studperf.rows import apart
from studperf.rows.reading import read_raw
from studperf.rows.schema import Schema

START, PACKAGE = "http://schemas.openxmlformats.org", "http://schemas.openxmlformats.org/package/2006"


def zipped(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in members.items():
            archive.writestr(name, part)
    return content.getvalue()


def workbook(rows, strings=""):
    """A workbook that holds just this XML."""
    main, relations = f"{START}/spreadsheetml/2006/main", f"{START}/officeDocument/2006/relationships"

    def leads(**targets):
        found = "".join(f'<Relationship Id="rId{number}" Type="{relations}/{kind}" Target="{target}"/>' for number, (kind, target) in enumerate(targets.items(), 1))
        return f'<Relationships xmlns="{PACKAGE}/relationships">{found}</Relationships>'
    types = f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/></Types>'
    return zipped(**{"[Content_Types].xml": types, "_rels/.rels": leads(officeDocument="xl/workbook.xml"),
                     "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>',
                     "xl/_rels/workbook.xml.rels": leads(worksheet="worksheets/sheet1.xml", sharedStrings="sharedStrings.xml"),
                     "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>', "xl/sharedStrings.xml": f'<sst xmlns="{main}">{strings}</sst>'})


def far(column):
    return workbook(f'<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="{column}1048576"><v>1</v></c></row>')


def one_long_text():
    rows = "".join(f'<row r="{row}"><c r="A{row}" t="s"><v>0</v></c><c r="B{row}"><v>{row}</v></c></row>' for row in range(1, 1001))
    return workbook(rows, f"<si><t>{'a' * 1_000_000}</t></si>")


def sheet_of_ods(rows, before=""):
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text"))
    return zipped(**{"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "META-INF/manifest.xml": "<manifest/>", "content.xml":
                     f"{before}<office:document-content {spaces}><office:body><office:spreadsheet><table:table table:name='S'>{rows}</table:table></office:spreadsheet></office:body></office:document-content>"})


def repeated(rows, columns):
    cell = f'<table:table-cell office:value-type="float" office:value="1" table:number-columns-repeated="{columns}"><text:p>1</text:p></table:table-cell>'
    return sheet_of_ods(f'<table:table-row table:number-rows-repeated="{rows}">{cell}</table:table-row>')


def entities():
    names = "".join(f'<!ENTITY {chr(98 + place)} "{f"&{chr(97 + place)};" * 10}">' for place in range(9))
    return sheet_of_ods('<table:table-row><table:table-cell office:value-type="string"><text:p>&j;</text:p></table:table-cell></table:table-row>',
                        f'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaaaaaaaaaaaa">{names}]>')


def bomb(size=300_000_000):
    content = io.BytesIO()
    with gzip.open(content, "wb") as file:
        file.write(b"gender,math\n")
        for _ in range(size // 1_000_000):
            file.write(b"female,5\n" * 111_111)
    return content.getvalue()


def packed_table():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.csv", "w") as file:
        for _ in range(300):
            file.write(b"gender,math\n" * 83_333)
    return content.getvalue()


def dictionary():
    """Five megabytes that mean fifty gigabytes: a long text in each of fifty million rows."""
    content, rows = io.BytesIO(), 5_000_000
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, "int8")), pa.array(["x" * 10_000]))
    pa.parquet.write_table(pa.table({"gender": text, "math": np.zeros(rows)}), content, compression="zstd")
    return content.getvalue()


BOOKS = {"far.xlsx": (lambda: far("CV"), "a sheet spans 1,048,576 rows and 100 columns, but names only 2 cells"), "wide.xlsx": (lambda: far("XFD"), "16,384 columns"),
         "text.xlsx": (one_long_text, "takes more than|longer texts"), "rows.ods": (lambda: repeated(1_048_576, 1000), "cannot be read|takes more than"),
         "columns.ods": (lambda: repeated(1, 2_000_000_000), "no rows|takes more than|cannot be read"), "entities.ods": (entities, "cannot be read|takes more than")}
TEXTS = {"columns.csv": (lambda: b",".join(b"c%d" % place for place in range(1_000_000)) + b"\n" + b"1," * 999_999 + b"1\n", "1,000,000 columns, at most 20,000"),
         "line.csv": (lambda: b"gender,math\n" + b"a" * 60_000_000, "the text is not a table"), "quote.csv": (lambda: b'gender,math\nf,50\nm,"60\n' + b"f,50\nm,60\n" * 200_000, "quotation mark"),
         "bomb.csv.gz": (bomb, r"would unpack to more than \d\d MB"), "bomb.zip": (packed_table, r"would unpack to more than \d\d MB")}


def checked(done, code=2, said=""):
    """How a command ended; it must end with one line that says what was wrong."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if code == 2:
        last = done.stderr.splitlines()[-1]
        assert last.startswith("error: ")
        assert len(last) < 1000
    assert said in done.stderr
    return done


@pytest.fixture
def command(tmp_path):
    """The command as its users start it."""
    def run(*words, code=2, said="", env=None, **options):
        done = subprocess.run([sys.executable, "-c", "from studperf.cli import main; main()", *map(str, words)], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE,
                              env={**os.environ, **(env or {})}, **options)
        return checked(done, code, said)
    return run


@pytest.fixture(scope="module")
def begun():
    """The command as a copy of a process that has the imports behind it."""
    with commands() as run:
        yield run


@pytest.mark.parametrize("name", [*BOOKS, *TEXTS])
def test_a_monstrous_file_is_refused_in_one_line(command, tmp_path, name):
    made, said = {**BOOKS, **TEXTS}[name]
    Path(tmp_path, name).write_bytes(made())
    assert re.search(said, command("compare", name).stderr)


def test_a_parquet_file_of_gigabytes(command, tmp_path):
    Path(tmp_path, "a.parquet").write_bytes(dictionary())
    assert "MB" in command("train", "a.parquet", "--scores", "math", "--target", "math").stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
@pytest.mark.parametrize("words", [("compare", "{}"), ("schema", "{}"), ("summarize", "{}", "--scores", "math"), ("predict", "{}", "right.csv"), ("compare", "right.csv", "--schema", "{}"),
                                   ("report", "{}"), ("dashboard", "--prepared", "{}")], ids=" ".join)
@pytest.mark.parametrize("kind", ["pipe", "loop", "folder", "socket", "device"])
def test_what_is_no_file_is_refused(begun, tmp_path, monkeypatch, words, kind):
    path = tmp_path / "a.csv"
    Path(tmp_path, "right.csv").write_bytes(load_students().head(30).to_csv(index=False).encode())
    if kind == "socket":
        os.chdir(tmp_path)
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind("a.csv")
    {"pipe": os.mkfifo, "loop": lambda path: path.symlink_to(path), "folder": os.mkdir, "socket": bool, "device": lambda path: path.symlink_to("/dev/zero")}[kind](path)
    checked(begun(*(word.format("a.csv") for word in words), folder=tmp_path))


def test_standard_input_and_output(command, tmp_path):
    command("compare", "-", said="standard input is closed", preexec_fn=lambda: os.close(0))
    command("compare", "-", said="the file is empty", stdin=subprocess.DEVNULL)
    command("compare", "gone.csv", said="No such file")
    program = f"{sys.executable} -c 'from studperf.cli import main; main()' compare"
    done = subprocess.run(["bash", "-c", f"{program} | true; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's data")
def test_memory_that_runs_out_is_one_line(command, tmp_path):
    rows = pd.concat([load_students()] * 200)
    rows.to_csv(tmp_path / "a.csv", index=False)
    command("--memory", "250MB", "compare", "a.csv", said="the command needs more memory than the 0.2 GB that it may take")
    command("--memory", "little", "schema", "a.csv", said="--memory: found 'little', expected a size of at least 100MB")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_command_that_is_ended(tmp_path):
    command = [sys.executable, "-c", "from studperf.cli import main; main()", "compare", "-"]
    for sent in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # which a job in the background ignores, and all that it starts
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not children.read_text().split():  # until it waits for its copy
            assert process.poll() is None
        process.send_signal(sent)
        assert process.wait(60) in (-sent, 1, 2, 130)
        process.stdin.close()
        assert process.stdout.read() == b"", "the copy has ended, too"
        process.stdout.close()
        process.stderr.close()


# The page

@pytest.fixture(scope="module")
def facts(prepared):
    return Facts.read(prepared)


@pytest.mark.parametrize("name", BOOKS)
def test_the_page_says_what_it_refuses(facts, name):
    made, said = BOOKS[name]
    content = made()
    with pytest.raises(DataError, match=f"{said}|cannot be read|at most 200 can be read"):
        class_list_apart(content, facts, name=name)
    part = ClassListPart(facts, lambda: None)
    part._read({"new": [{"content": content, "name": name}]})
    assert part.table is None
    assert part.problem.startswith("This file was not read: ")


def test_a_class_list_is_read_in_another_process(facts):
    content = b"gender;ethnicity;math\nfemale;group B;71,5\nmale;;\n"
    assert class_list_apart(content, facts) == read_class_list(content, facts)
    with pytest.raises(DataError, match="the file is empty"):
        class_list_apart(b"", facts)
    assert reading_limits(10_000).memory < 250 * 10**6


@pytest.fixture
def read_apart():
    apart.read_apart(10**9)
    yield
    apart.read_apart(None)


@pytest.mark.parametrize("name", ["exam_anxiety.sav", "hsb2.sas7bdat", "hsls_small.dta"])
def test_a_real_file_is_the_same_read_apart(read_apart, name):
    path = SHARED / "wild" / name
    if not path.is_file():
        missing(f"{path} is not there")
    there = read_raw(path)
    apart.read_apart(None)
    here = read_raw(path)
    pd.testing.assert_frame_equal(there.frame, here.frame)
    assert (there.notes, there.labels, list(there.rows)) == (here.notes, here.labels, list(here.rows))


def test_a_workbook_is_the_same_read_apart(read_apart, tmp_path):
    frame = pd.DataFrame({"name": ["Kim", "Ann"], "math": [71, 64.5], "on": pd.to_datetime(["2024-05-17", "2024-05-18"]), "mixed": [1, "x"]})
    for end in ("xlsx", "parquet", "feather"):
        path = tmp_path / f"a.{end}"
        (frame if end == "xlsx" else frame.drop(columns="mixed")).pipe(lambda table, end=end, path=path: getattr(table, {"xlsx": "to_excel"}.get(end, f"to_{end}"))(path, **({"index": False} if end == "xlsx" else {})))
        apart.read_apart(10**9)
        there = read_raw(path)
        apart.read_apart(None)
        pd.testing.assert_frame_equal(there.frame, read_raw(path).frame)


# Files of our own

@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "math.studperf"
    fit_predictor(load_students(), "math", model="least squares").save(path)
    return path


def forged(path, out, change, **members):
    """The same file with another description, signed again, and with more members."""
    with zipfile.ZipFile(path) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    record = json.loads(found["predictor.json"])
    change(record)
    record["sha256"] = record_hash(record)
    out.write_bytes(zipped(**{**found, "predictor.json": json.dumps(record)}, **members))
    return out


CHANGES = {"a formula of other levels": lambda record: record["formula"]["points"].pop("lunch"), "inputs given twice": lambda record: record["inputs"].append("lunch"),
           "a target that is no score": lambda record: record.update(target="lunch"), "residuals out of order": lambda record: record["formula"]["residuals"].reverse(),
           "a text for a number": lambda record: record["formula"].update(constant="50"), "no Schema": lambda record: record.update(schema=[]),
           "half a character": lambda record: record.update(model="\ud800"), "a number of texts": lambda record: record.update(n="many"),
           "a model that was exchanged": lambda record: record.update(model_sha256="0" * 64), "metrics that are none": lambda record: record.update(metrics=[1])}


@pytest.mark.parametrize("change", CHANGES)
def test_all_readers_of_predictors_refuse_the_same(saved, tmp_path, change):
    path = forged(saved, tmp_path / "a.studperf", CHANGES[change])
    for read in (read_formula, load_predictor, formula_predictor):
        with pytest.raises(PredictorFileError, match="it was not loaded") as found:
            read(path)
        assert len(str(found.value).splitlines()) == 1


def test_more_members_are_refused_by_all(saved, tmp_path):
    path = forged(saved, tmp_path / "a.studperf", lambda record: None, more="x")
    for read in (read_formula, load_predictor, formula_predictor):
        with pytest.raises(PredictorFileError, match="alone, found 3"):
            read(path)


@pytest.fixture
def registry(saved, tmp_path):
    registry = Registry(tmp_path / "registry")
    registry.publish("math", load_predictor(saved), files={"card.md": "a card"})
    return registry


def rewrite(path, **changes):
    entry = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(entry | {"sha256": record_hash(entry)}))


@pytest.mark.parametrize("changes", [{"folder": "../../outside"}, {"folder": "/etc"}, {"folder": 3}, {"files": {"../../x": {"size": 3, "sha256": "0"}}}, {"inputs": "lunch"}, {"metrics": None},
                                     {"schema": {"factors": 3}}, {"files": []}], ids=str)
def test_an_entry_that_was_signed_again_leads_nowhere(registry, tmp_path, changes):
    shutil.copytree(tmp_path / "registry/math/files", tmp_path / "outside")
    rewrite(tmp_path / "registry/math/versions/000001.json", **changes)
    with pytest.raises(PredictorFileError):
        registry.load("math", 1)
    with pytest.warns(DataWarning, match="left out"):
        assert registry.versions().empty


@pytest.mark.parametrize("what", ["entry", "folder", "file", "pipe"])
def test_links_in_a_registry_are_not_followed(registry, tmp_path, what):
    root = tmp_path / "registry" / "math"
    folder = next((root / "files").iterdir())
    path = {"entry": root / "versions/000001.json", "folder": folder, "file": folder / "predictor.studperf", "pipe": root / "versions/000002.json"}[what]
    if what == "pipe":
        os.mkfifo(path)
        with pytest.warns(DataWarning, match="a named pipe"):
            assert len(registry.versions()) == 1
        return
    shutil.move(path, tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PredictorFileError, match="is a link, which a registry never makes"):
        registry.load("math", 1)


@pytest.mark.parametrize(("change", "said"), [
    (lambda record: record.update(n="many"), "the facts.n: found 'many', expected a whole number"), (lambda record: record.pop("scores"), "found no 'scores'"),
    (lambda record: record.update(scores=["art"]), "the scores are 'art'"), (lambda record: record["factors"].pop("lunch"), "other levels than the factors"),
    (lambda record: record["formulas"][0].__setitem__(3, {}), "shares of the inputs"), (lambda record: record["numbers"]["math"].update(low=None), "numbers.math.low"),
    (lambda record: record.update(more=1), "more")])
def test_altered_facts_are_refused_in_one_line(prepared, tmp_path, change, said):
    record = json.loads(Path(prepared).read_text("utf-8"))
    change(record)
    path = tmp_path / "facts.json"
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=said) as found:
        Facts.read(path)
    assert str(found.value).startswith(str(path))
    assert len(str(found.value).splitlines()) == 1
    path.write_text('{"n": NaN}')
    with pytest.raises(ValueError, match="not a JSON file"):
        Facts.read(path)


@pytest.mark.parametrize(("text", "said"), [('[scores]\nmath = ["a", "b"]\n', "expected .lowest, highest."), ("left_out = 3\n[scores]\nmath = []\n", "left_out: found 3"),
                                            ("sheet = []\n[scores]\nmath = []\n", "sheet: found"), ("x = " + "[" * 20_000, "not a TOML file")])
def test_altered_schemas_are_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "school.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as found:
        Schema.from_toml(path)
    assert len(str(found.value).splitlines()) == 1


@pytest.mark.parametrize("change", [lambda about: about.pop("scales"), lambda about: about.update(suppressed="x"), lambda about: about.update(scales=3), lambda about: about["scales"].pop("math"),
                                    lambda about: about["scales"]["math"].update(decimals=99), lambda about: about.update(schema=[])])
def test_altered_cohorts_are_refused(tmp_path, change):
    path = tmp_path / "a.parquet"
    Cohort.summarize(load_students()).save(path)
    table = pa.parquet.read_table(path)
    about = json.loads(table.schema.metadata[COHORT_FORMAT])
    change(about)
    pa.parquet.write_table(table.replace_schema_metadata({COHORT_FORMAT: json.dumps(about)}), path)
    with pytest.raises(DataError, match="damaged|holds no Cohort"):
        Cohort.load(path)


def test_counts_that_no_students_can_have(tmp_path):
    path = tmp_path / "a.parquet"
    Cohort.summarize(load_students()).save(path)
    table = pa.parquet.read_table(path)
    n = pa.array(np.array(table.column("n")) + 1)
    pa.parquet.write_table(table.set_column(table.column_names.index("n"), "n", n), path)
    with pytest.raises(DataError, match="are not those of its cells"):
        Cohort.load(path)
