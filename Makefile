# Everything that is done with this repository has a name here; `make` lists them.

SHELL       := /bin/sh
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help

GO      ?= go
TOOL    := $(GO) tool -modfile=tools/go.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# How long `make demo` runs, such as 30s; empty is until it is interrupted.
FOR ?=
# How long each target of `make fuzz` runs.
FUZZTIME ?= 1m
# How long the tests of one package may take. The slowest run real servers.
TESTTIME ?= 15m
# What `make bench` measures, and how often, for benchstat.
BENCH ?= .
COUNT ?= 6
# Flags of `make bench-fleet`, such as "-apps 100 -compare 100"; -help lists them.
ARGS ?=

# What `make sim` plays: that many days of so many hours, or the one with SEED.
SEED  ?=
SEEDS ?= 200
HOURS ?= 24

# How much of the recorded load `make elasticity` plays.
DAYS ?= 21

PROGRAMS := fly-autoscaler flysim

.PHONY: help
help: ## list these targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: $(PROGRAMS:%=bin/%) ## build bin/fly-autoscaler and bin/flysim

# go build decides itself whether anything has to be done.
.PHONY: $(PROGRAMS:%=bin/%)
$(PROGRAMS:%=bin/%): bin/%:
	$(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o $@ ./cmd/$*

.PHONY: test
test: test-deps ## install the servers that tests need, then run all tests with the race detector
	$(GO) test -race -timeout $(TESTTIME) ./...

.PHONY: test-deps
test-deps:
	@scripts/test-deps

.PHONY: check
check: fmt-check lint vet generated test vuln ## everything a change must pass

.PHONY: fmt
fmt: ## format the code
	$(TOOL) golangci-lint fmt

.PHONY: fmt-check
fmt-check:
	$(TOOL) golangci-lint fmt --diff

.PHONY: lint
lint: ## run the linters
	$(TOOL) golangci-lint run

.PHONY: vet
vet:
	$(GO) vet ./...

.PHONY: generated
generated:
	@scripts/check-generated

.PHONY: vuln
vuln:
	@scripts/check-vulnerabilities

.PHONY: bench
bench: ## run the benchmarks (BENCH=pattern COUNT=n); compare two outputs with benchstat
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./...

.PHONY: benchstat
benchstat: ## compare two outputs of make bench (OLD=file NEW=file)
	$(TOOL) benchstat $(OLD) $(NEW)

.PHONY: bench-fleet
bench-fleet: build ## measure fleets of 100 to 10,000 simulated apps, in fifteen minutes (ARGS=flags)
	$(GO) run ./test/benchfleet -bin bin $(ARGS)

.PHONY: sim
sim: ## live through random days in virtual time (SEEDS=200 HOURS=24); SEED=n replays one and tells all of it
	$(GO) test -c -o bin/sim.test ./test/simulate
	bin/sim.test -test.timeout 24h -test.run '^TestSim$$' -sim.hours $(HOURS) $(if $(SEED),-sim.first $(SEED) -sim.seeds 1 -test.v,-sim.seeds $(SEEDS))

.PHONY: elasticity
elasticity: ## play three weeks of a recorded queue and of web sites: waits, killed jobs, costs (DAYS=21)
	$(GO) test -c -o bin/elasticity.test ./test/elasticity
	bin/elasticity.test -test.timeout 1h -days $(DAYS)

.PHONY: fuzz
fuzz: ## run every fuzz target (FUZZTIME=1m each)
	@FUZZTIME='$(FUZZTIME)' scripts/fuzz

.PHONY: demo
demo: build ## try everything on a simulated platform, without an account (FOR=30s ends it)
	bin/fly-autoscaler demo $(if $(FOR),-for $(FOR))

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
