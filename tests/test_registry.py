"""Versions of predictors: writers at the same moment, crashes and damage, in a folder, in memory and in a real S3 server."""
import json
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from studperf.models import entries, versions
from studperf.rows.reading import load_students
from studperf.rows.simulation import simulate_students
from studperf.models.predictor import fit_predictor
from studperf.prediction.formula_file import PredictorFileError
from studperf.rows.values import DataWarning
from studperf.models.registry import Registry, load_named
from studperf.models.versions import PREDICTOR, standing


@pytest.fixture(scope="module")
def predictors():
    """Two that differ."""
    students = load_students()
    return [fit_predictor(rows, "math", model="least squares", folds=3) for rows in (students[:200], students)]


@pytest.fixture(scope="module")
def fresh():
    return simulate_students(50, seed=3)


def same(first, second, rows):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*had this combination", DataWarning)
        pd.testing.assert_frame_equal(first.predict(rows), second.predict(rows), rtol=0, atol=1e-12)
    return True


@pytest.fixture(scope="module")
def s3():
    """Options for s3:// addresses of a server of our own.

    It answers one request at a time, since moto looks and then writes: that makes it refuse as surely as S3 does."""
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        options = {"key": "testing", "secret": "testing", "endpoint_url": f"http://127.0.0.1:{server.server_port}"}
        Registry("s3://school/x", **options).storage.mkdir("school")
        yield options
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


PLACES = ("folder", "memory", "s3")


@pytest.fixture(params=PLACES)
def registry(request, tmp_path):
    """An empty registry in each kind of place."""
    if request.param == "folder":
        return Registry(tmp_path / "predictors [2026]")  # no pattern for file names, though it looks like one
    if request.param == "memory":
        return Registry(f"memory://{tmp_path.name}")
    return Registry(f"s3://school/{tmp_path.name}", **request.getfixturevalue("s3"))


# --- the jobs ---------------------------------------------------------------------------------------------------------

def test_publish_list_promote_roll_back_and_load(registry, predictors, fresh):
    assert registry.names() == [] and registry.versions().empty
    assert registry.publish("math", predictors[0], note="first", files={"card.html": "<p>naïve ✓</p>"}) == 1
    assert registry.publish("math", predictors[1], promote=False) == 2
    assert registry.publish("reading.v2", predictors[1]) == 1
    assert registry.names() == ["math", "reading.v2"]
    table = registry.versions()
    assert list(table.columns) == list(versions.LISTED)
    assert table[["name", "version", "n", "in_force"]].values.tolist() == [
        ["math", 1, 200, True], ["math", 2, 1000, False], ["reading.v2", 1, 1000, True]]
    assert table["fingerprint"].tolist() == [predictors[place].fingerprint for place in (0, 1, 1)]
    assert table["mae"].tolist() == [predictors[place].metrics["mae"] for place in (0, 1, 1)]
    assert same(registry.load("math"), predictors[0], fresh) and same(registry.load("math", 2), predictors[1], fresh)
    registry.promote("math", 2)
    assert registry.in_force("math") == 2 and same(registry.load("math"), predictors[1], fresh)
    assert registry.roll_back("math") == 1 and same(registry.load("math"), predictors[0], fresh)
    with pytest.raises(ValueError, match="before version 1 no other of 'math' was in force"):
        registry.roll_back("math")
    history = registry.history("math")
    assert history["version"].tolist() == [1, 2, 1]
    assert history["action"].tolist() == ["promoted", "promoted", "rolled back"]
    assert history["until"].tolist()[:2] == history["since"].tolist()[1:] and history["until"].isna().tolist()[2]
    assert registry.file("math", 1, "card.html") == "<p>naïve ✓</p>"
    compared = registry.compare("math", 1, 2, fresh).set_index("field")
    assert compared.loc["students"].tolist() == [200, 1000, False] and compared.loc["model"].tolist() == ["least squares"] * 2 + [True]


def test_unknown_things_are_told_with_what_is_there(registry, predictors):
    with pytest.raises(ValueError, match="found no version of 'math', nor of anything else; publish one first"):
        registry.load("math")
    registry.publish("math", predictors[0], promote=False)
    registry.publish("math", predictors[0], promote=False)
    for ask in (registry.load, registry.versions, registry.in_force, registry.roll_back, registry.history,
                lambda name: registry.promote(name, 1), lambda name: registry.compare(name, 1, 2), lambda name: registry.file(name, 1, "card")):
        with pytest.raises(ValueError, match="found no version of 'maht', expected one of 'math'; did you mean 'math'?"):
            ask("maht")
    for ask in (registry.load, registry.roll_back, registry.in_force):
        with pytest.raises(ValueError, match="no version of 'math' is in force; promote one of 1, 2"):
            ask("math")
    for version in (3, 0, -1, "1", True, None, 1.5):
        with pytest.raises(ValueError, match="found no version .* of 'math', expected one of 1, 2"):
            registry.promote("math", version)
    with pytest.raises(ValueError, match="version 2 of 'math' has no 'card.html', expected one of 'predictor.studperf'"):
        registry.file("math", 2, "card.html")
    assert not registry.versions("math")["in_force"].any() and registry.history("math").empty


@pytest.mark.parametrize("name", ["../x", "..", ".", "", "a/b", "a\\b", "/etc", "a\0b", "a\nb", "name\n", ".part", "x" * 101, "é", "a#1", "a@2", "*", 3])
def test_hostile_names_are_refused(tmp_path, predictors, name):
    registry = Registry(tmp_path / "predictors")
    for ask in (registry.load, registry.versions, registry.roll_back, registry.history, lambda name: registry.promote(name, 1),
                lambda name: registry.publish(name, predictors[0]), lambda name: registry.publish("math", predictors[0], files={name: "text"})):
        with pytest.raises(ValueError, match="found .*, expected at most 100 letters"):
            ask(name)
    assert list(tmp_path.iterdir()) == []


def test_named_addresses(tmp_path, predictors, fresh, s3):
    for url, options in ((str(tmp_path / "all"), {}), ("s3://school/named", s3)):
        for predictor in predictors:
            Registry(url, **options).publish("math", predictor)
        assert same(load_named(f"{url}#math", **options), predictors[1], fresh)
        assert same(load_named(f"{url}#math@1", **options), predictors[0], fresh)
        with pytest.raises(ValueError, match="found no version 3"):
            load_named(f"{url}#math@3", **options)
        for wrong in ("#math@", "#math@last", "#math@-1", "#math@1.0"):
            with pytest.raises(ValueError, match="expected a whole number as in"):
                load_named(url + wrong, **options)
        with pytest.raises(ValueError, match="expected at most 100 letters"):
            load_named(f"{url}#", **options)
    for file in ("math.studperf", "year#2.studperf"):
        predictors[0].save(tmp_path / file)
        assert same(load_named(tmp_path / file), predictors[0], fresh)
    with pytest.raises(ValueError, match="expected s3://school/named#NAME"):
        load_named("s3://school/named", **s3)


def test_going_back_goes_step_by_step():
    def pile(*actions):
        return standing({number: {"action": "rolled back" if version < 0 else "promoted", "version": abs(version)}
                         for number, version in enumerate(actions, 1)})
    assert pile() == [] and pile(1) == [1] and pile(1, 1) == [1] and pile(1, 2, 3) == [1, 2, 3]
    assert pile(1, 2, 3, -2) == [1, 2] and pile(1, 2, 3, -2, -1) == [1]
    assert pile(1, 2, 3, -2, -2) == [1, 2]  # two people who go back at the same moment
    assert pile(1, 2, 1, 3, -1) == [1, 2, 1]
    assert pile(1, 2, 3, 4, -2) == [1, 2]  # somebody promoted 4 while another went back from 3
    assert pile(-5) == [5] and pile(1, 2, -1, 2) == [1, 2]  # the entry that it goes back to is lost


def test_an_address_is_shown_without_its_password(tmp_path):
    assert repr(Registry(tmp_path)) == f"Registry({str(tmp_path)!r})"
    assert repr(Registry("memory://a/b/")) == "Registry('memory:///a/b')"
    assert "secret" not in repr(Registry("webhdfs://user:secret@host/b"))


def test_versions_that_differ_in_what_they_predict_are_compared_without_rows(tmp_path, predictors, fresh):
    registry = Registry(tmp_path)
    registry.publish("score", predictors[0])
    registry.publish("score", fit_predictor(load_students(), "reading", inputs=["lunch", "gender"], model="ridge"))
    table = registry.compare("score", 1, 2).set_index("field")
    assert table.loc["target"].tolist() == ["math", "reading", False]
    assert table.loc["levels of ethnicity", "second"] is None and not table.loc["levels of ethnicity", "same"]
    with pytest.raises(ValueError, match="predict different scores, 'math' and 'reading'"):
        registry.compare("score", 1, 2, fresh)


def test_a_list_of_200_versions_reads_no_model(tmp_path, predictors):
    registry = Registry(f"memory://{tmp_path.name}")
    for _ in range(200):
        registry.publish("math", predictors[0], promote=False)
    registry.promote("math", 150)
    registry.storage.rm(f"{registry.root}/math/files", recursive=True)
    table = registry.versions()
    assert table["version"].tolist() == list(range(1, 201)) and table.loc[table["in_force"], "version"].tolist() == [150]
    with pytest.raises(PredictorFileError, match=rf"math/files/.*/{PREDICTOR}: is not there any more"):
        registry.load("math")


# --- writers at the same moment ---------------------------------------------------------------------------------------

# Imports once, then forks, so that the writers start at the same moment.
WRITERS = """
import os, sys
from studperf.models.predictor import load_predictor
from studperf.models.registry import Registry
predictor, children = load_predictor(sys.argv[1]), []
wait, go = os.pipe()
for number in range(8):
    if not (child := os.fork()):
        os.close(go)
        os.read(wait, 1)
        for turn in range(4):
            published = Registry(sys.argv[2]).publish("math", predictor, note=f"{number}.{turn}")
            os.write(1, b"%d\\n" % published)  # in one piece: `print` may write the line's end by itself, after another writer's number
        os._exit(0)
    children.append(child)
os.close(go)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


def run_script(script, *arguments):
    return subprocess.run([sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=True).stdout


def check_writers(registry, returned, writers, turns, predictor, fresh):
    """All are there, each under its own number, which is the one that was returned, and each can be loaded."""
    count = writers * turns
    table = registry.versions("math")
    assert sorted(returned) == table["version"].tolist() == list(range(1, count + 1))
    assert sorted(table["note"]) == sorted(f"{writer}.{turn}" for writer in range(writers) for turn in range(turns))
    for _, numbers in table.groupby(table["note"].str.split(".").str[0])["version"]:
        notes = table.set_index("version").loc[sorted(numbers), "note"].tolist()
        assert notes == sorted(notes)  # each writer's versions are in its own order
    history = registry.history("math")
    assert sorted(history["version"]) == list(range(1, count + 1))
    assert registry.in_force("math") == history["version"].iloc[-1] == table.loc[table["in_force"], "version"].item()
    assert all(same(registry.load("math", number), predictor, fresh) for number in table["version"][::5])


def test_eight_processes_publish_to_a_folder(tmp_path, predictors, fresh):
    predictors[0].save(tmp_path / "predictor")
    said = run_script(WRITERS, tmp_path / "predictor", tmp_path / "registry")
    check_writers(Registry(tmp_path / "registry"), map(int, said.split()), 8, 4, predictors[0], fresh)
    assert not [path for path in (tmp_path / "registry").rglob(".*")]


S3_WRITER = """
import json, sys
from studperf.models.predictor import load_predictor
from studperf.models.registry import Registry
registry = Registry(sys.argv[2], **json.loads(sys.argv[3]))
for turn in range(2):
    print(registry.publish("math", load_predictor(sys.argv[1]), note=f"{sys.argv[4]}.{turn}"))
"""


def test_threads_and_processes_publish_to_s3(tmp_path, predictors, fresh, s3):
    path, url = tmp_path / "predictor", "s3://school/together"
    predictors[0].save(path)

    def in_thread(writer):
        return [Registry(url, **s3).publish("math", predictors[0], note=f"{writer}.{turn}") for turn in range(2)]

    with ThreadPoolExecutor(6) as pool:
        processes = [pool.submit(run_script, S3_WRITER, path, url, json.dumps(s3), writer) for writer in (4, 5)]
        threads = [pool.submit(in_thread, writer) for writer in range(4)]
        returned = [number for thread in threads for number in thread.result()]
        returned += [int(number) for process in processes for number in process.result().split()]
    check_writers(Registry(url, **s3), returned, 6, 2, predictors[0], fresh)


# --- crashes ------------------------------------------------------------------------------------------------------------

# Publishes and promotes in forked children, each with a registry of its own, in which another version is in force.
# The first child is killed at its first touch of the disk, the second one at its second, and so on until one ends well.
VICTIMS = """
import os, shutil, signal, sys
from itertools import count
from studperf.models.predictor import load_predictor
from studperf.models.registry import Registry
start, folder, predictor = sys.argv[1], sys.argv[2], load_predictor(sys.argv[3])

def kill_at(last, place):
    touched = 0
    def watch(event, arguments):
        nonlocal touched
        if event in ("open", "os.mkdir", "os.link", "os.remove", "os.listdir", "os.scandir") and place in str(arguments[0]):
            touched += 1
            if touched == last:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)

for last in count(1):
    place = os.path.join(folder, f"killed-at-{last:03}")
    shutil.copytree(start, place)
    if not (child := os.fork()):
        kill_at(last, place)
        Registry(place).publish("math", predictor, files={"card.md": "text"})
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


def test_killed_at_any_step_of_publishing(tmp_path, predictors, fresh):
    Registry(tmp_path / "start").publish("math", predictors[0])
    predictors[1].save(tmp_path / "predictor")
    folder = tmp_path / "killed"
    folder.mkdir()
    run_script(VICTIMS, tmp_path / "start", folder, tmp_path / "predictor")
    places = sorted(folder.iterdir())
    outcomes = []
    for place in places:
        registry = Registry(place)
        table, current = registry.versions("math"), registry.in_force("math")  # a warning would be an error
        assert table.loc[table["in_force"], "version"].item() == current
        assert same(registry.load("math"), predictors[current - 1], fresh)
        outcomes.append((len(table), current))
        assert registry.publish("math", predictors[1], promote=False) == len(table) + 1
    assert outcomes == sorted(outcomes) and set(outcomes) == {(1, 1), (2, 1), (2, 2)}
    assert len(places) > 25  # files, entries, their folders: each step was a last one
    assert any(list(place.rglob(".*.part")) for place in places)  # what a crash leaves behind


def test_a_full_disk_changes_nothing(tmp_path, predictors, fresh):
    """Here a limit on the size of files: the system refuses to write more."""
    registry = Registry(tmp_path / "registry")
    registry.publish("math", predictors[0])
    predictors[1].save(tmp_path / "predictor")
    said = run_script("""
import resource, sys
from studperf.models.predictor import load_predictor
from studperf.models.registry import Registry
predictor = load_predictor(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    Registry(sys.argv[2]).publish("math", predictor)
except OSError as error:
    print(error)
""", tmp_path / "predictor", tmp_path / "registry")
    assert "File too large" in said
    assert len(registry.versions("math")) == 1 and same(registry.load("math"), predictors[0], fresh)
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("place", ["memory", "s3"])
@pytest.mark.parametrize("arrives", [False, True], ids=["request lost", "answer lost"])
def test_a_network_that_fails_at_any_request(tmp_path, predictors, fresh, monkeypatch, request, place, arrives):
    """Which of the requests is lost is told by the number of the name."""
    options = request.getfixturevalue("s3") if place == "s3" else {}
    url = f"s3://school/{tmp_path.name}" if place == "s3" else f"memory://{tmp_path.name}"
    send = Registry(url, **options).storage.pipe_file
    for lost in range(1, 5):  # the predictor, the card, the version, what is in force
        registry, requests = Registry(url, **options), 0
        name = f"math-{lost}"
        registry.publish(name, predictors[0])

        def fail(path, content, lost=lost, **modes):
            nonlocal requests
            requests += 1
            if requests >= lost and not (arrives and requests > lost):  # a network that is down stays down for a while
                if arrives:
                    send(path, content, **modes)
                raise ConnectionError("the network is down")
            return send(path, content, **modes)

        with monkeypatch.context() as patch:
            patch.setattr(registry.storage, "pipe_file", fail)
            if arrives and lost > 2:  # found to have arrived
                assert registry.publish(name, predictors[1], files={"card.md": "text"}) == 2
            else:
                with pytest.raises(ConnectionError, match="the network is down"):
                    registry.publish(name, predictors[1], files={"card.md": "text"})
        table, expected = registry.versions(name), 2 if arrives and lost > 2 else 1
        assert registry.in_force(name) == expected and same(registry.load(name), predictors[expected - 1], fresh)
        assert len(table) == len(registry.log(name, "in_force").numbers()) + (lost == 4 and not arrives)


# --- damage -------------------------------------------------------------------------------------------------------------

def objects(registry):
    registry.storage.invalidate_cache()
    return sorted(registry.storage.find(registry.root))


DAMAGES = {"cut": lambda content: content[:-7], "empty": lambda content: b"", "longer": lambda content: content + b" " * 7,
           "other byte": lambda content: content[:len(content) // 2] + bytes([content[len(content) // 2] ^ 1]) + content[len(content) // 2 + 1:]}


@pytest.mark.parametrize("registry, damage", [
    *((place, damage) for place in ("folder", "memory") for damage in DAMAGES), ("s3", "cut"), ("s3", "empty")], indirect=["registry"])
def test_damage_is_told_by_name_and_nothing_damaged_is_loaded(registry, predictors, fresh, damage):
    for predictor in predictors:
        registry.publish("math", predictor, files={"card.md": "a card with some text"})
    told = 0
    for path in objects(registry):
        content = registry.storage.cat_file(path)
        damaged = DAMAGES[damage](content)
        registry.storage.pipe_file(path, damaged)
        for version in (1, 2, None):
            for job in ("load", "file"):
                try:
                    if job == "load":
                        assert same(registry.load("math", version), predictors[1 if version is None else version - 1], fresh)
                    else:
                        assert registry.file("math", version or registry.in_force("math"), "card.md") == "a card with some text"
                except PredictorFileError as error:
                    assert path.rsplit("/math/", 1)[1] in str(error)
                    told += 1
        registry.storage.pipe_file(path, content)
    # Of each version its entry for both jobs, its predictor, its card, each by its number and the second also as the one
    # in force; and that entry. Blanks after an entry change nothing that it says.
    assert told == (2 * 2 + 2 + 2) + (2 + 1 + 1) + 2 - (2 * 2 + 2 + 2 if damage == "longer" else 0)
    assert same(registry.load("math"), predictors[1], fresh)


def test_lists_leave_out_damaged_entries_and_say_so(registry, predictors, fresh):
    for predictor in (*predictors, predictors[0]):
        registry.publish("math", predictor)
    log = registry.log("math", "versions")
    registry.storage.pipe_file(log.path(2), registry.storage.cat_file(log.path(1)))  # one version in the place of another
    with pytest.warns(DataWarning, match=r"left out: .*math/versions/000002\.json: was written as number 1 of math/versions"):
        assert registry.versions("math")["version"].tolist() == [1, 3]
    with pytest.raises(PredictorFileError, match="written as number 1"):
        registry.promote("math", 2)
    with pytest.raises(PredictorFileError, match="written as number 1"):
        registry.roll_back("math")
    assert registry.in_force("math") == 3


def test_what_is_in_force_is_not_guessed(registry, predictors, fresh):
    for predictor in predictors:
        registry.publish("math", predictor)
    log = registry.log("math", "in_force")
    registry.storage.pipe_file(log.path(2), b"{")
    for ask in (registry.load, registry.in_force, registry.roll_back):
        with pytest.raises(PredictorFileError, match=r"in_force/000002\.json: cut off.*what is in force is not known, so promote a version again"):
            ask("math")
    with pytest.warns(DataWarning, match="what is in force is not known"):
        assert not registry.versions("math")["in_force"].any()
    registry.promote("math", 2)
    assert same(registry.load("math"), predictors[1], fresh)
    with pytest.warns(DataWarning, match=r"left out: .*in_force/000002\.json"):
        assert registry.history("math")["version"].tolist() == [1, 2]


def test_an_enormous_entry_is_not_read(tmp_path, predictors, fresh):
    registry = Registry(tmp_path)
    for predictor in predictors:
        registry.publish("math", predictor)
    for kind in ("versions", "in_force"):
        with open(registry.log("math", kind).path(3), "wb") as file:
            file.truncate(2**40)  # takes no room on the disk; read, it would take all memory there is
    with pytest.raises(PredictorFileError, match=r"in_force/000003\.json: has 1,099,511,627,776 bytes.*promote a version again"):
        registry.load("math")
    with pytest.raises(PredictorFileError, match=r"versions/000003\.json: has 1,099,511,627,776 bytes"):
        registry.load("math", 3)
    with pytest.warns(DataWarning, match=r"000003\.json: has 1,099,511,627,776 bytes"):
        assert registry.versions("math")["version"].tolist() == [1, 2]
    registry.promote("math", 2)
    assert same(registry.load("math"), predictors[1], fresh)
    with pytest.raises(ValueError, match="shorten the note"):
        registry.publish("math", predictors[0], note="why " * 2**21)


def test_entries_of_another_name_do_not_count(registry, predictors):
    for name in ("math", "reading"):
        registry.publish(name, predictors[0])
    source, target = (registry.log(name, "versions").path(1) for name in ("reading", "math"))
    registry.storage.pipe_file(target, registry.storage.cat_file(source))
    with pytest.raises(PredictorFileError, match="was written as number 1 of reading/versions"):
        registry.load("math")


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", "3", "[" * 100_000, '{"sha256": NaN}', "\xff"], ids=lambda text: repr(text[:9]))
def test_an_entry_that_is_none_is_told(tmp_path, predictors, content):
    registry = Registry(tmp_path)
    registry.publish("math", predictors[0])
    Path(registry.log("math", "versions").path(1)).write_bytes(content.encode("latin-1"))
    with pytest.raises(PredictorFileError, match=r"versions/000001\.json: (cut off, or not written by studperf|not as it was written)"):
        registry.load("math")


def test_other_objects_do_not_matter(registry, predictors, fresh):
    registry.publish("math", predictors[0])
    for other in ("math/versions/notes.txt", "math/versions/2.json", "math/versions/000002.json.bak", "math/files/x/y", "README.md", "empty/files/x"):
        registry.storage.makedirs(f"{registry.root}/{other}".rsplit("/", 1)[0], exist_ok=True)
        registry.storage.pipe_file(f"{registry.root}/{other}", b"text")
    assert registry.names() == ["math"] and len(registry.versions()) == 1 and same(registry.load("math"), predictors[0], fresh)


# --- storages that cannot do what is asked of them ----------------------------------------------------------------------

class Forgetful(MemoryFileSystem):
    """Says that it is S3, but does not know the condition."""
    protocol, store, pseudo_dirs = "s3", {}, [""]

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        super().pipe_file(path, value)


class Unknown(MemoryFileSystem):
    """Of a kind for which fsspec looks first and then writes."""
    protocol, store, pseudo_dirs = "sftp", {}, [""]


@pytest.mark.parametrize("storage", [Forgetful, Unknown])
def test_a_storage_that_cannot_refuse_is_told(predictors, storage):
    registry = Registry("memory://cannot")
    registry.storage = storage()
    with pytest.warns(DataWarning, match="does not refuse to write an entry twice.*from one place at a time") as caught:
        assert registry.publish("math", predictors[0]) == 1
    assert len(caught) == 2 and registry.in_force("math") == 1


def test_a_conflict_is_asked_again(predictors, monkeypatch):
    registry = Registry("memory://conflict")
    send, refused = MemoryFileSystem.pipe_file, set()

    def conflict(storage, path, content, **modes):
        if path.endswith(".json") and path not in refused:
            refused.add(path)
            raise OSError("ConditionalRequestConflict")
        return send(storage, path, content, **modes)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", conflict)
    assert registry.publish("math", predictors[0]) == 1 and registry.in_force("math") == 1 and len(refused) == 2


def test_a_folder_that_may_not_be_written_or_a_bucket_that_is_not_there(tmp_path, predictors, s3):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        Registry(tmp_path / "file").publish("math", predictors[0])
    with pytest.raises(FileNotFoundError):
        Registry("s3://no-such-bucket/x", **s3).publish("math", predictors[0])


def test_storages_refuse_what_is_there(registry):
    path = f"{registry.root}/object"
    entries.create(registry.storage, path, b"first")
    with pytest.raises(FileExistsError):
        entries.create(registry.storage, path, b"second")
    assert registry.storage.cat_file(path) == b"first"
