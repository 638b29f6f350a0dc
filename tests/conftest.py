"""What several tests need: real data beside the repo, a browser, a place for artefacts, a copy of the repo.

What is missing on a machine skips the tests that need it and says so; with CI=true it fails them.
"""
import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest
from playwright.sync_api import expect, sync_playwright
from serving import COMMAND, PATIENCE, Served

REPO = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("STUDPERF_SHARED", REPO.parent / "shared"))
IN_CI = os.environ.get("CI", "").lower() in ("1", "true")

# Each example of a test writes the same files in the same folder, one after another.
hypothesis.settings.register_profile("studperf", deadline=None, derandomize=IN_CI, max_examples=50, suppress_health_check=[
    hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("studperf")


# Files whose tests take longest, longest first: with some processes at work, each taking the next file, none idles at the end.
LONGEST = ("test_docs", "test_report_shapes", "test_own_table", "test_limits_of_files", "test_dashboard_attacks", "test_wheel", "test_model",
           "test_registry", "test_engines", "test_properties", "test_conclusions", "test_dashboard", "test_dashboard_proxy", "test_figures",
           "test_dashboard_deploy", "test_own_reports", "test_disclosure", "test_noise", "test_report", "test_audit", "test_scoring",
           "test_degenerate", "test_invariants", "test_predictor", "test_benchmarks", "test_cli", "test_search", "test_altered_files",
           "test_explanation", "test_dashboard_lab", "test_tools", "test_what_leaves")


def pytest_collection_modifyitems(items):
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))  # which keeps the order within a file


def missing(reason):
    if IN_CI:
        pytest.fail(f"{reason} (CI=true, so this is not skipped)", pytrace=False)
    pytest.skip(reason)


def shared_file(folder, name):
    path = SHARED / folder / name
    if not path.is_file():
        missing(f"{path} is not there: data that are not part of the repo (STUDPERF_SHARED says where they are)")
    return path


@pytest.fixture(scope="module")
def files_by_duckdb():
    """Small files are summarised by DuckDB, too, which is else left to large ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studperf.cohort.summarizing.SMALL_FILE", 0)
        yield


def made_quickly(candidate):
    """The model without a search for the best values, but that for no more neighbours than there are, and with thirty trees at most."""
    def make():
        made = candidate.make()
        return made.set_params(n_estimators=30) if hasattr(made, "n_estimators") else made
    return replace(candidate, make=make, search={name: values[:1] for name, values in candidate.search.items() if name == "n_neighbors"})


@contextmanager
def first_values():
    """Models are made quickly, where it does not matter how good they are."""
    from studperf.models import candidates, predictor, selection, storage

    known = candidates.candidate_models
    with pytest.MonkeyPatch.context() as patch:
        for module in (candidates, predictor, selection, storage):
            patch.setattr(module, "candidate_models", lambda seed=0: {name: made_quickly(one) for name, one in known(seed).items()})
        yield


@pytest.fixture
def no_search():
    with first_values():
        yield


@pytest.fixture(scope="session")
def shared_data():
    """`shared_data("StudentsPerformance.csv")` is the path of a real data file."""
    return lambda name: shared_file("data", name)


@pytest.fixture(scope="session")
def shared_reference():
    """`shared_reference("students_r.csv")` is the path of a file of numbers to agree with."""
    return lambda name: shared_file("reference", name)


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The program of axe-core, which looks for what keeps people from using a page."""
    npm = shutil.which("npm") or missing("no npm, which installs axe-core")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run([npm, "install", "--prefix", folder, "--no-audit", "--no-fund", "axe-core@4.10"], capture_output=True, text=True, timeout=300)
    if done.returncode:
        missing(f"axe-core could not be installed: {done.stderr.strip().splitlines()[-1:]}")
    return Path(folder, "node_modules", "axe-core", "axe.min.js").read_text("utf-8")


LOOK = """axe.run(document, {resultTypes: ["violations"]}).then(found => [found.passes.length,
    found.violations.flatMap(one => one.nodes.map(node => `${one.id}: ${node.html.slice(0, 200)} ${node.failureSummary.slice(0, 200)}`))])"""


def violations(page, axe):
    """What axe-core finds wrong, a line each. Of what it finds right only the number is asked for: to write that down takes most of its
    time on a long page."""
    page.evaluate(axe)
    passed, wrong = page.evaluate(LOOK)
    assert passed > 20, "it did not look"
    return wrong


@pytest.fixture(scope="session")
def chromium_path():
    """The browser's program."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None) or missing(f"no browser: none of {', '.join(names)}")


@pytest.fixture(scope="session")
def browser(chromium_path):
    """A headless browser that asks no host for anything by itself."""
    expect.set_options(timeout=1000 * PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=[
            "--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """What the dashboard knows of the embedded sample, so that servers start at once."""
    path = tmp_path_factory.mktemp("prepared") / "facts.json"
    done = subprocess.run([*COMMAND, "--prepare", path], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (0, f"wrote {path}\n"), done.stderr
    return path


@pytest.fixture(scope="session")
def dashboard(prepared):
    """The dashboard on the embedded sample, as its command serves it."""
    served = Served("--prepared", prepared)
    yield served
    served.stop()


@pytest.fixture(scope="session")
def artefacts():
    """The folder for screenshots and other files that a person looks at after a run."""
    folder = REPO / "tests" / "artefacts"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def repo_copy(tmp_path):
    """A copy of the repo's own files, to run tools in without touching the work tree."""
    others = (".*", "_proc", "_docs", "_site", "build", "dist", "*.egg-info", "__pycache__", "artefacts")
    return Path(shutil.copytree(REPO, tmp_path / "studperf", ignore=shutil.ignore_patterns(*others)))
