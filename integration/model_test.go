package integration

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/integration/model"
)

// TestModel lets the random model at the real binary: several processes that
// work in its mount, each operation done on ext4 too, the daemon stopped, killed
// and started in between. With peers it also forgets what they have.
func TestModel(t *testing.T) {
	t.Run("alone", func(t *testing.T) { runModel(t, 0, "solo", full(10, 3)) })
	t.Run("peers", func(t *testing.T) { runModel(t, 3, "2+1", full(2, 1)) })
}

// setRapid sets one of rapid's flags for a test, unless the command line does.
func setRapid(t *testing.T, name string, n int) {
	t.Helper()
	f := flag.Lookup("rapid." + name)
	if f == nil || f.Value.String() != f.DefValue {
		return
	}
	if err := f.Value.Set(strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Value.Set(f.DefValue) })
}

func runModel(t *testing.T, peers int, policy string, checks int) {
	needMount(t)
	native, err := model.OpenNative(t.TempDir())
	if err != nil {
		missing(t, "%v", err)
	}
	t.Cleanup(func() {
		if err := native.Close(); err != nil {
			t.Error(err)
		}
	})
	fine, err := native.FineClock()
	if err != nil {
		t.Fatal(err)
	}
	if soak() {
		checks *= 100
	}
	setRapid(t, "checks", checks)
	setRapid(t, "steps", 50)
	old := unix.Umask(0)
	defer unix.Umask(old)
	run := &modelRun{world: newWorld(t, peers, policy), native: native, fine: fine}
	rapid.Check(t, run.check)
	run.world.unmount()
}

// modelRun is a mount in which one run of the model comes after the other, each
// in a folder of its own.
type modelRun struct {
	world  *world
	native *model.Native
	fine   bool
	last   int
}

func (r *modelRun) check(t *rapid.T) {
	r.last++
	dir := r.world.path(fmt.Sprint("run-", r.last))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	truth, err := r.native.NewTruth()
	if err != nil {
		t.Fatal(err)
	}
	workers := model.NewWorkers(dir)
	m := model.NewMachine(workers, truth, true)
	m.FineClock = r.fine
	defer func() {
		workers.End()
		if err := truth.Remove(); err != nil {
			t.Error(err)
		}
	}()
	actions := m.Actions()
	for name, action := range r.actions(m, workers) {
		actions[name] = action
	}
	t.Repeat(actions)
	m.CloseAll(t)
	m.Compare(t)
	workers.End()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	r.world.check()
}

// actions are what happens to the mount between operations.
func (r *modelRun) actions(m *model.Machine, workers *model.Workers) map[string]func(*rapid.T) {
	w := r.world
	actions := map[string]func(*rapid.T){
		"compare": m.Compare,
		"remount": func(t *rapid.T) {
			m.CloseAll(t)
			m.Note("remount")
			w.unmount()
			w.mount()
		},
		"kill": func(t *rapid.T) {
			m.Kill(t, func() {
				w.kill()
				workers.End()
				w.detach()
				w.mount()
			})
		},
		"check": func(*rapid.T) { w.check() },
	}
	if len(w.peers) > 0 {
		actions["sync"] = func(*rapid.T) {
			m.Note("sync")
			w.must("sync")
		}
		actions["elsewhere"] = func(*rapid.T) {
			m.Note("sync, drop the cache")
			w.elsewhere()
		}
	}
	return actions
}
