package model

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/fs/mount"
)

func TestMain(m *testing.M) {
	Work()
	os.Exit(m.Run())
}

// tb is a testing.TB or a rapid.T.
type tb interface {
	Fatal(args ...any)
	Helper()
}

func must(t tb, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

// missing ends a test that cannot run here. Under CI that is a failure.
func missing(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("CI has to have it: ", err)
	}
	t.Skip(err)
}

// truths makes the other side of machines.
type truths struct {
	native *Native
	fine   bool
}

func newTruths(t *testing.T) *truths {
	t.Helper()
	n, err := OpenNative(t.TempDir())
	if err != nil {
		missing(t, err)
	}
	t.Cleanup(func() { must(t, n.Close()) })
	fine, err := n.FineClock()
	must(t, err)
	return &truths{n, fine}
}

// machine compares a filesystem with a new folder.
func (n *truths) machine(t tb, test FS) (*Machine, *Folder) {
	f, err := n.native.NewTruth()
	must(t, err)
	m := NewMachine(test, f, true)
	m.FineClock = n.fine
	return m, f
}

// checks lets a property run n times, unless the command line says otherwise.
func checks(t *testing.T, n int, property func(*rapid.T)) {
	t.Helper()
	setChecks(t, n)
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	rapid.Check(t, property)
}

// TestCore compares the volume with the native filesystem, through restarts,
// kills, checkpoints and dropped caches.
func TestCore(t *testing.T) {
	truths := newTruths(t)
	checks(t, 25, func(t *rapid.T) {
		h := newHost(vfs.NewCrashableMem(), "state")
		must(t, h.open())
		core := NewCore(h.v)
		m, folder := truths.machine(t, core)
		defer func() {
			m.Forget()
			must(t, h.close())
			must(t, folder.Remove())
		}()
		actions := m.Actions()
		actions["restart"] = func(t *rapid.T) {
			m.CloseAll(t)
			m.Note("restart")
			must(t, h.close())
			must(t, h.open())
			core.Volume = h.v
		}
		actions["kill"] = func(t *rapid.T) {
			m.Kill(t, func() {
				h.kill(t, rapid.Uint64().Draw(t, "seed"))
				core.Reborn(h.v)
			})
		}
		actions["checkpoint"] = func(t *rapid.T) { checkpoint(t, m, h) }
		actions["drop caches"] = func(t *rapid.T) {
			m.Note("drop caches")
			_, err := h.cache.Drop(ctx)
			must(t, err)
		}
		actions["compare"] = m.Compare
		t.Repeat(actions)
		m.CloseAll(t)
		m.Compare(t)
	})
}

func checkpoint(t *rapid.T, m *Machine, h *host) {
	fold := rapid.Bool().Draw(t, "fold")
	m.Note("checkpoint, fold %v", fold)
	h.checkpoint(t, fold)
}

// TestMount compares a mount of the kernel's, which several processes use, with
// the native filesystem.
func TestMount(t *testing.T) {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		missing(t, err)
	}
	truths := newTruths(t)
	parent := t.TempDir()
	checks(t, 12, func(t *rapid.T) {
		h := newHost(vfs.NewCrashableMem(), "state")
		must(t, h.open())
		dir, err := os.MkdirTemp(parent, "mount")
		must(t, err)
		workers := NewWorkers(dir)
		m, folder := truths.machine(t, workers)
		server := attach(t, h, dir)
		defer func() {
			workers.End()
			m.Forget()
			must(t, detach(server))
			must(t, h.close())
			must(t, folder.Remove())
		}()
		actions := m.Actions()
		actions["remount"] = func(t *rapid.T) {
			m.CloseAll(t)
			m.Note("remount")
			must(t, detach(server))
			must(t, h.close())
			must(t, h.open())
			server = attach(t, h, dir)
		}
		actions["kill"] = func(t *rapid.T) {
			m.Kill(t, func() {
				workers.End()
				must(t, detach(server))
				h.kill(t, rapid.Uint64().Draw(t, "seed"))
				server = attach(t, h, dir)
			})
		}
		actions["checkpoint"] = func(t *rapid.T) { checkpoint(t, m, h) }
		actions["compare"] = m.Compare
		t.Repeat(actions)
		m.CloseAll(t)
		m.Compare(t)
	})
}

func attach(t tb, h *host, dir string) *mount.Server {
	s, err := mount.Mount(ctx, mount.Config{Dir: dir, Volume: h.v})
	must(t, err)
	return s
}

func detach(s *mount.Server) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := s.Unmount(ctx)
	if err != nil {
		err = errors.Join(err, s.Detach())
	}
	return err
}
