package wire_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/wire"
)

// contract is what holds on every network. Each test gets a world of its own.
var contract = map[string]func(t *testing.T, w *world){
	"shards":        testShards,
	"wrong hash":    testWrongHash,
	"full":          testFull,
	"delete":        testDelete,
	"heads":         testHeads,
	"info":          testInfo,
	"join":          testJoin,
	"recover":       testRecover,
	"strangers":     testStrangers,
	"cancelled put": testCancelledPut,
	"mixed load":    testMixedLoad,
	"kept streams":  testKeptStreams,
	"restart":       testRestart,
	"closed client": testClosedClient,
}

func TestContractInMemory(t *testing.T) {
	for name, test := range contract {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, inMemory(t).serve(t, wire.Limits{}))
		})
	}
}

func randomBytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(b)
	return b
}

// put stores random bytes at bob.
func (w *world) put(t testing.TB, seed uint64, n int) (wire.Put, []byte) {
	t.Helper()
	data := randomBytes(seed, n)
	p := wire.Put{Shard: crypt.Sum(data), Stripe: seed, Generation: 1}
	check(t, w.bobPeer().Put(t.Context(), p, data))
	return p, data
}

func want(t testing.TB, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("got %v, want %v", err, kind)
	}
}

func testShards(t *testing.T, w *world) {
	const g = crypt.GroupSize
	for i, size := range []int{1, g - 1, g, g + 1, 10*g + 7, 256 << 10, 5<<20 + 3} {
		p, data := w.put(t, uint64(i), size)
		check(t, w.bobPeer().Put(t.Context(), p, data)) // once more is fine
		if n, ok, err := w.bobPeer().Has(t.Context(), p.Shard); err != nil || !ok || n != int64(size) {
			t.Fatalf("has a shard of %d bytes: %d %v %v", size, n, ok, err)
		}
		for _, off := range []int{0, 1, g, size / 2, size - 1} {
			for _, n := range []int{0, 1, 4096, g, 3*g + 1, size} {
				off, n := min(off, size), min(n, size-min(off, size))
				got, err := w.bobPeer().ReadRange(t.Context(), p.Shard, int64(size), int64(off), int64(n), []byte("before"))
				check(t, err)
				if !bytes.Equal(got, append([]byte("before"), data[off:off+n]...)) {
					t.Fatalf("%d bytes at %d of %d are wrong", n, off, size)
				}
			}
		}
		_, err := w.bobPeer().ReadRange(t.Context(), p.Shard, int64(size)+g, 0, 1, nil)
		want(t, err, wire.ErrNotFound) // another size
	}
	none := crypt.Sum([]byte("none"))
	if _, ok, err := w.bobPeer().Has(t.Context(), none); ok || err != nil {
		t.Fatalf("has what it has not: %v %v", ok, err)
	}
	_, err := w.bobPeer().ReadRange(t.Context(), none, 100, 0, 100, nil)
	want(t, err, wire.ErrNotFound)
	want(t, w.bobPeer().Put(t.Context(), wire.Put{}, make([]byte, wire.MaxShard+1)), wire.ErrTooLarge)
	want(t, w.bobPeer().Put(t.Context(), wire.Put{}, nil), wire.ErrTooLarge)
}

func testWrongHash(t *testing.T, w *world) {
	w.put(t, 1, 100)
	opened := w.opened.Load()
	want(t, w.bobPeer().Put(t.Context(), wire.Put{Shard: crypt.Sum(nil)}, make([]byte, 1<<20)), wire.ErrWrongHash)
	w.put(t, 2, 1<<20)
	if w.opened.Load() != opened {
		t.Error("a refused put cost the stream")
	}
	if n := w.depot.opened(); n != 0 {
		t.Errorf("%d reservations left", n)
	}
}

func testFull(t *testing.T, w *world) {
	w.depot.capacity = 1000
	before := w.client.Meter().Total()
	data := make([]byte, 1<<20)
	err := w.bobPeer().Put(t.Context(), wire.Put{Shard: crypt.Sum(data)}, data)
	want(t, err, wire.ErrFull)
	if sent := w.client.Meter().Total().Out - before.Out; sent > 200 {
		t.Errorf("%d bytes were sent to a full node", sent)
	}
	w.put(t, 1, 999)
}

func testDelete(t *testing.T, w *world) {
	p, data := w.put(t, 1, 50_000)
	other := p
	other.Generation++
	want(t, w.bobPeer().Delete(t.Context(), other), wire.ErrNotFound)
	check(t, w.bobPeer().Put(t.Context(), other, data))
	check(t, w.bobPeer().Delete(t.Context(), p))
	if _, ok, _ := w.bobPeer().Has(t.Context(), p.Shard); !ok {
		t.Error("the other generation went too")
	}
	check(t, w.bobPeer().Delete(t.Context(), other))
	if _, ok, _ := w.bobPeer().Has(t.Context(), p.Shard); ok {
		t.Error("still held")
	}

	forger := w.clientConfig()
	forger.Device = crypt.NewDevice()
	c := wire.NewClient(forger)
	defer c.Close()
	want(t, c.Peer(w.peer).Delete(t.Context(), p), wire.ErrDenied)
	reader := w.clientConfig()
	only, err := w.alice.root.Certify(crypt.Certificate{Device: w.alice.device.Key(), Wrap: w.alice.device.Wrap(), NotBefore: 1})
	check(t, err)
	reader.Certificate, err = only.Marshal()
	check(t, err)
	c3 := wire.NewClient(reader)
	defer c3.Close()
	want(t, c3.Peer(w.peer).Delete(t.Context(), p), wire.ErrDenied)
	replayed := w.clientConfig()
	replayed.Swarm = crypt.Sum([]byte("another swarm"))
	c2 := wire.NewClient(replayed)
	defer c2.Close()
	want(t, c2.Peer(w.peer).Delete(t.Context(), p), wire.ErrDenied)
}

func testHeads(t *testing.T, w *world) {
	mine := w.alice.root.Owner()
	got, err := w.bobPeer().Heads(t.Context(), mine)
	if err != nil || len(got) != 0 {
		t.Fatalf("heads before any: %d, %v", len(got), err)
	}
	b := w.alice.bundle(t, 7)
	check(t, w.bobPeer().PutHead(t.Context(), b))
	want(t, w.bobPeer().PutHead(t.Context(), w.alice.bundle(t, 6)), wire.ErrStale)
	got, err = w.bobPeer().Heads(t.Context(), mine)
	check(t, err)
	if len(got) != 1 || !bytes.Equal(got[0].Head, b.Head) {
		t.Fatalf("got %d heads", len(got))
	}
	want(t, w.bobPeer().PutHead(t.Context(), w.bob.bundle(t, 1)), wire.ErrDenied)
	_, err = w.bobPeer().Heads(t.Context(), w.bob.root.Owner())
	want(t, err, wire.ErrDenied)
	forged := w.alice.bundle(t, 9)
	forged.Head[len(forged.Head)-1] ^= 1
	want(t, w.bobPeer().PutHead(t.Context(), forged), wire.ErrDenied)

	// a keeper that hands out a forged head
	w.keeper.mu.Lock()
	w.keeper.heads[mine] = []crypt.Bundle{forged}
	w.keeper.mu.Unlock()
	_, err = w.bobPeer().Heads(t.Context(), mine)
	want(t, err, wire.ErrWrongBytes)
}

func testInfo(t *testing.T, w *world) {
	i, err := w.bobPeer().Info(t.Context())
	check(t, err)
	if i != (wire.Info{Free: 1 << 40, Machine: "m1", Name: "bob", Gives: true}) {
		t.Errorf("got %+v", i)
	}
}

func testJoin(t *testing.T, w *world) {
	carol := newPerson(t)
	s := &wire.Stranger{Open: w.stranger(t, carol), Meter: new(wire.Meter)}
	_, err := s.Join(t.Context(), []byte("wrong"), carol.raw, "carol")
	want(t, err, wire.ErrTicket)
	_, err = s.Join(t.Context(), []byte("0123456789abcdef"), w.alice.raw, "carol")
	want(t, err, wire.ErrDenied) // the certificate of another device
	state, err := s.Join(t.Context(), []byte("0123456789abcdef"), carol.raw, "carol\x1b[2J")
	check(t, err)
	if string(state) != "the state of the swarm" || w.door.joined[0] != "carol[2J" {
		t.Errorf("state %q, joined %q", state, w.door.joined)
	}
	_, err = s.Join(t.Context(), []byte("0123456789abcdef"), carol.raw, "carol")
	want(t, err, wire.ErrTicket)
	if got := s.Meter.Traffic()["join"]; got.In == 0 || got.Out == 0 {
		t.Errorf("nothing was counted: %+v", got)
	}
}

func testRecover(t *testing.T, w *world) {
	b := w.alice.bundle(t, 3)
	check(t, w.bobPeer().PutHead(t.Context(), b))
	again := &person{root: w.alice.root} // a bare machine, with the words
	again.newDevice(t)
	s := &wire.Stranger{Open: w.stranger(t, again)}
	state, heads, err := s.Recover(t.Context(), again.root, again.raw)
	check(t, err)
	if string(state) != "the state of the swarm" || len(heads) != 1 || !bytes.Equal(heads[0].Head, b.Head) {
		t.Errorf("state %q, %d heads", state, len(heads))
	}
	thief := newPerson(t) // holds the new certificate, not the words
	_, _, err = s.Recover(t.Context(), thief.root, again.raw)
	want(t, err, wire.ErrDenied)
	_, _, err = s.Recover(t.Context(), w.alice.root, w.alice.raw) // of another device
	want(t, err, wire.ErrDenied)
	carol := newPerson(t) // not a member
	s = &wire.Stranger{Open: w.stranger(t, carol)}
	_, _, err = s.Recover(t.Context(), carol.root, carol.raw)
	want(t, err, wire.ErrDenied)
}

func testStrangers(t *testing.T, w *world) {
	open := w.stranger(t, newPerson(t))
	for _, proto := range []string{wire.ProtoShard, wire.ProtoSmall, wire.ProtoHead} {
		s, err := open(t.Context(), proto)
		if err != nil {
			continue
		}
		s.SetReadDeadline(time.Now().Add(10 * time.Second))
		s.Write([]byte{0, 0, 0, 3, 0xa1, 1, 5})
		if n, err := s.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("%s answers a stranger", proto)
		}
		s.Reset()
	}
}

func testCancelledPut(t *testing.T, w *world) {
	w.depot.writing = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	data := randomBytes(1, 8<<20)
	go func() { done <- w.bobPeer().Put(ctx, wire.Put{Shard: crypt.Sum(data)}, data) }()
	<-w.depot.writing
	if w.depot.opened() != 1 {
		t.Error("no reservation")
	}
	cancel()
	want(t, <-done, context.Canceled)
	drain(w.depot.writing)
	w.server.Close() // waits for the handler
	if n := w.depot.opened(); n != 0 {
		t.Errorf("%d reservations left", n)
	}
	w.depot.writing = nil
	w.start(wire.Limits{})
	w.put(t, 2, 1<<20)
}

func testMixedLoad(t *testing.T, w *world) {
	p, data := w.put(t, 99, 200_000)
	var wg sync.WaitGroup
	fail := make(chan error, 100)
	for i := range uint64(4) {
		wg.Go(func() {
			big := randomBytes(i, 2<<20)
			for range 2 {
				q := wire.Put{Shard: crypt.Sum(big), Stripe: i}
				if err := w.bobPeer().Put(t.Context(), q, big); err != nil {
					fail <- err
					return
				}
				got, err := w.bobPeer().ReadRange(t.Context(), q.Shard, int64(len(big)), 0, int64(len(big)), nil)
				if err == nil && !bytes.Equal(got, big) {
					err = errors.New("wrong bytes")
				}
				if err != nil {
					fail <- err
				}
			}
		})
	}
	for i := range 32 {
		wg.Go(func() {
			for j := range 20 {
				off := int64(i*1000 + j)
				got, err := w.bobPeer().ReadRange(t.Context(), p.Shard, 200_000, off, 4096, nil)
				if err == nil && !bytes.Equal(got, data[off:off+4096]) {
					err = errors.New("wrong bytes")
				}
				if err != nil {
					fail <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(fail)
	for err := range fail {
		t.Error(err)
	}
}

func testKeptStreams(t *testing.T, w *world) {
	p, _ := w.put(t, 1, 1000)
	for range 20 {
		_, _, err := w.bobPeer().Has(t.Context(), p.Shard)
		check(t, err)
		w.put(t, 1, 1000)
	}
	if n := w.opened.Load(); n != 2 {
		t.Errorf("%d streams were opened for 41 requests one after another", n)
	}
	if tr := w.client.Meter().Traffic(); tr["small"].In == 0 || tr["shard"].Out < 21_000 || tr["head"].Out != 0 {
		t.Errorf("counted %+v", tr)
	}
}

func testRestart(t *testing.T, w *world) {
	p, _ := w.put(t, 1, 1000)
	w.server.Close()
	w.start(wire.Limits{})
	w.put(t, 2, 1000)
	_, err := w.bobPeer().ReadRange(t.Context(), p.Shard, 1000, 0, 1000, nil)
	check(t, err)
}

func testClosedClient(t *testing.T, w *world) {
	w.depot.writing = make(chan struct{})
	done := make(chan error)
	data := randomBytes(1, 8<<20)
	go func() { done <- w.bobPeer().Put(t.Context(), wire.Put{Shard: crypt.Sum(data)}, data) }()
	<-w.depot.writing
	go w.client.Close()
	want(t, <-done, wire.ErrClosed)
	drain(w.depot.writing)
	w.server.Close()
	_, _, err := w.bobPeer().Has(t.Context(), crypt.ID{})
	want(t, err, wire.ErrClosed)
}

// drain lets all writes to a depot go on.
func drain(writing chan struct{}) {
	go func() {
		for range writing {
		}
	}()
}
