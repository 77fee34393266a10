# make help lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PLUGINS := telemetry output last-output best-output
RULES := climb energy handicap history sprint
EVIL := evil/scorer evil/validator evil/aggregator evil/migration evil/wasi evil/wrong-scorer evil/wrong-validator evil/wrong-aggregator
ALLEYCAT := examples/alleycat/paceline.toml
# Backtraces slow wasmtime's errors down, and tests look at messages, not at traces.
unexport RUST_BACKTRACE

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 26

.PHONY: setup
setup: rust ## Install what is missing: a C compiler, Rust, a WebAssembly standard library
	@scripts/wasm-toolchain

.PHONY: rust
rust:
	@scripts/setup

.PHONY: race
race: PACELINE := target/quick/paceline
race: rust ## Simulate a flat race and a climb with 1,000 racers and broken and repeated messages, run them, show both results
	@# What the plugins need is installed while the program is built.
	@scripts/wasm-toolchain & toolchain=$$!; \
	    cargo build --profile quick -p paceline --no-default-features; built=$$?; \
	    wait $$toolchain && exit $$built
	@$(MAKE) --no-print-directory plugins PACELINE=$(PACELINE) RULES= EVIL=
	@rm -rf target/race && mkdir -p target/race
	$(PACELINE) rules apply examples/alleycat/rulebooks --config $(ALLEYCAT)
	@set -e; for class in 3 5; do \
	    $(PACELINE) simulate --racers 1000 --seconds 300 --class $$class --race 5403307 --seed 1 \
	        --key random --errors 1 --duplicates 1 >> target/race/messages.ndjson; \
	done
	$(PACELINE) run --config $(ALLEYCAT)
	@echo "Class 3, flat, race 5403307:"
	@$(PACELINE) leaderboard --config $(ALLEYCAT) --class 3 --race 5403307 --limit 5
	@echo "Class 5, a climb with the same rides, where resistance counts one and a half times:"
	@$(PACELINE) leaderboard --config $(ALLEYCAT) --class 5 --race 5403307 --limit 5

PACELINE ?= target/debug/paceline
# The images' name and tag; the KCL's image has -kcl after the name.
IMAGE ?= paceline
IMAGE_TAG ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
RUST := $(shell sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)

.PHONY: plugins
plugins: setup ## Build the plugins as components into target/plugins
	@[ -x $(PACELINE) ] || cargo build --workspace --bins
	@mkdir -p target/plugins
	@set -e; for plugin in $(PLUGINS:%=plugins/%) $(RULES:%=examples/rules/%) $(EVIL:%=plugins/%); do \
	    $(PACELINE) plugin build $$plugin --out target/plugins; \
	done

.PHONY: check
check: setup ## Check format and lints, and run the unit tests that need no server
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	scripts/nextest run --workspace --lib --bins

.PHONY: lint
lint: setup ## Check format, lints, dependencies, spelling, templates and workflows
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo fmt --check --all --manifest-path host/bench/peers/Cargo.toml
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p paceline --no-default-features -- -D warnings
	scripts/cargo-deny check --deny warnings licenses bans sources
	scripts/typos
	scripts/cfn-lint examples/alleycat/template.yaml
	scripts/hadolint examples/alleycat/Dockerfile
	scripts/workflow-lint

.PHONY: test
test: setup ## Set up and run every test and check
	@# What the tests start is downloaded while they are built.
	@scripts/test-tools & tools=$$!; \
	    { $(MAKE) --no-print-directory lint && cargo build --workspace --all-targets; }; built=$$?; \
	    wait $$tools && exit $$built
	@$(MAKE) --no-print-directory plugins
	PACELINE_TEST_CHROMIUM=$$(scripts/chromium) PACELINE_TEST_OCI=$$(scripts/oci-registry) \
	    PACELINE_TEST_VALGRIND=$$(scripts/valgrind) PACELINE_TEST_STRICT=1 \
	    scripts/local-aws scripts/nextest run --workspace
	cargo test --doc --workspace
	@$(MAKE) --no-print-directory package
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

.PHONY: package
package: setup ## Check the SDK's packages, as they would be published
	CARGO_TARGET_DIR=target/package-check cargo package -p paceline-plugin -p paceline-plugin-macros --allow-dirty

.PHONY: test-kcl
test-kcl: setup ## Test with Amazon's MultiLangDaemon, real: minutes, most of which it takes to start
	cargo build --workspace --all-targets
	@$(MAKE) --no-print-directory plugins
	PACELINE_TEST_STRICT=1 PACELINE_TEST_KCL=$$(scripts/kcl) scripts/local-aws scripts/nextest run --workspace --profile kcl

.PHONY: test-authors
test-authors: setup ## Test what plugin authors do in Rust, JavaScript and Python, with the real tools of npm and pip: minutes
	cargo build --workspace --all-targets
	@$(MAKE) --no-print-directory plugins
	PACELINE_TEST_STRICT=1 PACELINE_TEST_AUTHORS=$$(scripts/author-tools) scripts/nextest run --workspace --profile authors

.PHONY: lambda
lambda: setup ## Build the Lambda function's package for this machine's architecture: target/lambda/paceline.zip
	# Each by itself: the function gets none of the features that only the command line needs.
	cargo build --release -p paceline-lambda
	cargo build --release -p paceline
	@$(MAKE) --no-print-directory plugins PACELINE=target/release/paceline
	scripts/lambda-package target/release/bootstrap target/release/paceline

.PHONY: dist
dist: ## Build a release's packages for this machine's architecture into target/dist; TAG=v1.2.3 checks version and notes
	@[ -z "$(TAG)" ] || scripts/release-notes "$(TAG)" >/dev/null
	@$(MAKE) --no-print-directory lambda
	scripts/dist

.PHONY: images
images: ## Build the container images with Docker: IMAGE for a whole stream, IMAGE-kcl for Amazon's KCL
	docker build -f examples/alleycat/Dockerfile --build-arg RUST=$(RUST) --target run -t $(IMAGE):$(IMAGE_TAG) .
	docker build -f examples/alleycat/Dockerfile --build-arg RUST=$(RUST) --target kcl -t $(IMAGE)-kcl:$(IMAGE_TAG) .

.PHONY: push-images
push-images: images ## Build the container images and push them to their registry
	docker push $(IMAGE):$(IMAGE_TAG)
	docker push $(IMAGE)-kcl:$(IMAGE_TAG)

SEEDS ?= 10000
.PHONY: simulate
simulate: setup ## Run SEEDS seeds of the simulation, which compares hosts under faults with a model
	cargo build --release --workspace --bins
	@$(MAKE) --no-print-directory plugins PACELINE=target/release/paceline
	target/release/paceline torture --seeds $(SEEDS)
	target/release/paceline torture --seeds $$(($(SEEDS) / 10)) --tier sdk

# Only DynamoDB Local runs beside these. Nobody answers at the addresses of the other servers.
NOBODY := http://127.0.0.1:9
ON_DYNAMODB := PACELINE_TEST_KINESIS=$(NOBODY) PACELINE_TEST_S3=$(NOBODY) PACELINE_TEST_MOTO=$(NOBODY) scripts/local-aws
TROUBLESHOOTING := $(ON_DYNAMODB) target/debug/troubleshooting

.PHONY: troubleshooting-parts
troubleshooting-parts: setup
	cargo build --workspace --bins
	@$(MAKE) --no-print-directory plugins RULES= EVIL=

.PHONY: troubleshooting
troubleshooting: troubleshooting-parts ## Run the article on troubleshooting on this machine: its race, what the doctor says, what each remedy changes
	@$(TROUBLESHOOTING) article

.PHONY: plan-check
plan-check: troubleshooting-parts ## Compare what paceline plan predicts with what is measured on this machine
	@$(TROUBLESHOOTING) plan

FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: setup ## Run each fuzzer of the formats that come from outside for FUZZ_SECONDS
	FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz

.PHONY: soak
soak: setup ## Many seeds of faults, kills and repeats with longer races: hours; PACELINE_SOAK_SEEDS says how many
	cargo build --workspace --all-targets
	@$(MAKE) --no-print-directory plugins
	PACELINE_SOAK_SEEDS=$${PACELINE_SOAK_SEEDS:-100} scripts/local-aws \
	    scripts/nextest run --workspace --profile soak \
	    -E 'package(paceline-lambda) and test(/^faults::/) or package(paceline) and test(/^stream::faults::/)'

.PHONY: bench
bench: setup ## Run the benchmarks: a table on screen, and target/bench/summary.json
	cargo build --release --workspace --bins
	@$(MAKE) --no-print-directory plugins PACELINE=target/release/paceline
	PACELINE_TEST_AUTHORS=$$(scripts/author-tools --without-cargo-component) scripts/local-aws target/release/paceline-bench

.PHONY: bench-scale
bench-scale: setup ## Measure how cost grows with shards, racers, race types, plugins and aggregates: target/bench/scale.json
	cargo build --release --workspace --bins
	@$(MAKE) --no-print-directory plugins PACELINE=target/release/paceline RULES= EVIL=
	target/release/paceline-bench scale

.PHONY: bench-instructions
bench-instructions: setup ## Count instructions a record by Valgrind, and write them into host/bench/instructions.toml
	# As make test builds: with the features that the whole workspace needs.
	cargo build --workspace --bins
	@$(MAKE) --no-print-directory plugins RULES= EVIL=
	PACELINE_TEST_VALGRIND=$$(scripts/valgrind) target/debug/paceline-bench instructions --accept

.PHONY: bench-peers
bench-peers: setup ## The same rule by paceline, Extism, Fluvio, Arrow UDF, a list of records, and node: a long build the first time
	@$(MAKE) --no-print-directory plugins RULES= EVIL=
	host/bench/peers/build-guests target/peers-guests
	cargo build --release --locked --manifest-path host/bench/peers/Cargo.toml --target-dir target/peers
	target/peers/release/paceline-bench-peers $(PACELINE)

.PHONY: clean
clean: ## Remove everything that was built
	cargo clean
