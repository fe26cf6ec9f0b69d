# The commands of the project. `make demo DATE=2023-04-01` and `make test` need Python 3.11+ and nothing else.

PYTHON ?= python3
VENV ?= .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
# Tests wait for a third of their time, so there is work for one more than there are cores; each has a PostgreSQL of its
# own, so they are eight at most.
WORKERS ?= $(shell $(BIN)/python -c 'import os; print(min((os.cpu_count() or 1) + 1, 8))')
# Many thousand rounds: coverage would only slow them down.
ENDURANCE := tests/endurance tests/test_parsers_hold.py tests/test_conservation.py

.PHONY: help demo run test torture check lint types scan mutants bench messages clean

help: ## show these commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

$(BIN)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12"; exit 1; }
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "Installing what the program runs on into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

$(BIN)/.installed-dev: requirements-dev.txt $(BIN)/.installed
	@echo "Installing the tools for tests and lint into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@

demo: $(BIN)/.installed ## everything embedded, nothing to configure: make demo DATE=2023-04-01
	@$(BIN)/python data_processor.py --demo $(if $(DATE),--date $(DATE)) $(ARGS)

run: $(BIN)/.installed ## the real thing, with the settings of .env: make run [DATE=2023-04-01]
	@$(BIN)/python data_processor.py $(if $(DATE),--date $(DATE)) $(ARGS)

test: $(BIN)/.installed-dev ## all tests
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal $(ARGS)

torture: $(BIN)/.installed-dev ## the endurance suites alone, ten times as long: kills, cuts, crowds (an hour or so)
	@TORTURE=10 $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal $(ENDURANCE) $(ARGS)

lint: $(BIN)/.installed-dev ## style, catalogues, fault matrix
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m tools.catalogue check
	@$(BIN)/python -m tools.fault_matrix check

types: $(BIN)/.installed-dev ## mypy, strict
	@$(BIN)/python -m mypy .

scan: $(BIN)/.installed-dev ## dangerous calls, known weaknesses of packages
	@$(BIN)/python -m bandit --configfile pyproject.toml --recursive . --severity-level medium --quiet
	@$(BIN)/python -m tools.advisories

mutants: $(BIN)/.installed-dev ## plant the faults that must never come back; the tests have to notice
	@$(BIN)/python -m tools.mutants $(ARGS)

check: lint types scan ## everything that guards quality; CI runs this
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m coverage run -m pytest -q -n $(WORKERS) --dist worksteal $(addprefix --ignore ,$(ENDURANCE))
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report --fail-under=92
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal $(ENDURANCE)

bench: $(BIN)/.installed-dev ## measure speed and memory
	@$(BIN)/python -m benchmarks $(ARGS)

messages: $(BIN)/.installed-dev ## bring the catalogues of both languages up to date
	@$(BIN)/python -m tools.catalogue

clean: ## remove what can be made again; never .data, .env, .logs or reports
	@rm -rf $(VENV) .demo .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
