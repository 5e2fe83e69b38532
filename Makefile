# make demo: install, then new -> run 5 folds -> submit on the embedded digits.   make test: install, then all tests.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: install demo test test-all bench lock clean

install: $(INSTALLED)

# pip only brings uv: uv takes the registry's normal builds, and --compile-bytecode saves 10 s at the first import of timm.
$(INSTALLED): requirements.lock setup.cfg pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "comp needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

# A second demo says what exists and goes on with the next free name.
demo: install
	@number=1; name=exp001; \
	while [ -e experiments/$$name ]; do \
		echo "experiments/$$name exists already; going on with the next free name"; \
		number=$$((number + 1)); name=$$(printf 'exp%03d' $$number); \
	done; \
	set -ex; \
	$(BIN)/comp new $$name; \
	$(BIN)/comp run $$name --folds 5; \
	$(BIN)/comp submit $$name

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"

test-all: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

bench: install
	$(BIN)/python -m benchmarks

lock: $(INSTALLED)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra archives --extra dicom --extra lightgbm --extra mlflow \
		--extra ray --extra tensorboard --extra test --extra wandb --no-annotate --no-header --no-emit-index-url setup.cfg --output-file requirements.lock

clean:
	rm -rf .venv build dist *.egg-info
