# Which commands exist? `make help` lists them; each hands over to Swift's own tools. Nothing needs root but the
# installation of Debian packages that are missing.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

SWIFT ?= swift
# One file that needs nothing of Swift at run time; what it never calls is left out.
RELEASE := --configuration release --static-swift-stdlib -Xlinker --gc-sections
STATIC_RELEASE := --configuration release --scratch-path .build-static \
	-Xswiftc -static-executable -Xlinker --gc-sections -Xlinker -s
ifdef STATIC
    PROGRAM := .build-static/release/hdproxy
else
    PROGRAM := .build/release/hdproxy
endif

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: build ## run the proxy with four backends of its own on 127.0.0.1:8080; Ctrl-C stops
	@$(PROGRAM) demo

.PHONY: test
test: setup-test ## run all tests
	@SWIFT='$(SWIFT)' .ci/test

.PHONY: test-asan test-tsan
test-asan: setup-test ## run tests under the address sanitizer
	@SWIFT='$(SWIFT)' .ci/test-sanitized address
test-tsan: setup-test ## run tests under the thread sanitizer
	@SWIFT='$(SWIFT)' .ci/test-sanitized thread

.PHONY: fuzz
fuzz: setup-test ## look for inputs that break something; SECONDS=600 in all, TARGET=one of them, REPLAY=a finding
	@SWIFT='$(SWIFT)' .ci/fuzz $(if $(REPLAY),replay $(TARGET) $(REPLAY),run $(or $(SECONDS),60) $(TARGET))

.PHONY: build
build: setup-build ## the release program with Swift inside; STATIC=1: one file that needs nothing of the system
	$(SWIFT) build $(if $(STATIC),$(STATIC_RELEASE),$(RELEASE)) --product hdproxy
	@stat --printf 'Built %n, %s bytes.\n' $(PROGRAM)

.PHONY: bench
bench: setup-bench build ## compare with nginx and HAProxy; ARGS='micro' or other arguments for hdproxy-bench
	$(SWIFT) build $(RELEASE) --product hdproxy-bench
	@.build/release/hdproxy-bench $(or $(ARGS),compare)

.PHONY: allocations
allocations: setup-test build ## malloc, retain and release a request, counted by callgrind
	@.ci/count-allocations $(PROGRAM)
	@.ci/count-allocations --tls $(PROGRAM)

.PHONY: testssl
testssl: build ## what testssl.sh finds at a listener with TLS, in some four minutes; nothing above LOW
	@.ci/install testssl
	@.ci/testssl $(PROGRAM)

.PHONY: lint
lint: setup-build ## format and warnings: neither may find anything
	$(SWIFT) format lint --strict --recursive --parallel Package.swift Sources Tests Benchmarks
	$(SWIFT) build --build-tests --scratch-path .build-lint -Xswiftc -warnings-as-errors

.PHONY: image
image: ## the container image hdproxy:latest, from scratch, if docker is here
	@command -v docker > /dev/null || { echo 'make image: docker is not here' >&2; exit 1; }
	docker build --tag hdproxy:latest .

.PHONY: clean
clean: ## remove everything that was built
	rm -rf .build .build-static .build-lint .build-fuzz .build-address .build-thread

.PHONY: setup-build setup-test setup-bench
setup-build setup-test setup-bench:
	@.ci/install $(@:setup-%=%)
