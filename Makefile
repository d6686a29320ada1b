# The two commands: `make quickstart` trains the main job and names its picture; `make test` is what CI runs.
PYTHON ?= python3
VENV := .venv
RUN := runs/quickstart

.PHONY: quickstart test format benchmark
.DELETE_ON_ERROR:

quickstart: $(VENV)/installed
	$(VENV)/bin/python launch.py --config=configs/quickstart.py --mode=prepare
	$(VENV)/bin/python launch.py --config=configs/quickstart.py --workdir=$(RUN) --mode=train
	$(VENV)/bin/python launch.py --workdir=$(RUN) --mode=evaluate
	@ls $(RUN)/samples/*.png | tail -n 1

test: $(VENV)/installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/python -m pytest -n 2 --dist loadgroup

format: $(VENV)/installed-test
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# Against PyTorch and ONNX Runtime, in an environment of its own; half an hour of two CPU cores.
benchmark: .venv-benchmark/installed
	.venv-benchmark/bin/python -m benchmarks.compare --output=benchmarks/results.json

.venv-benchmark/installed: requirements.txt benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-benchmark
	.venv-benchmark/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	touch $@

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/installed-test: requirements.txt requirements-test.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-test.txt
	touch $@ $(VENV)/installed
