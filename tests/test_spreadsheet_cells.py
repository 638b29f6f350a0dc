"""No cell of a CSV file that studperf writes is run by a spreadsheet, and what it wrote is read as it was."""
import csv
import io
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import duckdb
import numpy as np
import openpyxl
import pandas as pd
import pytest
from conftest import missing
from hypothesis import example, given
from hypothesis import strategies as st

import studperf
from studperf import cli
from studperf.dashboard.class_list import csv_of, predict_class, read_class_list, template_of
from studperf.models.predictor import load_predictor
from studperf.rows.reading import read_raw
from studperf.spreadsheet import harmless, harmless_sql, harmless_table, restored, restored_sql

FORMULAS = ["=cmd|'/C calc'!A0", "=1+1", "+1+1", "-2+3", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1+1", "\r=1+1", "x;=1+1;y", "x; =1+1;y", "＝1+1",
            "＋1+1", "－1+1", "＠SUM(A1)", '"=1+1', " =1+1", "=a,b", "x\r\n=1+1", 'x;"=1+1";y', "x;+2+3;y", "x,=1+1", "\u200b=1+1", "\ufeff=1+1",
            "\u00a0=1+1", "x\t=1+1", "x|=1+1", "=HYPERLINK(\"http://host/\"&A1)", "=", "@", "-A1", "--1", "=-5", "-5;=1"]
NUMBERS = ["-5", "+5", "-0.5", "-.5", "+3,5", "-1.2e-5", "-12 %", "-1,234.5", "7", "-", "--", "+", "", "group A", "A+", "B-", "x - y", "a=b", "me@school"]
OWN = ["'=1", "''-x", "it's;'=x", 'a;"\'=x', "'", "''", "'-", "-5;-6", "O'Brien", 'he said "=1"']


def would_run(text, separators=",;\t|\n"):
    """Whether one of the pieces that a program would split a cell into begins a formula; the reference, which knows nothing of the rule."""
    if re.fullmatch(r"\s*[+-]?[\d.,]+(e[+-]?\d+)?\s*%?\s*|[+-]{1,3}", text, re.IGNORECASE | re.ASCII):
        return False
    pieces = re.split(f"[{separators}\r]", text)
    plain = ["".join(c for c in unicodedata.normalize("NFKC", piece) if unicodedata.category(c) not in ("Cf", "Cc", "Zs")).lstrip('"') for piece in pieces]
    return any(piece[:1] in ("=", "+", "-", "@") for piece in plain if piece)


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_become_texts(text):
    assert not would_run(harmless(text)) and restored(harmless(text)) == text


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_and_words_stay(text):
    assert harmless(text) == text


CELLS = st.text(st.sampled_from("=+-@＝－'\"; ,|\t\r\nab1.\u200b\u00a0"), max_size=12)


@given(st.lists(CELLS, min_size=2, max_size=5))
@example(OWN)
@example(["'", "-5"])
@example(["a;'", "-5"])
def test_what_was_written_is_read_as_it_was(cells):
    rows = [[harmless(cell) for cell in cells], ["-5"] * len(cells)] * 2
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    back = list(csv.reader(io.StringIO(restored(written.getvalue()), newline="")))
    assert back == [cells, ["-5"] * len(cells)] * 2
    assert not any(would_run(cell) for row in rows for cell in row)
    for cell in cells:
        sql = f"SELECT {harmless_sql('text')}, {restored_sql(harmless_sql('text'))} FROM (SELECT $1 AS text)"
        assert duckdb.execute(sql, [cell]).fetchone() == (harmless(cell), cell)


@pytest.mark.parametrize("evil", ["\t", " ", "'", ";'", "; ", "\"'", "' ", "1", "1,", "=", "-"])
def test_a_long_cell_takes_no_long_time(evil):
    """A pattern that goes back and forth would take hours: these have a million characters each."""
    text = evil * (1_000_000 // len(evil)) + "x"
    assert restored(harmless(text)) == text


def test_tables():
    frame = pd.DataFrame({"=name": ["=1", None, "b"], "n": [-5, 0, 5], "level": pd.Categorical(["-a", "b", "-a"], ["b", "-a"]), "x": [-.5, np.nan, 1],
                          "mixed": ["=2", 3, np.nan]})
    frame.columns = ["=name", "n", "n", "x", "mixed"]
    frame["list"] = [["=1"], None, []]
    before = frame.copy()
    text = harmless_table(frame).to_csv(index=False)
    assert text.splitlines() == ["'=name,n,n,x,mixed,list", "'=1,-5,'-a,-0.5,'=2,['=1']", ",0,b,,3,", "b,5,'-a,1.0,,[]"]
    pd.testing.assert_frame_equal(frame, before)
    assert harmless_table(frame, raw_cells=True) is frame


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "math.studperf"
    studperf.fit_predictor(studperf.load_students().head(300), "math", model="least squares").save(path)
    return path


def own_students(folder):
    texts = [*FORMULAS, *NUMBERS, *OWN]
    students = studperf.load_students().head(3 * len(texts))
    students["=note"] = [texts[place % len(texts)] for place in range(len(students))]
    students["change"] = -np.arange(len(students))
    students.to_csv(folder / "students.csv", index=False, quoting=csv.QUOTE_NONNUMERIC)
    students.to_csv(folder / "semicolons.csv", index=False, sep=";", quoting=csv.QUOTE_NONNUMERIC)
    students.to_parquet(folder / "students.parquet")
    return students


@pytest.mark.parametrize("by", ["loader", "duckdb", "batches"])
@pytest.mark.parametrize("name", ["students.csv", "semicolons.csv", "students.parquet"])
def test_predictions_are_read_as_the_file_was(tmp_path, model, monkeypatch, by, name):
    own_students(tmp_path)
    if by != "loader":
        monkeypatch.setattr("studperf.prediction.files.SMALL_FILE", 0)
    if by == "batches":
        monkeypatch.setattr("studperf.prediction.files.content_of", lambda file: None)
    predictor = load_predictor(model)
    studperf.predict_file(predictor, tmp_path / name, tmp_path / "first.csv", progress=False)
    with open(tmp_path / "first.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert not [cell for row in rows for cell in row if would_run(cell)] and "'=note" in rows[0]
    assert [row[rows[0].index("change")] for row in rows[1:]] == [str(-place) for place in range(len(rows) - 1)]
    studperf.predict_file(predictor, tmp_path / "first.csv", tmp_path / "second.csv", progress=False)  # which reads what was written
    expected = read_raw(tmp_path / name).frame
    for written in ("first.csv", "second.csv"):
        found = read_raw(tmp_path / written).frame
        kept = expected["=note"].where(expected["=note"].ne(""), None).fillna("")
        assert list(found["=note"].fillna("")) == list(kept) and list(found.columns)[:len(expected.columns)] == list(expected.columns)
    studperf.predict_file(predictor, tmp_path / name, tmp_path / "raw.csv", progress=False, raw_cells=True)
    with open(tmp_path / "raw.csv", newline="", encoding="utf-8") as file:
        assert "=note" in next(csv.reader(file))


def test_a_parquet_file_keeps_its_texts(tmp_path, model):
    own_students(tmp_path)
    studperf.predict_file(load_predictor(model), tmp_path / "students.parquet", tmp_path / "out.parquet", progress=False)
    assert list(pd.read_parquet(tmp_path / "out.parquet")["=note"]) == list(pd.read_parquet(tmp_path / "students.parquet")["=note"])


@pytest.mark.parametrize("levels", [["+", "-", "="], ["-1 year", "+1 year", "@home"]])
def test_levels_that_look_like_formulas_are_found_again(tmp_path, levels):
    """A report of what was written is a report of what was read, by the loader and by DuckDB."""
    frame = pd.DataFrame({"sign": np.repeat(levels, 40), "math": np.tile(np.arange(40.), 3)})
    harmless_table(frame).to_csv(tmp_path / "own.csv", index=False)
    frame.to_parquet(tmp_path / "own.parquet")
    schema = studperf.Schema({"sign": levels}, {"math": (0, 100)})
    first, second = (studperf.Cohort.summarize(tmp_path / f"own.{kind}", schema) for kind in ("csv", "parquet"))
    pd.testing.assert_frame_equal(first.cells, second.cells)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studperf.cohort.summarizing.SMALL_FILE", 0)
        pd.testing.assert_frame_equal(studperf.Cohort.summarize(tmp_path / "own.csv", schema).cells, second.cells)


def test_commands(tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    long = pd.DataFrame({"student": np.repeat(["=Ada", "-Bob", "@Cem", "Dan"], 2), "subject": ["=math", "art"] * 4, "mark": range(-4, 4)})
    long.to_csv("long.csv", index=False)
    own = ["--student", "student", "--subject", "subject", "--mark", "mark"]
    for more, prefix in (([], "'"), (["--raw-cells"], "")):
        cli.app(["reshape", "long.csv", *own, "-o", "wide.csv", *more], standalone_mode=False)
        assert Path("wide.csv").read_text().splitlines()[:3] == [f"student,{prefix}=math,art", f"{prefix}=Ada,-4,-3", f"{prefix}-Bob,-2,-1"]
    students = studperf.load_students()[["gender", "math"]].rename(columns={"gender": "kind", "math": "points"})
    students["kind"] = students["kind"].astype(str).map({"female": "=f", "male": "+m"})
    students.to_csv("students.csv", index=False)
    for more, prefix in (([], "'"), (["--raw-cells"], "")):
        cli.app(["compare", "students.csv", "--scores", "points", "--factors", "kind", "-o", "table.csv", *more], standalone_mode=False)
        table = pd.read_csv("table.csv", dtype=str)
        pair = set(table.loc[table["factor"] == "kind", ["group_a", "group_b"]].to_numpy().ravel())
        assert pair == {f"{prefix}=f", f"{prefix}+m"} and table["estimate"].astype(float).notna().all()
    own_students(tmp_path)
    for more, prefix in (([], "'"), (["--raw-cells"], "")):
        cli.app(["predict", str(model), "students.csv", "-o", "predicted.csv", *more], standalone_mode=False)
        assert f"{prefix}=note" in Path("predicted.csv").read_text().splitlines()[0].replace('"', "").split(",")


def test_class_lists(monkeypatch):
    from studperf.dashboard.preparing import prepared_facts

    facts = prepared_facts(studperf.load_students().head(300), None, None, "least squares")
    texts = [text for text in FORMULAS if text.strip() == text and "\n" not in text]
    rows = [["=name", *facts.factors], *([text, *(next(iter(levels)) for levels in facts.factors.values())] for text in texts)]
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    found = predict_class(facts, read_class_list(written.getvalue().encode()), "math")
    cells = list(csv.reader(io.StringIO(csv_of(found))))
    assert not any(would_run(cell) for row in cells for cell in row) and cells[0][0] == "'=name"
    again = read_class_list(csv_of(found).encode())
    assert [row[0] for row in again.rows] == texts and again.columns[0] == "=name"
    assert csv_of(found, raw_cells=True).startswith("=name,")
    assert list(csv.reader(io.StringIO(template_of(facts, "math"))))[0][0] == "student"


def test_no_other_rule():
    """One place decides; who writes CSV asks it."""
    folder = Path(studperf.__file__).parent
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if re.search(r"to_csv\(|csv\.writer\(|FORMAT csv", text) and path.name != "spreadsheet.py":
            assert "from ..spreadsheet import" in text or "from .spreadsheet import" in text, path


def test_libreoffice_finds_no_formula(tmp_path):
    """What a real program makes of the cells, split at the comma, and at the semicolon as in countries of the decimal comma."""
    if not (soffice := shutil.which("soffice")):
        missing("LibreOffice Calc is not installed (Debian: libreoffice-calc)")
    for name, rule in (("raw", str), ("safe", harmless)):
        with open(tmp_path / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([[str(place), rule(text), "end"] for place, text in enumerate([*FORMULAS, *NUMBERS, *OWN])])
    for separator in ",;":
        out = tmp_path / str(ord(separator))
        subprocess.run([soffice, "--headless", f"-env:UserInstallation=file://{tmp_path}/profile", f"--infilter=CSV:{ord(separator)},34,76,1,,0,false,true",
                        "--convert-to", "xlsx:Calc MS Excel 2007 XML", "--outdir", out, tmp_path / "raw.csv", tmp_path / "safe.csv"],
                       check=True, capture_output=True, timeout=300)
        formulas = {name: [cell.value for row in openpyxl.load_workbook(out / f"{name}.xlsx").active.iter_rows() for cell in row if cell.data_type == "f"]
                    for name in ("raw", "safe")}
        assert formulas["raw"] and not formulas["safe"], formulas
    numbers = {cell.value for row in openpyxl.load_workbook(tmp_path / "44" / "safe.xlsx").active.iter_rows(min_col=2, max_col=2) for cell in row if cell.data_type == "n"}
    assert {-5, 5, -.5, 7} <= numbers
