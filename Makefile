# One door for the developer; CI calls the same targets.
SHELL := $(shell command -v bash)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Named after the folder: an environment does not survive being moved, and is then made anew.
READY := $(VENV)/.ready-$(firstword $(shell pwd | cksum))
PIP := $(BIN)/python -m pip install --disable-pip-version-check
ARGS ?=

.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-9s %s\n", $$1, $$2}'

# What pip prints, as one counting line on a terminal and three lines elsewhere.
define SHOW_PROGRESS
while read -r word _; do \
	case $$word in \
	Collecting) n=$$((n + 1)); if [ -t 2 ]; then printf '\r  fetching package %s of %s ' $$n $$all; elif [ $$n = 1 ]; then echo "  fetching $$all packages"; fi ;; \
	Installing) if [ -t 2 ]; then printf '\r\033[K'; fi; echo "  installing them" ;; \
	esac; \
done >&2
endef

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Orbit needs Python 3.11 or newer; set PYTHON=/path/to/python3" >&2; exit 4; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "this Python cannot make environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 4; }
	@[ -w . ] || { echo "this folder cannot be written to: copy or clone it to one of yours" >&2; exit 4; }
	@echo "setting up $(VENV) (once; about a minute)" >&2
	@[ -e $@ ] || rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@set -o pipefail; n=0; all=$$(grep -c '^[a-z].*==' requirements.lock); $(PIP) --no-compile --require-hashes -r requirements.lock | { $(SHOW_PROGRESS); }
	@$(PIP) --quiet --no-deps --no-build-isolation -e .
	@touch $@

setup: $(READY) ## create .venv with exactly what the lock file names

demo: $(READY) ## run the shop suite against the bundled shop API, on the embedded Postgres
	@$(BIN)/python examples/demo.py

test: $(READY) ## run every check and test
	@$(MAKE) --no-print-directory check
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

check: $(READY) ## format, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(READY) ## format and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(READY) ## measure Orbit beside its peers (ARGS="--only queue")
	@$(BIN)/python -m benchmarks $(ARGS)

# Not on xdist: what they measure is told as it comes, and each has the machine to itself.
drills: $(READY) ## rehearse failures at full size: workers killed, Postgres shot down, 10,000 interleavings
	@ORBIT_DRILLS=long $(BIN)/python -m pytest -q -s tests/drills tests/queue/test_queue_model.py tests/queue/test_queue_starvation.py $(wildcard tests/schedules/*drill.py) $(ARGS)

types: $(READY) ## write the models of the tables anew from the database's catalog
	@$(BIN)/orbit db push >/dev/null
	@$(BIN)/python tools/table_models.py "$$($(BIN)/orbit db url)" > .tables.tmp
	@$(BIN)/ruff format --quiet --stdin-filename orbit_context/models/tables.py - < .tables.tmp > orbit_context/models/tables.py; rm .tables.tmp

lock: $(READY) ## resolve requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --all-extras --python-version 3.11 --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean: ## stop the embedded Postgres and remove what the targets made, its data too
	@PYTHONPATH=.:runner $(PYTHON) -B -c 'import pathlib, shutil; from orbit_runner.local import Server; \
	server = Server(pathlib.Path.cwd() / ".orbit"); server.stop() and print("stopped the embedded Postgres"); shutil.rmtree(server.directory, ignore_errors=True)'
	@rm -rf $(VENV) .orbit .bench .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help setup demo test check format bench drills types lock clean
