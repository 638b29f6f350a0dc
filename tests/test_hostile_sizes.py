"""What somebody made to take all memory or all time, what would replace another's file, and what a terminal would obey."""
import io
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

import studperf
from studperf import DataError, Schema, disclosure, fit_predictor, load_students, predict_file, report
from studperf.cli import main
from studperf.reporting.published import read_page, whole_shares
from studperf.rows.looking import _scale_of
from studperf.rows.reading import read_raw
from studperf.spreadsheet import harmless, harmless_sql
from studperf.text import without_controls

looking = sys.modules["studperf.reporting.disclosure"]
SECONDS = 30  # of a processor: many times what is needed, and far less than what the square of the length takes


def limited(code, folder):
    """Run code that must end within the limit, which a loop over all pairs of a long text does not."""
    begin = f"import resource; resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS})); "
    done = subprocess.run([sys.executable, "-c", begin + code], cwd=folder, capture_output=True, text=True)
    assert not done.returncode, done.stderr[-500:] or f"ended with {done.returncode}"
    return done.stdout


# What is to be shared

def test_a_forged_number_of_students_takes_no_memory():
    tracemalloc.start()
    assert whole_shares({"a": .5, "b": .5}, 40_000_000) == {}
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()
    assert whole_shares({"a": .5, "b": .5}, 10**12) is None
    assert whole_shares({"free": 58 / 133, "standard": 75 / 133}, 145) == {"free": 58, "standard": 75}


def test_repeated_text_is_read_once(tmp_path):
    code = ("from studperf.reporting.published import read_page, _levels_listed\n"
            "read_page('<p>' + 'All differences in x ' * 150_000, 10)\n"
            "_levels_listed('<table><tr><th>column<th>levels and their students<tr><td>a<td>' + 'x' * 300_000, 1)")
    limited(code.replace("\n", "; "), tmp_path)
    said = read_page("<p>All differences in math are of the 1,200 of 1,250 students who have the score and all factors.", 10)
    assert [(one.of, one.low) for one in said.stated] == [("math", 1200), ("math", 1250)]


def test_a_table_of_thousands_of_rows_ends_in_time(tmp_path):
    rows = "".join(f"{i % 7},{i % 11},{i % 13},{i % 17},{i % 9 + 5}\n" for i in range(5000))
    Path(tmp_path, "u.csv").write_text(f"a,b,c,d,n\n{rows}")
    code = "import studperf; from studperf.reporting.disclosure import look_at_files; found = look_at_files(['u.csv'], least=10, seconds=5); print(found.safe, found.smallest)"
    assert limited(code, tmp_path) == "False 5\n"  # what is stated is told, also where nothing is solved


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's data")
@pytest.mark.parametrize(("name", "content", "said"), [("a.html", "<table>" * 30_000, "seconds that it may take"), ("b.html", "<p>a" * 3_000_000, "GB of memory|seconds that it may take")])
def test_what_takes_too_much_is_refused_and_not_called_safe(tmp_path, monkeypatch, name, content, said):
    monkeypatch.setattr(looking, "READING_SECONDS", 4)
    monkeypatch.setattr(looking, "SEARCH_MEMORY", 300 * 2**20)
    Path(tmp_path, name).write_text(content)
    with pytest.raises(DataError, match=said):
        disclosure(tmp_path / name, seconds=0)


def test_a_table_beside_a_file_is_looked_at_as_well(tmp_path):
    letter = pd.DataFrame({"class": [None, "7a", "7b"], "n": [60, 31, 28], "mean": [61.4, 60.2, 64.1]})
    letter.to_csv(tmp_path / "letter.csv", index=False)
    alone, both = disclosure(tmp_path / "letter.csv"), disclosure([letter, tmp_path / "letter.csv"])
    assert alone.findings.drop(columns=["file", "statements"]).equals(disclosure(letter).findings.drop(columns=["file", "statements"]))
    assert both.smallest == alone.smallest == 1


# Tables

@pytest.fixture(scope="module")
def model():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit_predictor(load_students().head(300), "math", model="least squares")


@pytest.mark.parametrize(("length", "rows", "said"), [(2_000_000, 20, "found a text of 2,000,000 bytes"), (10_000, 50_000, "would unpack to 50. MB")])
def test_a_text_that_many_rows_share_is_measured_first(tmp_path, model, length, rows, said):
    table = pa.Table.from_pandas(load_students().head(20), preserve_index=False).take(pa.array(np.arange(rows) % 20))
    note = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, "int8")), pa.array(["x" * length]))
    pa.parquet.write_table(table.append_column("note", note), tmp_path / "a.parquet", compression="zstd")
    with pytest.raises(DataError, match=said):
        predict_file(model, tmp_path / "a.parquet", tmp_path / "out.csv", progress=False)
    assert not (tmp_path / "out.csv").exists()


def test_a_factor_of_too_many_levels_is_refused_in_one_line(tmp_path, capsys):
    rows = pd.DataFrame({"id": [f"S{place}" for place in range(10_001)], "g": ["a", "b", "c"] * 3333 + ["a", "b"], "math": np.arange(10_001) % 100})
    rows.to_csv(tmp_path / "a.csv", index=False)
    for command in ("compare", "summarize", "report"):
        with pytest.raises(SystemExit) as ended:
            main([command, str(tmp_path / "a.csv"), "--scores", "math", "--factors", "id,g", *(["-o", str(tmp_path / "o.parquet")] if command == "summarize" else [])])
        said = capsys.readouterr().err
        assert ended.value.code == 2 and "column 'id': found 10,001 different values, at most 10,000" in said.splitlines()[-1]
    with pytest.raises(ValueError, match="at most 10,000 can be the levels"):
        studperf.Cohort.summarize(rows, Schema(["id"], ["math"]))
    with pytest.raises(ValueError, match="at most 10,000 can be the levels"):
        load_students(rows, schema=Schema({"id": ["S1", "S2"]}, ["math"]))
    assert studperf.Cohort.summarize(rows, Schema(["g"], ["math"], cluster="id")).n == 10_001


def test_looking_at_a_column_adds_up_its_counts_once():
    class Counts(np.ndarray):
        asked = 0

        def sum(self, *arguments, **options):
            Counts.asked += 1
            return np.asarray(self).sum(*arguments, **options)

    texts = [f"S{place}" for place in range(1000)]
    _scale_of(texts, np.ones(1000, int).view(Counts), np.full(1000, np.nan))
    assert Counts.asked < 10


def test_a_member_of_an_archive_without_a_name(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("aaaa.csv", "gender,math\nf,50\nm,60\n")
        nameless = zipfile.ZipInfo("c")
        nameless.filename = ""
        archive.writestr(nameless, "")
    Path(tmp_path, "a.zip").write_bytes(content.getvalue())
    assert len(read_raw(tmp_path / "a.zip")) == 2


# What is written beside

@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load_students().head(200).to_csv("a.csv", index=False)


def run(*words):
    """A command that must end well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            main(list(words))
        except SystemExit as ended:
            if ended.code:
                raise


def refused(capsys, *words):
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        run(*words)
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


TRAIN = ("train", "a.csv", "-t", "math", "--model", "ridge", "-o", "m.studperf")


def test_a_card_takes_the_place_of_no_other_page(table, capsys):
    run("report", "a.csv", "-o", "m.html")
    before = Path("m.html").read_bytes()
    assert "the model card would take the place of this file" in refused(capsys, *TRAIN)
    assert Path("m.html").read_bytes() == before
    assert not Path("m.studperf").exists()
    run(*TRAIN, "--replace")
    run(*TRAIN)  # its own card
    Path("m.html").write_text(Path("m.html").read_text(encoding="utf-8").replace("<h1", "<p>Checked by us</p><h1", 1), encoding="utf-8")
    assert "add --replace" in refused(capsys, *TRAIN)


def test_a_usual_name_is_checked_too(table, capsys):
    Path("math.html").write_text("mine")
    assert "math.html: the model card would take" in refused(capsys, *TRAIN[:-2])
    assert Path("math.html").read_text() == "mine"


def test_the_summary_takes_the_place_of_no_other_picture(table, capsys):
    for kind in ("pdf", "png", "svg"):
        Path(f"r-summary.{kind}").write_bytes(b"mine")
        assert f"r-summary.{kind}: the summary would take" in refused(capsys, "report", "a.csv", "-o", "r.html", "--summary")
        Path(f"r-summary.{kind}").unlink()
    for _ in range(2):
        run("report", "a.csv", "-o", "r.html", "--summary")


def test_an_edited_notebook_is_kept_and_one_that_was_only_run_is_not(table):
    nbformat = pytest.importorskip("nbformat")
    from studperf.files import check_beside, notebook_mark

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")])
    notebook.metadata["studperf"] = notebook_mark(notebook)
    path = Path("r.ipynb")
    nbformat.write(notebook, path)
    check_beside(path, "notebook")
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", text="2")]
    nbformat.write(notebook, path)
    check_beside(path, "notebook")
    notebook.cells[0].source = "1 + 2"
    nbformat.write(notebook, path)
    for content in (path.read_text(), "{}", "[]", "no JSON", '{"metadata": 5}'):
        path.write_text(content)
        with pytest.raises(ValueError, match="add --replace"):
            check_beside(path, "notebook")
    check_beside(path, "notebook", replace=True)


# What a terminal obeys

OBEYED = "\x1b[2J\x1b]0;owned\x07red\x9b31m\x7f"


def test_no_control_leaves_in_a_table_or_a_report(tmp_path, model):
    rows = load_students().head(200).assign(note=OBEYED)
    for name in ("a.csv", "a.parquet"):
        rows.to_csv(tmp_path / name, index=False) if name.endswith("csv") else rows.to_parquet(tmp_path / name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            predict_file(model, tmp_path / name, tmp_path / "out.csv", progress=False)
        written = (tmp_path / "out.csv").read_text(encoding="utf-8")
        assert without_controls(written) == written and "owned" in written
    predict_file(model, tmp_path / "a.parquet", tmp_path / "raw.csv", progress=False, raw_cells=True)
    assert "\x1b" in (tmp_path / "raw.csv").read_text(encoding="utf-8")
    schema = Schema({"gender": ["female", "male"], "note": None}, {"math": (0, 100)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report(rows.assign(note=[OBEYED, "b"] * 100), tmp_path / "r.html", schema=schema, title=OBEYED)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert without_controls(page) == page and "owned" in page


def test_sql_takes_out_the_same_signs():
    texts = [*map(chr, range(256)), OBEYED, "=1\x1b", "\x1b=1", "-5", "\x1c5", "a\tb\nc\r"]
    with duckdb.connect() as connection:
        connection.register("cells", pa.table({"text": texts}))
        found = connection.execute(f"SELECT {harmless_sql('text')} FROM cells").fetchall()
    assert [text for text, in found] == list(map(harmless, texts))
