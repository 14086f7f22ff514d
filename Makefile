# What can be done here. `make` alone lists it.
GO       ?= go
LINT     := bin/golangci-lint
LINT_AT  := v2.15.0
NFPM     := bin/nfpm
NFPM_AT  := v2.44.2
HELM     := bin/helm
HELM_AT  := v3.22.0
VULN     := bin/govulncheck
VULN_AT  := v1.8.0
ACME     := bin/pebble
ACME_AT  := v2.10.1
S3       := bin/versitygw
S3_AT    := v1.8.0
MUTANTS  := bin/gremlins
MUTANTS_AT := v0.6.0
ARGS     ?=
MINUTES  ?= 120
PREVIOUS ?=
OUT       = bin/stocktake
VERSION   = $(shell git describe --tags --always --abbrev=12 --dirty 2>/dev/null || echo devel)
# Nothing of the folder, the environment or the clone may reach the binary: the same sources and Go give the same bytes.
BUILD     = CGO_ENABLED=0 GOFLAGS=-mod=readonly GOAMD64=v1 GOARM64=v8.0 $(GO) build -trimpath -buildvcs=false -ldflags '-X main.stamp=$(VERSION)'
.DEFAULT_GOAL := help
.PHONY: help build demo test test-long lint bench bench-small bench-code bench-scale-out fuzz fuzz-long kill failover chaos soak upgrade crash disk-faults clock mutants scale \
	stock-agent acme-check s3-check tools \
	reproduce sbom vuln packages packages-check image-check helm-check

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/stocktake, one static binary
	$(BUILD) -o $(OUT) ./cmd/stocktake

demo: build ## this machine and a simulated fleet in a running service; ARGS=--once ends by itself
	bin/stocktake demo $(ARGS)

# With the race detector each program waits for a second before it exits, to see races of its last moment: here a
# twentieth of that, for there are some fifty packages.
test: tools ## all tests, race detector on, against the real AWS clients
	GORACE=atexit_sleep_ms=50 $(GO) test -race -vet=off -p 3 -parallel 4 -timeout 20m ./...

test-long: tools ## the tests of which make test takes a part, as a whole: hours; those of faults are in chaos
	$(GO) test ./e2e -run '^Test(CommandLine|KeysDo|Users)' -count 1 -timeout 60m -fresh-cli
	$(GO) test ./e2e -run '^TestMatrix$$' -count 1 -timeout 90m -matrix
	$(GO) test ./e2e -run '^Test(ServersAnswer|WritersOfOneItem|RequestsLeave|Huge|MemoryIs)' -count 1 -timeout 120m -floods
	$(GO) test ./e2e -run '^TestMutated' -count 1 -timeout 60m -mutations 10000
	$(GO) test ./internal/simulate/agent -count 1 -timeout 60m -every
	$(GO) test -race ./internal/store/storetest/stores -run '^TestModel' -count 1 -timeout 60m -seeds 20 -steps 1000
	$(GO) test ./internal/index -run '^Test(Random|Larger|Frozen|Bulk|Damaged|Everything)' -count 1 -timeout 60m -fleets 20
	$(GO) test ./internal/wire -run '^Test(Patterns|EntriesAlike)' -count 1 -timeout 60m -tries 100000
	$(GO) test ./internal/iam/policy -count 1 -timeout 60m -rounds 20000
	$(GO) test ./internal/backup -run '^TestFlippedBit' -count 1 -timeout 60m -every
	$(GO) test ./internal/agent -run '^TestHostileStrings' -count 1 -timeout 60m -hostile
	$(GO) test -race ./internal/store/pebble -run '^Test(LawsOneShard|Upgrade)' -count 1 -timeout 60m -every
	$(GO) test ./internal/store/postgres -run 'CutOffAnywhere' -count 1 -timeout 60m -every
	$(GO) test ./cmd/stocktake -run '^TestMoved' -count 1 -timeout 60m -moved 160

lint: $(LINT) ## what the linters of .golangci.yml find, formatting included
	$(LINT) config verify && $(LINT) fmt --diff && $(LINT) run ./...

bench: build ## measure 2,000 simulated nodes beside JSONB in PostgreSQL and the floors of HTTP; ARGS="--help" for more
	scripts/need postgres
	bin/stocktake bench --json bin/bench.json --html bin/bench.html $(ARGS)

bench-small: build ## a small bench: are all answers right, and does no request allocate more than it may?
	scripts/need postgres
	bin/stocktake bench --nodes 200 --rounds 2 --samples 50 --allocations internal/bench/testdata/allocations.txt $(ARGS)

bench-code: ## every benchmark of the code, long enough to compare (benchstat)
	$(GO) test -run '^$$' -bench . -benchmem -count 6 ./...

bench-scale-out: build ## 20,000 nodes over PostgreSQL, beside JSONB with a GIN index and the embedded store
	scripts/need postgres
	bin/stocktake bench --nodes 20000 --samples 30 --sides embedded,postgres,baseline $(ARGS)

fuzz: ## every fuzz target for 50,000 inputs
	scripts/fuzz 50000x

fuzz-long: ## every fuzz target for ten minutes
	scripts/fuzz 10m

kill: tools ## 200 rounds of kill -9 under eight writers, 100 more over a database
	$(GO) test ./e2e -run '^TestKill(Loses|OverDatabase)' -count 1 -v -timeout 120m -rounds 200

failover: tools ## 60 s of kill -9 of servers and primaries under eight writers
	$(GO) test ./e2e -run '^TestFailOver' -count 1 -v -timeout 20m -failing 60s

chaos: tools ## every test of faults, for two hours, and a table; MINUTES=20, ARGS='kill upgrade' for parts
	scripts/chaos $(MINUTES) $(ARGS)

soak: build ## 10,000 simulated agents for 72 hours: memory, p99 by the hour, errors, a verdict; ARGS='--for 12m' for less
	bin/stocktake bench --agents 10000 --for 72h --json bin/soak.json $(ARGS)

upgrade: tools ## from a former version and back under load; PREVIOUS=COMMIT says from which, else the one before
	scripts/upgrade $(PREVIOUS)

stock-agent: tools ## the unmodified amazon-ssm-agent against the service, as root; ARGS='-agent DIR' says where its binaries are
	$(GO) test -tags stockagent ./e2e -run '^TestStockAgent(Activated|ByKey)' -count 1 -v -timeout 30m $(ARGS)

acme-check: tools $(ACME) ## a certificate asked for, proved and kept, with Let's Encrypt's authority for tests
	$(GO) test -tags acme ./e2e -run '^TestACME' -count 1 -v

s3-check: tools $(S3) ## backups to an S3 service that is none of the project's, under writers, killed, and restored
	$(GO) test -tags s3 ./e2e -run '^TestGateway' -count 1 -v -timeout 30m $(ARGS)

crash: ## a fault and a crash at every single write of the store, power lost in 2,000 scripts, 1,000 damages
	$(GO) test ./internal/store/pebble -run 'Fault|Crash|PowerLoss|Damage' -count 1 -v -timeout 180m -every -seeds 2000

disk-faults: tools ## the service on a disk that is full, stalls for 30 s and fails; as root
	scripts/need strace mkfs.ext4 fsfreeze
	$(GO) test -tags disk ./e2e -run '^TestDisk(FullAndBack|Stalls|Fails)' -count 1 -v -timeout 20m

clock: tools ## the service under a clock that jumps by hours and by a year; builds all of Go anew for it
	$(GO) test -tags clock ./e2e -run '^TestClock' -count 1 -v -timeout 20m

mutants: $(MUTANTS) ## change the code of what signs, authorises and stores; its tests must notice 85 of 100 changes
	for room in sigv4 iam/policy store/memory; do nice $(MUTANTS) unleash --workers 1 --timeout-coefficient 20 --threshold-efficacy 85 ./internal/$$room || exit 1; done

scale: build ## 2,000, 20,000 and 100,000 nodes, an hour: the figures of docs/performance.md
	scripts/need postgres
	bin/stocktake bench --nodes 2000,20000,100000 --samples 30 --memory 8GiB --json bin/scale.json --html bin/scale.html $(ARGS)

reproduce: ## build twice in different folders, for amd64 and arm64: the bytes must be equal
	nice scripts/reproduce

sbom: build ## bin/stocktake.cdx.json, the bill of materials of bin/stocktake (CycloneDX)
	scripts/need jq
	scripts/sbom bin/stocktake '$(VERSION)' >bin/stocktake.cdx.json

vuln: $(VULN) ## ask the Go vulnerability database; needs network, or GOVULNDB=file:///FOLDER
	scripts/vuln

packages: $(NFPM) ## bin/release: binaries, deb and rpm for amd64 and arm64, with bills of materials, licences and hashes
	scripts/need jq
	scripts/release '$(VERSION)'

packages-check: build packages ## install, run, upgrade and remove deb and rpm in a throw-away root; the unit under systemd
	scripts/need dpkg rpm systemd-analyze systemd-nspawn
	scripts/packages-check
	scripts/unit-check

image-check: build packages ## build the image of the Dockerfile without a daemon, and run it read-only as its user
	scripts/need buildah jq
	scripts/image-check

helm-check: build $(HELM) ## render the Helm chart, and hold it to the types of Kubernetes and the settings to the service
	scripts/helm-check

tools: ## install what the tests need and this machine lacks
	scripts/need gcc aws boto3 postgres

$(LINT): Makefile
	GOBIN=$(CURDIR)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_AT) && touch $@

$(NFPM): Makefile
	GOBIN=$(CURDIR)/bin $(GO) install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_AT) && touch $@

$(HELM): Makefile
	GOBIN=$(CURDIR)/bin $(GO) install helm.sh/helm/v3/cmd/helm@$(HELM_AT) && touch $@

$(MUTANTS): Makefile
	GOBIN=$(CURDIR)/bin $(GO) install github.com/go-gremlins/gremlins/cmd/gremlins@$(MUTANTS_AT) && touch $@

$(VULN): Makefile
	GOBIN=$(CURDIR)/bin $(GO) install golang.org/x/vuln/cmd/govulncheck@$(VULN_AT) && touch $@

$(S3): Makefile
	GOBIN=$(CURDIR)/bin $(GO) install github.com/versity/versitygw/cmd/versitygw@$(S3_AT) && touch $@

$(ACME): Makefile
	GOBIN=$(CURDIR)/bin $(GO) install github.com/letsencrypt/pebble/v2/cmd/pebble@$(ACME_AT) && touch $@
