"""Files as they circulate: every known heading loads, every known defect is told."""
import functools
import gzip
import http.server
import re
import threading

import pytest

from studperf import STUDENTS, Cohort, DataError, DataWarning, load_students

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


def test_extra_columns_are_named_in_a_warning(tmp_path, expected):
    extra = ["student id,average score,exam date", "1,72.7,2026-05-04", "2,82.3,2026-05-04"]
    (tmp_path / "a.csv").write_text("\n".join(f"{new},{old}" for new, old in zip(extra, lines(), strict=True)))
    with pytest.warns(DataWarning, match="'student id', 'average score', 'exam date'"):
        assert load_students(tmp_path / "a.csv").equals(expected)


DEFECTS = {  # what was done to the lines: what every message must hold
    "whole lines quoted": (lambda text: "\n".join(f'"{line}"' for line in text.splitlines()), "row 1.*one pair of quotes.*save the table as CSV"),
    "lunch as numbers": (lambda text: text.replace("standard", "1").replace("free/reduced", "0"),
                         r"row 2, column 'lunch': found '1', expected one of 'free/reduced', 'standard'; replace each code"),
    "a score removed": (lambda text: "\n".join(line.rsplit(",", 1)[0] for line in text.splitlines()), "column 'writing': not found.*rename"),
    "a score above the range": (lambda text: text.replace("72,74", "172,74"), "row 2, column 'reading score': found '172', expected a number from 0 to 100"),
    "a score in words": (lambda text: text.replace("72,74", "good,74"), "row 2, column 'reading score': found 'good', expected a number"),
    "a misspelt level": (lambda text: text.replace("male,group C", "mael,group C"), "row 3, column 'gender': found 'mael'.*did you mean 'male'"),
    "a column twice": (lambda text: text.replace("reading score", "math score"), "column 'math score' stands there 2 times.*columns 6, 7"),
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
    with pytest.raises(DataError) as caught:
        Cohort.summarize(path)
    assert str(path) in str(caught.value)


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
