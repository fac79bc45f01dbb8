# `make` alone lists the commands. All of them need Go and nothing else; tests
# use redis-server when it is on PATH, and a C compiler (for the race detector)
# when there is one.

GO ?= go
TOOL := $(GO) tool -modfile=tools/go.mod

# The race detector needs cgo, so a machine without a C compiler tests without it.
RACE := $(shell command -v "$$($(GO) env CC)" >/dev/null 2>&1 && echo -race)

# Tests of which one goroutine acts for everybody, wherever they are: the race detector would only slow them down.
SIMULATED := Simulation

# How long `make fuzz` spends on each target.
FUZZTIME ?= 10s

# The size of the log that `make bench-streams` makes up, in MB.
MB ?= 32

# The version that programs tell with --version.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)

# The go command is silent while it compiles.
COMPILING := echo "compiling: about a minute the first time, then a moment …"

# How long a look into the database of vulnerabilities may take, where timeout(1) is there.
LIMIT := $(shell command -v timeout >/dev/null && echo timeout 300)

.DEFAULT_GOAL := help

##@ Try it

.PHONY: demo
demo: ## send real files through a whole Longshore in one process, and watch
	@$(COMPILING)
	@$(GO) run ./cmd/dev --demo

.PHONY: dev
dev: ## run web, workers and Redis in one process, for development
	@$(COMPILING)
	@$(GO) run ./cmd/dev

##@ Work on it

.PHONY: test
test: ## all tests, with the race detector
	@test -n "$(RACE)" || echo "no C compiler: testing without the race detector"
	@command -v redis-server || echo "no redis-server on PATH: tests that need a real one are skipped"
	$(GO) test $(RACE) -shuffle=on -timeout 35m $(if $(RACE),-skip '$(SIMULATED)') ./...
	$(if $(RACE),$(GO) test -shuffle=on -timeout 35m -run '$(SIMULATED)' \
		$$(grep -rl --include='*_test.go' '^func Test.*$(SIMULATED)' . | xargs -n 1 dirname | sort -u))

.PHONY: check
check: format vet lint build bench-once vuln ## everything that must be clean besides the tests

.PHONY: format
format: ## list files that gofmt would change, and fail if there are any
	@files=$$(gofmt -l .); test -z "$$files" || { echo "not gofmt'ed:"; echo "$$files"; exit 1; }

# Where the client is to run besides what runs jobs; make release has all of them.
CLIENT := windows/amd64 windows/arm64 darwin/arm64 linux/arm64

.PHONY: vet
vet: ## go vet, for Linux and for macOS; the client, its tests too, also for Windows
	GOOS=linux $(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	for system in $(CLIENT); do \
		GOOS=$${system%/*} GOARCH=$${system#*/} $(GO) vet ./cmd/enqueue ./cmd/internal/cli || exit 1; \
	done
	cd bench/peers && GOOS=linux $(GO) vet ./...

.PHONY: lint
lint: ## golangci-lint with .golangci.yml, in the version of tools/go.mod (built at first use: some minutes)
	$(TOOL) golangci-lint run ./...

.PHONY: build
build: ## the programs, static, into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-X longshore/internal/version.version=$(VERSION)' -o bin/ ./cmd/...

.PHONY: release
release: ## archives of the programs for Linux, macOS and Windows (the client) with SHA256SUMS and SBOMs, into dist/; VERSION=v1.2.3
	$(GO) run ./release -version '$(VERSION)'

.PHONY: module-path
module-path: ## another path for this module, as where it is published: MODULE=github.com/owner/longshore
	$(GO) run ./release/modulepath '$(MODULE)'

.PHONY: vuln
vuln: ## known vulnerabilities in what is used; only said, not failed, where their database can't be reached
	@sh tools/vuln.sh $(LIMIT) $(TOOL) govulncheck ./...

.PHONY: bench
bench: ## all benchmarks; those that compare with stock asynq need redis-server
	$(GO) test -run='^$$' -bench=. -benchmem ./...

.PHONY: bench-peers
bench-peers: ## beside asynq, River, BullMQ, Sidekiq and Celery, where they are installed; rewrites its part of docs/performance.md
	cd bench/peers && $(GO) build -o ../../bin/peers . && \
		../../bin/peers -write ../../docs/performance.md && ../../bin/peers push -write ../../docs/performance.md

.PHONY: bench-streams
bench-streams: ## the stream tasks beside goaccess, mlr, jq, gzip, …; MB=500 for the full inputs
	$(GO) run ./bench/streams -mb $(MB)

# How long `make chaos` and `make soak` take, about; and the seed of the faults.
DURATION ?= 20m
SEED ?= $(shell date +%s)

.PHONY: chaos
chaos: ## faults of all kinds while clients go on, and a judgement; rewrites the table of docs/reliability.md
	$(GO) run ./internal/chaos run -duration $(DURATION) -seed $(SEED) -rate 90 -write docs/reliability.md

.PHONY: chaos-controls
chaos-controls: ## the same for half a minute each without the fence, the sweeper, …: the checker must find it
	$(GO) run ./internal/chaos controls -seed $(SEED)

.PHONY: soak
soak: ## a steady load for DURATION (20m): does memory, or anything, grow?
	$(GO) run ./internal/chaos soak -duration $(DURATION) -seed $(SEED)

.PHONY: bench-once
bench-once: ## each benchmark once, so that none rots; `make vet` has looked at them
	$(GO) test -vet=off -run='^$$' -bench=. -benchtime=1x ./...

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (10s)
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list='^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "== $$pkg $$target"; \
			$(GO) test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) $$pkg; \
		done; \
	done

# Where `make ui` writes; the test that compares what is committed gives another place.
OUT ?=

# What is made of TypeScript: for browsers of the last two years, and Node.
ESBUILD := $(TOOL) esbuild --log-level=warning --legal-comments=none --minify
ESM := --bundle --format=esm --target=es2022
DASHBOARD := internal/web/dashboard

.PHONY: ui
ui: ## the dashboard and the TypeScript client from their sources, with esbuild, a Go module
	@mkdir -p $(OUT)$(DASHBOARD)/dist
	@$(ESBUILD) $(ESM) clients/typescript/src/index.ts --outfile=$(OUT)clients/typescript/dist/longshore.js
	@$(ESBUILD) $(ESM) --external:react clients/typescript/src/react.ts --outfile=$(OUT)clients/typescript/dist/react.js
	@$(ESBUILD) $(ESM) $(DASHBOARD)/ui/main.tsx --outfile=$(OUT)$(DASHBOARD)/dist/app.js --jsx-factory=h \
		--jsx-fragment=Fragment --alias:preact=./$(DASHBOARD)/ui/preact/preact.mjs \
		--alias:preact/hooks=./$(DASHBOARD)/ui/preact/hooks.mjs
	@$(ESBUILD) $(DASHBOARD)/ui/app.css --target=chrome123,firefox120,safari17.5 --outfile=$(OUT)$(DASHBOARD)/dist/app.css
	@cp $(DASHBOARD)/ui/index.html $(DASHBOARD)/ui/icon.svg $(OUT)$(DASHBOARD)/dist/

.PHONY: clean
clean: ## remove what was built and the data of `make dev`
	rm -rf bin data dist

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
