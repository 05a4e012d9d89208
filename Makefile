# Every target in one screen: `make help`.
SHELL := /bin/bash
PYTHON := .venv/bin/python

.PHONY: help install demo test check lint bench clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/installed ## .venv with locked versions, so that .venv/bin/pilothouse runs

.venv/installed: requirements.lock pyproject.toml
	@scripts/install-system python
	@[ -x $(PYTHON) ] || $$(command -v /usr/bin/python3 || command -v python3) -m venv .venv
	@.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.lock 2>&1 | grep -v '^WARNING: Location' || true
	@.venv/bin/pip install --quiet --disable-pip-version-check --no-deps -e . 2>&1 | grep -v '^WARNING: Location' || true
	@PYTHONDONTWRITEBYTECODE= .venv/bin/python -m compileall -q src/pilothouse
	@touch $@

demo: install ## The study note's applications on a real cluster, step by step
	@scripts/install-system containers
	@bash examples/demo.sh

lint: install
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/mypy --no-error-summary
	@.venv/bin/lint-imports --no-cache > /tmp/lint-imports.$$$$ 2>&1 || { cat /tmp/lint-imports.$$$$; rm -f /tmp/lint-imports.$$$$; exit 1; }; rm -f /tmp/lint-imports.$$$$

check: lint ## ruff, mypy, import-linter, and the tests without containers (under 2 minutes)
	@.venv/bin/pytest -n 2 -m 'not containers and not golden'

test: install ## Everything, real containers included where the machine can run them (under 12 minutes)
	@scripts/install-system containers || true
	@.venv/bin/pytest -n 2 -m 'not containers' 
	@.venv/bin/pytest -m containers || [ $$? -eq 5 ]

bench: install ## The figures of docs/performance.md
	@$(PYTHON) -m bench

clean: ## Removes .venv and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
