# podbottle: `make help` lists the targets.

# The tags of Podman's remote client; without them it needs C libraries. .golangci.yml repeats them.
TAGS := remote,containers_image_openpgp,exclude_graphdriver_btrfs
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)
PREFIX ?= /usr/local
DESTDIR ?=

# Arguments for the test binary of test/e2e, such as E2E_ARGS='-test.run TestStart'.
E2E_ARGS ?=
# The binary of the pinned pipelock; without it the tests of the real one are left out, and say so.
PIPELOCK_BIN ?=
# How many bottles `make soak` starts and removes.
CYCLES ?= 500
# The fuzz targets of `make fuzz`, a regular expression, and how long it runs each.
FUZZ ?= .
FUZZTIME ?= 1s

GO := CGO_ENABLED=0 go
BUILD := $(GO) build -trimpath -buildvcs=false -tags $(TAGS) -ldflags '$(LDFLAGS)'
TOOL := $(GO) tool -modfile=tools/go.mod
TESTHOST := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=PATH )hack/testhost
SCRIPTS = $(shell grep -rlE '^\#!/(usr/bin/env |bin/)(ba)?sh' .ci hack $(wildcard contrib images))

# Flags of ours come from here only.
unexport GOFLAGS

.DEFAULT_GOAL := build
.NOTPARALLEL:

.PHONY: build
build: ## build bin/podbottle and bin/podbottle-sidecar
	$(BUILD) -o bin/ ./cmd/podbottle ./cmd/podbottle-sidecar

.PHONY: test
test: lint unit fuzz e2e e2e-reboot ## lint, unit tests, a short fuzz and end-to-end tests: all that must pass

.PHONY: unit
unit: ## run the unit tests and the tests of the command line, with the race detector
	hack/packages gcc gcc,libc6-dev
	hack/packages /usr/sbin/sshd openssh-server
	hack/packages dbus-daemon dbus-daemon
	CGO_ENABLED=1 go test -race -timeout 40m -tags $(TAGS) ./...

.PHONY: e2e
e2e: build bin/broken bin/e2e.test ## run the end-to-end tests on the real Podman of the test host
	$(if $(PIPELOCK_BIN),install -m 0755 $(PIPELOCK_BIN) bin/pipelock)
	$(TESTHOST) up
	$(TESTHOST) exec -- env $(if $(PIPELOCK_BIN),PIPELOCK_BIN=/src/bin/pipelock) \
		/src/bin/e2e.test -test.v -test.timeout 30m $(E2E_ARGS) </dev/null

# The programs with which the tests break bottles, to see that podbottle verify finds it out.
.PHONY: bin/broken
bin/broken:
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags $(TAGS),breakage -ldflags '$(LDFLAGS)' -o bin/broken/ ./cmd/podbottle ./cmd/podbottle-sidecar

.PHONY: bin/e2e.test
bin/e2e.test:
	$(GO) test -c -trimpath -buildvcs=false -tags $(TAGS),e2e -o $@ ./test/e2e

.PHONY: e2e-reboot
e2e-reboot: build ## show that bottles outlive a reboot of the test host
	$(GO) test -c -trimpath -buildvcs=false -tags $(TAGS),e2e,reboot -o bin/reboot.test ./test/e2e
	$(TESTHOST) up
	$(TESTHOST) exec -- /src/bin/reboot.test -test.v -test.run '^TestBeforeReboot$$' </dev/null
	$(TESTHOST) reboot
	$(TESTHOST) exec -- /src/bin/reboot.test -test.v -test.run '^TestAfterReboot$$' </dev/null

.PHONY: demo
demo: build ## start a bottle and show, step by step, what it can and cannot do
	$(BUILD) -o bin/demo ./hack/demo
	$(TESTHOST) up
	$(TESTHOST) exec -- /src/bin/demo </dev/null

.PHONY: bench
bench: build ## compare start with its floor and with the podman command line, in the test host
	$(BUILD) -o bin/bench ./hack/bench
	$(TESTHOST) up
	$(TESTHOST) exec -- /src/bin/bench </dev/null

.PHONY: bench-egress
bench-egress: build ## compare egress with mitmproxy and with a direct connection
	hack/packages mitmdump mitmproxy
	$(BUILD) -o bin/bench-egress ./hack/bench-egress
	bin/bench-egress

.PHONY: reliability
reliability: build bin/e2e.test ## kill every process of a bottle at every step; prints the tables of docs/reliability.md
	$(TESTHOST) up
	$(TESTHOST) exec -- /src/bin/e2e.test -test.v -test.timeout 2h -test.run '^TestKill' -matrix </dev/null

.PHONY: bench-git
bench-git: build ## compare git through git-gate with git over ssh, in the test host
	$(BUILD) -o bin/bench-git ./hack/bench-git
	$(TESTHOST) up
	$(TESTHOST) exec -- /src/bin/bench-git </dev/null

.PHONY: soak
soak: build ## start and remove bottles by the hundred, and 20 at once, in the test host; look for what is left and how large one is
	$(GO) test -c -trimpath -buildvcs=false -tags $(TAGS),e2e,soak -o bin/soak.test ./test/e2e
	$(TESTHOST) up
	$(TESTHOST) exec -- /src/bin/soak.test -test.v -test.timeout 4h -test.run '^TestSoak' -cycles $(CYCLES) </dev/null

.PHONY: fuzz
fuzz: ## run the fuzz targets FUZZ for FUZZTIME each
	CGO_ENABLED=0 hack/fuzz $(TAGS) $(FUZZTIME) '$(FUZZ)'

.PHONY: lint
lint: ## check formatting, code, shell scripts and what the sidecars link
	hack/packages shellcheck shellcheck
	shellcheck $(SCRIPTS)
	$(TOOL) golangci-lint run
	@linked=$$($(GO) list -tags $(TAGS) -deps ./cmd/podbottle-sidecar) || exit; \
	if echo "$$linked" | grep -E 'containers/(podman|common)|podbottle/internal/(manifest|resolve|cli|pod)$$'; then \
		echo 'cmd/podbottle-sidecar links the packages above; it serves inside a bottle and must not'; exit 1; \
	fi

.PHONY: fmt
fmt: ## format the Go code
	$(TOOL) gofumpt -w .

.PHONY: images
images: build ## build the images of the sidecars and the agents with this machine's Podman
	bin/podbottle build

.PHONY: install
install: build ## install the programs and the shell completions under PREFIX (and DESTDIR)
	install -D -m 0755 -t $(DESTDIR)$(PREFIX)/bin bin/podbottle bin/podbottle-sidecar
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	bin/podbottle completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/podbottle
	bin/podbottle completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_podbottle
	bin/podbottle completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/podbottle.fish

.PHONY: sbom
sbom: build ## write what the programs are made of (CycloneDX) and its licences to dist/
	hack/packages jq jq
	mkdir -p dist
	for program in podbottle podbottle-sidecar; do \
		$(TOOL) cyclonedx-gomod bin -json -licenses -std -noserial -version $(VERSION) -output dist/$$program.cdx.json bin/$$program || exit; \
	done
	hack/licences dist/podbottle.cdx.json dist/podbottle-sidecar.cdx.json >dist/licences.tsv

.PHONY: reproducible
reproducible: ## build twice, from nothing, and compare the bytes
	hack/reproducible

.PHONY: release
release: sbom ## make what a release consists of in dist/
	rm -rf dist/root && $(MAKE) install DESTDIR=$(CURDIR)/dist/root PREFIX=/usr/local
	cp README.md SECURITY.md dist/licences.tsv dist/root/
	tar --sort=name --mtime=@$$(git log -1 --format=%ct) --owner=0 --group=0 --numeric-owner -C dist/root -czf dist/podbottle-$(VERSION)-linux-$$(go env GOARCH).tar.gz .
	rm -rf dist/root
	cd dist && sha256sum podbottle-* *.cdx.json licences.tsv >SHA256SUMS

.PHONY: clean
clean: ## remove what was built here (the test host goes with: hack/testhost clean)
	rm -rf bin dist

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
