# The ways in. `make` alone lists them. Everything is installed into .venv, nothing elsewhere.

PYTHON ?= python3
PORT ?= 8866
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help dashboard report lab test check lint prepare docs bench audit sbom constraints clean

help:  ## list what make can do
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

dashboard: .venv/.installed  ## serve the predictor at http://localhost:8866 (another port: make dashboard PORT=9000)
	@$(BIN)/studperf dashboard --port $(PORT)

report: .venv/.installed  ## write report.html on the embedded sample (seconds)
	@echo "Writing the report of the embedded sample ..."
	@$(BIN)/studperf report --out report.html
	@echo "Written: report.html. Open it in a browser; it needs no connection."

lab: .venv/.installed-dev  ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab nbs

test bench check: export MPLBACKEND := agg
# Some notebooks and tests run at a time: with threads and processes of their own they would wait for each other.
test check: export OMP_NUM_THREADS := 1
test check: export OPENBLAS_NUM_THREADS := 1
test check: export LOKY_MAX_CPU_COUNT := 1
# One test in three waits for a server or a browser, so three run at a time, also with two cores.
# Each of the programs that the tests start would compile the package again.
test check: export PYTHONDONTWRITEBYTECODE :=
test: .venv/.installed-dev  ## run everything that must be green (about 15 minutes with two cores)
	@echo "1 of 4: ruff and import-linter (seconds)"
	@$(MAKE) --no-print-directory lint
	@echo "2 of 4: is studperf/ what the notebooks export? (seconds)"
	@$(BIN)/python -m pytest -q tests/test_repo.py -k modules_are_exported
	@echo "3 of 4: do the notebooks run, do their assertions hold, and are their outputs what is committed? (about 4 minutes)"
	@$(BIN)/python tools/run_nbs.py --check
	@echo "4 of 4: tests/ (about 10 minutes)"
	@$(BIN)/python -m pytest tests -n 3 --dist loadfile --no-loadscope-reorder

check: .venv/.installed-dev  ## after an edit of one notebook, export it, run it and its quick tests (under a minute): make check NB=nbs/index.ipynb
	@$(BIN)/python tools/check_notebook.py $(NB)

lint: .venv/.installed-dev  ## look for bugs with ruff, for long lines, and for imports that go up (seconds; fix what it finds in the notebook)
	@$(BIN)/ruff check --quiet studperf tests tools benchmarks
	@if [ -d studperf/rows ]; then $(BIN)/ruff check --quiet --select E501 studperf && $(BIN)/lint-imports --no-logo; fi

prepare: .venv/.installed-dev  ## after edits, export the modules, run the notebooks that a change can have touched, build what is built from them (up to 4 minutes); every notebook: make prepare ALL=1
	@$(BIN)/python tools/export.py
	@cp nbs/dashboard.ipynb studperf/assets/  # what the package serves
	@$(BIN)/python tools/build_names.py
	@$(BIN)/python tools/house.py
	@$(BIN)/python tools/run_nbs.py $(if $(ALL),,--changed)
	@$(BIN)/nbdev_clean
	@$(BIN)/python tools/build_readme.py

# nbdev_docs would do, but it installs Quarto by itself and writes its own README.md. Quarto ends with code 0 when a link leads
# nowhere, so its warnings are looked for.
docs: .venv/.installed-dev  ## build the docs site into _docs (needs Quarto; about 5 minutes)
	@command -v quarto >/dev/null || { echo "The site is built by Quarto, which is not installed: get it from https://quarto.org/docs/get-started, then run make docs again."; exit 1; }
	@$(BIN)/python tools/check_docs.py
	@cd _proc && { quarto render --no-cache >render.log 2>&1 || { cat render.log; exit 1; }; }
	@! grep -E "WARN|ERROR" _proc/render.log
	@rm -rf _docs && mv _proc/_docs . && echo "Written: _docs/index.html"

# The peers have environments of their own, so that they change no version of ours. BENCH=--full for all sizes.
bench: .venv/.installed-dev .venv-bench/.installed .venv-pycaret/.installed .venv-profiling/.installed  ## measure speed and memory beside the peers, then the dashboard in a browser (Chromium), for fifty people, and under floods and kills, then altered files and killed writers (about forty minutes)
	@.venv-bench/bin/python benchmarks/battery.py $(BENCH)
	@.venv-bench/bin/python benchmarks/prediction.py $(BENCH)
	@.venv-bench/bin/python benchmarks/report_speed.py $(BENCH)
	@$(BIN)/python benchmarks/dashboard.py
	@$(BIN)/python benchmarks/killed_writers.py
	@$(BIN)/python benchmarks/altered_files.py $(BENCH)
	@$(BIN)/python benchmarks/dashboard_faults.py

# tools/audit.py tells a weakness from a database that does not answer, which pip-audit does not.
audit: .venv-audit/.installed  ## ask the database of PyPI for known weaknesses of constraints.txt, and zizmor for those of the workflows (a minute, needs a connection)
	@.venv-audit/bin/python tools/audit.py .venv-audit/bin/pip-audit
	@.venv-audit/bin/zizmor --persona pedantic --no-progress .github

sbom: .venv/.installed .venv-audit/.installed  ## list what is installed with studperf as a software bill of materials, studperf.cdx.json (CycloneDX)
	@.venv-audit/bin/cyclonedx-py environment --output-reproducible --output-format JSON --output-file studperf.cdx.json .venv/bin/python
	@echo "Written: studperf.cdx.json"

constraints:  ## update constraints.txt to the newest versions (some minutes), then: make prepare test ALL=1
	@PYTHON=$(PYTHON) tools/update_constraints.sh

clean:  ## remove what the tools made, except .venv and .venv-*
	@rm -rf _proc _docs build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis tests/artefacts nbs/nbdev.yml report.html studperf.cdx.json benchmarks/data
	@find . -name '.venv*' -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -print | while read -r folder; do rm -rf "$$folder"; done

.venv/bin/python .venv-bench/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "studperf needs Python 3.11 or later, and $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another one: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Making the environment in $(@:/bin/python=)"
	@$(PYTHON) -m venv $(@:/bin/python=) || { rm -rf $(@:/bin/python=); \
	  echo "$(PYTHON) could not make an environment. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

# The stamps are files, so that a second start installs nothing, and a change of the requirements installs again.
.venv/.installed: settings.ini setup.py pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing studperf and what it needs into .venv (some minutes the first time) ..."
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[all]'
	@touch $@

.venv/.installed-dev: settings.ini setup.py pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing studperf, what it needs and the tools to test it into .venv (some minutes the first time) ..."
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch .venv/.installed $@

.venv-bench/.installed: settings.ini setup.py pyproject.toml constraints.txt | .venv-bench/bin/python
	@echo "Installing studperf and the peers into .venv-bench (some minutes the first time) ..."
	@.venv-bench/bin/python -m pip --disable-pip-version-check --no-input install --quiet --constraint constraints.txt --editable '.[bench,boost,cluster]'
	@touch $@

.venv-audit/.installed: tools/audit_requirements.txt
	@echo "Installing pip-audit, zizmor and cyclonedx-py into .venv-audit ..."
	@$(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python -m pip --disable-pip-version-check --no-input install --quiet --requirement $<
	@touch $@

# pycaret 3.3 needs Python 3.11 or older, and asks for one module without saying so (six).
.venv-pycaret/.installed: benchmarks/pycaret_constraints.txt
	@command -v python3.11 >/dev/null || { echo "pycaret needs Python 3.11, as python3.11: install it, then make bench again."; exit 1; }
	@echo "Installing pycaret into .venv-pycaret (some minutes the first time) ..."
	@python3.11 -m venv .venv-pycaret
	@.venv-pycaret/bin/python -m pip --disable-pip-version-check --no-input install --quiet --constraint $< pycaret six
	@touch $@

# An environment each, since one of them needs pandas below 3, and none of them another.
.venv-profiling/.installed: benchmarks/profilers.txt
	@for peer in $$(cat $<); do \
	  echo "Installing $$peer into .venv-profiling/$${peer%%==*} (some minutes the first time) ..."; \
	  $(PYTHON) -m venv .venv-profiling/$${peer%%==*} && \
	  .venv-profiling/$${peer%%==*}/bin/python -m pip --disable-pip-version-check --no-input install --quiet $$peer pyarrow || exit 1; \
	done
	@touch $@
