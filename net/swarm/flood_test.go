package swarm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// flooder sends hostile hellos. Everything that it draws comes from its seed.
type flooder struct {
	t    testing.TB
	r    *rand.Rand
	mine hello    // what its device says by right; of a stranger, what it would like to
	seen []hello  // of others, recorded when they were said
	news [][]byte // records and cards of the swarm, to be forged
	let  int      // messages that got as far as a stream
}

// kinds of what a flooder sends on one stream.
var helloKinds = []struct {
	name string
	make func(f *flooder) []byte
}{
	{"right, and too many", func(f *flooder) []byte {
		return bytes.Repeat(f.frame(f.mine), 1+f.r.IntN(8))
	}},
	{"another device's, said again", func(f *flooder) []byte { return f.frame(f.replay()) }},
	{"another device's, and what it told", func(f *flooder) []byte {
		return append(f.frame(f.replay()), f.tale()...)
	}},
	{"right, with a tale of forged papers", func(f *flooder) []byte {
		return append(f.frame(f.mine), f.tale()...)
	}},
	{"right, with a tale without end", func(f *flooder) []byte {
		b := f.frame(f.mine)
		long := f.frame(gossip{Records: [][]byte{f.junk(60 << 10)}})
		for range f.r.IntN(20) {
			b = append(b, long...)
		}
		return b
	}},
	{"half", func(f *flooder) []byte {
		b := f.frame(f.mine)
		return b[:f.r.IntN(len(b))]
	}},
	{"bits flipped", func(f *flooder) []byte {
		b := f.frame(f.mine)
		for range 1 + f.r.IntN(4) {
			b[f.r.IntN(len(b))] ^= 1 << f.r.IntN(8)
		}
		return b
	}},
	{"junk", func(f *flooder) []byte { return f.junk(f.r.IntN(2000)) }},
	{"a huge length", func(f *flooder) []byte {
		return append(binary.BigEndian.AppendUint32(nil, f.r.Uint32()|maxFrame), f.frame(f.mine)...)
	}},
	{"fields that are not so", func(f *flooder) []byte {
		h := f.mine
		switch f.r.IntN(5) {
		case 0:
			h.Version = f.r.Uint64()
		case 1:
			h.Swarm = crypt.ID(f.junk(32))
		case 2:
			h.Free = -1
		case 3:
			h.Proof = append(bytes.Split(bytes.Repeat([]byte{0}, maxDepth), []byte{0}), h.Proof...)
		default:
			h.Card = f.news[f.r.IntN(len(f.news))]
		}
		return f.frame(h)
	}},
	{"proofs of others", func(f *flooder) []byte {
		h := f.mine
		h.Proof = f.replay().Proof
		return f.frame(h)
	}},
}

func (f *flooder) junk(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(f.r.Uint32())
	}
	return b
}

func (f *flooder) frame(v any) []byte {
	var b bytes.Buffer
	if err := writeFrame(&b, v); err != nil {
		f.t.Error(err)
	}
	return b.Bytes()
}

func (f *flooder) replay() hello { return f.seen[f.r.IntN(len(f.seen))] }

// tale is gossip in which something is forged.
func (f *flooder) tale() (b []byte) {
	for range f.r.IntN(4) {
		g := gossip{}
		for range f.r.IntN(40) {
			raw := bytes.Clone(f.news[f.r.IntN(len(f.news))])
			raw[f.r.IntN(len(raw))] ^= 1 << f.r.IntN(8)
			if f.r.IntN(2) == 0 {
				g.Records = append(g.Records, raw)
			} else {
				g.Cards = append(g.Cards, raw)
			}
		}
		b = append(b, f.frame(g)...)
	}
	return append(b, f.frame(gossip{Last: true})...)
}

// send says one of it on a stream, and reads what is answered, or is gone before.
func (f *flooder) send(open func() (Stream, error)) {
	st, err := open()
	if err != nil {
		return // turned away before the first byte
	}
	f.let++
	b := helloKinds[f.r.IntN(len(helloKinds))].make(f)
	_ = st.SetDeadline(time.Now().Add(3 * helloTime))
	if len(b) < maxFrame && f.r.IntN(5) == 0 {
		_, _ = st.Write(b)
		_ = st.Reset()
		return
	}
	var written sync.WaitGroup
	written.Go(func() { // who is refused is not read any more
		_, _ = st.Write(b)
		_ = st.CloseWrite()
	})
	_, err = io.Copy(io.Discard, st)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		f.t.Errorf("a hello was not answered and its stream not ended: %x", b[:min(len(b), 200)])
	}
	_ = st.Reset()
	written.Wait()
}

// papers are the records and cards that a node knows.
func (s *Swarm) papers() (records, cards [][]byte) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.roster.list(), s.cards.list()
}

// TestHelloFlood says thousands of hostile hellos to a node, from a member and
// from a stranger, replays of what others said among them, while two members
// use it. Nothing of it is kept, nobody comes in or is pushed out, and all are
// served.
func TestHelloFlood(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	a := newParty(t, "anna").found(t)
	sa := a.start(t, func(_ *Config, l *limits) {
		l.strangers, l.greets, l.gossips = pace{1e6, 1e6}, pace{1e6, 1e6}, pace{1e6, 1e6} // so that messages get as far as they can
		l.prove, l.unproven = time.Hour, 100
	})
	sa.Handle(testProto, echo)
	b, mallory := newParty(t, "ben").joins(t, sa), newParty(t, "mallory").joins(t, sa)
	sb, sm := b.start(t), mallory.start(t)
	meet(t, sa, b, mallory)
	meet(t, sm, a, b)
	until(t, sa, "it knows what ben knows", func() bool { return sa.digest() == sb.digest() && sa.digest() == sm.digest() })
	records, cards := sa.papers()

	ctx, stop := context.WithCancel(t.Context())
	var served atomic.Int64
	var people sync.WaitGroup
	people.Go(func() {
		for ctx.Err() == nil {
			if err := ask(ctx, sb, sa.Self().ID); err != nil && ctx.Err() == nil {
				t.Errorf("ben was not served: %v", err)
				return
			}
			served.Add(1)
		}
	})
	stranger := newParty(t, "stranger")
	out, err := NewStranger(stranger.device)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	news := append(append([][]byte{}, records...), cards...)
	idle := runtime.NumGoroutine()
	for i, mine := range []hello{sm.hello(), sb.hello()} { // a stranger has no hello but those he has recorded
		open := func() (Stream, error) { return sm.host.NewStream(ctx, sa.host.ID(), ProtocolHello) }
		if i == 1 {
			open = func() (Stream, error) { return out.Open(ctx, sa.Addrs(), ProtocolHello) }
		}
		before := served.Load()
		var hands sync.WaitGroup
		for j := range uint64(2) {
			f := &flooder{t: t, r: rand.New(rand.NewPCG(seed, 2*uint64(i)+j)), mine: mine, seen: []hello{sb.hello(), sa.hello()}, news: news}
			hands.Go(func() {
				for range floods / 2 {
					f.send(open)
				}
				if f.let < floods/4 {
					t.Errorf("only %d of %d messages came through to the node: this test shows nothing", f.let, floods/2)
				}
			})
		}
		hands.Wait()
		until(t, sb, "ben is served after the flood", func() bool { return served.Load() > before || ctx.Err() != nil })
	}
	stop()
	people.Wait()
	sa.same(t, records, cards)
	end := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > idle+50 && time.Now().Before(end) {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > idle+50 {
		t.Errorf("%d goroutines after the flood, %d before", n, idle)
	}
	meet(t, sa, b)
	t.Logf("ben was served %d times meanwhile", served.Load())
}

// same fails if a node's knowledge has changed but for cards that their own
// devices have made anew.
func (s *Swarm) same(t *testing.T, records, cards [][]byte) {
	t.Helper()
	r, c := s.papers()
	if len(c) != len(cards) {
		t.Errorf("%d cards are known, %d before the flood", len(c), len(cards))
	}
	if len(r) != len(records) {
		t.Fatalf("%d records are known, %d before the flood", len(r), len(records))
	}
	for i := range r {
		if !bytes.Equal(r[i], records[i]) {
			t.Errorf("record %d is another than before the flood", i)
		}
	}
}
