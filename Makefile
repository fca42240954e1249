# steno: see README.md. Every target works from a clean clone with Go 1.26.
GO      ?= go
TIMEOUT ?= 13m
export GOTOOLCHAIN ?= local

.PHONY: build test lint bench tools clean

build: ## the programs, static, into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/...

test: tools lint ## everything; a missing program fails instead of skipping
	STENO_NEED_ALL=1 $(GO) test -race -timeout $(TIMEOUT) ./...
	cd integration && STENO_NEED_ALL=1 $(GO) test -timeout $(TIMEOUT) ./...

lint: ## format, vet, staticcheck
	@out=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "gofmt: $$out"; exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	cd integration && $(GO) vet ./... && $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

tools: ## Debian packages that tests use (root, or sudo without a password); says what is missing otherwise
	scripts/install-test-tools

bench: ## the table of ratios in README.md
	cd integration && $(GO) run ./bench

clean:
	rm -rf bin
