package hostile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/net/memnet"
	"github.com/hammockfs/hammock/net/wire"
)

// maxHeap is what the whole process may have in use meanwhile: the node's bytes
// in flight, its depot of up to 288 MiB that lies in memory, and what the others need.
const maxHeap = 640 << 20

func seed(t testing.TB) uint64 {
	s := uint64(1)
	if text := os.Getenv("HAMMOCK_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		check(t, err)
		s = n
	}
	t.Logf("HAMMOCK_SEED=%d", s)
	return s
}

// attacker sends messages from a node of his own.
type attacker struct {
	*forger
	node *memnet.Node
	held []wire.Stream // on which a message is late
	sent int
}

// send sends one message on a stream of its own, in one of several ways.
func (a *attacker) send(ctx context.Context, proto string) {
	a.sent++
	s, err := a.node.Open(ctx, "house", proto)
	if err != nil {
		return // turned away before the first byte
	}
	b := kinds[a.r.IntN(len(kinds))].make(a.forger, proto)
	end := time.Now().Add(20 * time.Second) // far beyond what a message takes that is not late on purpose
	_ = s.SetWriteDeadline(end)
	_ = s.SetReadDeadline(end)
	_, _ = s.Write(b)
	switch n := a.r.IntN(100); {
	case n < 2 && len(a.held) < 16: // the rest is late
		a.held = append(a.held, s)
		return
	case n < 20: // and gone before the answer
	default:
		_ = s.CloseWrite()
		if _, err := io.Copy(io.Discard, s); errors.Is(err, os.ErrDeadlineExceeded) {
			a.t.Errorf("%s: a message was not answered and its stream not ended: %x", proto, b[:min(len(b), 200)])
		}
	}
	_ = s.Reset()
}

// drop lets go of the streams on which something is late.
func (a *attacker) drop() {
	for _, s := range a.held {
		_ = s.Reset()
	}
	a.held = nil
}

// TestHostileMessages sends thousands of messages of each protocol, from a member
// and from a stranger, while two members go on using the node.
func TestHostileMessages(t *testing.T) {
	seed := seed(t)
	h := newHouse(t, vfs.NewMem(), "depot", patient())
	ctx, stop := context.WithCancel(t.Context())
	var people sync.WaitGroup
	var rounds [2]atomic.Int64
	for i := range rounds {
		people.Go(func() {
			h.honest(ctx, t, fmt.Sprint("honest ", i), 4_000, func() {
				rounds[i].Add(1)
				time.Sleep(2 * time.Millisecond) // he has other things to do, and the test is to end
			})
		})
	}
	mallory, other := newPerson(t), newPerson(t)
	h.depot.SetAllowance(mallory.root.Owner(), allowance)
	peak := watchHeap(ctx, &people)
	idle := runtime.NumGoroutine()
	for _, member := range []bool{true, false} {
		for i, proto := range protos {
			before := [2]int64{rounds[0].Load(), rounds[1].Load()}
			h.flood(ctx, t, seed+uint64(i), mallory, other, member, proto)
			for i := range rounds {
				if err := eventually(func() bool { return rounds[i].Load() > before[i] }); err != nil {
					t.Errorf("%s, member %v: honest member %d was not served meanwhile", proto, member, i)
				}
			}
			if n := h.depot.Usage().Reserved; !member && n > 4*20_000*2 {
				t.Errorf("%s: %d bytes are reserved by a stranger", proto, n)
			}
			if used, trash := h.depot.OwnerUsage(mallory.root.Owner()); used+trash > allowance {
				t.Errorf("%s: the hostile member has %d bytes of %d", proto, used+trash, allowance)
			}
		}
	}
	if err := eventually(func() bool { return runtime.NumGoroutine() <= idle+8 }); err != nil {
		t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), idle, stacks())
	}
	stop()
	people.Wait()
	if n := peak.Load(); n > maxHeap {
		t.Errorf("the heap had %d MiB", n>>20)
	}
	u := h.depot.Usage()
	if u.Reserved != 0 || u.Used+u.Trash > capacity || u.Stored > capacity+capacity/8+16<<20 {
		t.Errorf("the depot: %+v", u)
	}
	t.Logf("honest rounds %d and %d, heap at most %d MiB, tokens and recoveries tried %d, depot %d KiB",
		rounds[0].Load(), rounds[1].Load(), peak.Load()>>20, h.door.tries, u.Stored>>10)
}

// flood sends the messages of one protocol from four hands at once.
func (h *house) flood(ctx context.Context, t *testing.T, seed uint64, me, other *person, member bool, proto string) {
	node := h.mallory(me, member)
	defer node.Close()
	var hands sync.WaitGroup
	for i := range uint64(4) {
		hands.Go(func() {
			a := &attacker{forger: newForger(t, seed*10+i, me, other, h.swarm), node: node}
			for a.sent < messages/4 {
				a.send(ctx, proto)
			}
			a.drop()
		})
	}
	hands.Wait()
}

// mallory is the attacker's node.
func (h *house) mallory(me *person, member bool) *memnet.Node {
	r := wire.Remote{Peer: "mallory", Device: me.device.Key()}
	if member {
		r.Owner = me.root.Owner()
	}
	return h.net.Node(r)
}

// BenchmarkBeside is what an honest member's round (put, read, ask and at times
// delete 256 KiB, on a real disk) costs while nobody else is there, and while a
// member or a stranger sends hostile messages of all protocols from four hands.
// The attacker's own work is done by the same processors.
func BenchmarkBeside(b *testing.B) {
	for _, who := range []string{"nobody", "member", "stranger"} {
		b.Run("flood="+who, func(b *testing.B) {
			h := newHouse(b, vfs.Default, b.TempDir(), wire.DefaultLimits())
			ctx, stop := context.WithCancel(b.Context())
			var hands sync.WaitGroup
			defer hands.Wait()
			defer stop()
			var sent atomic.Int64
			if who != "nobody" {
				mallory, other := newPerson(b), newPerson(b)
				h.depot.SetAllowance(mallory.root.Owner(), allowance)
				node := h.mallory(mallory, who == "member")
				defer node.Close()
				for i := range uint64(4) {
					a := &attacker{forger: newForger(b, i, mallory, other, h.swarm), node: node}
					hands.Go(func() { a.besiege(ctx, &sent) })
				}
			}
			b.SetBytes(256 << 10)
			b.ResetTimer()
			left := b.N
			honest, enough := context.WithCancel(ctx)
			h.honest(honest, b, "honest", 256<<10, func() {
				if left--; left == 0 {
					enough()
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(sent.Load())/b.Elapsed().Seconds(), "hostile/s")
		})
	}
}

// besiege sends messages of all protocols until the context ends.
func (a *attacker) besiege(ctx context.Context, sent *atomic.Int64) {
	for i := 0; ctx.Err() == nil; i++ {
		a.send(ctx, protos[i%len(protos)])
		sent.Add(1)
		if i%256 == 255 {
			a.drop()
		}
	}
	a.drop()
}

// watchHeap notes the most that the heap has held.
func watchHeap(ctx context.Context, wg *sync.WaitGroup) *atomic.Uint64 {
	peak := new(atomic.Uint64)
	wg.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapInuse))
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return peak
}

func eventually(ok func() bool) error {
	end := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(end) {
			return errors.New("not within 30 s")
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

func stacks() string {
	b := make([]byte, 1<<20)
	return strings.TrimSpace(string(b[:runtime.Stack(b, true)]))
}
