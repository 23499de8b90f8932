# make, without a target, tells what there is.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The build tag of the tests that need more than Go: a browser, strace, Node.
# TESTFLAGS adds to go test, as in: make test TESTFLAGS='-run Floors'
TAGS := e2e
TESTFLAGS ?=
FUZZTIME ?= 20s

.PHONY: help
help: ## what you are reading
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: test
test: need lint ## everything that must hold: formatting, vet, staticcheck, all tests with the race detector
	go test -race -timeout 15m -tags $(TAGS) $(TESTFLAGS) ./...
	$(MAKE) -C bench test

.PHONY: test-faults
test-faults: need ## nodes, databases, disks, clocks and networks that break, for ten minutes; needs root
	go test -count=1 -timeout 25m -tags faults -v $(TESTFLAGS) ./internal/faults

.PHONY: need
need: ## what the tests need on this machine, installed where it is missing
	@scripts/need.sh

.PHONY: lint
lint: ## formatting, vet and staticcheck alone
	@unformatted=$$(go tool gofumpt -l .); \
	if [ -n "$$unformatted" ]; then \
		printf 'These files are not formatted; run make fmt:\n%s\n' "$$unformatted"; exit 1; \
	fi
	go vet -tags '$(TAGS) faults' ./...
	go tool staticcheck -tags '$(TAGS) faults' ./...

.PHONY: fmt
fmt: ## format the Go files
	go tool gofumpt -w .

.PHONY: build
build: ## bin/jeton, one static binary
	CGO_ENABLED=0 go build -trimpath -o bin/jeton ./cmd/jeton

.PHONY: dev
dev: ## the issuer, a demo API and a demo web app on this machine
	go run ./cmd/jeton dev

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (20s)
	@scripts/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## what it costs, beside the limit of this machine
	$(MAKE) -C bench

.PHONY: bench-pg
bench-pg: ## the same of nodes on PostgreSQL, beside the limit of its commits
	$(MAKE) -C bench pg
