# Everything a fresh machine needs is Python 3.11+, git and make; `make demo` and `make test` do the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Processes that tests are spread over; each computes with one thread.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-all test-slow test-web docs lint check format clean

demo: $(INSTALLED)
	$(BIN)/triptych demo --overwrite

# The whole contract with small sizes; `test-all` adds what takes long.
test: $(INSTALLED)
	$(PYTEST) -m "not slow and not web"

test-slow: $(INSTALLED)
	$(PYTEST) -m "slow and not web"

test-all: test test-slow

# The page in Debian's browser.
test-web: $(INSTALLED)
	command -v chromium >/dev/null || apt-get install --yes --no-install-recommends chromium
	$(BIN)/python -m pytest -m web tests/serve/test_web.py tests/export/test_examples.py tests/reports/test_narrow.py

# The documentation as a site, in build/site.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --config-file website/mkdocs.yml

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
