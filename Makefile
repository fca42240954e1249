# steno: see README.md. Every target works from a clean clone with Go 1.26.
GO      ?= go
TIMEOUT ?= 13m
export GOTOOLCHAIN ?= local

.PHONY: build test vet lint bench tools clean

# Whoever builds the same sources with the same Go gets the same bytes: no path of the machine (-trimpath) and nothing of .git
# (-buildvcs=false) goes into them. Otherwise a clone, a clone with one file more in it and a source archive of one commit would
# give three different programs, and nobody could tell by the digest that the one they were given is made of what they have read.
build: ## the programs, static, into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -o bin/ ./cmd/...

# In these nothing runs beside anything else, or whole programs are run: the race detector costs five times the time there, and
# what runs in the programs is raced in its own package.
SERIAL = /(browser|checkpoint|cmd|entry|evidence|payload|report|timestamp|trust|verifier)(/|$$)

# Leaves of a bundle are read on all cores: what goes over them in every way is raced, bit flips by the thousand are not.
RACED = ONEHISTORY|Disclosures|Turn|Custody

test: tools vet ## everything; a missing program fails instead of skipping
	STENO_NEED_ALL=1 $(GO) test -timeout $(TIMEOUT) $$($(GO) list ./... | grep -E '$(SERIAL)')
	STENO_NEED_ALL=1 $(GO) test -race -timeout $(TIMEOUT) $$($(GO) list ./... | grep -vE '$(SERIAL)')
	$(GO) test -race -timeout $(TIMEOUT) -run '$(RACED)' ./evidence
	cd integration && STENO_NEED_ALL=1 $(GO) test -count=1 -timeout $(TIMEOUT) ./...

vet: ## format, vet, and staticcheck of what is shipped
	@out=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "gofmt: $$out"; exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	cd integration && $(GO) vet ./...

lint: vet ## the same, and staticcheck of the integration tests
	cd integration && $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

tools: ## Debian packages that tests use (root, or sudo without a password); says what is missing otherwise
	scripts/install-test-tools

bench: ## the table of ratios in README.md
	cd integration && $(GO) run ./bench

clean:
	rm -rf bin
