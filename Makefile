# make demo           the whole study in miniature: minutes on a laptop, report in results/demo/report.html
# make test           the tests; as root on Debian or Ubuntu it also installs SLURM and Chromium and runs the tests that need them
# make test-slurm     the tests on SLURM alone, among them those that take minutes; and the demo against the truth
# make lint           formatting, lint, types, import layers
# make docs           the documentation as a site in docs/_build/html; a broken link is an error
# make architecture   the picture of docs/architecture.md, drawn from the code
# All of them first set up their own environment in .venv; they need only Python 3.11 or newer, pip and make.

PYTHON ?= python3
CORES ?= 2
# Two more than two cores, since the tests on clusters mostly wait.
TESTERS ?= 4
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)

.PHONY: demo test test-slurm lint docs architecture linkcheck clean
.DELETE_ON_ERROR:

$(VENV)/ready: pyproject.toml envs/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("error: emudrift needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + "; try: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv --clear $(VENV)
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check \
		--constraint envs/constraints.txt --editable '.[dev]'
	@touch $@

demo: $(VENV)/ready
	"$(BIN)/python" demo/run.py --cores $(CORES)

test: $(VENV)/ready
	tests/slurm/install.sh
	tests/browser/install.sh
	"$(BIN)/python" -m pytest --numprocesses $(TESTERS) --no-loadscope-reorder -m "not slow"

test-slurm: $(VENV)/ready
	tests/slurm/install.sh
	"$(BIN)/python" -m pytest tests/slurm tests/demo/test_demo_truth.py

lint: $(VENV)/ready
	"$(BIN)/ruff" format --check .
	"$(BIN)/ruff" check .
	"$(BIN)/snakefmt" --check Snakefile rules
	"$(BIN)/snakemake" --lint
	"$(BIN)/mypy"
	"$(BIN)/lint-imports" --no-cache

docs: $(VENV)/ready
	"$(BIN)/sphinx-build" -W --keep-going -q -c docs -b html . docs/_build/html

# A test compares the committed picture with what the code gives.
architecture: $(VENV)/ready
	"$(BIN)/python" docs/draw_architecture.py

# Checks every external link. Needs a network, so it is not part of .ci/run.
linkcheck: $(VENV)/ready
	"$(BIN)/sphinx-build" -q -c docs -b linkcheck . docs/_build/linkcheck

clean:
	rm -rf $(VENV) docs/_build .snakemake .pytest_cache .mypy_cache .ruff_cache
