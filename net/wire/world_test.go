package wire_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/memnet"
	"github.com/hammockfs/hammock/net/wire"
)

// world is two members, and how a third comes along, on some network.
type world struct {
	alice, bob *person // alice asks, bob serves
	dialer     wire.Dialer
	listener   wire.Listener
	peer       string // bob, as alice dials him
	swarm      crypt.ID
	// stranger opens streams to bob from a device that nobody knows.
	stranger func(t testing.TB, p *person) func(ctx context.Context, proto string) (wire.Stream, error)

	net    *memnet.Net // nil on sockets
	depot  *depot
	keeper *keeper
	door   *door
	server *wire.Server
	client *wire.Client
	opened atomic.Int64 // streams that alice has opened
}

type countingDialer struct {
	wire.Dialer
	n *atomic.Int64
}

func (d countingDialer) Open(ctx context.Context, peer, proto string) (wire.Stream, error) {
	d.n.Add(1)
	return d.Dialer.Open(ctx, peer, proto)
}

// serve starts bob's server and alice's client on the world's network.
func (w *world) serve(t testing.TB, limits wire.Limits) *world {
	w.depot, w.keeper = newDepot(), &keeper{heads: map[crypt.OwnerKey][]crypt.Bundle{}}
	w.door = &door{token: "0123456789abcdef", owner: w.alice.root.Owner(), state: []byte("the state of the swarm")}
	w.start(limits)
	w.client = wire.NewClient(w.clientConfig())
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *world) clientConfig() wire.ClientConfig {
	return wire.ClientConfig{
		Dialer: countingDialer{w.dialer, &w.opened}, Device: w.alice.device, Certificate: w.alice.raw, Owner: w.alice.root.Owner(), Swarm: w.swarm,
	}
}

func (w *world) stop() {
	w.client.Close()
	w.server.Close()
}

func (w *world) start(limits wire.Limits) {
	w.server = wire.NewServer(wire.ServerConfig{
		Swarm: w.swarm, Depot: w.depot, Keeper: w.keeper, Door: w.door, Limits: limits,
		Info: func(context.Context, crypt.OwnerKey) (wire.Info, error) {
			return wire.Info{Free: 1 << 40, Machine: "m1", Name: "bob", Gives: true}, nil
		},
	})
	w.server.Register(w.listener)
}

func (w *world) bobPeer() *wire.Peer { return w.client.Peer(w.peer) }

// inMemory is a world on memnet.
func inMemory(t testing.TB) *world {
	w := &world{alice: newPerson(t), bob: newPerson(t), net: memnet.New(1), peer: "bob", swarm: crypt.Sum([]byte("swarm"))}
	alice := w.net.Node(remote("alice", w.alice, true))
	bob := w.net.Node(remote("bob", w.bob, true))
	t.Cleanup(func() { alice.Close(); bob.Close() })
	w.dialer, w.listener = alice, bob
	w.stranger = func(t testing.TB, p *person) func(context.Context, string) (wire.Stream, error) {
		node := w.net.Node(remote("stranger", p, false))
		t.Cleanup(func() { node.Close() })
		return func(ctx context.Context, proto string) (wire.Stream, error) { return node.Open(ctx, "bob", proto) }
	}
	return w
}

func remote(name string, p *person, member bool) wire.Remote {
	r := wire.Remote{Peer: name, Name: name, Device: p.device.Key()}
	if member {
		r.Owner = p.root.Owner()
	}
	return r
}
