# make train | test | check | lint | runtime | clean      make train PYTHON=python3.12
# Everything runs in .venv, which is made on first use and made anew when pyproject.toml,
# constraints.txt or PYTHON changes. `make runtime` builds the wheels of runtime/ into
# dist/; the x86-64 one gets into .venv whenever runtime/ has changed.

VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.complete
WORKDIR ?= runs/digits
PYTHONS := $(or $(PYTHON),python3.11 python3.12 python3.10 python3)

# Interpreters are tried by running them: version managers leave names behind that only
# print an error. The first prints its version, and fails unless it is a right one.
RIGHT_VERSION := import sys; print("is " + sys.version.split()[0]); \
  sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))
WITH_VENV := import ensurepip, venv

RUNTIME := $(shell find runtime -type f ! -path 'runtime/tests/*' ! -name '*.pyc')
RUNTIME_VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' \
  runtime/r2b_runtime/__init__.py)
RUNTIME_WHEEL := dist/r2b_runtime-$(RUNTIME_VERSION)-py3-none-manylinux_2_17_
RUNTIME_STAMP := $(VENV)/.runtime

.PHONY: train test slow check lint runtime clean FORCE

train: $(STAMP) $(RUNTIME_STAMP)
	$(RUN) -m r2b_keras.train --recipe=digits --stage=3 --workdir=$(WORKDIR)

# Two processes with one thread each: the tests' networks are too small for more.
TEST := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
  $(RUN) -m pytest -n $(or $(WORKERS),2) --dist worksteal

# The quick tests, and the others: `check` is everything.
test: $(STAMP) $(RUNTIME_STAMP)
	$(TEST) --timeout 300 -m "not slow"

slow: $(STAMP) $(RUNTIME_STAMP)
	$(TEST) --timeout 1200 -m slow

check: test lint slow

lint: $(STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

runtime: $(RUNTIME_WHEEL)x86_64.whl $(RUNTIME_WHEEL)aarch64.whl
	@ls -l $^

$(RUNTIME_WHEEL)%.whl: $(RUNTIME) $(STAMP)
	runtime/build_wheel $* dist $(RUN)
	touch $@

$(RUNTIME_STAMP): $(RUNTIME_WHEEL)x86_64.whl
	$(RUN) -m pip --disable-pip-version-check install --no-deps --force-reinstall $<
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache

ifneq ($(PYTHON),)
ifneq ($(PYTHON),$(shell cat $(STAMP) 2>/dev/null))
$(STAMP): FORCE
endif
endif

# The stamp is written last: an installation that was cut off starts again.
$(STAMP): pyproject.toml constraints.txt
	@chosen=; without_venv=; tried=; \
	for python in $(PYTHONS); do \
	  if ! version=$$($$python -c '$(RIGHT_VERSION)' 2>/dev/null); then \
	    tried="$$tried, $$python $${version:-does not run}"; \
	  elif ! $$python -c '$(WITH_VENV)' 2>/dev/null; then \
	    without_venv=$${without_venv:-$$python}; \
	  else \
	    chosen=$$python; break; \
	  fi; \
	done; \
	if [ -z "$$chosen" ] && [ -n "$$without_venv" ]; then \
	  echo "$$without_venv cannot make virtual environments: install its venv module" \
	    "(on Debian and Ubuntu: apt-get install $${without_venv##*/}-venv), or name" \
	    "another Python with make PYTHON=..." >&2; exit 1; \
	elif [ -z "$$chosen" ]; then \
	  echo "r2b_keras needs Python 3.10, 3.11 or 3.12, and found none ($${tried#, }):" \
	    "install one, or name it with make PYTHON=..." >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$chosen: a download of about 0.7 GB, 3 GB on disk."; \
	rm -rf build/runtime && \
	$$chosen -m venv --clear $(VENV) && \
	$(RUN) -m pip --disable-pip-version-check install -c constraints.txt wheel hatchling \
	  scikit-build-core ziglang cmake ninja && \
	$(RUN) -m pip --disable-pip-version-check install -c constraints.txt \
	  --no-build-isolation -e '.[test]' && \
	echo "$$chosen" > $(STAMP)
