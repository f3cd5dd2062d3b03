# Every target installs what it needs: none has to be run before another.

PYTHON ?= python3
# Extra flags for pip. Without a GPU, PyTorch's small CPU wheels save 2 GB on Linux:
#   make install PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_FLAGS ?=
# Test processes side by side; each loads TensorFlow by itself. 0 runs all tests in one process.
WORKERS ?= 2
# A file's tests stay together: what they share, a Spark session or a fit, is made once.
# More flags for pytest, e.g. make test PYTEST_FLAGS="-k cli"
PYTEST_FLAGS ?=

VENV := .venv
EXTRAS := pyro,numpyro,onnx,litert,mlflow,tensorboard,dask,spark,remote,docs,bench,test
BASE := $(VENV)/.installed-base
ALL := $(VENV)/.installed-all
PACKAGING := setup.cfg pyproject.toml constraints.txt

# TensorFlow's notices about this machine's processor are no news to anyone
RUN := TF_CPP_MIN_LOG_LEVEL=2 MPLBACKEND=Agg $(VENV)/bin/python
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install $(PIP_FLAGS) --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all lint format notebooks bench docs clean
.DELETE_ON_ERROR:
# All targets share one environment: two pips in it at once would break it, also under make -j
.NOTPARALLEL:

help:
	@echo "make demo      install the base packages, train two models, draw their pictures"
	@echo "make install   install every extra into $(VENV)"
	@echo "make test      run the tests, the slow ones left out"
	@echo "make test-all  run all tests"
	@echo "make lint      ruff and mypy"
	@echo "make format    let ruff put the sources in order"
	@echo "make notebooks run notebooks/*.py and write them anew, with what they print and draw"
	@echo "make bench     run the benchmarks"
	@echo "make docs      build the pages into site/; a warning is an error"
	@echo "make clean     delete caches, builds, pages, figures and benchmark results (not $(VENV), not saved_models)"

install: $(ALL)

demo: $(BASE)
	$(RUN) -m tfgmm.common.quiet training/three_clusters.py
	$(RUN) -m tfgmm.common.quiet training/old_faithful.py
	@echo
	@echo "The pictures are in training/figures/, the exported models in saved_models/."

test: $(ALL)
	$(RUN) -m pytest -n $(WORKERS) --dist loadfile -m "not slow" $(PYTEST_FLAGS)

test-all: $(ALL)
	$(RUN) -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_FLAGS)

lint: $(ALL)
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m mypy

format: $(ALL)
	$(VENV)/bin/python -m ruff check --fix .
	$(VENV)/bin/python -m ruff format .

notebooks: $(ALL)
	$(RUN) training/notebooks.py

bench: $(ALL)
	@for script in benchmarks/bench_*.py; do \
		test -f "$$script" || { echo "benchmarks/ holds no bench_*.py"; exit 1; }; \
		echo "== $$script"; \
		$(RUN) "$$script" || exit 1; \
	done

# Material's notice about the next mkdocs is no warning of ours
docs: $(ALL)
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict
	@echo "The pages are in site/: open site/index.html in a browser."

clean:
	rm -rf build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis training/figures benchmarks/results
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is older than the packaging files after they changed: then pip runs again. The stamp of all
# extras renews the base's too, so that `demo` after `install` finds everything in place.
$(BASE): $(PACKAGING) | $(VENV)/bin/python
	@echo "Installing tfgmm and its base packages into $(VENV) (3 GB on the disk, a few minutes) ..."
	$(PIP) --editable .
	@touch $(BASE)

$(ALL): $(PACKAGING) | $(VENV)/bin/python
	@echo "Installing tfgmm and every extra into $(VENV) (4 GB on the disk, more with CUDA; a few minutes) ..."
	$(PIP) --editable ".[$(EXTRAS)]"
	@touch $(BASE) $(ALL)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "tfgmm needs Python 3.11, 3.12 or 3.13. Received: PYTHON=$(PYTHON), which is $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another one, e.g. make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; \
		exit 1; \
	}
	@$(PYTHON) -m venv $(VENV) || { \
		rm -rf $(VENV); \
		echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
		exit 1; \
	}
