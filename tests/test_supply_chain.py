"""What the project is made of is pinned, audited and listed, and what it promises about security is written down."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
WORKFLOWS = REPO / ".github"


def zizmor(folder):
    command = shutil.which("zizmor", path=str(Path(sys.executable).parent))
    return subprocess.run([command, "--offline", "--persona", "pedantic", "--no-progress", folder], capture_output=True, text=True)


def test_the_workflows_have_no_known_weakness():
    done = zizmor(WORKFLOWS)
    assert not done.returncode, done.stdout


def test_a_weakness_would_be_found(tmp_path):
    """The audit does audit: the same files with one pin, and one setting, less."""
    text = (WORKFLOWS / "workflows" / "test.yml").read_text()
    for old, new, found in (("          persist-credentials: false\n", "", "artipacked"), ("actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683  # v4.2.2", "actions/checkout@v4", "unpinned-uses")):
        assert old in text
        (tmp_path / "test.yml").write_text(text.replace(old, new, 1).replace("        with:\n      -", "      -"))
        done = zizmor(tmp_path / "test.yml")
        assert done.returncode and found in done.stdout, done.stdout + done.stderr


def test_ci_audits_and_the_release_lists_what_is_inside():
    makefile, test, release = (REPO / "Makefile").read_text(), *((WORKFLOWS / "workflows" / f"{name}.yml").read_text() for name in ("test", "release"))
    assert "run: make audit" in test and "run: make sbom" in release and "studperf.cdx.json" in release.partition("gh release create")[2]
    assert "tools/audit.py .venv-audit/bin/pip-audit" in makefile and "zizmor" in makefile and "cyclonedx-py" in makefile


PIP_AUDIT = """#!/bin/sh
case "$*" in
  *"{silent}"*) echo "ERROR:pip_audit._cli: could not connect" >&2; exit 1;;
  *known.txt*) echo '{{"dependencies": [{{"name": "jinja2", "version": "2.4.1", "vulns": [{{"id": "PYSEC-2014-8"}}]}}]}}'; exit 1;;
esac
echo "{found}"; exit {code}
"""


@pytest.mark.skipif(os.name != "posix", reason="the pip-audit of this test is a shell script")
@pytest.mark.parametrize(("silent", "found", "code", "said"), [
    ("service", "", 0, "not audited: no database of weaknesses answers"), ("service pypi", "Found 1 known vulnerability", 1, "Found 1 known vulnerability"),
    ("service osv", "No known vulnerabilities found", 0, "No known vulnerabilities found"), ("nothing", "Found 1 known vulnerability", 1, "Found 1 known vulnerability")])
def test_an_audit_fails_for_weaknesses_and_not_for_want_of_a_network(tmp_path, silent, found, code, said):
    command = tmp_path / "pip-audit"
    command.write_text(PIP_AUDIT.format(silent=silent, found=found, code=code))
    command.chmod(0o755)
    done = subprocess.run([sys.executable, REPO / "tools" / "audit.py", command], capture_output=True, text=True)
    assert done.returncode == code and said in done.stdout, done.stdout + done.stderr
    assert ("could not connect" in done.stdout) == (silent in ("service", "service pypi"))  # says why it did not ask


def test_every_tool_of_the_audit_is_pinned():
    lines = [line for line in (REPO / "tools" / "audit_requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.]*", line) for line in lines)
    assert {"pip_audit", "zizmor", "cyclonedx-bom"} <= {line.partition("==")[0] for line in lines}
    one, = (line for line in lines if line.startswith("zizmor"))
    assert one in (REPO / "constraints.txt").read_text().splitlines()  # CI and the tests use one version


def test_every_pin_is_a_version():
    pins = [line for line in (REPO / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.+]*( ;.*)?", pin) for pin in pins), [pin for pin in pins if "==" not in pin]


def test_each_test_that_the_threat_model_names_is_there():
    text = (REPO / "nbs/understand/threat_model.ipynb").read_text(encoding="utf-8")
    known = {path.stem: path.read_text(encoding="utf-8") for path in (REPO / "tests").glob("test_*.py")}
    files = set(re.findall(r"tests/(test_\w+)\.py", text))
    assert files and files <= set(known), files - set(known)
    tests = set(re.findall(r"`(test_\w+)`", text)) - set(known)
    assert all(any(f"def {test}(" in content for content in known.values()) for test in tests), tests


def test_security_is_where_people_look():
    assert "SECURITY.md" in (REPO / "CONTRIBUTING.md").read_text(encoding="utf-8") and "SECURITY.md" in (REPO / "README.md").read_text(encoding="utf-8")
    text = (REPO / "SECURITY.md").read_text(encoding="utf-8")
    assert {"## Report a weakness", "## Supported versions", "## What is promised", "## What is not promised"} <= set(text.splitlines())
