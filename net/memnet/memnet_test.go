package memnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/wire"
)

const proto = "/test"

// two makes a network of two members and gives what b accepts to a channel.
func two(t *testing.T) (n *Net, a, b *Node, accepted chan wire.Stream) {
	n, accepted = New(1), make(chan wire.Stream, 10)
	a = n.Node(wire.Remote{Peer: "a", Owner: crypt.OwnerKey{1}})
	b = n.Node(wire.Remote{Peer: "b", Owner: crypt.OwnerKey{2}})
	b.Handle(proto, func(_ context.Context, from wire.Remote, s wire.Stream) {
		if from.Peer != "a" {
			t.Errorf("a stream from %q", from.Peer)
		}
		accepted <- s
	})
	t.Cleanup(func() { a.Close(); b.Close() })
	return n, a, b, accepted
}

func open(t *testing.T, a *Node) wire.Stream {
	t.Helper()
	s, err := a.Open(t.Context(), "b", proto)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func in(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

func TestBytesAndEndInOrder(t *testing.T) {
	in(t, func(t *testing.T) {
		n, a, b, accepted := two(t)
		n.SetLinks(Link{Delay: time.Second, Jitter: time.Second, Loss: 0.3, Rate: 10 << 20})
		near := open(t, a)
		far := <-accepted
		data := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
		go func() {
			near.Write(data)
			near.CloseWrite()
		}()
		got, err := io.ReadAll(far)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(data), err)
		}
		if _, err := near.Write(data); !errors.Is(err, ErrClosed) {
			t.Errorf("write after CloseWrite: %v", err)
		}
		far.Write([]byte("back"))
		far.Close()
		if got, err := io.ReadAll(near); err != nil || string(got) != "back" {
			t.Errorf("%q %v", got, err)
		}
		near.Close()
		if a.Streams()+b.Streams() != 0 {
			t.Error("closed streams are still listed")
		}
	})
}

func TestDelayAndRate(t *testing.T) {
	in(t, func(t *testing.T) {
		n, a, _, accepted := two(t)
		n.SetLink("a", "b", Link{Delay: 50 * time.Millisecond, Rate: 1 << 20})
		near := open(t, a)
		far := <-accepted
		start := time.Now()
		go near.Write(make([]byte, 1<<20))
		if _, err := io.ReadFull(far, make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		// a window of 256 KiB and a delay of 50 ms do not slow down 1 MiB/s
		if took := time.Since(start); took < 1050*time.Millisecond || took > 1400*time.Millisecond {
			t.Errorf("1 MiB took %v", took)
		}
	})
}

func TestWindowHoldsTheWriter(t *testing.T) {
	in(t, func(t *testing.T) {
		_, a, _, accepted := two(t)
		near := open(t, a)
		<-accepted
		near.SetWriteDeadline(time.Now().Add(time.Minute))
		n, err := near.Write(make([]byte, 1<<20))
		if n != window || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

func TestDeadlines(t *testing.T) {
	in(t, func(t *testing.T) {
		_, a, _, accepted := two(t)
		near := open(t, a)
		far := <-accepted
		start := time.Now()
		go func() { time.Sleep(time.Second); near.SetReadDeadline(time.Now().Add(time.Second)) }()
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		near.SetReadDeadline(time.Time{})
		go far.Write([]byte("x"))
		if n, err := near.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("after the deadline was taken away: %d %v", n, err)
		}
	})
}

func TestResetCrosses(t *testing.T) {
	in(t, func(t *testing.T) {
		n, a, _, accepted := two(t)
		n.SetLinks(Link{Delay: time.Second})
		near := open(t, a)
		far := <-accepted
		near.Write([]byte("lost"))
		near.Reset()
		start := time.Now()
		if got, err := io.ReadAll(far); !errors.Is(err, ErrReset) || time.Since(start) != time.Second {
			t.Errorf("%q, %v after %v", got, err, time.Since(start))
		}
		if _, err := far.Write([]byte("x")); !errors.Is(err, ErrReset) {
			t.Errorf("write: %v", err)
		}
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, ErrReset) {
			t.Errorf("read here: %v", err)
		}
	})
}

func TestPartitionHoldsAndHeals(t *testing.T) {
	in(t, func(t *testing.T) {
		n, a, _, accepted := two(t)
		near := open(t, a)
		far := <-accepted
		n.Partition([]string{"a"}, []string{"b"})
		near.Write([]byte("held"))
		far.SetReadDeadline(time.Now().Add(time.Minute))
		if n, err := far.Read(make([]byte, 9)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d %v through a partition", n, err)
		}
		if _, err := a.Open(t.Context(), "b", proto); !errors.Is(err, ErrNoRoute) {
			t.Errorf("dial: %v", err)
		}
		far.SetReadDeadline(time.Time{})
		go func() { time.Sleep(time.Hour); n.Heal() }()
		p := make([]byte, 9)
		if n, err := far.Read(p); string(p[:n]) != "held" || err != nil {
			t.Errorf("%q %v after healing", p[:n], err)
		}
		n.Partition([]string{"a"}, []string{"b"})
		near.Reset()
		go func() { time.Sleep(time.Hour); n.Heal() }()
		start := time.Now()
		if _, err := far.Read(p); !errors.Is(err, ErrReset) || time.Since(start) != time.Hour {
			t.Errorf("the reset came with %v after %v", err, time.Since(start))
		}
	})
}

func TestCut(t *testing.T) {
	in(t, func(t *testing.T) {
		n, a, _, accepted := two(t)
		n.Cut("a", "b", 5)
		near := open(t, a)
		far := <-accepted
		near.Write([]byte("123"))
		p := make([]byte, 9)
		if n, err := far.Read(p); n != 3 || err != nil {
			t.Errorf("%d %v before the cut", n, err)
		}
		near.Write([]byte("456"))
		time.Sleep(time.Second)
		if _, err := far.Read(p); !errors.Is(err, ErrReset) {
			t.Errorf("after the cut: %v", err)
		}
		if _, err := near.Write(p); !errors.Is(err, ErrReset) {
			t.Errorf("write after the cut: %v", err)
		}
		n.Cut("a", "b", -1)
		near = open(t, a)
		if _, err := near.Write(make([]byte, 100)); err != nil {
			t.Error(err)
		}
	})
}

func TestLie(t *testing.T) {
	in(t, func(t *testing.T) {
		n, a, _, accepted := two(t)
		n.Lie("a", func(_ string, p []byte) { p[0] = 'X' })
		near := open(t, a)
		far := <-accepted
		said := []byte("truth")
		near.Write(said)
		p := make([]byte, 9)
		if n, _ := far.Read(p); string(p[:n]) != "Xruth" || string(said) != "truth" {
			t.Errorf("heard %q, said %q", p[:n], said)
		}
	})
}

func TestWhoIsRefused(t *testing.T) {
	in(t, func(t *testing.T) {
		n, a, b, _ := two(t)
		if _, err := a.Open(t.Context(), "b", "/other"); !errors.Is(err, ErrRefused) {
			t.Errorf("unknown protocol: %v", err)
		}
		if _, err := a.Open(t.Context(), "c", proto); !errors.Is(err, ErrRefused) {
			t.Errorf("unknown node: %v", err)
		}
		stranger := n.Node(wire.Remote{Peer: "s"})
		defer stranger.Close()
		if _, err := stranger.Open(t.Context(), "b", proto); !errors.Is(err, ErrRefused) {
			t.Errorf("stranger: %v", err)
		}
		b.HandleStranger(proto, func(_ context.Context, _ wire.Remote, s wire.Stream) { s.Close() })
		if _, err := stranger.Open(t.Context(), "b", proto); err != nil {
			t.Errorf("stranger who may: %v", err)
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	in(t, func(t *testing.T) {
		n, a, b, _ := two(t)
		ended := make(chan error, 1)
		b.Handle(proto, func(ctx context.Context, _ wire.Remote, s wire.Stream) {
			_, err := s.Read(make([]byte, 1))
			ended <- errors.Join(err, ctx.Err())
		})
		near := open(t, a)
		synctest.Wait()
		b.Close() // waits for the handler
		if err := <-ended; !errors.Is(err, ErrReset) || !errors.Is(err, context.Canceled) {
			t.Errorf("the handler got %v", err)
		}
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, ErrReset) {
			t.Errorf("the other side got %v", err)
		}
		if _, err := a.Open(t.Context(), "b", proto); !errors.Is(err, ErrRefused) {
			t.Errorf("dial: %v", err)
		}
		b = n.Node(wire.Remote{Peer: "b"})
		b.Handle(proto, func(_ context.Context, _ wire.Remote, s wire.Stream) { s.Close() })
		open(t, a)
		b.Close()
	})
}
