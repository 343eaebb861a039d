# make tour   from nothing to a report on a third of the embedded data set: two of its six emotions
# make demo   the same on all of it
# make test   the whole suite, linters included
# make bench  speed against its floors (writes nothing; figures to keep go to docs/benchmarks.md)
#
# torch and xgboost bring OpenMP runtimes that clash, so tests of the network run in a process of their own.
#
# Each sets up .venv with the pinned dependencies first, once. PYTHON names another interpreter (3.11 or later).

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: tour demo test lint bench clean-venv

tour: .venv/installed
	@mkdir -p data
	@grep -E '^video_id|happiness|surprise' config/samples.tsv > data/tour.tsv
	@snakemake --quiet rules --config samples=data/tour.tsv
	@echo "The report is at $(CURDIR)/results/report/index.html"

demo: .venv/installed
	@snakemake --quiet rules
	@echo "The report is at $(CURDIR)/results/report/index.html"

test: .venv/installed-dev lint
	@pytest tests/network
	@pytest --ignore tests/network -n 2 --dist loadfile

lint: .venv/installed-dev
	@ruff check .
	@ruff format --check .
	@snakefmt --check Snakefile workflow
	@mypy
	@snakemake --lint

bench: .venv/installed-dev
	@for script in benchmarks/*.py; do python $$script || exit 1; done

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "fakeemo needs Python 3.11 or later; name one: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.lock requirements-slurm.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock -r requirements-slurm.lock
	@touch $@

clean-venv:
	rm -rf .venv
