# Everything a developer types. `make help` explains each target.
SHELL := /bin/bash
UV_VERSION := 0.13.8
CACHE := $(or $(TRAWLER_CACHE),$(HOME)/.cache/trawler)
UV := $(CACHE)/uv-$(UV_VERSION)/bin/uv
export UV_PYTHON_DOWNLOADS := never
# Hundreds of processes of ours start in `make test`: without compiled modules each costs 3 s more.
unexport PYTHONDONTWRITEBYTECODE

# Behind a TLS-inspecting proxy the host's certificates are the ones that work.
CA := $(firstword $(wildcard $(SSL_CERT_FILE) /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt))
ifneq ($(CA),)
export SSL_CERT_FILE := $(CA)
export PIP_CERT := $(CA)
endif

.PHONY: help setup demo test lint format up down status env bench churn soak crds literals images prepare texts pictures modules check
DOCS := README.md CONTRIBUTING.md CHANGELOG.md docs
.DEFAULT_GOAL := help

help: ## Show this list.
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | while IFS=$$'\t' read -r t d; do printf '  make %-8s %s\n' "$$t" "$$d"; done

$(UV):
	@command -v python3 >/dev/null || { echo "Python 3.11 or later is needed; install python3 and python3-venv."; exit 2; }
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; python3 is older."; exit 2; }
	@echo "Installing uv $(UV_VERSION) into $(CACHE)"
	@python3 -m venv $(CACHE)/uv-$(UV_VERSION) || { echo "python3 -m venv failed; on Debian install python3-venv."; exit 2; }
	@$(CACHE)/uv-$(UV_VERSION)/bin/pip install -q --disable-pip-version-check uv==$(UV_VERSION)

setup: $(UV) ## Install the locked Python environment into .venv.
	@$(UV) sync -q --locked

demo: setup ## One /download in a Discord in a box to the file in the channel, on a real cluster, from nothing; it stays up.
	@$(UV) run -q trawler-cluster demo

test: prepare ## Run every test shelf (unit, contract, integration, chart, e2e).
	@$(UV) run -q pytest -n 4 --dist worksteal tests/unit tests/contract tests/chart tests/integration
	@$(UV) run -q pytest --e2e -n 2 --dist loadfile --no-loadscope-reorder tests/e2e

check: setup ## Run the unit tests of one area: make check AREA=bot.
	@$(UV) run -q pytest -q -n 2 tests/unit/$(or $(AREA),bot)

prepare: setup ## Install packages, build the cluster's programs and all images (the slow part of `test`).
	@$(UV) run -q trawler-cluster prepare

lint: setup ## Ruff, mypy, import contracts, the lock and generated files.
	@$(UV) run -q ruff format --check .
	@$(UV) run -q ruff check .
	@$(UV) run -q mypy
	@$(UV) run -q lint-imports
	@$(UV) run -q mdformat --check $(DOCS)
	@$(UV) lock -q --check
	@$(UV) run -q pytest -q tests/contract/test_documents.py
	@$(UV) run -q pytest -q tests/contract -k current

format: setup ## Format code and docs, and mend what Ruff can mend.
	@$(UV) run -q ruff format .
	@$(UV) run -q ruff check --fix .
	@$(UV) run -q mdformat $(DOCS)

up: setup ## Start (or mend) the local cluster; INTERNET=1 lets pods out.
	@$(UV) run -q trawler-cluster up $(if $(INTERNET),--internet)

down: setup ## Remove the local cluster and all it left.
	@$(UV) run -q trawler-cluster down

status: setup ## Show how each part of the local cluster is.
	@$(UV) run -q trawler-cluster status

env: setup ## Settings for a shell: eval "$(make -s env)".
	@$(UV) run -q trawler-cluster env

images: setup ## Build the images and give them to the running cluster.
	@$(UV) run -q trawler-cluster images

bench: setup ## Measure against the bars of docs/bench.md; exits 1 when one is missed.
	@PYTHONPATH=tests/support $(UV) run -q python bench/main.py

churn: prepare ## Make, cancel and delete 50 MediaJobs a second for five minutes while leaders change; each must end once.
	@PYTHONPATH=tests/support $(UV) run -q python bench/churn.py

soak: setup ## An hour of half the load while every part is killed now and then; nothing may be lost, done twice, or grow.
	@PYTHONPATH=tests/support $(UV) run -q python bench/soak.py

literals: setup ## Read what each of yt-dlp's patterns needs (after its version changed).
	@$(UV) run -q python -m trawler_worker.fetcher.engines.extractor_literals

crds: setup ## Generate CRDs and the chart's schema from the models.
	@$(UV) run -q python -m trawler_crds.schema crds charts/trawler/files/crds charts/trawler/values.schema.json docs/sidecar.schema.json

texts: setup ## Write docs/texts.md: every sentence of the bot in every language.
	@$(UV) run -q python -m trawler_bot.presentation.texts_page docs/texts.md
	@$(UV) run -q mdformat docs/texts.md

modules: setup ## Write docs/modules.md: every module, with what it is for.
	@$(UV) run -q python docs/modules.py
	@$(UV) run -q mdformat docs/modules.md

pictures: setup ## Take README's picture and animation anew, from the page of a demo that is up.
	@$(UV) run -q python docs/pictures.py
