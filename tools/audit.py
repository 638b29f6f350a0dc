"""Ask the databases of known weaknesses about constraints.txt: python tools/audit.py (make audit)

pip-audit reports the same failure for a weakness and for a database that does not answer, and success for one that knows nothing.
So each database is asked first about a version that is known to be weak. If none knows it, there is no audit: that is said, and it is
no failure, since a build without a network has done nothing wrong. A weakness of a pinned version is a failure (exit code 1).
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
KNOWN_WEAK = "jinja2==2.4.1"  # of 2010, with eight advisories
DATABASES = ("pypi", "osv")
SECONDS = 600


def pip_audit(command, database, requirements, *options):
    try:
        return subprocess.run([command, "--vulnerability-service", database, "--no-deps", "--disable-pip", "--progress-spinner", "off", *options,
                               "--requirement", str(requirements)], capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer in {SECONDS} seconds")


def why_not(command, database):
    """Why a database is of no use; empty if it knows the weak version."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "known.txt")
        path.write_text(f"{KNOWN_WEAK}\n")
        done = pip_audit(command, database, path, "--format", "json")
    try:
        if any(one.get("vulns") for one in json.loads(done.stdout)["dependencies"]):
            return ""
    except (ValueError, KeyError):
        pass
    said = "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1:]
    return said[0][:300] if said else f"it knows no weakness of {KNOWN_WEAK}"


def main(command):
    for database in DATABASES:
        if why := why_not(command, database):
            print(f"{database}: not asked: {why}")
            continue
        done = pip_audit(command, database, CONSTRAINTS, "--strict")
        print(done.stdout + done.stderr, end="")
        return done.returncode
    print("not audited: no database of weaknesses answers; try again with a connection to pypi.org or api.osv.dev")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if sys.argv[1:] else "pip-audit"))
