# Seeing Sound: `make help` lists what can be made. Everything made lies in .venv and _build.

SCALE ?= quick
CORES ?= 2
BIN := .venv/bin
READY := .venv/ready
# the first Python that is new enough
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; \
	done)

.DEFAULT_GOAL := help
.PHONY: help install media book test lab bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(READY) ## the environment in .venv, with the tested versions (about 5 GB with torch)

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none was found" >&2; exit 1; }
	@echo "installing into .venv with $(PYTHON) (minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "a virtual environment could not be made; on Debian: apt install python3-venv" >&2; \
		exit 1; }
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[all]'
	@touch $@

media: $(READY) ## the photographs and recordings that some sections use, where apt is there
	@$(BIN)/python -m book.pipeline media \
		|| echo "the book goes on without them; the sections that use them say so"

book: media ## execute every chapter and build _build/html (SCALE=smoke|quick|full, CORES=2)
	@$(BIN)/python -m book.pipeline --scale $(SCALE) build --cores $(CORES)

test: $(READY) ## style, types, units, every chapter at smoke scale, the pages in a browser
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

lab: $(READY) ## JupyterLab in the folder of the chapters
	$(BIN)/jupyter lab --notebook-dir notebooks

bench: $(READY) ## measured speed and quality beside their targets
	@$(BIN)/avcore bench

clean: ## remove all that was built; .venv stays
	rm -rf _build .snakemake *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find avcore book tests -name __pycache__ -type d -prune -exec rm -rf {} +
