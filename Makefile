# Two commands: `make demo` to see it work, `make test` to prove it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUTPUT ?= demo
LOWEST := .venv-lowest
STAGES_SECONDS := 420
STAGES = OMP_NUM_THREADS=1 timeout --signal=INT --kill-after=30 $(STAGES_SECONDS) $(BIN)/python -m pytest -n 2 -m stage
TEST_TOOLS := pytest==8.3.4 pytest-timeout==2.3.1 hypothesis==6.123.0
LOWEST_TESTS := tests/core tests/session tests/io --ignore=tests/session/test_features.py --ignore=tests/session/test_stress.py

.PHONY: demo test check page slicer docs gallery tables test-lowest clean

demo: $(VENV)/.core
	$(BIN)/delineate demo --output $(OUTPUT)

test: $(VENV)/.dev check
	$(STAGES) || { [ $$? -eq 124 ] && echo "stages: what had not ended after $(STAGES_SECONDS) s was not run"; }
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not stage"

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell src tests tools docs Makefile *.md *.toml

# The browser page in the package, built from web/: needs node.
page:
	cd web && npm ci --no-audit --no-fund && npm run build

# An environment with 3D Slicer's core (1 GB), and the Slicer module's tests in it.
slicer: $(VENV)/.dev
	$(PYTHON) -m venv build/slicer
	build/slicer/bin/python -m pip install --quiet --disable-pip-version-check slicer-core==5.13.31053.0
	$(BIN)/python -m pytest tests/slicer

# The site, in build/site; a warning is an error. `make test` builds it, too.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The pictures of docs/gallery, made anew by their commands: a minute.
gallery: $(VENV)/.dev
	$(BIN)/python tools/gallery.py

# The tables of the pages on quality and speed, and of the model card, measured anew: needs the labelled data and some minutes.
tables: $(VENV)/.dev
	$(BIN)/python tools/tables.py

$(VENV)/bin/python:
	$(PYTHON) -c "import sys; sys.exit('Python 3.11 or newer is needed; say which: make PYTHON=python3.12') if sys.version_info < (3, 11) else None"
	$(PYTHON) -m venv $(VENV)

# the core, and the server for `delineate open`
$(VENV)/.core: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[server]"
	touch $@

# torch first and by itself, so that the pin decides which build is taken
$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' constraints.txt)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

# The core with the lowest versions that pyproject.toml allows, in an environment of its own.
test-lowest: $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST) --resolution lowest-direct -e . $(TEST_TOOLS)
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -q $(LOWEST_TESTS)

clean:
	rm -rf $(VENV) $(LOWEST) demo build dist
