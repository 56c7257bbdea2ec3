package hostile

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/wire"
)

// header is that of a request, as PROTOCOL.md of net/wire has it.
type header = map[uint64]any

// forger makes hostile messages of one person's. Everything that it draws comes
// from its seed.
type forger struct {
	t      testing.TB
	r      *rand.Rand
	me     *person
	other  *person // somebody honest, whose papers he has seen
	swarm  crypt.ID
	shards [][]byte
	heads  [][]byte
}

func newForger(t testing.TB, seed uint64, me, other *person, swarm crypt.ID) *forger {
	f := &forger{t: t, r: rand.New(rand.NewPCG(seed, 1)), me: me, other: other, swarm: swarm}
	for i := range 64 {
		f.shards = append(f.shards, f.junk(1+i*i))
	}
	for _, c := range []uint64{1, 2, 3, 5, 8, 1000, 2_000_000, 1 << 62} {
		f.heads = append(f.heads, me.bundle(t, c), me.bundle(t, c), other.bundle(t, c))
	}
	return f
}

func (f *forger) junk(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(f.r.Uint32())
	}
	return b
}

// number is small, large, or one beside a limit.
func (f *forger) number() uint64 {
	edges := []uint64{0, 1, 16 << 10, 64 << 10, 128<<10 + 1, 4 << 20, 16 << 20, 16<<20 + 1, 1 << 31, 1 << 32, 1 << 62, 1<<64 - 1}
	if f.r.IntN(2) == 0 {
		return f.r.Uint64N(1 << 20)
	}
	return edges[f.r.IntN(len(edges))]
}

func (f *forger) frame(h any, body []byte) []byte {
	b, err := crypt.EncodeCBOR(h)
	check(f.t, err)
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...), body...)
}

// right is a request of a protocol as it should be.
func (f *forger) right(proto string) (header, []byte) {
	data := f.shards[f.r.IntN(len(f.shards))]
	id := crypt.Sum(data)
	stripe := f.r.Uint64N(300)
	switch k := f.r.IntN(4); {
	case proto == wire.ProtoShard && k < 2:
		return header{1: uint64(1), 2: uint64(len(data)), 3: id[:], 4: stripe, 5: f.r.Uint64N(9)}, data
	case proto == wire.ProtoShard, proto == wire.ProtoSmall && k == 0:
		return header{1: uint64(2), 3: id[:], 6: uint64(len(data)), 8: uint64(len(data))}, nil
	case proto == wire.ProtoSmall && k == 1:
		return header{1: uint64(3), 3: id[:]}, nil
	case proto == wire.ProtoSmall && k == 2:
		return f.deletion(id, stripe), nil
	case proto == wire.ProtoSmall:
		return header{1: uint64(5)}, nil
	case proto == wire.ProtoHead && k < 3:
		head := f.heads[f.r.IntN(len(f.heads))]
		return header{1: uint64(6), 2: uint64(len(head))}, head
	case proto == wire.ProtoHead:
		return header{1: uint64(7)}, nil
	case proto == wire.ProtoJoin:
		return header{1: uint64(8), 11: f.junk(16), 12: f.me.cert, 13: "mallory"}, nil
	case k == 0:
		return header{1: uint64(9)}, nil
	}
	challenge := crypt.ID(f.junk(32)) // not the one that was asked for
	return header{1: uint64(10), 10: f.me.root.Sign("recover", challenge, f.me.cert), 12: f.me.cert}, nil
}

func (f *forger) deletion(id crypt.ID, stripe uint64) header {
	return f.me.deletion(f.swarm, id, stripe, 0)
}

// deletion is a person's wish to delete the shard that a put of this generation
// left.
func (p *person) deletion(swarm, id crypt.ID, stripe, generation uint64) header {
	owner := p.root.Owner()
	body := append(append(owner[:], id[:]...), make([]byte, 16)...)
	binary.BigEndian.PutUint64(body[64:], stripe)
	binary.BigEndian.PutUint64(body[72:], generation)
	return header{1: uint64(4), 3: id[:], 4: stripe, 5: generation, 10: p.device.Sign("delete", swarm, body), 12: p.cert}
}

// kinds of hostile messages; what is drawn for each is another one each time.
var kinds = []struct {
	name string
	make func(f *forger, proto string) []byte
}{
	{"right, and too many", func(f *forger, proto string) []byte {
		var b []byte
		for range 1 + f.r.IntN(8) {
			b = append(b, f.frame(f.right(proto))...)
		}
		return b
	}},
	{"of another protocol", func(f *forger, _ string) []byte { return f.frame(f.right(protos[f.r.IntN(len(protos))])) }},
	{"half", func(f *forger, proto string) []byte {
		b := f.frame(f.right(proto))
		return b[:f.r.IntN(len(b))]
	}},
	{"bits flipped", func(f *forger, proto string) []byte {
		b := f.frame(f.right(proto))
		for range 1 + f.r.IntN(4) {
			b[f.r.IntN(min(len(b), 400))] ^= 1 << f.r.IntN(8)
		}
		return b
	}},
	{"junk", func(f *forger, _ string) []byte { return f.junk(f.r.IntN(2000)) }},
	{"a frame of junk", func(f *forger, _ string) []byte {
		b := f.junk(1 + f.r.IntN(500))
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
	}},
	{"a huge length", func(f *forger, proto string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(f.number())|1<<17), f.frame(f.right(proto))...)
	}},
	{"huge numbers", func(f *forger, proto string) []byte {
		h, body := f.right(proto)
		for range 1 + f.r.IntN(3) {
			h[[]uint64{2, 4, 5, 6, 7, 8}[f.r.IntN(6)]] = f.number()
		}
		return f.frame(h, body)
	}},
	{"fields of the wrong kind", func(f *forger, proto string) []byte {
		h, body := f.right(proto)
		h[f.r.Uint64N(16)] = []any{f.number(), f.junk(f.r.IntN(100)), "text", []any{1, []any{2}}, nil, true, -1}[f.r.IntN(7)]
		return f.frame(h, body)
	}},
	{"fields missing", func(f *forger, proto string) []byte {
		h, body := f.right(proto)
		for k := range uint64(14) {
			if f.r.IntN(3) == 0 && k != 1 {
				delete(h, k)
			}
		}
		return f.frame(h, body)
	}},
	{"a false signature", func(f *forger, proto string) []byte {
		h, body := f.right(proto)
		h[10] = f.junk(64)
		if len(body) > 0 {
			body = bytes.Clone(body)
			body[f.r.IntN(len(body))] ^= 1
		}
		return f.frame(h, body)
	}},
	{"somebody else's papers", func(f *forger, proto string) []byte {
		h, body := f.right(proto)
		owner := f.other.root.Owner()
		h[12], h[9] = f.other.cert, owner[:]
		return f.frame(h, body)
	}},
	{"what another has said, again", func(f *forger, proto string) []byte {
		him := *f
		him.me = f.other
		return f.frame(him.right(proto))
	}},
	{"a body that never comes", func(f *forger, proto string) []byte {
		h, _ := f.right(proto)
		h[2] = uint64(1 + f.r.IntN(16<<20))
		return f.frame(h, f.junk(f.r.IntN(100)))
	}},
}

var protos = []string{wire.ProtoShard, wire.ProtoSmall, wire.ProtoHead, wire.ProtoJoin, wire.ProtoRecover}
