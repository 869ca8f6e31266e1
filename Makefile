# make train | reproduce | test | slow | check | lint | runtime | clean
# make train PYTHON=python3.12
# Everything runs in .venv, which is made on first use and made anew when pyproject.toml,
# constraints.txt or PYTHON changes. Training needs no more; what tests and builds gets
# into it when it is asked for. `make runtime` builds the wheels of runtime/ into dist/;
# tests have the x86-64 one in .venv, anew whenever runtime/ has changed.

VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check install
STAMP := $(VENV)/.complete
TOOLS := $(VENV)/.tools
WORKDIR ?= runs/digits
RUNTIME := $(shell find runtime -type f ! -path 'runtime/tests/*' ! -name '*.pyc')
RUNTIME_VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' \
  runtime/r2b_runtime/__init__.py)
# Which files there are: one that is taken away leaves nothing newer than the wheel.
RUNTIME_LIST := dist/.sources-$(firstword $(shell echo '$(sort $(RUNTIME))' | cksum))
RUNTIME_WHEEL := dist/r2b_runtime-$(RUNTIME_VERSION)-py3-none-manylinux_2_17_
RUNTIME_STAMP := $(VENV)/.runtime

# Tests share what they make, and `check` is one after the other.
.NOTPARALLEL:
.PHONY: train reproduce test slow check lint runtime clean FORCE

train: $(STAMP)
	$(RUN) -m r2b_keras.train --recipe=digits --stage=3 --workdir=$(WORKDIR)

reproduce: $(RUNTIME_STAMP)
	$(RUN) -m r2b_keras.reproduce --quick

# Two processes with one thread each: the tests' networks are too small for more.
TEST := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
  $(RUN) -m pytest -n $(or $(WORKERS),2) --dist worksteal

# The quick tests, and the others: `check` is everything.
test: $(RUNTIME_STAMP)
	$(TEST) --timeout 300 -m "not slow"

slow: $(RUNTIME_STAMP)
	$(TEST) --timeout 1200 -m slow

check: test lint slow

lint: $(TOOLS)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	find runtime -name '*.[ch]' -o -name '*.cc' | xargs $(VENV)/bin/clang-format -n -Werror

runtime: $(RUNTIME_WHEEL)x86_64.whl $(RUNTIME_WHEEL)aarch64.whl $(RUNTIME_STAMP)
	@ls -l dist

$(RUNTIME_LIST):
	@mkdir -p dist && rm -f dist/.sources-* && touch $@

$(RUNTIME_WHEEL)%.whl: $(RUNTIME) $(RUNTIME_LIST) $(TOOLS)
	runtime/build_wheel $* dist $(RUN)
	touch $@

$(RUNTIME_STAMP): $(RUNTIME_WHEEL)x86_64.whl
	$(PIP) --no-deps --force-reinstall $<
	touch $@

# What is made again in minutes: other folders of build/ may hold hours of a study.
clean:
	rm -rf $(VENV) dist build/runtime build/tests .mypy_cache .pytest_cache .ruff_cache

ifneq ($(PYTHON),)
ifneq ($(PYTHON),$(shell cat $(STAMP) 2>/dev/null))
$(STAMP): FORCE
endif
endif

$(TOOLS): $(STAMP)
	$(PIP) -c constraints.txt --no-build-isolation -e '.[test]'
	touch $@

# The stamp is written last: an installation that was cut off starts again. Most modules
# are never imported: Python compiles those that are. One dependency, promise, comes as
# source only, which setuptools builds.
$(STAMP): pyproject.toml constraints.txt
	@chosen=$$(.ci/choose_python $(PYTHON)) || exit; \
	echo "Making $(VENV) with $$chosen: a download of about 0.7 GB, 3 GB on disk."; \
	rm -rf build/runtime && \
	$$chosen -m venv --clear $(VENV) && \
	$(PIP) -c constraints.txt hatchling setuptools wheel && \
	$(PIP) --no-compile -c constraints.txt --no-build-isolation -e . && \
	echo "$$chosen" > $(STAMP)
