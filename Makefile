# streamd: everything a checkout needs, each step done once and again only when what it is made from has changed.
#
# What is made stays inside the checkout: .venv, streamd/web/node_modules, streamd/web/dist, data.

PYTHON ?= python3
ARGS ?=
# Tests mostly wait for pictures, so three files at a time; those of real processes first, for they take longest.
BESIDE ?= --numprocesses 3 --dist loadfile --no-loadscope-reorder

VENV := .venv
BIN := $(VENV)/bin
WEB := streamd/web
WEB_SOURCES := $(shell find $(WEB)/src $(WEB)/public $(WEB)/index.html $(WEB)/package.json $(WEB)/tsconfig.json \
	$(WEB)/vite.config.ts -type f 2>/dev/null)

# Where it is set, each of the hundred servers that the tests start would compile all of streamd anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test check bench web clean

help: ## what there is
	@echo 'make TARGET, with TARGET one of'
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'Python is PYTHON ($(PYTHON)); settings are STREAMD_* variables: make run STREAMD_HTTP_PORT=8090'

run: $(VENV)/.runtime $(WEB)/dist/index.html ## a running server with a demo on air; ARGS="--no-programme" is passed on
	@exec $(BIN)/streamd serve --demo $(ARGS)

test: $(VENV)/.development $(WEB)/dist/index.html ## lint, types and all tests, with the real services and players they use
	@.ci/tools
	@$(MAKE) --no-print-directory check
	cd $(WEB) && npm test
	$(BIN)/python -m pytest $(BESIDE) $(ARGS)

check: $(VENV)/.development $(WEB)/node_modules/.package-lock.json ## lint and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd $(WEB) && npm run check

bench: $(VENV)/.development ## the comparisons with other servers; rewrites loadtest/RESULTS.md
	@.ci/tools
	$(BIN)/python -m loadtest all

web: $(WEB)/dist/index.html ## the front end, built to streamd/web/dist

clean: ## remove everything that was made, except data
	rm -rf $(VENV) $(WEB)/node_modules $(WEB)/dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Two sets of packages in one environment: what runs the server, and what tests it on top.
$(VENV)/.runtime: requirements.lock pyproject.toml
	@.ci/install-python "$(PYTHON)" $(VENV) requirements.lock
	@touch $@

$(VENV)/.development: requirements-dev.lock pyproject.toml
	@.ci/install-python "$(PYTHON)" $(VENV) requirements-dev.lock
	@touch $(VENV)/.runtime $@

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json $(WEB)/package.json
	@.ci/need-node
	cd $(WEB) && npm ci --ignore-scripts
	@touch $@

# Compressed once here and not by the server at every request; small files are not worth the second name.
$(WEB)/dist/index.html: $(WEB)/node_modules/.package-lock.json $(WEB_SOURCES)
	@.ci/need-node
	cd $(WEB) && npm run build
	@find $(WEB)/dist/assets -type f -size +1k \( -name '*.js' -o -name '*.css' -o -name '*.svg' \) -exec gzip -9 -k -f {} +
	@touch $@
