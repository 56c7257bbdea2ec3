# The two commands of a newcomer: make demo, make test. Both set up what they
# need (Debian's packages if they are root, the Go modules).

GO     ?= go
DIR    ?= /tmp/hammock-demo
STATE  ?= /tmp/hammock-demo-state
PEERS  ?= 6
POLICY ?= 4+2
FUZZTIME ?= 5s

.PHONY: build demo test unit integration race fuzz cross lint bench soak setup clean

# Without cgo: one static file, and all memory where the runtime's limit sees it.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/hammock ./cmd/hammock

# A swarm of local peers and a mounted folder. End it with:
#   bin/hammock unmount $(DIR) --state $(STATE)
demo: setup build
	mkdir -p $(DIR)
	bin/hammock demo $(DIR) --peers $(PEERS) --policy $(POLICY) --state $(STATE)

# Everything that must hold before a change lands; .ci/run runs just this.
test: setup
	sh .ci/test

setup:
	sh .ci/setup

lint:
	sh .ci/lint

fuzz:
	FUZZTIME=$(FUZZTIME) sh .ci/fuzz

cross:
	sh .ci/cross

# Benchmarks of each stage, in the form that benchstat reads.
bench:
	$(GO) test -run '^$$' -bench . -benchmem -count 1 ./...

# Hours, not minutes: longer fuzzing, more kills, large programs.
soak: build
	sh .ci/setup soak
	FUZZTIME=10m sh .ci/fuzz
	HAMMOCK_SOAK=1 $(GO) test -count 1 -timeout 12h ./integration/...

clean:
	rm -rf bin
