package wire_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/wire"
)

// slowDisk is a depot that does few things at a time, in the order in which they
// are asked for, and needs a while for each.
type slowDisk struct {
	*depot
	arms chan struct{}
}

func newSlowDisk() *slowDisk { return &slowDisk{depot: newDepot(), arms: make(chan struct{}, 4)} }

// works takes half a millisecond, more for bytes, and more if it syncs.
func (d *slowDisk) works(bytes int64, syncs bool) {
	took := time.Millisecond/2 + time.Duration(bytes)*time.Millisecond/(64<<10)
	if syncs {
		took += 4 * time.Millisecond
	}
	d.arms <- struct{}{}
	time.Sleep(took)
	<-d.arms
}

func (d *slowDisk) Reserve(ctx context.Context, owner crypt.OwnerKey, p wire.Put, size int64) (wire.Reservation, error) {
	r, err := d.depot.Reserve(ctx, owner, p, size)
	return slowReservation{r, d, size}, err
}

type slowReservation struct {
	wire.Reservation
	d    *slowDisk
	size int64
}

func (r slowReservation) Commit(ctx context.Context) error {
	r.d.works(r.size, true)
	return r.Reservation.Commit(ctx)
}

func (d *slowDisk) Slice(ctx context.Context, owner crypt.OwnerKey, id crypt.ID, off, n int64, dst []byte) (int64, []byte, error) {
	d.works(n, false)
	return d.depot.Slice(ctx, owner, id, off, n, dst)
}

func (d *slowDisk) Quote(ctx context.Context, owner crypt.OwnerKey, id crypt.ID, off, n int64, dst []byte) (int64, []byte, error) {
	d.works(n, false)
	return d.depot.Quote(ctx, owner, id, off, n, dst)
}

func (d *slowDisk) Has(ctx context.Context, owner crypt.OwnerKey, id crypt.ID) (int64, bool, error) {
	d.works(0, false)
	return d.depot.Has(ctx, owner, id)
}

func (d *slowDisk) Delete(ctx context.Context, owner crypt.OwnerKey, id crypt.ID, stripe, generation uint64) error {
	d.works(0, false)
	return d.depot.Delete(ctx, owner, id, stripe, generation)
}

// work is what a worker does again and again; it has a number.
type work func(ctx context.Context, p *wire.Peer, i int) error

func puts(size int) work {
	data := randomBytes(uint64(size), size)
	id := crypt.Sum(data)
	return func(ctx context.Context, p *wire.Peer, i int) error {
		return p.Put(ctx, wire.Put{Shard: id, Stripe: uint64(i)}, data)
	}
}

// gets reads what a put of that size has put.
func gets(size int) work {
	id := crypt.Sum(randomBytes(uint64(size), size))
	return func(ctx context.Context, p *wire.Peer, i int) error {
		_, err := p.ReadRange(ctx, id, int64(size), 0, int64(size), nil)
		return err
	}
}

func has(ctx context.Context, p *wire.Peer, _ int) error {
	_, _, err := p.Has(ctx, crypt.ID{})
	return err
}

func deletes(ctx context.Context, p *wire.Peer, _ int) error {
	_ = p.Delete(ctx, wire.Put{}) // is not there, which takes as long
	return ctx.Err()
}

// stock puts what gets reads.
func stock(t *testing.T, p *wire.Peer) {
	for _, size := range []int{10_000, 60_000, 3 << 20} {
		check(t, puts(size)(t.Context(), p, 0))
	}
}

// What a flood has under way when somebody else comes is done first; that is not
// counted.
const span, start = 200 * time.Millisecond, 60 * time.Millisecond

// throughput is how often n workers have done their work within a span.
func throughput(t *testing.T, p *wire.Peer, n int, do work) int64 {
	ctx, stop := context.WithTimeout(t.Context(), span+start)
	defer stop()
	var count atomic.Int64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				err := do(ctx, p, i)
				if err == nil {
					count.Add(1)
				} else if ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	time.Sleep(start)
	count.Store(0)
	wg.Wait()
	return count.Load()
}

// However much one member asks for, another gets half of what he gets alone.
func TestFloodLeavesHalf(t *testing.T) {
	for name, c := range map[string]struct{ honest, flood work }{
		"puts against puts":         {puts(30_000), puts(30_000)},
		"puts against large puts":   {puts(30_000), puts(1 << 20)},
		"reads against questions":   {gets(60_000), has},
		"questions against puts":    {has, puts(1 << 20)},
		"questions against deletes": {has, deletes},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inMemory(t).serve(t, wire.Limits{})
				w.server.Close()
				disk := newSlowDisk()
				w.server = wire.NewServer(wire.ServerConfig{Swarm: w.swarm, Depot: disk})
				w.server.Register(w.listener)
				stock(t, w.bobPeer())
				alone := throughput(t, w.bobPeer(), 8, c.honest)

				mallory := newPerson(t)
				node := w.net.Node(remote("mallory", mallory, true))
				defer node.Close()
				cfg := w.clientConfig()
				cfg.Dialer, cfg.Device, cfg.Owner, cfg.Certificate = node, mallory.device, mallory.root.Owner(), mallory.raw
				cfg.Bulk, cfg.Small = 60, 60 // 64 are let in
				client := wire.NewClient(cfg)
				defer client.Close()
				stock(t, client.Peer("bob"))
				ctx, stop := context.WithCancel(t.Context())
				var flood sync.WaitGroup
				for i := range 60 {
					flood.Go(func() {
						for ctx.Err() == nil {
							_ = c.flood(ctx, client.Peer("bob"), i)
						}
					})
				}
				time.Sleep(span)
				beside := throughput(t, w.bobPeer(), 8, c.honest)
				stop()
				flood.Wait()
				t.Logf("%d alone, %d beside the flood", alone, beside)
				if alone == 0 || 2*beside < alone {
					t.Errorf("%d alone, %d beside the flood", alone, beside)
				}
			})
		})
	}
}
