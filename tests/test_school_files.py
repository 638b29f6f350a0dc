"""Files as schools have them: the same students, columns and means at every door, and a word on what was left out."""
import gzip
import io
import re
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from school_files import COUNT, HEAD, MATHS, MEAN, ROWS, book, school_files, text, zipped

from studperf import Cohort, DataError, DataWarning, Schema, load_students, report
from studperf.cohort import summarizing
from studperf.dashboard.class_list import read_class_list
from studperf.rows import parsing, reading
from studperf.rows.reading import read_raw, sheets
from studperf.rows.reshaping import find_long, wide
from studperf.rows.table_shape import cell_number

FILES = school_files()
READ = [name for name, file in FILES.items() if not file.error]


def numbers(column):
    return pd.Series([cell_number(cell) for cell in column], dtype=float)


def test_there_are_thirty_of_them_and_more():
    assert len(FILES) >= 50 and len(READ) >= 40


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_it_is_read_as_a_person_reads_it(name, large, tmp_path, monkeypatch):
    file, path = FILES[name], tmp_path / FILES[name].name
    path.write_bytes(file.content)
    if large:  # Arrow splits large texts
        monkeypatch.setattr(reading, "LARGE_TEXT", 0)
    if file.error:
        with pytest.raises(DataError, match=file.error) as caught:
            read_raw(path, sheet=file.sheet)
        assert str(caught.value).startswith(str(path))
        return
    raw = read_raw(path, sheet=file.sheet)
    assert (list(raw.frame.columns), len(raw), raw.problems) == (file.columns, file.rows, [])
    assert numbers(raw.frame[file.score]).mean() == pytest.approx(file.mean, rel=1e-12)
    assert raw.rows[0] == file.first and len(raw.rows) == len(raw.frame)
    assert len(raw.notes) == len(file.notes), raw.notes
    for pattern in file.notes:
        assert any(re.search(pattern, note) for note in raw.notes), (pattern, raw.notes)
    assert raw.limits == file.limits


@pytest.mark.parametrize("name", [name for name in READ if FILES[name].sheet is None])
def test_every_door_finds_the_same_students(name, tmp_path, monkeypatch):
    file, path = FILES[name], tmp_path / FILES[name].name
    path.write_bytes(file.content)
    schema = Schema(scores=[file.score], factors=[])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        if name == "a heading twice, different values":  # nobody but the owner knows which one the Schema means
            with pytest.raises(DataError, match="column 'Maths' appears 2 times"):
                load_students(path, schema=schema)
            return
        loaded = load_students(path, schema=schema)
        expected = Cohort.summarize(loaded, schema)
        assert len(loaded) == file.rows and loaded[file.score].mean() == pytest.approx(file.mean, rel=1e-12)
        for _ in range(2):  # once loaded, once by DuckDB where it can
            assert Cohort.summarize(path, schema) == expected
            monkeypatch.setattr(summarizing, "SMALL_FILE", 0)
            monkeypatch.setattr(reading, "LARGE_TEXT", 0)


@pytest.mark.parametrize("name", [name for name in READ if FILES[name].name.endswith((".csv", ".tsv", ".xlsx", ".ods", ".txt")) and FILES[name].sheet is None])
def test_the_page_finds_the_same_students(name):
    file = FILES[name]
    table = read_class_list(file.content, name=file.name)
    assert (list(table.columns), len(table.rows), table.numbers[0]) == (file.columns, file.rows, file.first)
    assert len(table.notes) == len(file.notes) and not table.ragged


@pytest.mark.parametrize("name", [name for name, file in FILES.items() if file.name.endswith((".zip", ".dta", ".sav", ".parquet", ".feather"))])
def test_the_page_takes_no_other_kinds(name):
    with pytest.raises(DataError, match="cannot be read"):
        read_class_list(FILES[name].content, name=FILES[name].name)


def test_levels_and_labels_of_statistics_programs(tmp_path):
    for name in ("SPSS with labels and a range of missing codes", "Stata with labels and .a, .b"):
        path = tmp_path / FILES[name].name
        path.write_bytes(FILES[name].content)
        frame = read_raw(path).frame
        assert list(frame["Sex"].cat.categories) == ["female", "male"] and not frame["Sex"].cat.ordered
        assert frame["Sex"].isna().sum() == 1
        assert pd.api.types.is_numeric_dtype(frame["Effort"]) and frame["Effort"].max() == 7  # labels for the ends only
        assert frame["Maths"].isna().sum() == 2


def test_the_order_of_levels_is_that_of_the_codes(tmp_path):
    import pyreadstat

    path = tmp_path / "a.sav"
    rows = pd.DataFrame({"effort": [3.0, 1, 2, 3], "math": [1.0, 2, 3, 4]})
    pyreadstat.write_sav(rows, str(path), column_labels={"effort": "How hard they try"}, variable_value_labels={"effort": {1.0: "low", 2.0: "fair", 3.0: "best"}})
    raw = read_raw(path)
    assert list(raw.frame["effort"].cat.categories) == ["low", "fair", "best"]
    assert raw.labels == {"effort": "How hard they try"}


def test_real_files_of_statistics_programs(shared_data):
    """The same means as pyreadstat's codes; the labels of HSLS:09 become levels."""
    import pyreadstat

    path = shared_data("../wild/hsls_small.dta")
    raw, codes = read_raw(path), pyreadstat.read_dta(str(path))[0]
    for score in ("x1txmtscor", "x1ses"):
        assert raw.frame[score].mean() == pytest.approx(codes[score][codes[score] > -5].mean(), rel=1e-12)
    assert list(raw.frame["x1sex"].cat.categories) == ["Male", "Female"] and raw.labels["x1sex"] == "X1 Student's sex"
    assert read_raw(shared_data("../wild/hsb2.sas7bdat")).frame["math"].mean() == pytest.approx(52.645)
    assert list(read_raw(shared_data("../wild/exam_anxiety.sav")).frame["Sex"].cat.categories) == ["Male", "Female"]


def test_a_real_file_with_some_lines_quoted_whole(shared_data):
    raw = read_raw(shared_data("../wild/nyc_sat.csv"))
    assert raw.frame.shape == (478, 6) and not raw.problems


def test_the_list_of_sheets(tmp_path):
    path = tmp_path / "a.xlsx"
    path.write_bytes(FILES["a workbook of four sheets"].content)
    listed = sheets(path)
    assert listed.columns.tolist() == ["name", "rows", "columns", "proposed"]
    assert listed["name"].tolist() == ["Cover", "Summary", "Results", "Other"] and listed["name"][listed["proposed"]].tolist() == ["Results"]
    (tmp_path / "a.zip").write_bytes(FILES["a .zip with two tables"].content)
    assert sheets(tmp_path / "a.zip")["rows"].tolist() == [COUNT, 5]
    (tmp_path / "a.csv").write_bytes(text(ROWS))
    assert sheets(tmp_path / "a.csv")["rows"].tolist() == [COUNT]


def test_a_schema_finds_its_sheet(tmp_path):
    path = tmp_path / "a.xlsx"
    large = [["Item", "Price", "Stock"], *([f"Item {number}", number, 2 * number] for number in range(200))]
    path.write_bytes(book(("Shop", large), ("Marks", [HEAD, *ROWS])))
    schema = Schema(scores=["Maths"], factors=["Class"])
    assert read_raw(path).sheet == "Shop" and read_raw(path, schema).sheet == "Marks"
    named = Schema(scores=["Maths"], factors=["Class"], sheet="Marks")
    assert read_raw(path, named).notes == []
    with pytest.raises(DataError, match="found no sheet 'Gone'"):
        read_raw(path, Schema(scores=["Maths"], factors=["Class"], sheet="Gone"))
    (tmp_path / "a.csv").write_bytes(text(ROWS))
    assert len(read_raw(tmp_path / "a.csv", named)) == COUNT  # the same Schema for a file without sheets
    with pytest.raises(DataError, match="only workbooks have sheets"):
        read_raw(tmp_path / "a.csv", sheet="Marks")


def test_standard_input(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text(ROWS))))
    assert len(read_raw("-")) == len(read_raw("-")) == COUNT  # it is read once and kept
    schema = Schema(scores=["Maths"], factors=["Class"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        assert Cohort.summarize("-", schema).n == COUNT
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FILES["a workbook of four sheets"].content)))
    assert read_raw("-", sheet="Other").sheet == "Other"
    monkeypatch.setattr(reading, "MOST_UNPACKED_BYTES", 100)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text(ROWS))))
    with pytest.raises(DataError, match="standard input has more than"):
        read_raw("-")


def test_bombs_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "NO_LIMITS", parsing.NO_LIMITS)
    small = parsing.ReadLimits(unpacked=1_000_000)
    for name, content in {"a.zip": zipped(("a.csv", b"0,0\n" * 1_000_000)), "a.csv.gz": gzip.compress(b"0,0\n" * 1_000_000),
                          "a.xlsx": zipped(("xl/worksheets/sheet1.xml", b"0" * 4_000_000))}.items():
        with pytest.raises(DataError, match="would unpack to more than 1 MB"):
            parsing.read_file(content, name=name, limits=small)
    lying = zipped(("a.csv", b"0,0\n" * 1_000_000)).replace((4_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    with pytest.raises(DataError, match="cannot be unpacked"):
        parsing.read_file(lying, name="a.zip", limits=small)
    assert parsing.NO_LIMITS.unpacked == 2_000_000_000


def test_two_commas_too_many_are_reported(tmp_path):
    """They ended in an AttributeError."""
    path = tmp_path / "a.csv"
    path.write_bytes(text(ROWS).replace(b"\n", b",,\n"))
    schema = Schema.infer(read_raw(path).frame, scores=["Maths", "Reading"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        page = report(path, tmp_path / "a.html", schema=schema).read_text()
    assert len(read_raw(path).frame) == COUNT and 10 <= int(re.search(r"(\d+) students, from a.csv", page)[1]) <= COUNT


def test_what_is_left_out_is_said_once_to_the_user(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(FILES["mean, standard deviation and number below a blank row"].content)
    with pytest.warns(DataWarning, match=r"rows 27, 28, 29 \('Mean', 'Std. dev.', 'n'\): summaries") as caught:
        load_students(path, schema=Schema(scores=["Maths", "Reading"], factors=["Class"]))
    assert len(caught) == 1
    with pytest.warns(DataWarning, match=r"rows 27, 28, 29 \('Mean', 'Std. dev.', 'n'\): summaries") as caught:
        Cohort.summarize(path, Schema(scores=["Maths", "Reading"], factors=["Class"]))
    assert len(caught) == 1


def test_faults_below_titles_have_the_spreadsheet_s_numbers(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(text([*ROWS[:3], ["Student 4", "7a", "absent", 50], *ROWS[4:]], before=["Class 7", ""]))
    with pytest.raises(DataError, match="row 7, column 'Maths': found 'absent'"):
        load_students(path, schema=Schema(scores=["Maths"], factors=["Class"]))


@pytest.mark.parametrize("name", ["plain", "semicolons, decimal commas, Latin-1, titles, an average", "two commas too many", "headings on every page"])
def test_many_times_as_large_files_are_read_alike(name, tmp_path):
    """Past a megabyte other engines read; what is left out is the same."""
    rows = ROWS * 2500
    path = tmp_path / "a.csv"
    path.write_bytes({"plain": text(rows), "two commas too many": text(rows).replace(b"\n", b",,\n"), "headings on every page": text([*rows[:30_000], HEAD, *rows[30_000:]])}
                     .get(name) or text(rows, before=["Klasse 7, Mathe", ""], after=["", "Average,,60,66"]))
    assert path.stat().st_size > reading.LARGE_TEXT
    raw, schema = read_raw(path), Schema(scores=["Maths", "Reading"], factors=["Class"])
    assert raw.frame.shape == (60_000, 4) and numbers(raw.frame["Maths"]).mean() == pytest.approx(MEAN)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        assert Cohort.summarize(path, schema).n == 60_000


def test_random_rows_never_end_in_anything_but_a_table_or_a_word():
    """Cells of all kinds in any place."""
    chance = np.random.default_rng(7)
    cells = ["", "", "Mean", "Total", "max", "/100", "n", "72", "64,5", "female", "Maths", "Student 1", "Source: x", '"', "2026", "平均", " ", "="]
    for _ in range(400):
        rows = [",".join(chance.choice(cells, chance.integers(0, 6))) for _ in range(chance.integers(0, 9))]
        try:
            found = parsing.read_file("\n".join(rows).encode())
        except DataError:
            continue
        assert len(set(found.names)) == len(found.names) and all(len(row) == len(found.names) for row in found.rows)
        assert len(found.numbers) == len(found.rows) and found.numbers == sorted(set(found.numbers))


def test_a_long_table_is_found_and_made_wide():
    long = pd.DataFrame([{"pupil": row[0], "class": row[1], "subject": subject, "mark": mark} for row in ROWS for subject, mark in zip(HEAD[2:], row[2:], strict=True)])
    assert find_long(long) == ("pupil", "subject", "mark") and find_long(long.astype(str)) == ("pupil", "subject", "mark")
    table = wide(long.sample(frac=1, random_state=1), "pupil", "subject", "mark").set_index("pupil").loc[[row[0] for row in ROWS]]
    assert table["Maths"].tolist() == MATHS and table["class"].tolist() == [row[1] for row in ROWS]
    assert find_long(table.reset_index()) is None
    with pytest.raises(DataError, match="rows 2, 50: 'Student 1' has 2 marks in 'Maths'"):
        wide(pd.concat([long, long.iloc[:1]]), "pupil", "subject", "mark", rows=range(2, 51))
    with pytest.warns(DataWarning, match="differ within a student: 'teacher'"):
        wide(long.assign(teacher=["A", "B"] * COUNT), "pupil", "subject", "mark")


def test_real_tables_of_a_row_per_student_are_not_long(shared_data):
    for name in ("../wild/student-por.csv", "../wild/xAPI.csv", "../wild/pisa2009.csv.gz", "../wild/apistrat.csv"):
        assert find_long(read_raw(shared_data(name)).frame) is None


def test_the_archive_module_is_not_asked_for_text(tmp_path):
    """A plain text is read without the readers of other kinds."""
    (tmp_path / "a.csv").write_bytes(text(ROWS))
    code = f"import sys; from studperf.rows.reading import read_raw; read_raw({str(tmp_path / 'a.csv')!r}); print('pyreadstat' in sys.modules, 'python_calamine' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == ["False", "False"]
