package hostile

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/memnet"
	"github.com/hammockfs/hammock/net/wire"
	"github.com/hammockfs/hammock/placement/depot"
)

const (
	capacity  = 256 << 20 // that the node gives
	allowance = 8 << 20   // of that, to the hostile member
)

// house is a node on a network in memory.
type house struct {
	net   *memnet.Net
	node  *memnet.Node
	depot *depot.Depot
	door  *door
	swarm crypt.ID
}

// newHouse has its depot in a folder of a disk, which is one in memory mostly.
func newHouse(t testing.TB, disk vfs.FS, dir string, limits wire.Limits) *house {
	h := &house{net: memnet.New(1), door: &door{}, swarm: crypt.Sum([]byte("swarm"))}
	var err error
	h.depot, err = depot.Open(depot.Config{FS: disk, Dir: dir, Capacity: capacity, Memory: 49 << 20})
	check(t, err)
	limits.TotalBytes = 48 << 20
	server := wire.NewServer(wire.ServerConfig{
		Swarm: h.swarm, Depot: shards{h.depot}, Keeper: h.depot, Door: h.door, Limits: limits, Errors: told,
		Info: func(context.Context, crypt.OwnerKey) (wire.Info, error) {
			return wire.Info{Free: h.depot.Usage().Free(), Gives: true}, nil
		},
	})
	h.node = h.net.Node(wire.Remote{Peer: "house"})
	server.Register(h.node)
	t.Cleanup(func() {
		check(t, server.Close())
		h.node.Close()
		check(t, h.depot.Close())
	})
	return h
}

// patient are limits under which a stranger's messages get as far as they can.
func patient() wire.Limits {
	l := wire.DefaultLimits()
	l.StrangerRate, l.StrangerBurst = 1e6, 1e6
	return l
}

// shards is a depot as the server takes it.
type shards struct{ *depot.Depot }

func (s shards) Reserve(ctx context.Context, owner crypt.OwnerKey, p wire.Put, size int64) (wire.Reservation, error) {
	r, err := s.Depot.Reserve(ctx, depot.Put{Owner: owner, Shard: p.Shard, Stripe: p.Stripe, Generation: p.Generation, Size: size})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// told is what the depot's errors are for peers, so far as it matters here.
func told(err error) error {
	for from, to := range map[error]error{
		depot.ErrNotFound: wire.ErrNotFound, depot.ErrFull: wire.ErrFull, depot.ErrQuota: wire.ErrQuota,
		depot.ErrWrongBytes: wire.ErrWrongHash, depot.ErrShort: wire.ErrWrongHash, depot.ErrStale: wire.ErrStale,
		depot.ErrTooManyHeads: wire.ErrStale, depot.ErrCounter: wire.ErrStale, depot.ErrExpired: wire.ErrBusy,
	} {
		if errors.Is(err, from) {
			return fmt.Errorf("%w: %v", to, err)
		}
	}
	return err
}

// door lets nobody in and counts who was let as far as the token.
type door struct {
	mu    sync.Mutex
	tries int
}

func (d *door) Join(context.Context, wire.Remote, []byte, []byte, string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tries++
	return nil, wire.ErrTicket
}

func (d *door) Recover(context.Context, wire.Remote, []byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tries++
	return nil, wire.ErrDenied
}

// person is an owner with a device.
type person struct {
	root   *crypt.Root
	device *crypt.Device
	cert   []byte
}

func newPerson(t testing.TB) *person {
	words, err := crypt.NewPhrase()
	check(t, err)
	root, err := crypt.RootFromPhrase(words)
	check(t, err)
	p := &person{root: root, device: crypt.NewDevice()}
	c, err := root.Certify(crypt.Certificate{
		Owner: root.Owner(), Device: p.device.Key(), Wrap: p.device.Wrap(), WriterEpoch: 1, Rights: crypt.RightWrite,
		NotBefore: time.Now().Add(-time.Hour).Unix(), NotAfter: time.Now().Add(1000 * time.Hour).Unix(),
	})
	check(t, err)
	p.cert, err = c.Marshal()
	check(t, err)
	return p
}

// bundle is a head of a volume of its own of the person's, with a counter.
func (p *person) bundle(t testing.TB, counter uint64) []byte { return p.bundles(t, counter)[0] }

// bundles are heads of one volume.
func (p *person) bundles(t testing.TB, counters ...uint64) (list [][]byte) {
	g, err := p.root.NewGenesis(crypt.Genesis{Version: 1, Owner: p.root.Owner(), Wrap: p.root.WrapKey(), Time: 1, Suite: crypt.SuiteAES})
	check(t, err)
	raw, err := g.Marshal()
	check(t, err)
	for _, counter := range counters {
		h := crypt.Head{Volume: g.ID(), Device: p.device.Key(), WriterEpoch: 1, Counter: counter}
		head, err := crypt.SealHead(p.device, crypt.NewKey(), h, []byte("body"))
		check(t, err)
		b := crypt.Bundle{Owner: p.root.Owner(), Genesis: raw, Certificate: p.cert, Secrets: [][]byte{{1}}, Head: head}
		enc, err := b.Marshal()
		check(t, err)
		list = append(list, enc)
	}
	return list
}

// honest is a member who puts, reads, asks and deletes, until the context ends,
// and calls round each time.
func (h *house) honest(ctx context.Context, t testing.TB, name string, size int, round func()) {
	p := newPerson(t)
	node := h.net.Node(wire.Remote{Peer: name, Owner: p.root.Owner(), Device: p.device.Key()})
	defer node.Close()
	c := wire.NewClient(wire.ClientConfig{Dialer: node, Device: p.device, Certificate: p.cert, Owner: p.root.Owner(), Swarm: h.swarm})
	defer c.Close()
	peer := c.Peer("house")
	shards := make([][]byte, 32)
	for i := range shards {
		shards[i] = make([]byte, size)
		_, _ = rand.Read(shards[i])
	}
	for i := uint64(1); ctx.Err() == nil; i++ {
		data := shards[i%32]
		what := wire.Put{Shard: crypt.Sum(data), Stripe: 1, Generation: i}
		err := peer.Put(ctx, what, data)
		if err == nil {
			_, err = peer.ReadRange(ctx, what.Shard, int64(size), 0, int64(size), nil) // proved against its hash
		}
		if err == nil {
			_, _, err = peer.Has(ctx, what.Shard)
		}
		if err == nil && i%4 == 0 {
			err = peer.Delete(ctx, what)
		}
		if err == nil {
			round()
		} else if ctx.Err() == nil {
			t.Errorf("%s, an honest member: %v", name, err)
			return
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
