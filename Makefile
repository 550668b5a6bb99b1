# Everything that a person or CI does with this project. What a target needs it installs under .cache/;
# Debian packages only where they are missing.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory
.PHONY: help demo demo-down server server-down test lint sanity unit molecule vm build docs clean

CORES := 2.18 2.19
BIN := .cache/venv-2.19/bin
NAME ?= server
DISTRO ?= bookworm
SCENARIO ?=
TESTBED := python3 tools/testbed

help: ## Explain the targets
	@printf 'groundcrew.django: from a bare Debian server to a production Django site.\n\n'
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: build ## Boot a bare server, make it a live HTTPS site with the example project, and say what to try next
	@$(BIN)/python tools/demo.py up

demo-down: ## Remove what `make demo` started
	@python3 tools/demo.py down

server: ## Boot a bare test server [NAME=server] [DISTRO=bookworm|trixie]; prints the path of its inventory
	@$(TESTBED) up $(NAME) --distro $(DISTRO)

server-down: ## Remove a test server [NAME=server]
	@$(TESTBED) down $(NAME)

test: lint sanity unit molecule ## Run everything that CI runs; `make vm` takes longer still

lint: .cache/venv-2.19/.ready ## Check style and types: ansible-lint, yamllint, ruff, mypy
	@$(BIN)/python tools/checks.py lint

sanity: build $(CORES:%=.cache/venv-%/.ready) ## Run ansible-test sanity on each supported ansible-core
	@$(BIN)/python tools/checks.py sanity $(CORES)

unit: $(CORES:%=.cache/venv-%/.ready) ## Run the unit tests on each supported ansible-core
	@$(BIN)/python tools/checks.py unit $(CORES)

molecule: build ## Run the scenarios on real servers, side by side [SCENARIO=name]
	@$(BIN)/python tools/scenarios.py $(SCENARIO)

vm: build ## See on an emulated machine what a container cannot show; takes an hour and a half [DISTRO=bookworm|trixie]
	@DISTRO=$(DISTRO) $(BIN)/python tools/scenarios.py machine

build: .cache/collections/.ready ## Build the collection and install it under .cache/collections

docs: .cache/venv-2.19/.ready ## Write the pages that are generated from the argument specs
	@$(BIN)/python tools/docs.py

clean: ## Remove every test server of this project, and .cache/
	@if command -v docker >/dev/null; then $(TESTBED) clean; fi
	@rm -rf .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache .ansible

.cache/venv-%/.ready: tools/requirements/%.txt tools/requirements/uv.txt
	@python3 tools/venv.py $*

# Folders too, because a removed file changes only its folder; absolute, because docs is a target as well.
SHIPPED := $(wildcard *.md) galaxy.yml LICENSE changelogs docs meta playbooks plugins roles inventories
SOURCES := $(shell find $(SHIPPED:%=$(CURDIR)/%) -not -path '*/__pycache__*' -not -path '* *' 2>/dev/null)

.cache/collections/.ready: .cache/venv-2.19/.ready $(SOURCES)
	@$(BIN)/ansible-galaxy collection build --force --output-path .cache/build >/dev/null
	@# Offline: the dependencies have to be in the package "ansible" in the versions that galaxy.yml asks for.
	@ANSIBLE_COLLECTIONS_PATH=.cache/collections $(BIN)/ansible-galaxy collection install --force --offline \
		--collections-path .cache/collections .cache/build/groundcrew-django-*.tar.gz >/dev/null
	@touch $@
