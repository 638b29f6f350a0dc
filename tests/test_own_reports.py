"""Reports on tables that nobody here made, by the command line as a user types it."""
from functools import partial

import pytest
from begun import commands
from conftest import shared_file


@pytest.fixture(scope="module")
def studperf():
    with commands() as run:
        yield partial(run, COLUMNS="100")


@pytest.mark.parametrize("file", ["CASchools.csv", "hsb2.sas7bdat", "nyc_sat.csv", "apistrat.csv", "egsingle.csv.gz"])
def test_a_report_without_any_option(studperf, tmp_path, file):
    ended = studperf("report", shared_file("wild", file), folder=tmp_path)
    assert ended.returncode == 0 and (tmp_path / "report.html").is_file(), ended.stderr
    assert "scores: " in ended.stderr and "Traceback" not in ended.stderr


def test_what_is_said_of_schools_and_weights(studperf, tmp_path):
    studperf("report", shared_file("wild", "apistrat.csv"), folder=tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "How do the scores of schools differ?" in page and "does not use the survey weight" in page
    assert " students who are alike" not in page.split("Methods, and")[0]


def test_marks_in_words_are_asked_for_and_then_stated(studperf, tmp_path):
    file = shared_file("wild", "xAPI.csv")
    asked = studperf("report", file, folder=tmp_path)
    assert asked.returncode == 2 and asked.stderr.count("\n") == 1 and f"studperf report {file} --scores Class" in asked.stderr
    told = studperf("schema", file, "--scores", "Class", folder=tmp_path)
    assert told.returncode == 0 and "'L' is 1, 'M' is 2, 'H' is 3" in told.stdout and "523 rows equal an earlier one" in told.stderr
    assert studperf("schema", file, "--scores", "Class", folder=tmp_path).returncode == 2  # the file may have been edited
    report = studperf("report", file, "--schema", "school.toml", "--summary", folder=tmp_path)
    assert report.returncode == 0, report.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"school.toml", "report.html", *(f"report-summary.{kind}" for kind in ("pdf", "png", "svg"))}


def test_options_correct_the_draft(studperf, tmp_path):
    file = shared_file("wild", "student-por.csv")
    ended = studperf("compare", file, "--scores", "G3", "--factors", "age", "--leave-out", "sex", "--limits", "G3=0:20", "--people", "pupils",
                     folder=tmp_path)
    assert ended.returncode == 0 and "scores: G3 (0 to 20)" in ended.stderr and "rows are pupils" in ended.stderr
    assert " age " in ended.stdout and " sex " not in ended.stdout
    for words, said in ((["--limits", "20"], "expected LOW:HIGH"), (["--best", "top"], "expected lowest or highest"),
                        (["--schema", "x.toml", "--scores", "G3"], "give one of them"), (["--scores", "music"], "no column 'music'")):
        wrong = studperf("compare", file, *words, folder=tmp_path)
        assert wrong.returncode == 2 and said in wrong.stderr and wrong.stderr.count("\n") == 1, wrong.stderr


def test_a_long_table_is_seen_and_reshaped(studperf, tmp_path):
    lines = ["pupil,class,sex,subject,mark"] + [f"P{i:03d},{'ab'[i % 2]},{'fm'[i % 2]},{subject},{(7 * i + place) % 21}"
                                                for i in range(60) for place, subject in enumerate(["math", "reading", "art"])]
    (tmp_path / "long.csv").write_text("\n".join(lines), encoding="utf-8")
    seen = studperf("schema", "long.csv", folder=tmp_path)
    assert seen.returncode == 0 and "studperf reshape FILE" in seen.stderr, seen.stderr
    made = studperf("reshape", "long.csv", folder=tmp_path)
    assert made.returncode == 0 and "wrote 60 rows" in made.stdout and "student: pupil; subject: subject; mark: mark" in made.stderr
    assert (tmp_path / "wide.csv").read_text(encoding="utf-8").splitlines()[:2] == ["pupil,class,sex,math,reading,art", "P000,a,f,0,1,2"]
    again = studperf("reshape", shared_file("wild", "CASchools.csv"), folder=tmp_path)
    assert again.returncode == 2 and "name the columns" in again.stderr
