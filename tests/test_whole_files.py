"""Every file is the old one or the new one, whole: under threads, kills, links, and with the rights that it had."""
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest

import studperf
from studperf import files
from studperf.files import check_not_read, whole_file

REPO = Path(__file__).resolve().parents[1]
posix = pytest.mark.skipif(os.name != "posix", reason="rights and links as Linux and macOS have them")
NEW, OLD = "new " * 50_000, "old " * 50_000




def test_threads_never_tear_a_file(tmp_path):
    path, torn, stop = tmp_path / "shared.txt", [], threading.Event()
    texts = [str(number) * 200_000 for number in range(8)]
    path.write_text(texts[0])

    def write(text):
        for _ in range(30):
            with whole_file(path) as part:
                part.write_text(text)

    def read():
        while not stop.is_set():
            if (found := path.read_text()) not in texts:
                torn.append(len(found))

    writers, reader = [threading.Thread(target=write, args=(text,)) for text in texts], threading.Thread(target=read)
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert not torn and path.read_text() in texts and list(tmp_path.iterdir()) == [path]


def test_processes_with_one_number_do_not_mix(tmp_path):
    """As in containers, where each process may be number 7."""
    script = f"""
import os, sys
from pathlib import Path
from studperf.files import whole_file
os.getpid = lambda: 7
for _ in range(100):
    with whole_file({str(tmp_path / "shared.txt")!r}) as part, open(part, "a") as file:
        for _ in range(20):
            file.write(sys.argv[1] * 1000)
            file.flush()
"""
    writers = [subprocess.Popen([sys.executable, "-c", script, letter], env={**os.environ, "PYTHONPATH": str(REPO)}) for letter in "abcd"]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert (tmp_path / "shared.txt").read_text() in [letter * 20_000 for letter in "abcd"]


@posix
def test_a_planted_link_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / f".report.html.{os.getpid()}.part").symlink_to(victim)
    with whole_file(tmp_path / "report.html") as part:
        assert stat.S_ISREG(part.lstat().st_mode) and re.fullmatch(r"\.report\.html\.[0-9a-f]{16}\.part", part.name)
        part.write_text("new")
    assert victim.read_text() == "mine" and (tmp_path / "report.html").read_text() == "new"


@posix
def test_a_link_of_another_user_in_a_shared_folder_is_refused(tmp_path):
    if os.geteuid():
        pytest.skip("only root can make a file of another user")
    shared, victim, link = tmp_path / "shared", tmp_path / "victim", tmp_path / "shared" / "report.html"
    shared.mkdir()
    shared.chmod(0o1777)
    victim.write_text("mine")
    link.symlink_to(victim)
    with whole_file(link) as part:  # one's own link is followed
        part.write_text("by myself")
    assert victim.read_text() == "by myself" and link.is_symlink()
    os.lchown(link, 65534, 65534)
    with pytest.raises(PermissionError, match="another user"), whole_file(link) as part:
        part.write_text("by a stranger's link")
    assert victim.read_text() == "by myself"


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_the_mode_stays(tmp_path, mode):
    path = tmp_path / "marks.csv"
    path.write_text("old")
    path.chmod(mode)
    with whole_file(path) as part:
        assert not part.stat().st_mode & 0o077  # nobody else reads it meanwhile
        part.write_text("new")
    assert stat.S_IMODE(path.stat().st_mode) == mode and path.read_text() == "new"


@posix
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_new_file_gets_what_the_umask_says(tmp_path, umask):
    before = os.umask(umask)
    try:
        with whole_file(tmp_path / "new.txt") as part:
            part.write_text("new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == 0o666 & ~umask


@posix
def test_the_owner_stays_where_the_system_allows_it(tmp_path):
    if os.geteuid():
        pytest.skip("only root can give a file to another user")
    path = tmp_path / "marks.csv"
    path.write_text("old")
    os.chown(path, 65534, 65534)
    with whole_file(path) as part:
        part.write_text("new")
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


@posix
def test_a_group_that_cannot_stay_gets_no_rights(tmp_path, monkeypatch):
    path = tmp_path / "marks.csv"
    path.write_text("old")
    path.chmod(0o660)
    if not os.geteuid():
        os.chown(path, -1, 65534)

    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(os, "fchown", refused)
    with whole_file(path) as part:
        part.write_text("new")
    kept = path.stat().st_gid == (65534 if not os.geteuid() else path.stat().st_gid)
    assert stat.S_IMODE(path.stat().st_mode) == (0o660 if kept else 0o600)


@posix
def test_it_is_forced_to_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    done = []
    sync, swap = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda opened: (done.append("folder" if stat.S_ISDIR(os.fstat(opened).st_mode) else "file"), sync(opened)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("name"), swap(*paths)))
    with whole_file(tmp_path / "new.txt") as part:
        part.write_text("new")
    assert done == ["file", "name", "folder"]


def test_a_writer_at_work_keeps_its_part_and_a_killed_one_does_not(tmp_path):
    path = tmp_path / "new.txt"
    with whole_file(path) as first:
        first.write_text("first")
        with whole_file(path) as second:
            assert first.exists() and first != second
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    others = [tmp_path / name for name in (f".new.txt.{'a' * 15}.part", f".other.txt.{'a' * 16}.part", f"new.txt.{'a' * 16}.part")]
    for leftover in (*others, killed := tmp_path / f".new.txt.{'a' * 16}.part"):
        leftover.write_text("half")
    with whole_file(path) as part:
        assert not killed.exists() or os.name != "posix"
        part.write_text("third")
    assert all(other.exists() for other in others)  # which are not its own


def test_a_long_name_and_a_writer_that_makes_its_file_anew(tmp_path):
    path = tmp_path / ("ä" * 120 + ".txt")
    with whole_file(path) as part:
        part.unlink()
        part.write_text("new")
    assert path.read_text() == "new" and len(list(tmp_path.iterdir())) == 1


def test_new_files_replace_none(tmp_path):
    path = tmp_path / "entry.json"
    with whole_file(path, new=True) as part:
        part.write_text("first")
    with pytest.raises(FileExistsError), whole_file(path, new=True) as part:
        part.write_text("second")
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]


KILLED = """
import os, signal, sys
from pathlib import Path
import studperf
from studperf.dashboard.facts import Facts
from studperf.models.predictor import load_predictor
import studperf.prediction.files as scoring
folder = Path(sys.argv[1])
predictor = load_predictor(folder / "model.studperf")
cohort = studperf.Cohort.load(folder / "cohort.parquet")
facts = Facts.read(folder / "facts.json")
scoring.SMALL_FILE = 0  # as a large one, by DuckDB
jobs = {
    "facts": lambda place: facts.save(place / "out.json"),
    "cohort": lambda place: cohort.save(place / "out.parquet"),
    "predict": lambda place: studperf.predict_file(predictor, folder / "students.csv", place / "out.csv", progress=False),
    "predict parquet": lambda place: studperf.predict_file(predictor, folder / "students.csv", place / "out.parquet", progress=False),
    "predictor": lambda place: predictor.save(place / "out.studperf"),
    "schema": lambda place: studperf.STUDENTS.to_toml(place / "out.toml"),
}

def killed_at(last, place):
    touched = 0
    def watch(event, arguments):
        nonlocal touched
        if event in ("open", "os.rename", "os.remove", "os.scandir") and str(place) in str(arguments[0]):
            touched += 1
            if touched == last:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)

for what, last in ((what, last) for what in jobs for last in range(1, 9)):
    place = folder / what / str(last)
    place.mkdir(parents=True)
    jobs[what](place)
    out, = place.iterdir()
    out.write_bytes(b"old")
    if not (child := os.fork()):
        killed_at(last, place)
        jobs[what](place)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(what.replace(" ", "-"), out.read_bytes() == b"old", len(list(place.iterdir())))
        jobs[what](place)
        assert list(place.iterdir()) == [out], list(place.iterdir())
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    students = studperf.load_students().head(300)
    students.to_csv(folder / "students.csv", index=False)
    predictor = studperf.fit_predictor(students, "math", model="least squares")
    predictor.save(folder / "model.studperf")
    studperf.Cohort.summarize(students).save(folder / "cohort.parquet")
    from studperf.dashboard.preparing import prepared_facts

    prepared_facts(students, None, None, "least squares").save(folder / "facts.json")
    return folder


@posix
def test_killed_at_any_step_of_writing(made):
    """The old file or the new one, and the next writer leaves nothing beside it."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED, made], text=True, capture_output=True,
                          env={**os.environ, "PYTHONPATH": str(REPO)})
    assert not done.returncode, done.stderr
    told = pd.DataFrame([line.split() for line in done.stdout.splitlines()], columns=["what", "old", "files"])
    assert told["what"].value_counts().min() >= 3 and len(told["what"].unique()) == 6
    assert "2" in set(told["files"])  # a kill does leave a part, which the next writer removes


@posix
def test_no_file_is_written_otherwise():
    """What opens a file for writing by itself is named here, with the reason."""
    known = {"spreadsheet.py", "prediction/files.py", "cli.py", "rows/labelled_files.py", "rows/reading.py", "dashboard/server/scripts.py", "cohort/duckdb_files.py",
             "reporting/summary_page.py", "dashboard/server/forking.py", "limited_jobs.py", "models/storage.py"}
    opens = re.compile(r"write_text\(|write_bytes\(|\bopen\([^)]*[\"'][wax]b?[\"']|to_csv\(|to_parquet\(|savefig\(|COPY \(|write_table\(|ParquetWriter\(|nbformat\.write\(")
    for path in (REPO / "studperf").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if opens.search(text) and path.relative_to(REPO / "studperf").as_posix() not in known:
            assert "whole_file(" in text, path


# What is read is not written

def test_the_output_is_none_of_the_inputs(tmp_path):
    (tmp_path / "d").mkdir()
    a, b = tmp_path / "d" / "a.parquet", tmp_path / "d" / "b.parquet"
    a.write_bytes(b"a")
    b.write_bytes(b"b")
    pattern = str(tmp_path / "d" / "*.parquet")
    for out, inputs in ((a, [pattern]), (a, [[str(b), pattern]]), (a, [None, a])):
        with pytest.raises(ValueError, match="is the file that is read"):
            check_not_read(out, *inputs)
    check_not_read(tmp_path / "d" / "c.csv", pattern, "https://host/a.parquet", "select * from marks", "\0", 7, None)
    if os.name == "posix":
        (tmp_path / "link.parquet").symlink_to(a)
        (tmp_path / "linked").symlink_to(tmp_path / "d")
        os.link(a, tmp_path / "hard.parquet")
        for out in ("link.parquet", "hard.parquet", "linked/b.parquet", "d/../d/b.parquet"):
            with pytest.raises(ValueError, match="is the file that is read"):
                check_not_read(tmp_path / out, pattern)


def test_capitals_make_no_other_file_where_the_system_says_so(tmp_path, monkeypatch):
    a = tmp_path / "a.csv"
    a.write_text("")
    upper = tmp_path / "A.CSV"
    if not upper.exists():  # a system that tells them apart: one that does not is played
        monkeypatch.setattr(files.Path, "exists", lambda path: path.name.casefold() == "a.csv")
        monkeypatch.setattr(files.Path, "samefile", lambda one, other: one.name.casefold() == Path(other).name.casefold())
    with pytest.raises(ValueError, match="is the file that is read"):
        check_not_read(upper, a)


@pytest.mark.parametrize("command", [
    ["summarize", "d/*.parquet", "-o", "d/a.parquet"],
    ["summarize", "d/*.parquet", "-o", "link.parquet"],
    ["report", "d/a.html.csv", "-o", "page.html"],
    ["reshape", "d/marks.csv", "-o", "other.csv"],
    ["compare", "d/marks.csv", "-o", "other.csv"],
    ["predict", "m.studperf", "d/marks.csv", "-o", "other.csv"],
    ["schema", "d/marks.csv", "-o", "school.toml", "--replace"],
    ["report", "--schema", "d/marks.csv", "-o", "page.html"],
    ["report", "d/a.html.csv", "-o", "other.html", "--notebook"],
    ["report", "d/a.html.csv", "-o", "third.html", "--summary"],
    ["dashboard", "--data", "d/marks.csv", "--prepare", "facts.json"],
])
def test_every_command_that_writes_compares_its_files(tmp_path, command):
    (tmp_path / "d").mkdir()
    students = studperf.simulate_students(30, seed=1)
    students.to_parquet(tmp_path / "d" / "a.parquet")
    students.to_csv(tmp_path / "d" / "marks.csv", index=False)
    students.to_csv(tmp_path / "d" / "a.html.csv", index=False)
    (tmp_path / "m.studperf").write_text("")
    for link, target in (("link.parquet", "a.parquet"), ("page.html", "a.html.csv"), ("other.csv", "marks.csv"), ("school.toml", "marks.csv"),
                         ("facts.json", "marks.csv"), ("other.ipynb", "a.html.csv"), ("third-summary.png", "a.html.csv")):
        os.link(tmp_path / "d" / target, tmp_path / link)
    if "--schema" in command:
        os.remove(tmp_path / "page.html")
        os.link(tmp_path / "d" / "marks.csv", tmp_path / "page.html")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    from typer.testing import CliRunner

    from studperf import cli

    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        done = CliRunner().invoke(cli.app, command)
    finally:
        os.chdir(here)
    assert isinstance(done.exception, ValueError) and "is the file that is read" in str(done.exception), done
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_prepared_facts_are_whole(made, tmp_path, monkeypatch):
    from studperf.dashboard import facts as room

    found = room.Facts.read(made / "facts.json")
    (tmp_path / "facts.json").write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", lambda path, text, **_: (path.write_bytes(text[:100].encode()), 1 / 0))
        with pytest.raises(ZeroDivisionError):
            found.save(tmp_path / "facts.json")
    assert (tmp_path / "facts.json").read_text() == "old"
    found.save(tmp_path / "facts.json")
    assert json.loads((tmp_path / "facts.json").read_text())["scores"]


def test_no_leftover_of_signals(tmp_path):
    """SIGTERM is no kill: what asks politely finds nothing beside the file."""
    script = f"""
import signal, sys
from studperf.files import whole_file
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
with whole_file({str(tmp_path / "a.txt")!r}) as part:
    part.write_text("half")
    print("half", flush=True)
    sys.stdin.read()
"""
    if os.name != "posix":
        pytest.skip("Windows has no SIGTERM")
    writer = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(REPO)})
    assert writer.stdout.readline() == "half\n"
    writer.send_signal(signal.SIGTERM)
    writer.communicate()
    assert list(tmp_path.iterdir()) == []


def test_frames_are_not_files():
    check_not_read("out.html", pd.DataFrame({"a": [1]}), studperf.Cohort.summarize(studperf.load_students()))
