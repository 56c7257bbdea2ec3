package swarmsim

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hammockfs/hammock/placement"
	"github.com/hammockfs/hammock/placement/storetest"
)

// seed is where a history begins: HAMMOCK_SEED, or the time for the soak, which looks for what nobody has seen yet. Else it
// is always the same, so that a change is not blamed for what chance has brought.
func seed(t *testing.T) uint64 {
	n := uint64(1)
	if soak() {
		n = uint64(time.Now().UnixNano())
	}
	if s := os.Getenv("HAMMOCK_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("HAMMOCK_SEED: %v", err)
		}
	}
	t.Logf("HAMMOCK_SEED=%d", n)
	return n
}

func soak() bool { return os.Getenv("HAMMOCK_SOAK") != "" }

// live runs a world and prints what it was like.
func live(t *testing.T, cfg Config) (report *Report) {
	t.Helper()
	if !cfg.Jog { // nearly always one goroutine only has something to do, and handing it from thread to thread costs more
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	if dir := os.Getenv("HAMMOCK_EVENTS"); dir != "" {
		defer events(t, &cfg, dir)()
	}
	began := time.Now()
	synctest.Test(t, func(*testing.T) { report = New(cfg).Run() })
	cfg.Events = nil
	t.Logf("%+v in %v:\n%+v", cfg, time.Since(began), *report)
	for _, f := range report.Failures {
		t.Error(f)
	}
	return report
}

// events writes all that happens into a file of the folder, for two histories of one seed to be compared: sort, then diff.
func events(t *testing.T, cfg *Config, dir string) (done func()) {
	f, err := os.CreateTemp(dir, fmt.Sprintf("seed-%d-jog-%v-", cfg.Seed, cfg.Jog))
	if err != nil {
		t.Fatal(err)
	}
	t.Log("events are in", f.Name())
	b := bufio.NewWriter(f)
	cfg.Events = b
	return func() {
		if err := errors.Join(b.Flush(), f.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestContract holds a simulated node to the contract of every store.
func TestContract(t *testing.T) {
	storetest.Run(t, func() placement.Store {
		w := New(Config{Seed: 1, Nodes: 1, Owners: 1})
		w.latency, w.strict = false, false
		w.nodes[0].capacity = 1 << 40
		return &link{w.nodes[0], &process{o: w.owners[0], fuse: -1}}
	})
}

// TestSameSeed lives through the same weeks twice, the second time on several threads and with those who act at the same
// instant in another order.
func TestSameSeed(t *testing.T) {
	cfg := Config{Seed: seed(t), Nodes: 40, Owners: 3, Stripes: 40, Days: 40, Calm: 4, AuditEvery: 30 * time.Minute}
	a := twice(t, cfg)
	cfg.Seed, cfg.Days, cfg.Calm = cfg.Seed+1, 5, 3
	if live(t, cfg).Hash == a.Hash {
		t.Error("another seed gave the same history")
	}
}

// TestSameSeedAtSize is the size of TestYears.
func TestSameSeedAtSize(t *testing.T) {
	if !soak() {
		t.Skip("only with HAMMOCK_SOAK")
	}
	twice(t, Config{Seed: seed(t), Nodes: 200, Owners: 20, Stripes: 50, Days: 120, Calm: 15, AuditEvery: time.Hour})
}

func twice(t *testing.T, cfg Config) *Report {
	a := live(t, cfg)
	cfg.Jog = true
	b := live(t, cfg)
	if a.Hash != b.Hash || a.PutBytes != b.PutBytes || a.ReadBytes != b.ReadBytes {
		t.Errorf("the same seed gave two histories: %+v and %+v", a, b)
	}
	return a
}

func TestYear(t *testing.T) {
	r := live(t, Config{Seed: seed(t), Nodes: 36, Owners: 2, Stripes: 12, Days: 365, Calm: 15, AuditEvery: 30 * time.Minute})
	if r.Kills+r.Deleted == 0 || r.LostBytes == 0 || r.Reads == 0 {
		t.Errorf("nothing happened: %+v", r)
	}
	if most := 2 * r.FirstBytes; r.MovedBytes > most { // about as much as was placed, in each of some years
		t.Errorf("%d bytes were put of which there was a copy, more than %d", r.MovedBytes, most)
	}
}

// TestYears is the full size: for make soak.
func TestYears(t *testing.T) {
	if !soak() {
		t.Skip("only with HAMMOCK_SOAK")
	}
	for first, i := seed(t), uint64(0); i < 4; i++ {
		live(t, Config{Seed: first + i, Nodes: 200, Owners: 20, Stripes: 50, Days: 3 * 365, Calm: 30, AuditEvery: time.Hour})
	}
}
