# Every target uses the active environment if there is one, else .venv, which it makes.
.DEFAULT_GOAL := help
.PHONY: help install demo test check bench
PYTHON ?= python3
VENV := $(if $(VIRTUAL_ENV),$(VIRTUAL_ENV),.venv)
BIN := $(VENV)/bin

help:  ## show the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

install: $(VENV)/.installed  ## install the package and the developers' extra

demo: $(VENV)/.installed  ## run the main job on the simulated market and print where the report is
	$(BIN)/polygrain demo --out runs/demo

test: $(VENV)/.installed  ## run the tests, two processes
	$(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(VENV)/.installed  ## formatting, lint, types, layers
	$(BIN)/ruff format --check polygrain tests bench examples
	$(BIN)/ruff check polygrain tests bench examples
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed  ## every claim of speed against its peer in the same run
	for file in bench/*.py; do $(BIN)/python $$file || exit 1; done
