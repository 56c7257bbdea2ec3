package storm

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hammockfs/hammock/integration/liar"
	"github.com/hammockfs/hammock/integration/rig"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(workIn); dir != "" {
		if err := work(dir, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if status, asked := liar.Main(); asked {
		os.Exit(status)
	}
	flag.Parse()
	os.Exit(m.Run())
}

// number is a variable of the environment, or what it is without.
func number[N int | uint64](t *testing.T, name string, otherwise N) N {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return N(n)
}

// usual are the storms of every test run: between them they hold every kind of
// fault. One that nobody has seen follows if there is time; if it fails it says how
// it is had again.
func usual() []uint64 { return []uint64{14, 7, uint64(time.Now().Unix())} }

// TestStorm runs storms: HAMMOCK_SEEDS of them, from HAMMOCK_SEED on, with
// HAMMOCK_ROUNDS rounds each. Without these it runs the usual ones, and begins no
// other one when its time is over.
func TestStorm(t *testing.T) {
	needMount(t)
	bin, err := rig.Build("../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	first := number[uint64](t, "HAMMOCK_SEED", 1)
	asked := number(t, "HAMMOCK_SEEDS", 0)
	if asked == 0 && os.Getenv("HAMMOCK_SEED") != "" {
		asked = 1
	}
	rounds := number(t, "HAMMOCK_ROUNDS", 5)
	if asked == 0 && os.Getenv("HAMMOCK_SOAK") != "" {
		asked, rounds = 100, 30
	}
	seeds, enough := usual(), time.Now().Add(time.Minute)
	if asked > 0 {
		seeds = nil
		for i := range asked {
			seeds = append(seeds, first+uint64(i))
		}
	}
	var total counts
	for i, seed := range seeds {
		if asked == 0 && i > 0 && (testing.Short() || time.Now().After(enough)) {
			t.Logf("%d of %d storms are enough for now", i, len(seeds))
			break
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			total.add(runStorm(t, bin, draw(seed, rounds, os.Getuid() == 0)))
		})
		if t.Failed() {
			break
		}
	}
	t.Logf("all: %v", total)
}

// stormLimit is the most that a storm may take, and a minute for each round more.
// Then its daemons are ended, so that whoever waits for them does not any more.
const stormLimit = 5 * time.Minute

func runStorm(t *testing.T, bin string, plan *schedule) counts {
	began := time.Now()
	s := &storm{plan: plan, began: began}
	h, err := build(bin, t.TempDir(), plan)
	t.Cleanup(h.close)
	s.house = h
	over := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { s.watch(over) })
	t.Cleanup(func() { close(over); watch.Wait() })
	if err == nil {
		err = s.run()
	}
	if err != nil {
		t.Errorf("%v\n%v\nwhat happened:\n%s\nthe end of the daemon's log:\n%s\nagain: make storm SEED=%d ROUNDS=%d",
			err, plan, s.journal(), h.main.Log(12000), plan.seed, len(plan.rounds))
	}
	t.Logf("seed %d: %v in %v", plan.seed, s.counts, time.Since(began).Round(time.Second))
	return s.counts
}

// watch ends a storm that takes too long, after its daemon has written down what
// each of its goroutines does.
func (s *storm) watch(over chan struct{}) {
	limit := stormLimit + time.Duration(len(s.plan.rounds))*time.Minute
	select {
	case <-over:
		return
	case <-time.After(limit):
	}
	s.note("the storm is not over after %v: its daemons are ended", limit)
	_, _ = s.house.main.Signal(unix.SIGCONT)
	_, _ = s.house.main.End(unix.SIGQUIT, 10*time.Second)
	for _, p := range s.house.peers {
		_, _ = p.Kill()
	}
	s.house.main.Detach()
}

// needMount ends a test where nothing can be mounted, or no network be made.
func needMount(t *testing.T) {
	t.Helper()
	if os.Getuid() == 0 {
		rig.NeedMount(t, "ip")
		return
	}
	rig.NeedMount(t)
}
