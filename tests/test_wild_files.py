"""Files as they circulate: every known heading loads, every known defect is told."""
import contextlib
import functools
import gzip
import http.server
import re
import threading

import pandas as pd
import pytest

from studperf import STUDENTS, Cohort, DataError, DataWarning, Schema, load_students

pytestmark = pytest.mark.usefixtures("files_by_duckdb")

HEADINGS = {
    "published": "gender,race/ethnicity,parental level of education,lunch,test preparation course,math score,reading score,writing score",
    "underscores": "gender,race_ethnicity,parental_level_of_education,lunch,test_preparation_course,math_score,reading_score,writing_score",
    "R": "gender,race.ethnicity,parental.level.of.education,lunch,test.preparation.course,math.score,reading.score,writing.score",
    "short": "gender,race,parental_education,lunch,prep,math,reading,writing",
    "sex": "sex,race/ethnicity,parental level of education,lunch,test preparation course,math score,reading score,writing score",
    "camel case": "gender,ethnicity,parentEducation,lunch,testPrepCourse,math,reading,writing",
    "expanded": ",Gender,EthnicGroup,ParentEduc,LunchType,TestPrep,MathScore,ReadingScore,WritingScore",
    "expanded, short scores": ",Gender,EthnicGroup,ParentEduc,LunchType,TestPrep,MathScr,ReadingScr,WritingScr",
}
ROWS = ["female,group B,bachelor's degree,standard,none,72,72,74", "male,group C,some college,free/reduced,completed,69,90,88"]


def lines(heading="published"):
    index = ["", "0,", "1,"] if HEADINGS[heading].startswith(",") else ["", "", ""]
    return [start + line for start, line in zip(index, [HEADINGS[heading], *ROWS], strict=True)]


@pytest.fixture
def expected(tmp_path):
    (tmp_path / "expected.csv").write_text("\n".join([",".join(STUDENTS.columns), *ROWS]) + "\n")
    return load_students(tmp_path / "expected.csv")


@pytest.mark.parametrize("heading", HEADINGS)
def test_headings(tmp_path, expected, heading):
    (tmp_path / "a.csv").write_text("\n".join(lines(heading)))
    assert load_students(tmp_path / "a.csv").equals(expected)
    assert Cohort.summarize(tmp_path / "a.csv") == Cohort.summarize(expected)


@pytest.mark.parametrize("defect", ["CRLF", "every field quoted", "no last newline", "byte-order mark", "semicolons", "Latin-1"])
def test_what_does_no_harm_loads(tmp_path, expected, defect):
    content = "\n".join(lines()) + "\n"
    content = {"CRLF": content.replace("\n", "\r\n"), "no last newline": content.rstrip(), "byte-order mark": "\ufeff" + content,
               "every field quoted": re.sub(r"[^,\n]+", r'"\g<0>"', content), "semicolons": content.replace(",", ";"),
               "Latin-1": content}[defect]
    extra = "\n" if defect == "Latin-1" else ""
    (tmp_path / "a.csv").write_bytes((content + extra).encode("latin-1" if defect == "Latin-1" else "utf-8"))
    assert load_students(tmp_path / "a.csv").equals(expected)
    assert Cohort.summarize(tmp_path / "a.csv") == Cohort.summarize(expected)


def test_whole_lines_in_quotes_load(tmp_path, expected):
    (tmp_path / "a.csv").write_text("\n".join(f'"{line}"' for line in lines()))
    with pytest.warns(DataWarning, match="each whole line was in one pair of quotes"):
        assert load_students(tmp_path / "a.csv").equals(expected)
    with pytest.warns(DataWarning, match="each whole line was in one pair of quotes"):
        assert Cohort.summarize(tmp_path / "a.csv") == Cohort.summarize(expected)


def test_extra_columns_are_named_in_a_warning(tmp_path, expected):
    extra = ["student id,average score,exam date", "1,72.7,2026-05-04", "2,82.3,2026-05-04"]
    (tmp_path / "a.csv").write_text("\n".join(f"{new},{old}" for new, old in zip(extra, lines(), strict=True)))
    with pytest.warns(DataWarning, match="'student id', 'average score', 'exam date'"):
        assert load_students(tmp_path / "a.csv").equals(expected)


DEFECTS = {  # what was done to the lines: what every message must hold
    "lunch as numbers": (lambda text: text.replace("standard", "1").replace("free/reduced", "0"),
                         r"row 2, column 'lunch': found '1', expected one of 'free/reduced', 'standard'; replace each code"),
    "a score removed": (lambda text: "\n".join(line.rsplit(",", 1)[0] for line in text.splitlines()), "column 'writing': not found.*rename"),
    "a score above the range": (lambda text: text.replace("72,74", "172,74"), "row 2, column 'reading score': found '172', expected a number from 0 to 100"),
    "a score in words": (lambda text: text.replace("72,74", "good,74"), "row 2, column 'reading score': found 'good', expected a number"),
    "a misspelt level": (lambda text: text.replace("male,group C", "mael,group C"), "row 3, column 'gender': found 'mael'.*did you mean 'male'"),
    "a column twice": (lambda text: text.replace("reading score", "math score"), "column 'math score' appears 2 times.*columns 6, 7"),
    "empty": (lambda text: "", "the file is empty"),
    "headings only": (lambda text: text.splitlines()[0], "headings but no rows"),
    "a field too many": (lambda text: text.replace("90,88", "90,88,1"), "row 3: found 9 fields, expected 8"),
    "a field too few": (lambda text: text.replace(",90,88", ",90"), "row 3: found 7 fields, expected 8"),
    "another separator": (lambda text: text.replace(",", "^"), "row 1: found the single column.*expected several separated by"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_defects_are_told(tmp_path, defect):
    spoil, message = DEFECTS[defect]
    path = tmp_path / "a.csv"
    path.write_text(spoil("\n".join(lines())))
    with pytest.raises(DataError) as caught:
        load_students(path)
    assert str(caught.value).startswith(f"{path}: {len(caught.value.problems)} problem")
    assert re.search(message, str(caught.value))
    with pytest.raises(DataError) as summarized:
        Cohort.summarize(path)
    assert str(summarized.value) == str(caught.value)


def test_all_problems_are_told_at_once_up_to_twenty(tmp_path):
    rows = [f"female,group {i},some college,standard,none,{101 + i},50,50" for i in range(20)]
    (tmp_path / "a.csv").write_text("\n".join([HEADINGS["published"], *rows]))
    with pytest.raises(DataError) as caught:
        load_students(tmp_path / "a.csv")
    assert len(caught.value.problems) == 40
    message = str(caught.value).splitlines()
    assert message[0].endswith("40 problems") and len(message) == 22 and message[-1] == "  - and 20 more"


def test_missing_values_of_the_expanded_file_are_counted(tmp_path):
    text = "\n".join(lines("expanded")).replace("group B", "").replace("some college", "").replace("none", "")
    # The level "none" means no course; an empty cell means that nobody knows.
    (tmp_path / "a.csv").write_text(text)
    with pytest.warns(DataWarning) as caught:
        loaded = load_students(tmp_path / "a.csv")
    assert loaded.isna().sum().sum() == 3
    assert len(caught) == 1 and str(caught[0].message).count("1 of 2 values are missing (50.0%)") == 3


@pytest.mark.parametrize("name", ["StudentsPerformance.csv", "stud.csv"])
def test_the_real_files_load(shared_data, name):
    rows = load_students(shared_data(name))
    assert rows.shape == (1000, 8) and not rows.isna().any(axis=None)
    assert rows[["math", "reading", "writing"]].sum().tolist() == [66089, 69169, 68054]


@pytest.fixture
def address(tmp_path):
    "A web server on this machine for the files of the test."
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_addresses_load_like_files(tmp_path, address, expected):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress("\n".join(lines()).encode()))
    assert load_students(f"{address}/a.csv.gz?raw=true").equals(expected)
    assert Cohort.summarize(f"{address}/a.csv.gz") == Cohort.summarize(expected)
    with pytest.raises(DataError, match="(?s)b.csv: 1 problem.*cannot be fetched: HTTP Error 404"):
        load_students(f"{address}/b.csv")


# ---- A file means the same whether it is loaded or summarised ----

ESSAYS = Schema(["class"], ["essay"])


@pytest.mark.parametrize("cell", ["\t", "70\u00a0", " 70 ", "\uff17\uff10", "7_0", "1e2", "-0.0", "007", "0x10", "inf", "nan", "\u2003"])
def test_odd_numbers_are_judged_alike(tmp_path, cell):
    path = tmp_path / "a.csv"
    path.write_text(f"class,essay\n7a,1\n7b,{cell}\n", encoding="utf-8")
    try:
        with pytest.warns(DataWarning) if not cell.strip() or cell == "nan" else contextlib.nullcontext():
            expected = Cohort.summarize(load_students(path, schema=ESSAYS), ESSAYS)
    except DataError as error:
        with pytest.raises(DataError, match=re.escape(error.problems[0])):
            Cohort.summarize(path, ESSAYS)
    else:
        assert Cohort.summarize(path, ESSAYS) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16-le", "utf-16-be"])
def test_encodings_are_read_alike_even_late_in_the_file(tmp_path, encoding):
    path = tmp_path / "a.csv"
    text = "class,essay\n" + "7a,1\n" * 20_000 + "l’école,2\n"
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    path.write_bytes(mark + text.encode(encoding))
    cohort = Cohort.summarize(path, ESSAYS)
    assert cohort.levels("class") == ["7a", "l’école"] and cohort.n == 20_001
    with pytest.warns(DataWarning, match="read as Windows-1252") if encoding == "cp1252" else contextlib.nullcontext():
        loaded = load_students(path, schema=ESSAYS)
    assert cohort == Cohort.summarize(loaded, ESSAYS)


def test_empty_lines_are_no_students(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("class,essay\n\n7a,1\n,\n7b,2\n\n")
    assert Cohort.summarize(path, ESSAYS).n == len(load_students(path, schema=ESSAYS)) == 2
    path.write_text("class,essay\n\n7a,1\n,\n7b,x\n")
    with pytest.raises(DataError, match="row 5, column 'essay': found 'x'"):
        Cohort.summarize(path, ESSAYS)


def test_names_of_files_are_names_and_each_file_counts_once(tmp_path):
    for name, essay in [("s[1].csv", 1), ("s1.csv", 2), ("a*.csv", 3), ("ab.csv", 4)]:
        (tmp_path / name).write_text(f"class,essay\n7a,{essay}\n")
    for name, essay in [("s[1].csv", 1), ("a*.csv", 3)]:
        assert Cohort.summarize(tmp_path / name, ESSAYS).moments(["essay"]).mean.item() == essay
    assert Cohort.summarize([tmp_path / "s1.csv", f"{tmp_path}/s*.csv", tmp_path / "s1.csv"], ESSAYS).n == 2


def test_a_folder_named_like_a_column_is_a_folder(tmp_path):
    folder = tmp_path / "essay=5"
    folder.mkdir()
    pd.DataFrame({"class": ["7a"], "essay": [9]}).to_parquet(folder / "a.parquet")
    assert Cohort.summarize(folder / "a.parquet", ESSAYS).moments(["essay"]).mean.item() == 9


def test_columns_that_differ_in_case_are_told_apart(tmp_path):
    pd.DataFrame({"class": ["7a", "7b"], "Essay": [1, 2], "essay": [10, 20]}).to_parquet(tmp_path / "a.parquet")
    assert Cohort.summarize(tmp_path / "a.parquet", ESSAYS).moments(["essay"]).mean.item() == 15


def test_the_faults_of_all_files_are_told(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"class,essay\n7a,{name}\n")
    with pytest.raises(DataError) as caught:
        Cohort.summarize(f"{tmp_path}/*.csv", ESSAYS)
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [f"{tmp_path}/a.csv", f"{tmp_path}/b.csv"]


def test_workbooks_and_text_files_can_be_summarised_together(tmp_path):
    pd.DataFrame({"class": ["7a"], "essay": [1]}).to_excel(tmp_path / "a.xlsx", index=False)
    (tmp_path / "b.csv").write_text("class,essay\n7b,2.5\n")
    assert Cohort.summarize([tmp_path / "a.xlsx", tmp_path / "b.csv"], ESSAYS).moments(["essay"]).mean.item() == 1.75


def test_sums_of_enormous_numbers_are_exact(tmp_path):
    rows = pd.DataFrame({"class": ["7a", "7a", "7b"], "essay": [4_000_000_001, 5_000_000_000, 1]})
    rows.to_csv(tmp_path / "a.csv", index=False)
    cohort = Cohort.summarize(tmp_path / "a.csv", ESSAYS)
    assert cohort == Cohort.summarize(rows, ESSAYS)
    assert cohort.cells["sum of essay x essay"].tolist() == [4_000_000_001**2 + 5_000_000_000**2, 1]


def test_a_whole_number_with_a_decimal_point_is_the_same_level(tmp_path):
    (tmp_path / "a.csv").write_text("class,essay\n7.0,1\n8.0,2\n")
    (tmp_path / "b.csv").write_text("class,essay\n7,1\n8,2\n")
    frame = pd.DataFrame({"class": [7.0, 8.0], "essay": [1, 2]})
    assert load_students(tmp_path / "a.csv", schema=ESSAYS).equals(load_students(frame, schema=ESSAYS))
    assert Cohort.summarize(tmp_path / "a.csv", ESSAYS) == Cohort.summarize(tmp_path / "b.csv", ESSAYS) == Cohort.summarize(frame, ESSAYS)


def test_a_damaged_cohort_is_refused(tmp_path):
    import pyarrow.parquet

    path = tmp_path / "cohort.parquet"
    Cohort.summarize(pd.DataFrame({"class": ["a", "b"], "essay": [1, 2]}), ESSAYS).save(path)
    table = pyarrow.parquet.read_table(path)
    place = table.column_names.index("n")
    for spoiled in (table.set_column(place, "n", [[-5, 1]]), pyarrow.concat_tables([table, table]), table.drop_columns(["n"])):
        pyarrow.parquet.write_table(spoiled.replace_schema_metadata(table.schema.metadata), path)
        with pytest.raises(DataError, match="damaged"):
            Cohort.load(path)
