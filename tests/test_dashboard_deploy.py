"""The files that put the dashboard online: looked through, and run as far as that goes without the hosts themselves."""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
import warnings
from pathlib import Path
from urllib.parse import urlencode

import pytest
import yaml
from playwright.sync_api import expect
from serving import COMMAND, PATIENCE, Served, free_port

from studperf import load_students
from studperf.cli import main
from studperf.models.predictor import fit_predictor

REPO = Path(__file__).resolve().parents[1]
DOCKERFILE = (REPO / "Dockerfile").read_text("utf-8")
GUIDE = "\n".join("".join(cell["source"]) for cell in json.loads((REPO / "nbs" / "guides" / "deploy.ipynb").read_text("utf-8"))["cells"])


def instructions(name):
    """The arguments of each such instruction of the Dockerfile, in order; lines that go on are joined."""
    return re.findall(rf"^(?:{name}) (.+)$", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)


def test_hadolint_finds_nothing_in_the_dockerfile():
    done = subprocess.run([Path(sys.executable).with_name("hadolint"), "--failure-threshold", "style", REPO / "Dockerfile"], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_pinned_small_and_without_rights():
    first, second = instructions("FROM")
    assert second == first.removesuffix(" AS build")
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", second)
    assert instructions("USER") == ["10001:10001"]
    assert DOCKERFILE.index("USER") < DOCKERFILE.index("ENTRYPOINT")
    assert "--constraint constraints.txt" in instructions("RUN")[0]
    for command in (*instructions("ENTRYPOINT"), *instructions("CMD")):
        assert json.loads(command), "a list: no shell stands between, so that it hears a signal to stop"


@pytest.fixture(scope="module")
def image(tmp_path_factory, prepared):
    """A folder with what the image holds of ours: built from the files that the Dockerfile copies, and no others."""
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "image"))
    ignored = (REPO / ".dockerignore").read_text().split()
    for line in instructions("COPY")[:2]:
        *names, _ = line.split()
        for name in names:
            assert f"!{name}" in ignored, "it is sent to the builder"
            path = REPO / name
            if path.is_dir():
                shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, source)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", target, source], check=True, timeout=PATIENCE,
                   env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"})
    shutil.copy(prepared, target / "facts.json")
    for path in (target, *target.rglob("*")):  # nothing may be written there
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield target
    for path in (target, *target.rglob("*")):
        path.chmod(0o755)


def test_the_image_runs_by_its_own_command(image, tmp_path_factory):
    """Its entry point, its environment and its health check; what it writes goes to the one folder that stands for /tmp."""
    home, port = tmp_path_factory.mktemp("home"), free_port()
    *_, check = (json.loads(command) for command in instructions("HEALTHCHECK.+?CMD"))
    command = [*json.loads(instructions("ENTRYPOINT")[0])[1:], *json.loads(instructions("(?<!  )CMD")[-1])]
    assert command[-1] == "/opt/studperf/facts.json"
    environment = dict(one.split("=", 1) for one in instructions("ENV")[0].split()) | {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(image), "HOME": str(home), "TMPDIR": str(home), "PORT": str(port)}
    program = [sys.executable, "-c", "import sys, studperf.cli; print(studperf.__file__, flush=True); studperf.cli.main(sys.argv[1:])"]
    with subprocess.Popen([*program, *command[:-1], str(image / "facts.json")], env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert str(image) in server.stdout.readline()
            assert "Open http" in _until_open(server)
            assert subprocess.run([sys.executable, *check[1:]], env=environment, timeout=PATIENCE).returncode == 0
            with urllib.request.urlopen(f"http://localhost:{port}/", timeout=PATIENCE) as page:
                assert b"kernelId" in page.read()
        finally:
            server.terminate()
            said = server.stdout.read()
    assert server.returncode == 0, said
    assert not [path for path in home.rglob("*") if path.is_file()], "it clears away after itself"


def _until_open(server):
    said = ""
    for line in server.stdout:
        said += line
        if "Open http" in line:
            break
    return said


def test_the_hosts_commands_are_ours():
    service, = yaml.safe_load((REPO / "render.yaml").read_text())["services"]
    procfile = yaml.safe_load((REPO / "Procfile").read_text())
    assert procfile["web"].split()[2:] == ["--host", "0.0.0.0", "--prepared", "facts.json"]
    assert set(shlex.split(service["startCommand"])) == set(shlex.split(procfile["web"]))
    assert service["healthCheckPath"] == "/health"
    assert shlex.split(service["buildCommand"].split(" && ")[1]) == ["studperf", "dashboard", "--prepare", "facts.json"]
    assert f"python:{next(one['value'] for one in service['envVars'] if one['key'] == 'PYTHON_VERSION')}-slim" in DOCKERFILE


def test_the_guide_names_each_setting():
    told = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, timeout=PATIENCE, env=os.environ | {"COLUMNS": "400"}).stdout
    variables = set(re.findall(r"env\s+var:\s+(\w+)", told))
    assert variables == set(re.findall(r"^\| `(\w+)` \| `--", GUIDE, re.MULTILINE))
    for option in re.findall(r"studperf dashboard[^\n`]*?(--[\w-]+)", GUIDE):
        assert option in told


@pytest.mark.parametrize("name, told", [("wrong.json", "not a file that this version of studperf prepared"), ("none.json", "none.json")])
def test_nothing_but_prepared_facts_is_served(tmp_path, name, told):
    (tmp_path / "wrong.json").write_text("{}")
    done = subprocess.run([*COMMAND, "--port", str(free_port()), "--prepared", tmp_path / name], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert told in done.stderr.splitlines()[-1]


def test_a_model_of_trees_is_served_without_its_library(browser, tmp_path):
    """It takes the other scores; the page answers as the model itself does, and its kernel has neither NumPy nor scikit-learn."""
    predictor = fit_predictor(load_students(), "math", inputs="all", model="decision tree", folds=2)
    predictor.save(tmp_path / "math.studperf")
    student = {"gender": "female", "ethnicity": "group C", "parental_education": "some college", "lunch": "standard", "test_prep": "none", "reading": 50, "writing": 52}
    answer, served = predictor.predict_one(student, level=.9), Served("--model", tmp_path / "math.studperf")
    page = browser.new_page(viewport={"width": 390, "height": 844})
    try:
        query = urlencode({"show": "Why", **student} | {f"{name} score": student[name] for name in ("reading", "writing")})
        page.goto(f"{served.address}/?{query}", wait_until="commit")
        expect(page.locator(".sp-range")).to_contain_text(f"between {answer.low:.0f} and {answer.high:.0f}", timeout=1000 * PATIENCE)
        expect(page.locator(".sp-score b")).to_have_text(f"{answer.prediction:.0f}")
        expect(page.locator(".sp-view")).to_contain_text("that of made-up students")
        kernel = served.kernel_process(json.loads(page.locator("#jupyter-config-data").text_content())["kernelId"])
        assert [path for path in {file.path for file in kernel.memory_maps()} if re.search("/(numpy|sklearn|pandas)/", path)] == []
    finally:
        page.close()
        served.stop()


@pytest.mark.parametrize("options, told", [
    (["--prepared", "facts.json", "--data", "x.csv"], "--data and --prepared: give one of them"), (["--prepare", "facts.csv"], "the name must end in .json"),
    (["--password", "short"], "expected at least 8")], ids=str)
def test_what_does_not_go_together_is_told_before_anything_is_served(capsys, options, told):
    with warnings.catch_warnings(), pytest.raises(SystemExit) as ended:  # it gives back how warnings are shown
        main(["dashboard", "--port", str(free_port()), *options])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err.splitlines()[-1]
