"""The command line as a user runs it: its files, what it says, its exit code."""
import gzip
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest

from studperf import DataWarning
from studperf.cli import main

STUDPERF = Path(sys.executable).with_name("studperf")


@pytest.fixture
def studperf(tmp_path, monkeypatch, capsys):
    """The command in this process, since to start one takes longer than most commands: what it would print and end with."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code=0):
        capsys.readouterr()
        with warnings.catch_warnings():  # which gives back how warnings are shown, too
            warnings.simplefilter("default", DataWarning)  # told to the user; any other one is still an error
            with pytest.raises(SystemExit) as ended:
                main(list(map(str, arguments)))
        done = subprocess.CompletedProcess(arguments, ended.value.code or 0, *capsys.readouterr())
        assert done.returncode == code, done.stderr
        return done
    return run


@pytest.fixture
def process(tmp_path):
    """The command as a process of its own, as its users start it."""
    def run(*arguments, code=0):
        done = subprocess.run([STUDPERF, *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done
    return run


@pytest.mark.parametrize("command", ["report", "compare", "summarize", "simulate", "train", "predict", "dashboard"])
def test_every_command_explains_itself(studperf, command):
    assert command in studperf("--help").stdout
    text = studperf(command, "--help").stdout
    assert "Usage: studperf " + command in text
    for option in re.findall(r"^  (?:-\w, )?(--\w[\w-]*).*$", text, re.MULTILINE):
        line = next(line for line in text.split("\n  ") if option in line)
        assert len(line.split()) > 3, f"{command} {option} is not explained"


@pytest.fixture
def few_models(monkeypatch):
    """Four models are compared, where it does not matter how many: all of them are in nbs/9_cli/cli.ipynb."""
    from studperf.models import candidates, predictor, selection

    known = candidates.candidate_models
    for module in (candidates, predictor, selection):
        monkeypatch.setattr(module, "candidate_models", lambda seed=0: dict(list(known(seed).items())[:4]))


@pytest.mark.usefixtures("few_models")
def test_the_whole_way_from_a_table_to_predictions(studperf, process, tmp_path):
    process("simulate", 400, "--seed", 3, "--out", "students.csv")
    studperf("train", "students.csv", "--target", "reading", "--out", "reading.studperf")
    table = pd.read_csv(tmp_path / "students.csv", keep_default_na=False)
    table.insert(0, "name", [f"pupil {i}" for i in range(len(table))])
    table.drop(columns=["reading", "math"]).to_csv(tmp_path / "new.csv", index=False)
    assert "400 rows" in process("predict", "reading.studperf", "new.csv", "--level", ".8").stdout
    predictions = pd.read_csv(tmp_path / "predictions.csv")
    assert predictions["name"].tolist() == table["name"].tolist()
    assert (predictions["low"] < predictions["prediction"]).all() and (predictions["prediction"] < predictions["high"]).all()
    inside = table["reading"].between(predictions["low"], predictions["high"]).mean()
    assert .7 < inside < .9
    card = (tmp_path / "reading.html").read_text()
    assert "Model card" in card and "400" in card and "not audited" not in card


def test_a_registry_of_two_versions(studperf, tmp_path):
    from studperf import Registry, load_predictor

    studperf("simulate", 200, "--out", "students.csv")
    to_registry = ("train", "students.csv", "--registry", "kept", "--name", "grade-8", "--note")
    assert "published kept#grade-8@1, now in force" in studperf(*to_registry, "first", "--model", "mean").stdout
    done = studperf(*to_registry, "second", "--model", "least squares", "--out", "math.studperf")
    assert "published kept#grade-8@2" in done.stdout and "tests by group beyond chance" in done.stdout
    for address, model in (("kept#grade-8", "least squares"), ("kept#grade-8@1", "mean")):
        assert "200 rows" in studperf("predict", address, "students.csv", "--out", "scored.csv").stdout
        assert (pd.read_csv(tmp_path / "scored.csv")["prediction"].nunique() == 1) == (model == "mean")
    registry = Registry(tmp_path / "kept")
    assert registry.versions()["note"].tolist() == ["first", "second"]
    assert "Model card" in registry.file("grade-8", 2, "card.html")
    assert load_predictor(tmp_path / "math.studperf").fingerprint == registry.load("grade-8").fingerprint


def test_too_few_students_for_an_audit(studperf, tmp_path):
    studperf("simulate", 25, "--out", "few.csv")
    done = studperf("train", "few.csv", "--model", "mean")
    assert "not audited: " in done.stderr and (tmp_path / "math.studperf").exists() and (tmp_path / "math.html").exists()


def test_a_cohort_is_written_without_small_cells(studperf, tmp_path):
    from studperf import Cohort

    for seed in (1, 2):
        studperf("simulate", 2000, "--seed", seed, "--out", f"school-{seed}.csv")
    studperf("summarize", "school-*.csv", "--min-n", 20, "--out", "district.parquet")
    cohort = Cohort.load(tmp_path / "district.parquet")
    assert cohort.n + cohort.suppressed == 4000 and cohort.cells["n"].min() >= 20


def test_compare_prints_and_writes_the_same_table(studperf, tmp_path):
    printed = studperf("compare").stdout.splitlines()
    studperf("compare", "--out", "table.csv")
    table = pd.read_csv(tmp_path / "table.csv")
    assert len(printed) == len(table) + 1 == 16
    assert list(table.columns)[:4] == ["score", "factor", "group_a", "group_b"]


def test_a_table_of_ones_own(studperf, tmp_path):
    marks = pd.DataFrame({"student id": range(60), "class": ["7a", "7b", "7c"] * 20, "essay": [i % 21 for i in range(60)], "age": [12 + i % 9 for i in range(60)]})
    marks.to_excel(tmp_path / "marks.xlsx", index=False)
    told = studperf("report", "marks.xlsx", "--scores", "essay").stderr
    assert "factors: class" in told and "left out: student id" in told
    assert "7b" in (tmp_path / "report.html").read_text()


MISTAKES = {
    "no such file": (["report", "nothing.csv"], "nothing.csv"),
    "no such folder": (["simulate", "--out", "nowhere/students.csv"], "the folder 'nowhere' does not exist"),
    "no such option": (["compare", "--levle", ".9"], "No such option"),
    "no such target": (["train", "--target", "physics"], "expected one of the scores 'math', 'reading', 'writing'"),
    "no such model": (["train", "--model", "magic"], "found 'magic', expected one of"),
    "a name without a registry": (["train", "--name", "math"], "add --registry ADDRESS"),
    "a predictor of another ending": (["train", "--out", "math.csv"], "the name must end in .studperf"),
    "a registry that holds nothing": (["predict", "folder.csv#math", "students.csv"], "found no version of 'math'"),
    "a version that is no number": (["predict", "folder.csv#math@new", "students.csv"], "expected a whole number"),
    "a file of another kind": (["predict", "students.csv", "students.csv"], "students.csv"),
    "faults in the table": (["compare", "faulty.csv"], "faulty.csv: 1 problem; correct the table"),
    "a table of one's own": (["report", "own.csv"], "error: no column looks like a score: name the columns to compare in scores; the table has 'class', 'essay'; for example: studperf report own.csv --scores A,B"),
    "a table of one's own, for sums": (["summarize", "own.csv"], "describe your own table: studperf schema FILE"),
    "impossible level": (["compare", "--level", "95"], "conf_level"),
    "a broken Schema": (["compare", "--schema", "broken.toml"], "broken.toml"),
    "a workbook that is none": (["report", "fake.xlsx"], "fake.xlsx"),
    "the output is the input": (["compare", "students.csv", "--out", "students.csv"], "is the file that is read"),
    "the output is the model": (["predict", "m.csv", "students.csv", "--out", "m.csv"], "is the file that is read"),
    "the output is a folder": (["simulate", "--out", "folder.csv"], "not an ordinary file"),
    "the output is named like another kind": (["simulate", "--out", "students.xlsx"], "must end in .csv or .parquet"),
    "two tables of a database": (["summarize", "pupils", "more", "--database", "sqlite://"], "give one table or query"),
    "a table that the database lacks": (["summarize", "nobody", "--database", "sqlite://"], "the database: 1 problem"),
    "no such kind of database": (["summarize", "pupils", "--database", "nosuch://school"], "nosuch"),
    "one of several files is not there": (["summarize", "students.csv", "typo.csv"], "no file typo.csv"),
    "scores that are no list": (["compare", "--schema", "letters.toml"], "letters.toml: Schema: scores: found 'math', expected names"),
    "a truncated archive": (["compare", "cut.csv.gz"], "cut.csv.gz"),
    "a group size below one": (["report", "--min-n", "0"], "expected at least 1"),
    "a mark that is no number": (["report", "--mark", "math=sixty"], "--mark: found 'math=sixty', expected points"),
    "a mark for all and one for math": (["report", "--mark", "60", "--mark", "math=50"], "expected one number, or one for each score"),
    "a mark in a score that is none": (["report", "--mark", "music=60"], "mark: found 'music', expected scores of the table"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_with_one_line_and_exit_code_2(studperf, tmp_path, mistake):
    studperf("simulate", 50, "--out", "students.csv")
    (tmp_path / "faulty.csv").write_text((tmp_path / "students.csv").read_text().replace("standard", "standart"))
    (tmp_path / "own.csv").write_text("class,essay\n7a,12\n7b,15\n")
    (tmp_path / "broken.toml").write_text("factors = [")
    (tmp_path / "fake.xlsx").write_bytes(b"PK not a workbook")
    (tmp_path / "letters.toml").write_text("scores = 'math'")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress((tmp_path / "students.csv").read_bytes())[:-20])
    (tmp_path / "folder.csv").mkdir()
    before = sorted(tmp_path.iterdir())
    arguments, message = MISTAKES[mistake]
    done = studperf(*arguments, code=2)
    assert message in done.stderr.splitlines()[-1]
    assert sorted(tmp_path.iterdir()) == before, "nothing may be written"


def test_only_ordinary_files_are_replaced(studperf, tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    studperf("simulate", 5, "--out", "pipe.csv", code=2)
    assert (tmp_path / "pipe.csv").is_fifo()
    (tmp_path / "target.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("target.csv")
    studperf("simulate", 5, "--out", "link.csv")
    assert (tmp_path / "link.csv").is_symlink() and len((tmp_path / "target.csv").read_text().splitlines()) == 6


def test_missing_values_and_lost_students_are_told(studperf, tmp_path):
    studperf("simulate", 300, "--out", "students.csv")
    text = (tmp_path / "students.csv").read_text().splitlines()
    (tmp_path / "holes.csv").write_text("\n".join([text[0]] + [line.replace("standard", "") for line in text[1:]]))
    told = studperf("compare", "holes.csv").stderr
    assert re.search(r"column 'lunch': \d+ of 300 values are missing", told)
    told = studperf("summarize", "students.csv")
    assert "were left out" in told.stdout and "may differ" in told.stderr


def test_a_shared_cohort_can_be_compared_and_reported(studperf, tmp_path):
    studperf("simulate", 3000, "--out", "students.csv")
    studperf("summarize", "students.csv", "--min-n", "1", "--out", "cohort.parquet")
    assert studperf("compare", "cohort.parquet").stdout == studperf("compare", "students.csv").stdout
    studperf("report", "cohort.parquet")
    assert "3,000 students, from cohort.parquet" in (tmp_path / "report.html").read_text()


def test_a_report_says_who_reaches_a_mark(studperf, tmp_path):
    studperf("report", "--mark", "60")
    page = (tmp_path / "report.html").read_text()
    assert page.count("60 or more</h3>") == 3 and "studperf report --mark 60<" in page
    studperf("report", "--mark", "math=60", "--mark", "reading=50.5")
    page = (tmp_path / "report.html").read_text()
    assert "Math: 60 or more</h3>" in page and "Reading: 50.5 or more</h3>" in page and "Writing: 60" not in page
    assert "studperf report --mark math=60 --mark reading=50.5<" in page


def test_faults_are_all_told(process, tmp_path):
    process("simulate", 50, "--out", "students.csv")
    text = (tmp_path / "students.csv").read_text().replace("standard", "standart").replace("female", "femal")
    (tmp_path / "faulty.csv").write_text(text)
    told = process("report", "faulty.csv", code=2).stderr
    assert "did you mean 'standard'" in told and "did you mean 'female'" in told


def test_a_failure_in_the_middle_leaves_what_was_there(tmp_path):
    from studperf.files import whole_file

    path = tmp_path / "report.html"
    path.write_text("yesterday's")
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("half of today's")
        raise RuntimeError("power cut")
    assert path.read_text() == "yesterday's" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_students_are_simulated_in_chunks_of_one_stream(kind, tmp_path, monkeypatch):
    from numpy.random import default_rng

    from studperf import cli, load_students, simulate_students

    monkeypatch.setattr(cli, "CHUNK", 100)
    cli.simulate(250, tmp_path / f"students.{kind}", seed=7)
    random = default_rng(7)
    expected = pd.concat([simulate_students(n, seed=random) for n in (100, 100, 50)], ignore_index=True)
    pd.testing.assert_frame_equal(load_students(tmp_path / f"students.{kind}"), expected)
    pd.testing.assert_frame_equal(expected[:100], simulate_students(100, seed=7))
