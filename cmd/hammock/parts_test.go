package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "20G": 20 << 30, "1.5T": 3 << 39, "500 MiB": 500 << 20, "1MB": 1e6, "7": 7, "64k": 64 << 10,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "lots", "-1G", "1Q", "9999999P", "G"} {
		if n, err := parseSize(text); err == nil {
			t.Errorf("%q is %d", text, n)
		}
	}
}

func TestPortOf(t *testing.T) {
	for addr, want := range map[string]int{
		"/ip4/127.0.0.1/tcp/4001/p2p/12D3KooW": 4001, "/ip6/::1/tcp/77": 77, "/ip4/1.2.3.4/udp/5/quic-v1": 0, "/tcp/x": 0,
	} {
		if got := portOf([]string{addr}); got != want {
			t.Errorf("%s: port %d, want %d", addr, got, want)
		}
	}
}

// A node listens where it did, unless somebody else does.
func TestListenAddrs(t *testing.T) {
	l := httptest.NewServer(http.NotFoundHandler())
	defer l.Close()
	port := portOf([]string{"/tcp/" + l.URL[len("http://127.0.0.1:"):]})
	if got := listenAddrs(nil, port, true)[0]; got != "/ip4/127.0.0.1/tcp/0" {
		t.Errorf("the port is taken, yet it listens at %s", got)
	}
	if got := listenAddrs([]string{"here"}, port, true); len(got) != 1 || got[0] != "here" {
		t.Errorf("it was told to listen here and listens at %v", got)
	}
}

func TestMountPath(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.Mkdir(filepath.Join(dir, "d"), 0o755), os.Symlink("d", filepath.Join(dir, "l")),
		os.Symlink("l", filepath.Join(dir, "l2")), os.Symlink("loop", filepath.Join(dir, "loop"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"d", "l", "l2", "d/../d/"} {
		if got, err := mountPath(filepath.Join(dir, name)); err != nil || got != filepath.Join(dir, "d") {
			t.Errorf("%s is %s, %v", name, got, err)
		}
	}
	if _, err := mountPath(filepath.Join(dir, "loop")); err != nil {
		t.Errorf("a link to itself: %v", err)
	}
}

// What a command waits for ends when the node does, and who asked for the end
// is answered after it.
func TestControlEnds(t *testing.T) {
	c := newControl()
	began := make(chan struct{})
	c.handle("/long", func(r *http.Request, _ func(any)) (any, error) {
		close(began)
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	})
	c.handleEnd("/stop", func(*http.Request, func(any)) (any, error) { return ended{}, nil })
	s := httptest.NewServer(c.mux)
	defer s.Close()
	post := func(path string) chan error {
		done := make(chan error, 1)
		go func() {
			resp, err := http.Post(s.URL+path, "", nil)
			if err == nil {
				err = readAnswer(resp.Body, nil, nil)
				resp.Body.Close()
			}
			done <- err
		}()
		return done
	}
	long, stop := post("/long"), post("/stop")
	<-began
	closed := false
	if err := c.end(func() error { closed = true; return errors.New("a part did not close") }); err == nil {
		t.Error("the error of closing is lost")
	}
	if err := <-long; err == nil || err.Error() != errEnding.Error() || !closed {
		t.Errorf("the long command: %v", err)
	}
	if err := <-stop; err == nil || err.Error() != "a part did not close" {
		t.Errorf("the command that ended the node: %v", err)
	}
	if err := <-post("/stop"); err == nil || err.Error() != "a part did not close" {
		t.Errorf("one that came late: %v", err)
	}
	if err := <-post("/long"); err == nil || err.Error() != errEnding.Error() {
		t.Errorf("a long command that came late: %v", err)
	}
}

func TestWithin(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	if err := within(time.Millisecond, func() error { <-never; return nil }); err == nil {
		t.Error("it waited for what never ends")
	}
	if err := within(time.Minute, func() error { return nil }); err != nil {
		t.Error(err)
	}
}
