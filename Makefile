# make train | test | lint | clean        make train PYTHON=python3.12
# Everything runs in .venv, which is made on first use and made anew when pyproject.toml,
# constraints.txt or PYTHON changes.

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

.PHONY: train test lint clean FORCE

train: $(STAMP)
	$(RUN) -m r2b_keras.train --recipe=digits --stage=3 --workdir=$(WORKDIR)

test: $(STAMP)
	$(RUN) -m pytest

lint: $(STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

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
	$$chosen -m venv --clear $(VENV) && \
	$(RUN) -m pip --disable-pip-version-check install -c constraints.txt wheel hatchling && \
	$(RUN) -m pip --disable-pip-version-check install -c constraints.txt \
	  --no-build-isolation -e '.[test]' && \
	echo "$$chosen" > $(STAMP)
