# Everything a developer or CI does, as one word each. `make` is all of it.
# Nothing needs to be installed by hand but cargo, python3 (3.9 or newer) and make.

SHELL := /bin/bash
.DEFAULT_GOAL := all
.PHONY: all help build demo test test-rust test-python test-fuzz lint format bench wheels clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TARGET := $(or $(CARGO_TARGET_DIR),target)
CARGO_FLAGS := --release --locked
FUZZ_SECONDS ?= 5

all: format lint test  ## all that CI does: format, lint, test

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements-dev.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

build: $(VENV)/.installed  ## the Python package and the two programs, into .venv
	cargo build $(CARGO_FLAGS) -p distlogd --bins
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop $(CARGO_FLAGS) --quiet
	install -m 755 $(TARGET)/release/distlogd $(TARGET)/release/distlog $(BIN)/

demo: build  ## start the daemon, run examples/shop, show the tail and the failed tree
	$(BIN)/python examples/demo.py

test: build test-rust test-python test-fuzz  ## every test: Rust, Python, end to end, a few seconds of fuzzing

test-rust: $(VENV)/.installed
	cargo test $(CARGO_FLAGS) -p distlog -p distlog-store -p distlogd
	cargo test $(CARGO_FLAGS) -p distlog-transport --all-features

test-python: build
	cargo build $(CARGO_FLAGS) -p distlog-transport --all-features --examples
	$(BIN)/python -m pytest -q tests

test-fuzz:
	fuzz/run.sh $(FUZZ_SECONDS)

lint: build  ## clippy, rustfmt, ruff, mypy: complaints are errors
	cargo fmt --all --check
	@# No interpreter is asked: it may be 3.9, and the default is 3.10 and later.
	PYO3_NO_PYTHON=1 PYO3_BUILD_EXTENSION_MODULE=1 cargo clippy $(CARGO_FLAGS) --workspace --all-targets -- -D warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed  ## rustfmt, ruff and docs/api.md, in place
	cargo fmt --all
	$(BIN)/python tests/client/api_page.py
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --quiet . || true

bench: build  ## figures against peers, side by side; writes bench/RESULTS.md
	$(BIN)/python bench/run.py

wheels: $(VENV)/.installed  ## the wheels and the source distribution, looked into, installed and tried (two minutes)
	$(BIN)/python tests/wheels/check.py

clean:  ## what was built
	rm -rf $(TARGET) fuzz/target $(VENV)
