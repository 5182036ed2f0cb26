# The commands of the project. `make help` lists them.

MAKEFLAGS += --no-print-directory
SETUP := python3 tools/setup.py
BUILT := target/wasm32-wasip1/filter/meshwright_filters.wasm
MODULE := target/meshwright_filters.wasm

.PHONY: help setup build module test-filters demo test test-matrix lint bench bench-ca bench-host bench-replay bench-xds clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: ## install what is missing: the wasm32-wasip1 target, Zig and Node for the tests' filters, Envoy (ENVOY=path or ENVOY_VERSION=1.36.4 to choose)
	@$(SETUP)

module: setup
	@cargo $$($(SETUP) --print cargo-args 2>/dev/null) build --target wasm32-wasip1 --profile filter -p meshwright-filters
	@cargo run -q -p meshwright-strip -- $(BUILT) $(MODULE)

test-filters: setup ## the tests' own filters in Rust, C and AssemblyScript, into target/test-filters
	@python3 tools/test-filters.py $(CURDIR)/target/test-filters

build: module ## target/release/meshwright, with meshwright_filters.wasm beside it
	@cargo build --release -p meshwright
	@cp $(MODULE) target/release/meshwright_filters.wasm
	@ls -lh target/release/meshwright target/release/meshwright_filters.wasm | awk '{print $$5 "  " $$NF}'

demo: build ## run the bookshop mesh and check every step (KEEP=1 leaves it running)
	@ENVOY="$$($(SETUP) --print envoy 2>/dev/null)" target/release/meshwright demo $(if $(KEEP),--keep)

test: module test-filters ## every test: unit, filters in the host, end to end with the real Envoy (ENVOY_VERSION=1.36.4 for another one)
	@cargo build -p meshwright
	@ENVOY="$$($(SETUP) --print envoy 2>/dev/null)" \
	 MESHWRIGHT_BIN="$(CURDIR)/target/debug/meshwright" \
	 MESHWRIGHT_FILTERS_WASM="$(CURDIR)/$(MODULE)" \
	 MESHWRIGHT_TEST_FILTERS="$(CURDIR)/target/test-filters" \
	 cargo test --workspace --no-fail-fast

test-matrix: module ## the end-to-end tests with every Envoy from 1.36.4 to 1.40.0; docs/support.md shows the result (VERSIONS="1.36.4 1.40.0" for some, ONLY=custom,jwks for some test files)
	@cargo build -p meshwright
	@MESHWRIGHT_BIN="$(CURDIR)/target/debug/meshwright" MESHWRIGHT_FILTERS_WASM="$(CURDIR)/$(MODULE)" \
	 python3 tools/test-matrix.py $(VERSIONS) $(if $(ONLY),--only $(ONLY))

lint: ## formatting, clippy with warnings denied, the repository's own rules
	@cargo fmt --all --check
	@cargo test -p meshwright-tidy
	@cargo clippy --workspace --all-targets -- -D warnings

bench: build ## requests per second, CPU per request, latency: our filter beside Envoy's own; writes docs/benchmarks.md (CASE=name for one, QUICK=1 for a look)
	@ENVOY="$$($(SETUP) --print envoy 2>/dev/null)" MESHWRIGHT_FILTERS_WASM="$(CURDIR)/$(MODULE)" cargo run --release -p meshwright-bench -- $(if $(CASE),--case $(CASE)) $(if $(QUICK),--quick)

bench-ca: ## certificates: CPU per signature and renewal, latency, with 10 000 identities that rotate within a minute; writes docs/identity-benchmarks.md
	@cargo bench -p meshwright-ca --bench rotation

bench-host: module ## the filter host: isolated runs, module loads, scenarios a second; writes docs/host-benchmarks.md (CASE=name for one)
	@MESHWRIGHT_FILTERS_WASM="$(CURDIR)/$(MODULE)" cargo bench -p meshwright-filter-test --bench host -- $(if $(CASE),--case $(CASE))

bench-xds: build ## the control plane under the workloads W1 to W7: CPU, memory, bytes, convergence; writes docs/benchmarks-xds.md (CASE=w2 for one, QUICK=1 for a look)
	@MESHWRIGHT_BIN="$(CURDIR)/target/release/meshwright" MESHWRIGHT_FILTERS_WASM="$(CURDIR)/$(MODULE)" \
	 cargo run --release -p meshwright-xds-load --bin bench-xds -- $(if $(CASE),--case $(CASE)) $(if $(QUICK),--quick)

bench-replay: ## records a second, processor time and memory of `meshwright replay` for a million records
	@cargo bench -p meshwright-replay

clean: ## remove build output (keeps .tools)
	@cargo clean
