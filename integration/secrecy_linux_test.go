package integration

import (
	"bytes"
	"crypto/rand"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// secrets are strings that must not be found, in pieces, so that one of which
// only a part is in the clear is found all the same.
type secrets struct{ pieces [][]byte }

func (s *secrets) add(secret string) {
	for i := 0; i+12 <= len(secret); i += 12 {
		s.pieces = append(s.pieces, []byte(secret[i:i+12]))
	}
}

// in says which piece of a secret is in b.
func (s *secrets) in(b []byte) (piece []byte, found bool) {
	for _, p := range s.pieces {
		if bytes.Contains(b, p) {
			return p, true
		}
	}
	return nil, false
}

// TestSecrecy writes secrets into contents, names and attributes, and looks for
// them in everything that is stored and in everything that is sent.
func TestSecrecy(t *testing.T) {
	needMount(t)
	needRoot(t) // for the capture
	wire := startCapture(t)
	w := newWorld(t, 6, "4+2")
	s := &secrets{}
	writeSecrets(t, w, s)
	w.must("sync")
	w.must("status", w.path()) // names in commands go into no log
	w.must("cache", "drop")
	forget(t, w.path("content"))
	if piece, found := s.in(mustRead(t, w.path("content"))); !found {
		t.Fatalf("the secret %q is not even in the file", piece)
	}
	// What was not synced is in the journal and Pebble only.
	s.addTo(t, w.path("late"), w.path())
	s.add(w.words)
	w.killMount()
	searchState(t, w.State, s)
	w.mount()
	w.unmount()
	searchState(t, w.State, s)
	for _, p := range w.peers {
		p.kill()
		searchState(t, p.State, s)
	}
	searchWire(t, wire, s)
}

// writeSecrets puts secrets wherever a program can leave bytes.
func writeSecrets(t *testing.T, w *world, s *secrets) {
	t.Helper()
	s.addTo(t, w.path("small"), w.path())
	content := rand.Text() + rand.Text()
	s.add(content)
	// Once so that it stays as it is, and often so that it gets compressed.
	noise := make([]byte, 3<<20)
	_, _ = rand.Read(noise)
	copy(noise[1<<20:], content)
	for path, b := range map[string][]byte{"content": noise, "often": bytes.Repeat([]byte(content+"\n"), 40000)} {
		if err := os.WriteFile(w.path(path), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// addTo makes a small file with a secret, and beside it other things whose
// names, targets and attributes are secrets.
func (s *secrets) addTo(t *testing.T, path, dir string) {
	t.Helper()
	text := func() string { v := rand.Text() + rand.Text(); s.add(v); return v }
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	try(os.WriteFile(path, []byte(text()), 0o644))
	try(unix.Setxattr(path, "user.plain", []byte(text()), 0))
	try(unix.Setxattr(path, "user."+text(), []byte("value"), 0))
	try(os.WriteFile(filepath.Join(dir, text()), nil, 0o644))
	try(os.Mkdir(filepath.Join(dir, text()), 0o755))
	try(os.Symlink(text(), path+".link"))
	try(os.Rename(path+".link", filepath.Join(dir, text())))
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// searchWire looks into the capture, after it has shown that the capture shows
// what is sent in the clear.
func searchWire(t *testing.T, wire *capture, s *secrets) {
	t.Helper()
	control := rand.Text()
	from, to := sendClear(t, control)
	if !wire.finish() {
		t.Error("the capture is not complete: packets were dropped")
	}
	if !bytes.Contains(wire.between(from, to), []byte(control)) {
		t.Error("the capture does not even show what was sent in the clear")
	}
	if wire.bytes < 4<<20 {
		t.Errorf("only %d bytes were captured, which is less than was uploaded", wire.bytes)
	}
	t.Logf("%d bytes captured, in %d streams", wire.bytes, len(wire.streams))
	for _, b := range wire.streams {
		if piece, found := s.in(b); found {
			t.Errorf("a part of a secret crossed the wire in the clear: %q", piece)
		}
	}
}

// sendClear sends a text over the loopback network.
func sendClear(t *testing.T, text string) (from, to int) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(server, make([]byte, len(text))); err != nil {
		t.Fatal(err)
	}
	return c.LocalAddr().(*net.TCPAddr).Port, l.Addr().(*net.TCPAddr).Port
}

// searchState looks into every file of a state folder, and at its name.
func searchState(t *testing.T, state string, s *secrets) {
	t.Helper()
	var files, total int
	kinds := map[string]bool{}
	err := filepath.WalkDir(state, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(state, path)
		if err != nil {
			return err
		}
		if piece, found := s.in([]byte(rel)); found {
			t.Errorf("%q is in the name of %s", piece, path)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if piece, found := s.in(b); found {
			t.Errorf("%q is in %s", piece, path)
		}
		kind, _, _ := strings.Cut(rel, string(filepath.Separator))
		files, total, kinds[kind] = files+1, total+len(b), true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"keyring", "log", "swarm", "depot"} {
		if !kinds[want] {
			t.Errorf("there is no %s in %s: was it searched at all?", want, state)
		}
	}
	t.Logf("%d files with %d bytes searched in %s", files, total, state)
}
