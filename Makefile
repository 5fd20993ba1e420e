# What a person runs, and what CI runs. `make help` lists it.

SHELL := /bin/bash
JOBS ?= $(shell nproc)
SWIFT_SOURCES := Package.swift Sources Tests Fuzz $(wildcard Benchmarks/*.swift)
BENCH_BUILD := .build/bench
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 300
SOAK_SEED ?= $(shell date +%s)
# What `make test` runs once more, with epoll and more workers: the first run has what is the default here.
EPOLL_TESTS := $(notdir $(wildcard $(addprefix Tests/IntegrationTests/,Protocol/*.swift Pooling/*.swift \
	Workers/*.swift Stress/StressTests.swift)))
space := $(subst ,, )
CC := $(shell command -v clang || command -v cc)
CFLAGS := -O2 -std=gnu11 -Wall -Wextra -Werror

.DEFAULT_GOAL := help
.PHONY: help run build test soak conformance tsan asan fuzz bench bench-quick bench-mallocs bench-tools format lint docs clean
.PHONY: packages-build packages-run packages-test packages-bench packages-conformance

run: packages-run build ## Start a throw-away PostgreSQL and Martlet before it on port 6543 (or DATABASE_URL=... make run)
	@Scripts/run

build: packages-build ## Build the optimised executable: .build/release/martlet
	swift build -c release --product martlet -j $(JOBS)

test: packages-test ## Build everything and run every test against a PostgreSQL that the tests start
	swift build --build-tests -j $(JOBS)
	Scripts/run-tests $(TEST_ARGUMENTS)
ifndef TEST_ARGUMENTS
	MARTLET_TEST_SETTINGS="io_backend=epoll;workers=3" \
		Scripts/run-tests --filter '^IntegrationTests.*/($(subst $(space),|,$(EPOLL_TESTS))):'
endif

soak: packages-test ## The stress and session tests for longer (SOAK_SECONDS=300, SOAK_SEED=a number), each time from another seed
	swift build --build-tests -j $(JOBS)
	MARTLET_SOAK_SECONDS=$(SOAK_SECONDS) MARTLET_SOAK_SEED=$(SOAK_SEED) \
		Scripts/run-tests --filter 'StressTests|SessionDifferentialTests|SessionTenantTests'

conformance: packages-conformance build ## Real drivers and PostgreSQL's tools through Martlet, about five minutes (CONFORMANCE_ARGUMENTS="--only REGEX", ...)
	Tests/Conformance/install-drivers
	python3 Tests/Conformance/run.py $(CONFORMANCE_ARGUMENTS)

tsan: packages-test ## The integration tests under ThreadSanitizer; any report fails
	JOBS=$(JOBS) Scripts/test-sanitized thread $(TEST_ARGUMENTS)

asan: packages-test ## The same under AddressSanitizer
	JOBS=$(JOBS) Scripts/test-sanitized address $(TEST_ARGUMENTS)

fuzz: ## Give the scanner of statements inputs that libFuzzer makes up (FUZZ_SECONDS=60)
	Scripts/fuzz $(FUZZ_SECONDS)

bench: packages-bench build bench-tools ## Martlet beside PgBouncer, about fifteen minutes (BENCH_ARGUMENTS="--quick", "--only REGEX", ...)
	python3 Benchmarks/bench.py $(BENCH_ARGUMENTS)

bench-quick: ## The same in about two minutes, for a first impression
	@$(MAKE) --no-print-directory bench BENCH_ARGUMENTS="--quick $(BENCH_ARGUMENTS)"

bench-mallocs: packages-bench build bench-tools ## Count allocations over 100,000 forwarded transactions; more than 0.01 each fails
	python3 Benchmarks/mallocs.py $(BENCH_ARGUMENTS)

format: ## Format the Swift sources in place
	swift format --in-place --parallel --recursive $(SWIFT_SOURCES)

lint: ## Check the format of the Swift sources; any finding fails
	swift format lint --strict --parallel --recursive $(SWIFT_SOURCES)

docs: packages-build ## Write the generated documents anew: Docs/Settings.md, Docs/Admin.md, Docs/man/martlet.5, pooler.ini.example
	swift build --build-tests -j $(JOBS)
	MARTLET_GENERATE=1 swift test --skip-build --filter 'GeneratedText|AdminDocument'

clean: ## Remove what was built and the throw-away data of earlier runs
	@Scripts/scratch-postgres clean
	rm -rf .build .scratch

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The Debian packages each target needs; only missing ones are installed.
packages-build packages-run packages-test packages-bench packages-conformance:
	@Scripts/install-packages $(@:packages-%=%)

bench-tools: $(addprefix $(BENCH_BUILD)/,canned-server idle-clients load login-storm count-mallocs.so)

$(BENCH_BUILD)/login-storm: LDLIBS := -lssl -lcrypto

$(BENCH_BUILD)/%: Benchmarks/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $< $(LDLIBS)

$(BENCH_BUILD)/%.so: Benchmarks/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fPIC -shared -o $@ $< -ldl
