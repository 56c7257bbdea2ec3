# The two commands of a newcomer: make demo, make test. Both set up what they
# need (Debian's packages if they are root, the Go modules).

GO     ?= go
DIR    ?= /tmp/hammock-demo
STATE  ?= /tmp/hammock-demo-state
PEERS  ?= 6
POLICY ?= 4+2
FUZZTIME ?= 5s
CUTS     ?= 10000
FAULTS   ?= 1000
# Where make install puts the program. SBINDIR is where mount(8) looks for
# helpers; it looks nowhere else.
PREFIX  ?= /usr/local
SBINDIR ?= /sbin
DESTDIR ?=
BIN     ?= bin/hammock

.PHONY: build install uninstall demo test unit integration race fuzz cross lint bench bench-stages bench-peers bench-compare soak powercuts storm scale setup clean

# Without cgo: one static file, and all memory where the runtime's limit sees it.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN) ./cmd/hammock

# What make build has made, and its two names for mount(8); needs root, unless
# DESTDIR says where.
install:
	@test -x $(BIN) || { echo "$(BIN) is missing: make build first" >&2; exit 1; }
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(SBINDIR)
	install -m 0755 $(BIN) $(DESTDIR)$(PREFIX)/bin/hammock
	ln -sf $(PREFIX)/bin/hammock $(DESTDIR)$(SBINDIR)/mount.hammock
	ln -sf $(PREFIX)/bin/hammock $(DESTDIR)$(SBINDIR)/mount.fuse.hammock

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/hammock $(DESTDIR)$(SBINDIR)/mount.hammock $(DESTDIR)$(SBINDIR)/mount.fuse.hammock

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

# Benchmarks in the form that benchstat reads: each stage alone, and the way to
# peers and back with the real binary. BENCH picks some, COUNT repeats them.
# HAMMOCK_BENCH_DIR says where the latter work, best on a file system of its own.
BENCH ?= .
COUNT ?= 1
STAGES = ./chunker ./crypt ./fs/... ./placement/... ./net/...
bench: bench-stages bench-peers

bench-stages:
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -timeout 6h $(STAGES)

bench-peers:
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime 1x -count $(COUNT) -timeout 6h ./integration/netbench

# Two commits beside each other: make bench-compare OLD=HEAD~3 NEW=HEAD, or without
# NEW what lies here. PKGS says which benchmarks' packages.
PKGS ?= $(STAGES)
bench-compare:
	BENCH='$(BENCH)' COUNT=$(COUNT) sh .ci/bench-compare '$(OLD)' '$(NEW)' $(PKGS)

# The power cut at so many points of lives in memory, and what is left compared
# with what was acknowledged; and a disk that fails at so many operations.
powercuts:
	HAMMOCK_CUTS=$(CUTS) HAMMOCK_FAULTS=$(FAULTS) $(GO) test -count 1 -timeout 6h -v ./integration/powercuts

# Storms of these seeds: SEED=123 is that one again, SEEDS=20 are twenty from
# SEED (1) on, ROUNDS=50 makes each longer.
storm:
	HAMMOCK_SEED=$(or $(SEED),1) HAMMOCK_SEEDS=$(or $(SEEDS),1) HAMMOCK_ROUNDS=$(ROUNDS) \
	  $(GO) test -count 1 -timeout 6h -v -run TestStorm ./integration/storm

# How cost grows with the volume: FILES of 64 KiB each, and GIB of large files.
FILES ?= 1000,10000,100000,1000000
GIB   ?= 1,10,100,1024
scale:
	HAMMOCK_SCALE_FILES=$(FILES) HAMMOCK_SCALE_GIB=$(GIB) $(GO) test -count 1 -timeout 6h -v -run TestScale ./integration/scale

# Hours, not minutes: longer fuzzing, more kills, large programs.
soak: build
	sh .ci/setup soak
	FUZZTIME=10m sh .ci/fuzz
	HAMMOCK_SOAK=1 $(GO) test -count 1 -timeout 12h ./integration/...

clean:
	rm -rf bin
