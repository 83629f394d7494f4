# Every target sets up what it needs: Python >= 3.11 with venv is all that must be there.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help run test test-fast test-next image-test proxy-test faults fuzz scan check format bench bench-million soak messages lock sbom screenshots clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

$(VENV)/run.stamp: requirements/run.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; set PYTHON=...")'
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --require-hashes -r requirements/run.txt
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	$(PY) -m pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/messages.stamp: $(VENV)/run.stamp $(wildcard onboarding/locale/*/LC_MESSAGES/django.po)
	@$(PY) -m babel.messages.frontend --quiet compile -d onboarding/locale -D django
	@touch $@

run: $(VENV)/run.stamp $(VENV)/messages.stamp ## start everything for a first look
	@exec $(PY) manage.py demo

test: $(VENV)/dev.stamp $(VENV)/messages.stamp ## every test
	$(PY) -m tests.run

test-fast: $(VENV)/dev.stamp $(VENV)/messages.stamp ## unit and contract tests only
	$(PY) -m tests.run unit contract

test-next: ## unit tests on Python 3.13 and the next Django, where that Python is there
	@sh tests/next.sh

image-test: $(VENV)/dev.stamp $(VENV)/messages.stamp ## the image, without rights, walked through in a browser (needs docker, or buildah and runc)
	$(PY) -m tests.image

proxy-test: $(VENV)/dev.stamp $(VENV)/messages.stamp ## deploy/nginx.conf in front of two servers (needs nginx)
	$(PY) -m tests.proxy

FUZZ ?= 5000
fuzz: $(VENV)/dev.stamp $(VENV)/messages.stamp ## other random requests to every address each time; FUZZ=5000 of them
	FUZZ=$(FUZZ) $(PY) -m pytest --timeout 0 tests/web/test_fuzz.py

.venv-scan/stamp: requirements/scan.txt
	$(PYTHON) -m venv --clear .venv-scan
	.venv-scan/bin/python -m pip install --quiet --require-hashes -r requirements/scan.txt
	@touch $@

scan: $(VENV)/dev.stamp $(VENV)/messages.stamp .venv-scan/stamp ## a black-box scanner over the front end (five minutes)
	$(PY) -m tests.scan

check: $(VENV)/dev.stamp $(VENV)/messages.stamp ## lint, format, types, imports, translations, migrations, deploy settings, known weaknesses
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	DEBUG=true $(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo
	$(PY) -m tests.messages
	$(PY) -m tests.deploy_check
	$(PY) -m tests.audit

format: $(VENV)/dev.stamp ## put the code into the one format
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

faults: $(VENV)/dev.stamp $(VENV)/messages.stamp ## break the way to the upstream under 20,000 customers (a quarter of an hour)
	$(PY) -m tests.faults --flows 10000

.venv-bench/stamp: requirements/bench.txt
	$(PYTHON) -m venv --clear .venv-bench
	.venv-bench/bin/python -m pip install --quiet --require-hashes -r requirements/bench.txt
	@touch $@

ONLY ?=
bench: $(VENV)/dev.stamp $(VENV)/messages.stamp .venv-bench/stamp ## benchmarks, each beside its floor in the same run; ONLY="calls pages phone registration hanging"
	$(PY) -m tests.load.bench $(ONLY)

bench-million: $(VENV)/dev.stamp ## the console over a million flows in PostgreSQL (six minutes)
	$(PY) -m tests.load.million

FLOWS ?= 100000
soak: $(VENV)/dev.stamp $(VENV)/messages.stamp ## FLOWS=100000 customers over real HTTP, time compressed: bounded database and memory, exact counts (an hour or two)
	$(PY) -m tests.load.soak $(FLOWS)

messages: $(VENV)/dev.stamp ## collect texts into the catalogues and compile them
	$(PY) -m tests.messages --update
	@$(PY) -m babel.messages.frontend --quiet compile -d onboarding/locale -D django

screenshots: $(VENV)/dev.stamp $(VENV)/messages.stamp ## renew the pictures of README and docs
	$(PY) -m tests.browser.screenshots --readme

lock: ## renew the lock files (needs uv)
	requirements/lock.sh

sbom: $(VENV)/dev.stamp ## var/sbom.json: what is inside, with versions and licences (CycloneDX)
	@rm -rf .venv-sbom && $(PYTHON) -m venv --without-pip .venv-sbom && mkdir -p var
	$(PY) -m pip --python .venv-sbom/bin/python install --quiet --require-hashes -r requirements/run.txt
	$(VENV)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o var/sbom.json .venv-sbom/bin/python
	@rm -rf .venv-sbom

clean: ## remove everything that the targets made
	rm -rf .venv .venv-next .venv-scan .venv-bench .venv-sbom var staticfiles
