# make lab    the explorer in JupyterLab, from nothing but Python 3.11 or later
# make quick  ruff, mypy and the quick tests: a first answer in minutes
# make test   everything that is tested, in the same environment
#
# Variables: PYTHON=…  the interpreter that makes .venv;  PIP_ARGS=…  more words for pip install;
#            LAB_ARGS=…  more words for JupyterLab;  PYTEST_ARGS=…  more words for pytest;
#            WORKERS=2  processes that run the tests

VENV     := .venv
BIN      := $(VENV)/bin
INSTALL   = $(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) -c constraints.txt

# The machine's own python3 where it is new enough, else a newer one beside it.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then command -v $$python; break; fi; done)

# In a container one is often root, and JupyterLab then wants to be asked twice.
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)

WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install lab quick test lint format chromium postgresql clean

help:
	@echo 'make lab     open the explorer in JupyterLab (installs it into $(VENV) the first time)'
	@echo 'make quick   ruff, mypy and the quick tests, in $(WORKERS) processes: a first answer'
	@echo 'make test    ruff, mypy and every test, notebooks and browser included'
	@echo 'make lint    ruff and mypy only'
	@echo 'make format  let ruff arrange the code'
	@echo 'make clean   remove $(VENV) and everything that was built'

install: $(VENV)/.lab

lab: $(VENV)/.lab
	$(BIN)/gdws-explorer lab $(AS_ROOT) $(LAB_ARGS)

# The tests start a hundred processes, and each would compile the package again.
quick test: export PYTHONDONTWRITEBYTECODE =

# The checks that need no test first, so that a wrong line is known after a minute.
# pytest last: its summary line ends the output.
quick: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m 'not slow and not browser' \
	  $(PYTEST_ARGS)

# A process runs whole files, so that what their tests share is made once, and one of them all
# browser tests at the end: tests/conftest.py makes the groups. pytest's summary is the last line.
test: lint chromium postgresql
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The stamps stand for the installed packages: a changed requirement installs again.
$(VENV)/.lab: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[lab,onnx,vision]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[all,dev]'
	@touch $(VENV)/.lab $@

# A venv that fails half-way leaves a python without pip behind: it is removed again.
$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
	  echo "No Python 3.11 or later was found (python3 is $$(python3 -V 2>&1))." >&2; \
	  echo "Install one, or name it: make lab PYTHON=/path/to/python3.12" >&2; exit 1; fi
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) cannot create virtual environments." >&2; \
	  echo "On Debian and Ubuntu: apt-get install python3-venv, then make again." >&2; exit 1; }

chromium:
	@if command -v chromium >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  apt-get update -q && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium; \
	else \
	  echo "chromium is missing: the browser tests will be skipped (failed under CI=true)."; \
	  echo "Install it with: sudo apt-get install chromium"; fi

# Debian keeps the server's programs off the PATH; the tests start one of their own.
postgresql:
	@if command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; \
	then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  apt-get update -q && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql; \
	else \
	  echo "PostgreSQL is missing: its tests will be skipped (failed under CI=true)."; \
	  echo "Install it with: sudo apt-get install postgresql"; fi

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	rm -rf tests/browser/pictures
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
