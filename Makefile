# The workbook in a few words. `make run` and `make test` set up everything they need.
PYTHON  ?= $(shell command -v python3.11 || command -v python3)
PROFILE ?= classroom
BIN     := .venv/bin

.PHONY: help run resume test bench flash-bench lab doctor notebooks lint clean

help:  ## these lines
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 14

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

run: .venv/installed  ## execute the whole workbook (PROFILE=smoke, classroom or full; NOTEBOOKS="05 07" only those)
	$(BIN)/workbook run $(NOTEBOOKS) --profile $(PROFILE)

resume: .venv/installed  ## run what the last run left: never reached, stopped or failed
	$(BIN)/workbook run $(NOTEBOOKS) --profile $(PROFILE) --resume

test: .venv/installed  ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

bench: .venv/installed  ## measure the workbook's own code against the plain way (build/bench.json)
	$(BIN)/python tests/benchmarks/benchmark_report.py

flash-bench: .venv/installed  ## hold the attention back ends against each other, on a GPU
	$(BIN)/python tests/benchmarks/flash_bench.py

lab: .venv/installed  ## open JupyterLab at the first notebook
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb

doctor: .venv/installed  ## what this machine has, and what to do about what it lacks
	$(BIN)/workbook doctor

notebooks: .venv/installed  ## run, and put the outputs into the committed notebooks
	$(BIN)/workbook run --update

lint: .venv/installed  ## format, then look for mistakes
	$(BIN)/ruff format
	$(BIN)/ruff check

clean:  ## take away the environment and the results of runs
	rm -rf .venv build
