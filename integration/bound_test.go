package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// worldLimit is the most that a test with a volume may take, outside of soak: a
// mount that does not answer holds up whoever asks, the test itself included, and
// neither can then be killed before the daemon is.
const worldLimit = 10 * time.Minute

// bound ends the daemon of a test that takes too long, after it has written down
// what each of its goroutines does.
func (w *world) bound() {
	if soak() || os.Getenv("HAMMOCK_KILLS") != "" { // who asks for more has the time
		return
	}
	over := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-over:
			return
		case <-time.After(worldLimit):
		}
		w.t.Errorf("the test is not done after %v; its daemon is ended", worldLimit)
		if pid, ok := w.PID(); ok {
			_ = unix.Kill(pid, unix.SIGQUIT)
			w.ends(10 * time.Second)
			if b, err := os.ReadFile(filepath.Join(w.State, "log")); err == nil {
				w.t.Logf("the end of its log:\n%s", b[max(0, len(b)-64<<10):])
			}
		}
		w.killMount()
	})
	w.t.Cleanup(func() { close(over); watch.Wait() })
}

// ends waits until the node's process has ended, or the time is up.
func (n *node) ends(limit time.Duration) {
	for late := time.Now().Add(limit); time.Now().Before(late); time.Sleep(50 * time.Millisecond) {
		if _, runs := n.PID(); !runs {
			return
		}
	}
}

// reap waits for the end of a daemon that was killed and that this process has
// started. One that waits for its own mount is set free, and the test fails.
func (n *node) reap(t *testing.T, daemon *exec.Cmd) {
	t.Helper()
	ended := make(chan struct{})
	go func() { _ = daemon.Wait(); close(ended) }()
	select {
	case <-ended:
		return
	case <-time.After(30 * time.Second):
		t.Error("a killed daemon does not end: it waits for its own mount")
	}
	_ = unix.Unmount(n.Dir, unix.MNT_FORCE)
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("nor when what is asked of its mount fails")
	}
}
