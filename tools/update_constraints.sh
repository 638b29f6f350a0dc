#!/usr/bin/env bash
# Writes constraints.txt anew: the newest versions that fit together, found in an environment of its own.
#   tools/update_constraints.sh           then: make prepare test, and commit both
#   tools/update_constraints.sh --keep    keeps the versions that are there, adds what settings.ini newly needs
set -euo pipefail
cd "$(dirname "$0")/.."

environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT
options=(--quiet --disable-pip-version-check)
if [ "${1:-}" = --keep ]; then options+=(--constraint constraints.txt); fi

echo "Installing studperf[dev] into $environment ..."
"${PYTHON:-python3}" -m venv "$environment"
"$environment/bin/python" -m pip install "${options[@]}" --editable '.[dev]'
{
  cat <<'WHY'
# The versions that studperf is tested with. The outputs of the notebooks are committed and compared byte for
# byte with a fresh run, so make and CI install exactly these. A plain `pip install studperf` does not need them.
# Written by tools/update_constraints.sh.
WHY
  "$environment/bin/python" -m pip --disable-pip-version-check freeze --exclude-editable \
    --exclude pip --exclude setuptools --exclude wheel
} > "$environment/constraints.txt"
mv "$environment/constraints.txt" constraints.txt
echo "constraints.txt: $(grep -c == constraints.txt) packages"
