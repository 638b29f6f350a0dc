"""The wheel and the source package: in order, small, and whole, since the main jobs run from an environment that holds nothing else.

Needs the package index, from which the tool that builds them takes setuptools.
"""
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
import venv
import zipfile
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

import psutil
import pytest
from conftest import missing
from packaging.requirements import Requirement
from serving import free_port

REPO = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow
OUTSIDE = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def run(*command, folder, timeout=900):
    done = subprocess.run(list(map(str, command)), cwd=folder, env=OUTSIDE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=timeout)
    if done.returncode:
        pytest.fail(f"{' '.join(map(str, command))}\n{done.stdout}", pytrace=False)
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source package, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, text=True, check=False)
    if tracked.returncode:
        missing("no git, which says what belongs to the repo")
    copy = tmp_path_factory.mktemp("repo")
    for name in filter(None, tracked.stdout.split("\0")):
        if (REPO / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((REPO / name).read_bytes())
    run(sys.executable, "-m", "build", "--outdir", folder, copy, folder=folder)
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return source, wheel


def test_packages_pass_the_index_checks(built, tmp_path):
    source, wheel = built
    assert "PASSED" in run(sys.executable, "-m", "twine", "check", "--strict", source, wheel, folder=tmp_path)
    run(Path(sys.executable).with_name("check-wheel-contents"), wheel, folder=tmp_path)


def test_the_wheel_is_small_and_whole(built):
    source, wheel = built
    assert wheel.stat().st_size < 1_000_000 and source.stat().st_size < 2_000_000
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = {path.relative_to(REPO).as_posix() for path in (REPO / "studperf").rglob("*")
               if path.is_file() and path.suffix != ".pyc" and ".ipynb_checkpoints" not in path.parts}
    assert inside == package
    assert {"studperf/py.typed", "studperf/__init__.pyi", "studperf/assets/students.csv", "studperf/assets/dashboard.ipynb",
            "studperf/assets/report.html", "studperf/assets/voila/templates/studperf/index.html.j2"} <= inside
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"settings.ini", "README.md", "LICENSE", "setup.py", "pyproject.toml"} | package <= names
    assert not any(name.startswith(("tests/", "nbs/")) for name in names)


def required(package, extra):
    """The packages that this one requires with an extra, or without any, and what those require in turn, as they are installed here."""
    found, asked, left = {}, set(), [(package, ""), (package, extra)]
    while left:
        one, wanted = left.pop()
        for requirement in map(Requirement, one.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": wanted}):
                for further in ("", *requirement.extras):
                    if (requirement.name, further) not in asked:
                        asked.add((requirement.name, further))
                        found[requirement.name] = distribution(requirement.name)
                        left.append((found[requirement.name], further))
    return found.values()


def link_files(package, prefix):
    """Put a package's files into an environment, but for programs, which begin with the name of the Python that runs them."""
    for file in package.files:
        here = Path(os.path.normpath(file.locate()))
        there = prefix / here.relative_to(sys.prefix)
        if here.parent != Path(sys.executable).parent and here.is_file() and not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(here, there)
            except OSError:  # on another disk
                shutil.copy2(here, there)


def pip(programs, *command, **options):
    """Our pip works on the environment, which needs none of its own."""
    return run(sys.executable, "-m", "pip", "--python", programs / "python", *command, **options)


def environment_of(wheel, folder, extra=""):
    """The programs of an environment that has the wheel, what it requires and nothing of the repo, and an empty folder to work in.

    To install all that again would take minutes, and these are the versions that pip would choose: those of constraints.txt.
    """
    venv.create(folder / "venv")
    programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    about = f"{'-'.join(wheel.name.split('-')[:2])}.dist-info/"
    for package in required(PathDistribution(zipfile.Path(wheel, about)), extra):
        link_files(package, folder / "venv")
    pip(programs, "install", "--quiet", "--no-input", "--no-index", f"{wheel}[{extra}]" if extra else wheel, folder=folder)  # which fails if anything is lacking
    (folder / "work").mkdir()
    return programs, folder / "work"


@pytest.fixture(scope="module")
def environment(built, tmp_path_factory):
    """With the whole package: `pip install "studperf[all]"`."""
    return environment_of(built[1], tmp_path_factory.mktemp("environment"), "all")


@pytest.fixture(scope="module")
def core(built, tmp_path_factory):
    """Without the dashboard and JupyterLab: `pip install studperf`."""
    return environment_of(built[1], tmp_path_factory.mktemp("core"))


def test_nothing_comes_from_the_repo(environment):
    programs, folder = environment
    places = run(programs / "python", "-c", "import studperf, sys; print(studperf.__file__, *sys.path)", folder=folder)
    assert str(REPO) not in places and "site-packages" in places
    pip(programs, "check", folder=folder)


@pytest.mark.parametrize("installed", ["environment", "core"])
def test_the_main_jobs_run(installed, request):
    programs, folder = request.getfixturevalue(installed)
    version = run(programs / "python", "-c", "import studperf; print(studperf.__version__, studperf.load_students().shape)", folder=folder)
    assert version.split(maxsplit=1)[1].strip() == "(1000, 8)"
    run(programs / "studperf", "report", "--out", "report.html", folder=folder)
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "lunch" in report and report.count('role="img"') > 15
    run(programs / "studperf", "train", "--target", "math", "--model", "least squares", folder=folder)
    run(programs / "studperf", "simulate", "50", "--out", "new.csv", folder=folder)
    run(programs / "studperf", "predict", "math.studperf", "new.csv", "--out", "predicted.csv", folder=folder)
    lines = (folder / "predicted.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 51 and lines[0].endswith("prediction,low,high")
    assert "--port" in run(programs / "studperf", "dashboard", "--help", folder=folder)


def test_a_missing_extra_is_named_with_the_command_that_installs_it(core):
    programs, folder = core
    done = subprocess.run([programs / "studperf", "dashboard"], cwd=folder, env=OUTSIDE, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(r'error: \w+ is not installed; install it with: pip install "studperf\[dashboard\]"\n', done.stderr)
    asked = """import studperf
for name in studperf.__all__:
    try:
        getattr(studperf, name)
    except ModuleNotFoundError as error:
        print(name, error)"""
    said = run(programs / "python", "-c", asked, folder=folder).splitlines()
    assert said and all(line.endswith('install it with: pip install "studperf[dashboard]"') for line in said)


def answer(address):
    """The page, or None as long as nothing listens."""
    try:
        with urllib.request.urlopen(address, timeout=60) as response:
            return response.read().decode()
    except urllib.error.HTTPError as error:
        pytest.fail(f"the dashboard answers {error.code}: {error.read().decode()[:2000]}", pytrace=False)
    except OSError:
        return None


def test_the_dashboard_is_served(environment):
    programs, folder = environment
    port = free_port()
    with (folder / "dashboard.log").open("w") as log:
        server = psutil.Popen([programs / "studperf", "dashboard", "--port", str(port)], cwd=folder, env=OUTSIDE, stdin=subprocess.DEVNULL,
                              stdout=log, stderr=log)
        try:
            end = time.monotonic() + 180
            while (page := answer(f"http://localhost:{port}/")) is None and server.poll() is None and time.monotonic() < end:
                time.sleep(1)
        finally:
            for process in [server, *server.children(recursive=True)]:  # else it would say that others have ended
                process.kill()
            server.wait()
    said = (folder / "dashboard.log").read_text()
    assert page and "What score would we expect?" in page, said
    assert len(said.splitlines()) == 2, said  # that it starts, and where it is
