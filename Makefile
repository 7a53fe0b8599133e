# The two commands are `make demo` and `make test`; each installs what it needs and says what it is doing.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

FAULT ?= bad_config
YES ?=
SEED ?= 1
FOR ?= 3600
JOBS ?= 2
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),$(CURDIR)/target)
BIN := $(TARGET)/debug
PLUGINS := error-ratio search-logs kubernetes-read prometheus probe-endpoint network service-admin kubernetes-change http-admin \
           storage-purge kubernetes-destroy
FAULTS := bad_config memory_leak dependency_down latency error_burst pool_exhausted quota_full stubborn none
comma := ,
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# libclang: the RocksDB binding is generated. The servers: tests and demo run against the real ones.
PACKAGES := g++ libclang-dev prometheus prometheus-alertmanager

say = @printf '\n== %s\n' "$(1)"

.PHONY: help setup build plugins python demo demo-all test crash soak lint bench

help:
	@echo "make demo [FAULT=$(FAULT)] [YES=1]  break the lab and watch Medic deal with it"
	@echo "make demo-all                    every fault, answered with yes"
	@echo "make test                        every test, against a real Prometheus and Alertmanager"
	@echo "make crash [JOBS=$(JOBS)]             dies at every write and sync, over ten thousand points; some half an hour"
	@echo "make soak SEED=1 [FOR=3600]      random deaths and faults for so many seconds"
	@echo "make bench                       figures, each with how it was measured"
	@echo "make lint                        rustfmt and clippy as the project wants them"
	@echo "faults: $(FAULTS)"

setup:
	$(call say,what the build and the servers need)
	@missing=(); for p in $(PACKAGES); do dpkg-query -W -f='$${Status}' "$$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$$p"); done; \
	if [ "$${#missing[@]}" -gt 0 ]; then \
		echo "installing $${missing[*]}"; \
		$(SUDO) apt-get update -qq; \
		DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null; \
	else echo "present: $(PACKAGES)"; fi
	@rustc --print target-libdir --target wasm32-unknown-unknown >/dev/null 2>&1 && \
	 [ -d "$$(rustc --print target-libdir --target wasm32-unknown-unknown)" ] || \
	 { echo "adding the Rust target wasm32-unknown-unknown"; rustup target add wasm32-unknown-unknown || \
	   { echo "cannot add the Rust target wasm32-unknown-unknown: the tools cannot be built without it" >&2; exit 1; }; }

build: setup
	$(call say,building the daemon$(comma) its CLI$(comma) the lab and the demo (the first time takes some ten minutes; later ones seconds))
	cargo build -p medicd -p medic-ctl -p medic-lab -p medic-demo

plugins: setup
	$(call say,building the tools as WebAssembly components)
	cargo build --target wasm32-unknown-unknown --profile guest $(PLUGINS:%=-p plugin-%)
	cargo run -q -p medic-componentize -- $(foreach p,$(PLUGINS),$(TARGET)/wasm32-unknown-unknown/guest/plugin_$(subst -,_,$(p)).wasm) --out $(TARGET)/plugins

# A tool in Python: built and tested where the package registry is reachable, and said so where it is not.
python: setup
	$(call say,a tool written in Python)
	@sdk/python/build.sh sdk/python/queue-age $(TARGET)/python/queue-age.wasm || [ $$? = 3 ]

demo: build plugins
	$(call say,the story of $(FAULT))
	@$(BIN)/medic-demo --fault $(FAULT) $(if $(YES),--yes)

demo-all: build plugins
	@for fault in $(FAULTS); do printf '\n== the story of %s\n' "$$fault"; $(BIN)/medic-demo --fault "$$fault" --yes; done

# One build for programs and tests alike: with --all-targets both get the same features, and nothing is compiled twice.
test: plugins python
	$(call say,building everything$(comma) tests included (the first time takes some ten minutes))
	cargo build --workspace --all-targets
	@if [ -f $(TARGET)/python/queue-age.wasm ]; then $(BIN)/medicd plugin check $(TARGET)/python/queue-age.wasm; fi
	$(call say,the alerts on Medic itself)
	promtool check rules examples/config/medic-alerts.yml
	$(call say,every test)
	cargo test --workspace

# The quick form is part of `make test`. Optimised, because ten thousand daemons are started.
crash: setup
	$(call say,building the crash sweep optimised)
	cargo build --release -p medic-crash
	$(call say,a state model of the protocol)
	cargo test --release -q -p medic-model -- --include-ignored
	$(call say,planted bugs$(comma) each of which must be found)
	$(TARGET)/release/medic-crash mutants --jobs $(JOBS)
	$(call say,every point of every mode)
	$(TARGET)/release/medic-crash sweep --mode all --points all --jobs $(JOBS)

soak: setup
	cargo build --release -p medic-crash
	$(call say,seed $(SEED) for $(FOR) s)
	$(TARGET)/release/medic-crash soak --seed $(SEED) --for $(FOR)

lint: setup
	$(call say,rustfmt and clippy)
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# Optimised: figures of a debug build say nothing. Its first build takes as long as the other.
bench: plugins
	$(call say,building optimised)
	cargo build --release -p medicd -p medic-lab -p medic-store -p medic-tests --bins
	$(call say,the journal beside the raw ceiling of the same run)
	$(TARGET)/release/medic-store-bench
	$(call say,the daemon; this machine only$(comma) this run only)
	$(TARGET)/release/medic-bench
