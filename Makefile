# make            builds the release binary
# make run        builds and starts every service, data under ./data; Ctrl-C stops it
# make test       every test, then the suites of real clients; ends with `N passed, N failed, N skipped`
# make soak       the long forms of the tests
#
# All of them share one build folder: CARGO_TARGET_DIR if it is set, else one in the user's cache directory.
# ./target links to it, so that plain `cargo` and a second clone use it too.

SHELL := /bin/bash
CACHE := $(or $(MILLSTREAM_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/millstream)
export CARGO_TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CACHE)/target)
# Debug information is for a debugger session, not for every build.
export CARGO_TERM_COLOR := $(if $(CI),never,auto)

.PHONY: build run test soak tools test-tools disk-tools

build: tools
	cargo build --release --locked -p millstream-cli

run: build
	@exec bin/millstream up --data ./data

test: test-tools
	@tests/run.sh

soak: test-tools disk-tools
	@tests/run.sh --soak

tools:
	@bin/install-tools cc:gcc
	@bin/install-tools --optional 'mold:mold|lld'
	@bin/choose-linker
	@mkdir -p "$(CARGO_TARGET_DIR)"
	@[ -e target ] && [ ! -L target ] || ln -sfn "$(CARGO_TARGET_DIR)" target

test-tools: tools
	@bin/install-tools --optional 'javac:openjdk-17-jdk-headless|default-jdk-headless' mvn:maven kcat:kcat \
	  'python3 -m ensurepip --version:python3-venv' node:nodejs npm:npm go:golang \
	  'compgen -G "/usr/lib/llvm-*/lib/libclang-[0-9]*.so*":libclang-dev'

# What the feature `rocksdb` of streams is compiled with: a C++ compiler, and libclang for its bindings.
disk-tools: tools
	@bin/install-tools c++:g++ 'compgen -G "/usr/lib/llvm-*/lib/libclang-[0-9]*.so*":libclang-dev'
