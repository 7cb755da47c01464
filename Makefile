# The door: `make run` and `make test` set up the machine, build into build/ and do their job.
# The work itself is in CMakeLists.txt and scripts/.

PREFIX := /usr/local

.PHONY: build run check test bench format install clean help

build: ## build library, tool, examples and tests into build/
	@scripts/setup build
	@scripts/build build

run: build ## hash /usr/share with `kin map`, then again while workers are being killed
	@scripts/run-demo /usr/share

check: build ## run the tests of this build, nothing else
	@build/bin/kin-test $$(scripts/list-tests build)

test: ## run everything: layout, both compilers, all tests, sanitizers, installation
	@scripts/test

bench: ## build and run the benchmarks, kin's and its peers'
	@scripts/setup bench
	@scripts/build build -DKIN_BENCH=ON
	@bench/run

format: ## lay out every C file as .clang-format says
	@scripts/setup test
	@scripts/format

install: build ## install under PREFIX (/usr/local)
	@cmake --install build --prefix '$(PREFIX)'

clean: ## remove build/
	@rm -rf build

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10
