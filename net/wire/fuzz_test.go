package wire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"runtime"
	"testing"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/memnet"
	"github.com/hammockfs/hammock/net/wire"
)

var protos = []string{wire.ProtoShard, wire.ProtoSmall, wire.ProtoHead, wire.ProtoJoin, wire.ProtoRecover}

// FuzzServer gives any bytes to a server, as what a member or stranger sends on
// one stream. The server must neither crash nor hang nor allocate beyond what
// the limits and the bytes allow, and must leave nothing reserved.
func FuzzServer(f *testing.F) {
	alice := newPerson(f)
	shard := randomBytes(1, 1000)
	for _, p := range seeds(f, alice, shard) {
		for proto := range protos {
			f.Add(byte(proto), p)
		}
	}
	limits := wire.DefaultLimits()
	limits.StrangerRate, limits.StrangerBurst = 1e9, 1e9
	f.Fuzz(func(t *testing.T, proto byte, p []byte) {
		n := memnet.New(1)
		from, to := n.Node(remote("alice", alice, true)), n.Node(wire.Remote{Peer: "bob"})
		d := newDepot()
		d.capacity = 1 << 20
		server := wire.NewServer(wire.ServerConfig{
			Depot: d, Keeper: &keeper{heads: map[crypt.OwnerKey][]crypt.Bundle{}},
			Door: &door{token: "token", owner: alice.root.Owner(), state: []byte("state")}, Limits: limits,
		})
		server.Register(to)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		send(t, from, protos[int(proto)%len(protos)], p)
		server.Close()
		runtime.ReadMemStats(&after)
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(2<<20+200*len(p)); got > most {
			t.Errorf("%d bytes were allocated for %d", got, len(p))
		}
		if d.opened() != 0 {
			t.Error("a reservation is left")
		}
		from.Close()
		to.Close()
	})
}

// send writes p and reads until the server is done; what comes back has to be
// whole frames.
func send(t *testing.T, from *memnet.Node, proto string, p []byte) {
	s, err := from.Open(context.Background(), "bob", proto)
	check(t, err)
	go func() {
		s.Write(p)
		s.CloseWrite()
	}()
	back, err := io.ReadAll(s)
	s.Reset()
	for err == nil && len(back) > 0 {
		if len(back) < 4 {
			t.Fatalf("half a frame came back: %x", back)
		}
		size := binary.BigEndian.Uint32(back)
		if size == 0 || size > wire.MaxHeader || int(size) > len(back)-4 {
			t.Fatalf("a frame of %d bytes of %d", size, len(back))
		}
		var r struct {
			Body uint64 `cbor:"2,keyasint"`
		}
		check(t, crypt.DecodeCBOR(back[4:4+size], &r))
		back = back[4+size:]
		if r.Body > uint64(len(back)) {
			t.Fatalf("a body of %d bytes of %d", r.Body, len(back))
		}
		back = back[r.Body:]
	}
}

// seeds are conversations in order, from which others are made.
func seeds(t testing.TB, p *person, shard []byte) [][]byte {
	frame := func(header map[int]any, body ...byte) []byte {
		b, err := crypt.EncodeCBOR(header)
		check(t, err)
		return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...), body...)
	}
	id := crypt.Sum(shard)
	put := frame(map[int]any{1: 1, 2: len(shard), 3: id[:], 4: 1}, shard...)
	get := frame(map[int]any{1: 2, 3: id[:], 6: len(shard), 8: len(shard)})
	b := p.bundle(t, 1)
	bundle, err := b.Marshal()
	check(t, err)
	return [][]byte{
		put, bytes.Join([][]byte{put, get, put, get}, nil), bytes.Join([][]byte{get, get, get}, nil),
		append(frame(map[int]any{1: 3, 3: id[:]}), frame(map[int]any{1: 5})...),
		frame(map[int]any{1: 4, 3: id[:], 10: make([]byte, 64)}),
		append(frame(map[int]any{1: 6, 2: len(bundle)}, bundle...), frame(map[int]any{1: 7})...),
		frame(map[int]any{1: 8, 11: []byte("token"), 12: p.raw, 13: "name"}),
		append(frame(map[int]any{1: 9}), frame(map[int]any{1: 10, 12: p.raw, 10: make([]byte, 64)})...),
		frame(map[int]any{1: 1, 2: 16 << 20, 3: id[:]}, 1, 2, 3),
		{0, 0, 255, 255, 0xa1}, {255, 255, 255, 255}, {},
	}
}

// FuzzClient gives any bytes to a client as the replies of a peer.
func FuzzClient(f *testing.F) {
	f.Add(byte(0), []byte{0, 0, 0, 3, 0xa1, 1, 1, 0, 0, 0, 1, 0xa0})
	f.Add(byte(1), []byte{0, 0, 0, 5, 0xa2, 2, 1, 4, 1, 9})
	f.Add(byte(4), []byte{0, 0, 0, 3, 0xa1, 2, 8, 0, 0, 0, 4, 1, 2, 3, 4})
	alice := newPerson(f)
	data := randomBytes(1, 1000)
	what := wire.Put{Shard: crypt.Sum(data)}
	f.Fuzz(func(t *testing.T, op byte, p []byte) {
		n := memnet.New(1)
		from, to := n.Node(remote("alice", alice, true)), n.Node(wire.Remote{Peer: "bob"})
		answer := func(_ context.Context, _ wire.Remote, s wire.Stream) {
			s.Write(p)
			s.CloseWrite()
			io.Copy(io.Discard, s)
		}
		for _, proto := range protos {
			to.HandleStranger(proto, answer)
		}
		c := wire.NewClient(wire.ClientConfig{Dialer: from, Device: alice.device, Owner: alice.root.Owner()})
		s := &wire.Stranger{Open: func(ctx context.Context, proto string) (wire.Stream, error) { return from.Open(ctx, "bob", proto) }}
		bob, ctx := c.Peer("bob"), context.Background()
		switch op % 8 {
		case 0:
			bob.Put(ctx, what, data)
		case 1:
			if got, err := bob.ReadRange(ctx, what.Shard, 1000, 0, 1000, nil); err == nil && !bytes.Equal(got, data) {
				t.Error("wrong bytes were believed")
			}
		case 2:
			bob.Has(ctx, what.Shard)
		case 3:
			bob.Delete(ctx, what)
		case 4:
			bob.Heads(ctx, alice.root.Owner())
		case 5:
			bob.Info(ctx)
		case 6:
			s.Join(ctx, []byte("token"), alice.raw, "alice")
		case 7:
			s.Recover(ctx, alice.root, alice.raw)
		}
		c.Close()
		from.Close()
		to.Close()
	})
}
