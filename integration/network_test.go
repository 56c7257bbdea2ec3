package integration

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// set changes one of a node's settings; it must not run.
func (n *node) set(key string, value any) {
	n.t.Helper()
	if err := n.Set(key, value); err != nil {
		n.t.Fatal(err)
	}
}

// stop has a node's process answer nothing more, until goOn.
func (n *node) stop() { n.signal(unix.SIGSTOP) }

func (n *node) goOn() { n.signal(unix.SIGCONT) }

func (n *node) signal(sig syscall.Signal) {
	n.t.Helper()
	if sent, err := n.Signal(sig); err != nil || !sent {
		n.t.Fatalf("signal %d to the node in %s, which should run: %v", sig, n.State, err)
	}
}

// unlike is so many bytes that are in no other file.
func unlike(which byte, n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{3, which}), n)
}

// TestSilentPeers has all peers fall silent with their connections open: what
// is here goes on, and what is not ends within its limit.
func TestSilentPeers(t *testing.T) {
	t.Parallel()
	needMount(t, "cat", "dd", "sh")
	w := newWorld(t, 3, "2+1")
	away := writeStream(t, w.path("away"), unlike(0, 8<<20))
	if err := os.Mkdir(w.path("dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	many := make([]string, 80)
	for i := range many {
		many[i] = w.path("dir", "many"+strconv.Itoa(i))
		writeStream(t, many[i], unlike(byte(i+1), 64<<10))
	}
	w.elsewhere()
	here := writeStream(t, w.path("here"), unlike(100, 4<<20))
	t.Run("killed", func(t *testing.T) { w.killedWhileReading(t, many) })
	w.unmount()
	w.set("read_timeout", "2s")
	w.mount()
	t.Run("limit", func(t *testing.T) { w.readsInVain(t, here) })
	w.awaitPeers()
	w.must("sync")
	w.elsewhere()
	if sumFile(t, w.path("away")) != away || sumFile(t, w.path("here")) != here {
		t.Error("what was written is not there when the peers are back")
	}
	w.check("--data")
	w.unmount()
}

// silence stops all peers until the test is over.
func (w *world) silence(t *testing.T) {
	t.Helper()
	for _, p := range w.peers {
		p.stop()
		t.Cleanup(p.goOn)
	}
}

// killedWhileReading has more programs wait for silent peers than the kernel
// sends requests of its readahead at a time. What is here can be read all the
// same, and each of those programs can be killed.
func (w *world) killedWhileReading(t *testing.T, many []string) {
	w.silence(t)
	var readers []*running
	for _, path := range many {
		p, err := runner{}.begin("dd", "if="+path, "of=/dev/null", "bs=4k", "count=1") // so little that the kernel sends it as readahead
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, p)
		defer p.kill()
	}
	forget(t, w.path("here"))
	in := runner{limit: 30 * time.Second}
	in.must(t, "sh", "-euc", `cat "$1" >/dev/null`, "sh", w.path("here"))
	in.must(t, "sh", "-euc", `cd "$1"; echo new >new; mv new newer; cat newer; mkdir sub; rm newer; rmdir sub`, "sh", w.Dir)
	for _, p := range readers {
		_ = p.killGroup()
	}
	for _, p := range readers {
		ended := make(chan struct{})
		go func() { _ = p.wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			t.Fatal("a program that waits for peers cannot be killed")
		}
	}
}

// readsInVain reads what only silent peers have, and unmounts with something
// that is not on them.
func (w *world) readsInVain(t *testing.T, here [32]byte) {
	w.silence(t)
	start := time.Now()
	_, err := os.ReadFile(w.path("away"))
	t.Logf("the read of what is away took %v", time.Since(start))
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("a read of what only silent peers have: %v", err)
	}
	log := string(mustRead(t, filepath.Join(w.State, "log")))
	if !strings.Contains(log, "file=/away") {
		t.Errorf("the log does not name the file:\n%s", w.lastLog())
	}
	if sumFile(t, w.path("here")) != here {
		t.Error("what is here cannot be read")
	}
	writeStream(t, w.path("unsafe"), unlike(101, 2<<20))
	out, err := w.Run("unmount", w.Dir, "--timeout", "1s")
	var status *exec.ExitError
	if !errors.As(err, &status) || status.ExitCode() != 3 || !strings.Contains(err.Error(), "on this machine only") {
		t.Errorf("an unmount without peers: %v\n%s", err, out)
	}
	w.detach()
	w.mount()
	if _, err := os.Stat(w.path("unsafe")); err != nil {
		t.Error(err)
	}
}

// TestOldPeer has a peer come back with the state that it had some time ago, as
// from a backup: what it lost is found, and put back, without a command.
func TestOldPeer(t *testing.T) {
	t.Parallel()
	needMount(t, "cp")
	w := newVolume(t, "2+1")
	w.set("audit_every", "200ms")
	w.mount()
	for range 3 {
		w.addPeer("20G")
	}
	w.awaitPeers()
	sums := map[string][32]byte{}
	write := func(from, to byte) {
		for i := from; i < to; i++ {
			name := "file" + strconv.Itoa(int(i))
			sums[name] = writeStream(t, w.path(name), unlike(i, 1<<20))
			w.must("sync")
		}
	}
	old, backup := w.peers[0], filepath.Join(t.TempDir(), "backup")
	write(0, 4)
	old.kill()
	program(t, ".", "cp", "-a", old.State, backup)
	old.serve()
	w.awaitPeers()
	write(4, 12)
	held := w.peers[1].status().Held
	old.kill()
	if err := os.RemoveAll(old.State); err != nil {
		t.Fatal(err)
	}
	program(t, ".", "cp", "-a", backup, old.State)
	old.serve()
	w.awaitPeers()
	w.elsewhereWithout(t)
	w.same(t, sums)
	old.await("it has what it had lost", func(s *status) bool { return s.Held >= held })
	w.peers[1].kill()
	w.elsewhereWithout(t)
	w.same(t, sums)
}
