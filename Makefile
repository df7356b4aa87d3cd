# make run        set up, ask for consent, measure targets.csv once, write ./report
# make test       set up and run all tests
# make demo       set up and play June 2017 in a simulated internet; writes ./demo-report
# make demo-seeds the same with five seeds, held against the script
# make zoo        hold Sitewatch against all simulated worlds; TIER=browser-like for the other
#                 tier, SEEDS=10 for so many worlds of each scenario
# make zoo-docs   the same at both tiers, one world each at browser-like, and renew docs/zoo.md
# make long       the tests that take too long for every run
# make torture    kill rounds 500 times, break disks; prints the figures and keeps them in docs
# make check      lint, types and tests
# make clean      remove what these made, but never a database

VENV := .venv
BIN := $(VENV)/bin
# The newest first; `make PYTHON=/path/to/python` takes another.
PYTHON :=
TIER := probing
SEEDS := 1
PYTHONS := $(or $(PYTHON),python3.13 python3.12 python3.11 python3)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test zoo zoo-docs long torture demo demo-seeds lint check clean programs
.DELETE_ON_ERROR:

run: $(VENV)/ready
	@today=$$(date -u +%F) && $(BIN)/sitewatch measure && \
	$(BIN)/sitewatch report --from $$today --to $$(date -u +%F) --output report

demo: $(VENV)/ready
	@$(BIN)/sitewatch demo --output demo-report

demo-seeds: $(VENV)/ready-to-test
	@$(BIN)/python -m pytest tests/test_demo.py -m long

test: $(VENV)/ready-to-test programs
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not long"

zoo: $(VENV)/ready-to-test
	@$(BIN)/python -m lab.zoo --tier $(TIER) --seeds $(SEEDS)

zoo-docs: $(VENV)/ready-to-test
	@# Stopped, it goes on where it was; code 1 is a symptom that does not hold, which is in the page.
	@$(BIN)/python -m lab.zoo --into zoo.jsonl --tier probing --seeds $(SEEDS) || [ $$? = 1 ]
	@$(BIN)/python -m lab.zoo --into zoo.jsonl --docs
	@rm zoo.jsonl

long: $(VENV)/ready-to-test programs
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -m long

torture: $(VENV)/ready-to-test
	@$(BIN)/python -m tests.torture --kills 500 --write
	@$(BIN)/python -m tests.torture_daemon --write

lint: $(VENV)/ready-to-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

check: lint test

clean:
	rm -rf $(VENV) report demo-report zoo.json zoo.jsonl zoo.md build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# --- setting up; each step leaves a file and is done again only when pyproject.toml changed ----

# A candidate may be on the path and still not run, so each one is tried; Debian splits off the
# part of Python that makes environments.
$(BIN)/python:
	@found=; \
	for candidate in $(PYTHONS); do \
	  $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  found=$$candidate; \
	  $$candidate -c 'import ensurepip, venv' 2>/dev/null || continue; \
	  echo "Setting up $(VENV) with $$candidate"; \
	  exec $$candidate -m venv --clear $(VENV); \
	done; \
	if [ -n "$$found" ]; then \
	  echo "$$found cannot make a virtual environment here; on Debian install python3-venv" >&2; \
	else \
	  echo "Sitewatch needs Python 3.11 or newer, and none was found ($(PYTHONS))" >&2; \
	fi; \
	exit 1

$(VENV)/ready: $(BIN)/python pyproject.toml
	@echo "Installing Sitewatch into $(VENV)"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/ready-to-test: $(BIN)/python pyproject.toml
	@echo "Installing Sitewatch and what its tests need into $(VENV)"
	@$(PIP) install --editable '.[dev]'
	@# Its pins are older than what we need, and nothing but its data classes is used.
	@$(PIP) install --no-deps oonidata==0.3.0 || \
	  echo "oonidata could not be installed: the tests that need it are skipped" >&2
	@touch $@ $(VENV)/ready

# Programs that some tests run: a browser for the page, dig for the lab; without them these skip.
PROGRAMS := chromium=chromium dig=bind9-dnsutils

programs:
	@missing=; \
	for program in $(PROGRAMS); do \
	  command -v $${program%%=*} >/dev/null || missing="$$missing $${program#*=}"; \
	done; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Debian packages for some tests:$$missing"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -qq --no-install-recommends $$missing >/dev/null || \
	  echo "Debian packages could not be installed:$$missing" >&2; \
	else \
	  echo "Some tests are skipped; the Debian packages for them are:$$missing" >&2; \
	fi
