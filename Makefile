# Two commands: `make demo` and `make test`. They need Python, make and a C++ compiler, and nothing else.

PYTHON ?= python3
ARGS ?=
NOX := .venv/bin/python -m nox

.PHONY: help demo test lint types docs bench clean
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 8

demo: .venv/nox ## Train a tiny language model with parts of five wheels; ARGS="--model smollm2" takes a real one
	$(NOX) -s demo -- $(ARGS)

test: .venv/nox ## Build the wheels, test them, check style, types, layers and docs; ARGS go to pytest
	$(NOX) -s tests lint types layers docs -- $(ARGS)

lint: .venv/nox ## Check style
	$(NOX) -s lint

types: .venv/nox ## Check types
	$(NOX) -s types

docs: .venv/nox ## Build the documentation into docs/_build/html
	$(NOX) -s docs

bench: .venv/nox ## Print the figures that have a budget
	$(NOX) -s bench -- $(ARGS)

clean: ## Remove everything that these commands made
	rm -rf .venv .nox docs/_build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache

# Kept as a mark of its own: an installation that was interrupted is made again.
.venv/nox:
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check "nox>=2025.10.14"
	@touch $@
