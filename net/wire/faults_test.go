package wire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/memnet"
	"github.com/hammockfs/hammock/net/wire"
)

// bubble runs a test on memnet with time of its own.
func bubble(t *testing.T, limits wire.Limits, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, inMemory(t).serve(t, limits)) })
}

// longSize is more than one request brings.
const longSize = wire.MaxRange + 20_000

// exchanges is one of each request, on fresh streams.
func exchanges(t *testing.T, w *world, held, long wire.Put) map[string]func(ctx context.Context) error {
	data := randomBytes(40, 40_000)
	what := wire.Put{Shard: crypt.Sum(data), Stripe: 40}
	bundle := w.alice.bundle(t, 5)
	again := &person{root: w.alice.root}
	again.newDevice(t)
	s := &wire.Stranger{Open: w.stranger(t, again)}
	return map[string]func(ctx context.Context) error{
		"put": func(ctx context.Context) error { return w.bobPeer().Put(ctx, what, data) },
		"get": func(ctx context.Context) error {
			_, err := w.bobPeer().ReadRange(ctx, held.Shard, 20_000, 0, 20_000, nil)
			return err
		},
		"has": func(ctx context.Context) error {
			_, ok, err := w.bobPeer().Has(ctx, held.Shard)
			if err == nil && !ok {
				err = errors.New("not held")
			}
			return err
		},
		"delete": func(ctx context.Context) error {
			check(t, w.client.Peer("bob").Put(context.Background(), held, randomBytes(1, 20_000)))
			return w.bobPeer().Delete(ctx, held)
		},
		"info":     func(ctx context.Context) error { _, err := w.bobPeer().Info(ctx); return err },
		"head put": func(ctx context.Context) error { return w.bobPeer().PutHead(ctx, bundle) },
		"head get": func(ctx context.Context) error { _, err := w.bobPeer().Heads(ctx, bundle.Owner); return err },
		"recover":  func(ctx context.Context) error { _, _, err := s.Recover(ctx, again.root, again.raw); return err },
		"join": func(ctx context.Context) error {
			w.door.issue("another token") // the last one may have been used up
			_, err := s.Join(ctx, []byte("another token"), again.raw, "carol")
			return err
		},
		"long get": func(ctx context.Context) error { // several requests, one behind the other
			_, err := w.bobPeer().ReadRange(ctx, long.Shard, longSize, 0, longSize, nil)
			return err
		},
	}
}

// TestCutAnywhere cuts the connection after each possible number of bytes of
// each message, in both directions. Nothing may be left behind, and the same
// request has to work afterwards.
func TestCutAnywhere(t *testing.T) {
	for _, from := range []string{"client", "bob"} {
		for _, name := range []string{"put", "get", "has", "delete", "info", "head put", "head get", "recover", "join", "long get"} {
			t.Run(from+" "+name, func(t *testing.T) {
				bubble(t, wire.Limits{}, func(t *testing.T, w *world) { cutEverywhere(t, w, name, from) })
			})
		}
	}
}

func cutEverywhere(t *testing.T, w *world, name, from string) {
	held, _ := w.put(t, 1, 20_000)
	check(t, w.bobPeer().PutHead(t.Context(), w.alice.bundle(t, 5)))
	long := wire.Put{}
	if name == "long get" {
		long, _ = w.put(t, 2, longSize)
	}
	do := exchanges(t, w, held, long)[name]
	client := "alice"
	if name == "recover" || name == "join" {
		client = "stranger"
	}
	to := "bob"
	if from == "bob" {
		to = client
	} else {
		from = client
	}
	step := stride
	if name == "long get" {
		step = func(at int64) int64 { return max(997, at/2) } // every byte is cut at in the others
	}
	for after := int64(0); ; after += step(after) {
		w.fresh()
		synctest.Wait()
		if n := w.listener.(*memnet.Node).Streams(); n != 0 {
			t.Fatalf("before a cut after %d bytes: %d streams left", after, n)
		}
		if name == "delete" {
			check(t, w.bobPeer().Put(t.Context(), held, randomBytes(1, 20_000)))
		}
		w.net.Cut(from, to, after)
		err := do(t.Context())
		w.net.Cut(from, to, -1)
		time.Sleep(time.Second) // of the bubble
		synctest.Wait()
		if n := w.depot.opened(); n != 0 {
			t.Fatalf("cut after %d bytes: %d reservations left", after, n)
		}
		if err == nil && after > 0 {
			return // longer than the message
		}
		if !errors.Is(err, wire.ErrUnreachable) {
			t.Fatalf("cut after %d bytes: %v", after, err)
		}
		time.Sleep(time.Minute) // of the bubble: the rate of strangers
		if err := do(t.Context()); err != nil && !(name == "delete" && errors.Is(err, wire.ErrNotFound)) {
			t.Fatalf("after a cut after %d bytes: %v", after, err)
		}
	}
}

// stride takes every byte of the headers and fewer in the bodies.
func stride(at int64) int64 {
	if at < 400 {
		return 1
	}
	return 997
}

// fresh gives alice a new client, hence new streams.
func (w *world) fresh() {
	w.client.Close()
	w.client = wire.NewClient(w.clientConfig())
}

// TestRot: a peer that finds out that its bytes have rotted says that it has not got them; one that goes on to send
// others is a liar.
func TestRot(t *testing.T) {
	bubble(t, wire.Limits{}, func(t *testing.T, w *world) {
		p, data := w.put(t, 1, 100_000)
		w.depot.rot(w.alice.root.Owner(), p.Shard)
		_, err := w.bobPeer().ReadRange(t.Context(), p.Shard, 100_000, 0, 100_000, nil)
		want(t, err, wire.ErrNotFound)
		got, err := w.bobPeer().ReadRange(t.Context(), p.Shard, 100_000, 65536, 16384, nil)
		check(t, err)
		if !bytes.Equal(got, data[65536:65536+16384]) {
			t.Error("the rest of a rotten shard is wrong")
		}
		w.net.Lie("bob", func(_ string, b []byte) { b[len(b)-1] ^= 1 })
		_, err = w.bobPeer().ReadRange(t.Context(), p.Shard, 100_000, 65536, 16384, nil)
		want(t, err, wire.ErrWrongBytes)
	})
}

// TestLies alters each byte of the replies in turn: what is read is right or
// an error, and nothing hangs or is kept. A second answer is altered as the first
// one was.
func TestLies(t *testing.T) {
	bubble(t, wire.Limits{}, func(t *testing.T, w *world) {
		p, data := w.put(t, 1, 20_000)
		wrong := 0
		for at := 0; at < 20_300; at += int(stride(int64(at))) {
			w.fresh()
			seen, lied := 0, false
			w.net.Lie("bob", func(_ string, b []byte) {
				if i := at - seen; i >= 0 && i < len(b) {
					b[i], lied = b[i]^0x10, true
				} else if lied {
					b[len(b)-1] ^= 0x10
				}
				seen += len(b)
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			got, err := w.bobPeer().ReadRange(ctx, p.Shard, 20_000, 0, 20_000, nil)
			cancel()
			if err == nil && !bytes.Equal(got, data) {
				t.Fatalf("byte %d altered: wrong bytes were believed", at)
			}
			if errors.Is(err, wire.ErrWrongBytes) {
				wrong++
			}
		}
		if wrong < 20 {
			t.Errorf("only %d lies were called wrong bytes", wrong)
		}
	})
}

// raw opens a stream as a member and writes bytes.
func (w *world) raw(t *testing.T, proto string, p []byte) wire.Stream {
	t.Helper()
	s, err := w.dialer.Open(t.Context(), w.peer, proto)
	check(t, err)
	if _, err := s.Write(p); err != nil {
		t.Logf("write: %v", err)
	}
	return s
}

func frame(t *testing.T, header map[int]any) []byte {
	t.Helper()
	b, err := crypt.EncodeCBOR(header)
	check(t, err)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// ends waits for the stream to end and says how long it took and what came.
func ends(t *testing.T, s wire.Stream) (after time.Duration, got []byte) {
	t.Helper()
	start := time.Now()
	got, _ = io.ReadAll(s)
	s.Reset()
	return time.Since(start), got
}

func TestSlowLoris(t *testing.T) {
	id := make([]byte, 32)
	put := map[int]any{1: 1, 2: 1 << 20, 3: id}
	for name, c := range map[string]struct {
		bytes []byte
		ends  time.Duration
	}{
		"nothing":            {nil, 3 * time.Minute},
		"half a length":      {[]byte{0, 0}, 10 * time.Second},
		"a length":           {[]byte{0, 0, 1, 0}, 10 * time.Second},
		"part of a header":   {[]byte{0, 0, 1, 0, 0xa1}, 10 * time.Second},
		"a put and silence":  {frame(t, put), 30 * time.Second},
		"a put and one byte": {append(frame(t, put), 1), 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, wire.Limits{}, func(t *testing.T, w *world) {
				s := w.raw(t, wire.ProtoShard, c.bytes)
				if after, _ := ends(t, s); after != c.ends {
					t.Errorf("the stream ended after %v, not %v", after, c.ends)
				}
				synctest.Wait()
				if n := w.depot.opened(); n != 0 {
					t.Errorf("%d reservations left", n)
				}
			})
		})
	}
}

// A trickle that is never silent for 30 s still has to keep the lowest rate.
func TestTrickle(t *testing.T) {
	bubble(t, wire.Limits{}, func(t *testing.T, w *world) {
		s := w.raw(t, wire.ProtoShard, frame(t, map[int]any{1: 1, 2: 1 << 20, 3: make([]byte, 32)}))
		start := time.Now()
		for {
			if _, err := s.Write([]byte{0}); err != nil {
				break
			}
			time.Sleep(5 * time.Second)
		}
		s.Reset()
		if took := time.Since(start); took < 60*time.Second || took > 70*time.Second {
			t.Errorf("a trickle was cut off after %v", took)
		}
		synctest.Wait()
		if n := w.depot.opened(); n != 0 {
			t.Errorf("%d reservations left", n)
		}
	})
}

// A server that falls silent costs a client its deadline and no more.
func TestSilentServer(t *testing.T) {
	bubble(t, wire.Limits{}, func(t *testing.T, w *world) {
		w.listener.Handle(wire.ProtoSmall, func(ctx context.Context, _ wire.Remote, s wire.Stream) {
			io.Copy(io.Discard, s)
		})
		start := time.Now()
		_, _, err := w.bobPeer().Has(t.Context(), crypt.ID{})
		want(t, err, wire.ErrUnreachable)
		if took := time.Since(start); took != time.Minute {
			t.Errorf("gave up after %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, _, err = w.bobPeer().Has(ctx, crypt.ID{})
		want(t, err, context.DeadlineExceeded)
	})
}

func TestPartition(t *testing.T) {
	bubble(t, wire.Limits{}, func(t *testing.T, w *world) {
		w.net.SetLinks(memnet.Link{Delay: 20 * time.Millisecond, Rate: 1 << 20})
		go func() { time.Sleep(3 * time.Second); w.net.Partition([]string{"alice"}, []string{"bob"}) }()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		data := randomBytes(1, 8<<20)
		want(t, w.bobPeer().Put(ctx, wire.Put{Shard: crypt.Sum(data)}, data), context.DeadlineExceeded)
		if w.depot.opened() != 1 {
			t.Error("bob cannot know yet")
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if n := w.depot.opened(); n != 0 {
			t.Errorf("%d reservations outlived 30 s of silence", n)
		}
		w.net.Heal()
		w.put(t, 2, 1<<20)
	})
}

func TestBadFrames(t *testing.T) {
	deep := append([]byte{0xa1, 1}, bytes.Repeat([]byte{0x81}, 20)...)
	framed := func(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	for name, c := range map[string]struct {
		proto string
		bytes []byte
		code  uint64
	}{
		"header over 64 KiB":  {wire.ProtoSmall, []byte{0, 1, 0, 1}, 2},
		"header of 4 GiB":     {wire.ProtoSmall, []byte{255, 255, 255, 255}, 2},
		"no header":           {wire.ProtoSmall, []byte{0, 0, 0, 0}, 2},
		"not CBOR":            {wire.ProtoSmall, framed([]byte{0xff}), 2},
		"too deep":            {wire.ProtoSmall, framed(append(deep, 0)), 2},
		"a key twice":         {wire.ProtoSmall, framed([]byte{0xa2, 1, 5, 1, 5}), 2},
		"bytes after it":      {wire.ProtoSmall, framed([]byte{0xa1, 1, 5, 0}), 2},
		"no code":             {wire.ProtoSmall, frame(t, map[int]any{2: 1}), 2},
		"short ID":            {wire.ProtoSmall, frame(t, map[int]any{1: 3, 3: []byte{1}}), 2},
		"body over 16 MiB":    {wire.ProtoShard, frame(t, map[int]any{1: 1, 2: 16<<20 + 1, 3: make([]byte, 32)}), 7},
		"put without body":    {wire.ProtoShard, frame(t, map[int]any{1: 1, 3: make([]byte, 32)}), 2},
		"put on small":        {wire.ProtoSmall, frame(t, map[int]any{1: 1, 2: 9, 3: make([]byte, 32)}), 13},
		"unaligned get":       {wire.ProtoShard, frame(t, map[int]any{1: 2, 3: make([]byte, 32), 6: 99999, 7: 1, 8: 1}), 2},
		"large get on small":  {wire.ProtoSmall, frame(t, map[int]any{1: 2, 3: make([]byte, 32), 6: 1 << 20, 8: 1 << 20}), 7},
		"another's shard":     {wire.ProtoSmall, frame(t, map[int]any{1: 3, 3: make([]byte, 32), 9: make([]byte, 32)}), 3},
		"unsigned delete":     {wire.ProtoSmall, frame(t, map[int]any{1: 4, 3: make([]byte, 32)}), 2},
		"large bundle":        {wire.ProtoHead, frame(t, map[int]any{1: 6, 2: 256<<10 + 1}), 7},
		"unknown request":     {wire.ProtoHead, frame(t, map[int]any{1: 99}), 13},
		"recover uninvited":   {wire.ProtoRecover, frame(t, map[int]any{1: 10, 10: make([]byte, 64)}), 2},
		"join without token":  {wire.ProtoJoin, frame(t, map[int]any{1: 8}), 2},
		"name over 64 bytes":  {wire.ProtoJoin, frame(t, map[int]any{1: 8, 13: strings.Repeat("x", 65)}), 2},
		"token over 64 bytes": {wire.ProtoJoin, frame(t, map[int]any{1: 8, 11: make([]byte, 65)}), 2},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, wire.Limits{}, func(t *testing.T, w *world) {
				s := w.raw(t, c.proto, c.bytes)
				s.CloseWrite()
				_, got := ends(t, s)
				if code := codeIn(t, got); code != c.code {
					t.Errorf("code %d, want %d", code, c.code)
				}
			})
		})
	}
}

// codeIn reads the code of the one reply in b.
func codeIn(t *testing.T, b []byte) uint64 {
	t.Helper()
	if len(b) < 4 || int(binary.BigEndian.Uint32(b)) != len(b)-4 {
		t.Fatalf("not one frame: %x", b)
	}
	var r struct {
		Code uint64 `cbor:"1,keyasint"`
	}
	check(t, crypt.DecodeCBOR(b[4:], &r))
	return r.Code
}

// A request unknown to this node does not end the stream.
func TestUnknownRequestGoesOn(t *testing.T) {
	bubble(t, wire.Limits{}, func(t *testing.T, w *world) {
		s := w.raw(t, wire.ProtoSmall, append(frame(t, map[int]any{1: 99, 77: "new"}), frame(t, map[int]any{1: 5, 78: 1})...))
		s.CloseWrite()
		_, got := ends(t, s)
		first := 4 + int(binary.BigEndian.Uint32(got))
		if codeIn(t, got[:first]) != 13 || codeIn(t, got[first:]) != 0 {
			t.Errorf("got %x", got)
		}
	})
}
