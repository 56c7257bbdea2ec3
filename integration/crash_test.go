package integration

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/hammockfs/hammock/integration/rig"
)

// seed is where the random choices of a test begin: HAMMOCK_SEED, or the time.
// It is printed, so that a run can be repeated as far as time allows.
func seed(t *testing.T) *rand.Rand {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv("HAMMOCK_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("HAMMOCK_SEED: %v", err)
		}
	}
	t.Logf("HAMMOCK_SEED=%d", n)
	return rand.New(rand.NewPCG(n, 0))
}

// copied is what a copy has written so far: the log outside of the folder.
type copied struct {
	closed  map[string][32]byte // files whose close has returned
	removed map[string]bool     // files whose unlink has returned
	fate    map[string]bool     // files of which nothing can be said: a call on them did not return well
}

func newCopied() *copied {
	return &copied{closed: map[string][32]byte{}, removed: map[string]bool{}, fate: map[string]bool{}}
}

// merge takes over what a later copy did.
func (c *copied) merge(later *copied) {
	for path, sum := range later.closed {
		c.closed[path] = sum
		delete(c.fate, path)
	}
	for path := range later.removed {
		delete(c.closed, path)
		c.removed[path] = true
	}
	for path := range later.fate {
		delete(c.closed, path)
		delete(c.removed, path)
		c.fate[path] = true
	}
}

// copyFiles writes files into dir, round's own, until ctx ends or the mount is
// gone; anything else that goes wrong is returned.
func copyFiles(ctx context.Context, dir string, round int, r *rand.Rand) (*copied, error) {
	c := newCopied()
	var mine []string
	for i := 0; ctx.Err() == nil; i++ {
		path := filepath.Join(dir, fmt.Sprintf("r%d-d%d", round, i/20), fmt.Sprintf("f%d", i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return c, unlessGone(err)
		}
		data := someBytes(r)
		err := writeAnyhow(path, data, r)
		if err != nil {
			c.fate[path] = true
			return c, unlessGone(err)
		}
		c.closed[path] = sha256.Sum256(data)
		if mine = append(mine, path); len(mine) > 4 && r.IntN(8) == 0 {
			k := r.IntN(len(mine))
			if err := c.change(mine[k], r); err != nil {
				return c, unlessGone(err)
			}
			mine = append(mine[:k], mine[k+1:]...)
		}
	}
	return c, nil
}

// change removes a file or renames it over a name that is new.
func (c *copied) change(path string, r *rand.Rand) error {
	sum := c.closed[path]
	delete(c.closed, path)
	to := path + "-renamed"
	var err error
	if r.IntN(2) == 0 {
		if err = os.Remove(path); err == nil {
			c.removed[path] = true
			return nil
		}
	} else if err = os.Rename(path, to); err == nil {
		c.closed[to], c.removed[path] = sum, true
		return nil
	} else {
		c.fate[to] = true
	}
	c.fate[path] = true
	return err
}

// someBytes is the content of one file: mostly small, at times some chunks, at
// times of the kind that compresses.
func someBytes(r *rand.Rand) []byte {
	n := r.IntN(8 << 10)
	switch r.IntN(10) {
	case 0:
		n = r.IntN(3 << 20)
	case 1, 2:
		n = r.IntN(300 << 10)
	}
	b := make([]byte, n)
	if r.IntN(3) == 0 {
		for i := range b {
			b[i] = byte(i >> 8)
		}
		return b
	}
	for i := 0; i+8 <= len(b); i += 8 {
		v := r.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	return b
}

// writeAnyhow writes a file as different programs do: at once, in pieces, out
// of order, over what was there.
func writeAnyhow(path string, data []byte, r *rand.Rand) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	half := len(data) / 2
	switch r.IntN(4) {
	case 0:
		_, err = f.WriteAt(data[half:], int64(half))
		if err == nil {
			_, err = f.WriteAt(data[:half], 0)
		}
	case 1:
		for rest := data; err == nil && len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(64<<10))
			_, err = f.Write(rest[:n])
			rest = rest[n:]
		}
	case 2:
		if _, err = f.Write(append(data, data[:half]...)); err == nil {
			err = f.Truncate(int64(len(data)))
		}
	default:
		_, err = f.Write(data)
	}
	return errors.Join(err, f.Close())
}

// unlessGone is nil for what a program gets when the daemon has been killed.
func unlessGone(err error) error {
	if rig.Gone(err) {
		return nil
	}
	return err
}

// verify compares the folder with what was written.
func (c *copied) verify(t *testing.T) {
	t.Helper()
	for path, sum := range c.closed {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("its close had returned: %v", err)
		} else if sha256.Sum256(b) != sum {
			t.Errorf("%s has %d bytes that are not those it had when its close returned", path, len(b))
		}
	}
	for path := range c.removed {
		if _, err := os.Lstat(path); c.closed[path] == [32]byte{} && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there although it had been removed: %v", path, err)
		}
	}
	for path := range c.fate {
		if f, err := os.Open(path); err == nil { // whatever it is, it can be read
			if _, err := io.Copy(io.Discard, f); err != nil {
				t.Error(err)
			}
			f.Close()
		}
	}
}

// TestKilledWhileCopying kills the daemon at random moments of a copy: while it
// writes, uploads, publishes, or starts.
func TestKilledWhileCopying(t *testing.T) {
	needMount(t)
	r := seed(t)
	w := newWorld(t, 3, "2+1")
	rounds := killRounds(t)
	all := newCopied()
	written, kills := 0, 0
	for round := range rounds {
		c := copyAndKill(t, w, round, r)
		written += len(c.closed)
		kills++
		if round%5 == 4 {
			killWhileStarting(t, w, r)
			kills++
		}
		w.mount()
		c.verify(t)
		w.check()
		all.merge(c)
		if round%10 == 9 {
			clearOld(t, w, all, r)
		}
		if t.Failed() {
			t.Fatalf("in round %d\n%s", round, w.lastLog())
		}
	}
	all.verify(t)
	w.must("sync")
	w.must("cache", "drop")
	all.verify(t)
	w.check("--data")
	w.unmount()
	t.Logf("%d kills of the daemon, %d files closed, %d at the end", kills, written, len(all.closed))
}

// killRounds is how often a daemon is killed while it works: HAMMOCK_KILLS says
// it, for a number between that of a quick test and that of a soak.
func killRounds(t *testing.T) int {
	t.Helper()
	if s := os.Getenv("HAMMOCK_KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("HAMMOCK_KILLS: %v", err)
		}
		return n
	}
	if soak() {
		return 5000
	}
	return full(50, 8)
}

// copyAndKill starts a copy, in every third round a sync beside it, and kills
// the daemon at a random moment.
func copyAndKill(t *testing.T, w *world, round int, r *rand.Rand) *copied {
	t.Helper()
	type result struct {
		c   *copied
		err error
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan result, 1)
	choices := rand.New(rand.NewPCG(r.Uint64(), 0))
	go func() {
		c, err := copyFiles(ctx, w.Dir, round, choices)
		done <- result{c, err}
	}()
	moment := time.Duration(r.Int64N(int64(300 * time.Millisecond)))
	var sync *exec.Cmd
	if round%3 == 0 {
		time.Sleep(moment / 2)
		sync = w.Command(ctx, "sync")
		if err := sync.Start(); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(moment) // the moment itself is the point
	w.kill()
	cancel()
	got := <-done
	if sync != nil {
		_ = sync.Wait() // it fails with its daemon
	}
	w.detach()
	if got.err != nil {
		t.Errorf("the copy met what it should not: %v", got.err)
	}
	return got.c
}

// killWhileStarting starts the daemon and kills it before it is ready.
func killWhileStarting(t *testing.T, w *world, r *rand.Rand) {
	t.Helper()
	cmd := w.Command(t.Context(), "mount", w.Dir, "--foreground")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Duration(r.Int64N(int64(150 * time.Millisecond))))
	_ = cmd.Process.Kill()
	w.reap(t, cmd)
	w.detach()
}

// clearOld removes some of what earlier rounds have written.
func clearOld(t *testing.T, w *world, all *copied, r *rand.Rand) {
	t.Helper()
	for path := range all.closed {
		if r.IntN(3) > 0 {
			continue
		}
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
		delete(all.closed, path)
		all.removed[path] = true
	}
}

// TestPeerKilledInUpload kills a peer in the middle of an upload. The rest of
// the upload goes on when it is back.
func TestPeerKilledInUpload(t *testing.T) {
	needMount(t)
	w := newWorld(t, 6, "4+2")
	size := full[int64](256<<20, 64<<20)
	sum := writeStream(t, w.path("file"), stream(size, 0))
	synced := make(chan error, 1)
	go func() { _, err := w.Run("sync", "--timeout", "3m"); synced <- err }()
	victim := w.peers[3]
	victim.await("the upload is under way", func(s *status) bool { return s.Held > 0 })
	victim.kill()
	t.Logf("%d bytes were still to be placed", w.status().Volume.LocalBytes)
	victim.serve()
	if err := <-synced; err != nil {
		t.Logf("the sync in which the peer died: %v", err)
	}
	w.awaitPeers()
	w.must("sync")
	w.await("nothing is on this machine only", func(s *status) bool { return s.Volume.LocalBytes == 0 })
	if s := w.status().Volume; s.Lost > 0 {
		t.Errorf("%d stripes cannot be read", s.Lost)
	}
	w.must("cache", "drop")
	forget(t, w.path("file"))
	if sumFile(t, w.path("file")) != sum {
		t.Error("the file is not what was written")
	}
	w.check("--data")
	w.unmount()
}

// TestAllKilled kills everything at once in the middle of an upload.
func TestAllKilled(t *testing.T) {
	needMount(t)
	w := newWorld(t, 6, "4+2")
	sum := writeStream(t, w.path("file"), stream(full[int64](128<<20, 32<<20), 0))
	w.peers[0].await("the upload is under way", func(s *status) bool { return s.Held > 0 })
	for _, p := range w.peers {
		p.kill()
	}
	w.killMount()
	for _, p := range w.peers {
		p.serve()
	}
	w.mount()
	if sumFile(t, w.path("file")) != sum {
		t.Error("the file is not what was written")
	}
	w.awaitPeers()
	w.must("sync")
	w.must("cache", "drop")
	forget(t, w.path("file"))
	if sumFile(t, w.path("file")) != sum {
		t.Error("read from peers, the file is not what was written")
	}
	w.check("--data")
	w.unmount()
}
