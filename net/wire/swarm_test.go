package wire_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/swarm"
	"github.com/hammockfs/hammock/net/wire"
)

// TestContractOnSwarm runs the suite on libp2p hosts on the loopback address.
func TestContractOnSwarm(t *testing.T) {
	for name, test := range contract {
		t.Run(name, func(t *testing.T) { test(t, onLoopback(t).serve(t, wire.Limits{})) })
	}
}

func (p *person) open(t testing.TB, dir string, a *swarm.Admission) *swarm.Swarm {
	t.Helper()
	check(t, swarm.Create(nil, dir, a))
	s, err := swarm.Open(context.Background(), swarm.Config{
		State: dir, Device: p.device, Certificate: p.raw, Name: "one", Machine: "one", Gives: 1 << 30,
		Listen: []string{"/ip4/127.0.0.1/tcp/0"},
	})
	check(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// asStranger opens streams to a swarm's node from a device that it does not
// know.
func asStranger(t testing.TB, p *person, to *swarm.Swarm) func(context.Context, string) (wire.Stream, error) {
	t.Helper()
	st, err := swarm.NewStranger(p.device)
	check(t, err)
	t.Cleanup(func() { st.Close() })
	return func(ctx context.Context, proto string) (wire.Stream, error) {
		s, err := st.Open(ctx, to.Addrs(), proto)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
}

// onLoopback makes a swarm of bob's, which alice joins with a ticket over the
// join protocol itself.
func onLoopback(t testing.TB) *world {
	w := &world{alice: newPerson(t), bob: newPerson(t)}
	genesis, err := swarm.NewGenesis(w.bob.root, "bob", time.Now())
	check(t, err)
	bob := w.bob.open(t, t.TempDir(), &swarm.Admission{Genesis: genesis})
	gate := wire.NewServer(wire.ServerConfig{Swarm: bob.ID(), Door: wire.OverSwarm(bob)})
	gate.Register(wire.OverSwarm(bob))
	text, err := bob.Invite(t.Context(), swarm.Invitation{Name: "alice"})
	check(t, err)
	ticket, err := swarm.ParseTicket(text)
	check(t, err)

	joining := &wire.Stranger{Open: asStranger(t, w.alice, bob)}
	state, err := joining.Join(t.Context(), ticket.Token[:], w.alice.raw, "alice")
	check(t, err)
	a, err := swarm.ParseAdmission(state)
	check(t, err)
	alice := w.alice.open(t, t.TempDir(), a)
	check(t, gate.Close())

	w.dialer, w.listener = wire.OverSwarm(alice), wire.OverSwarm(bob)
	w.peer, w.swarm = bob.Self().ID, bob.ID()
	w.stranger = func(t testing.TB, p *person) func(context.Context, string) (wire.Stream, error) {
		return asStranger(t, p, bob)
	}
	return w
}

// TestDoors joins, is refused the second time, and recovers, with the swarm
// itself behind the protocols.
func TestDoors(t *testing.T) {
	bobs := newPerson(t)
	genesis, err := swarm.NewGenesis(bobs.root, "bob", time.Now())
	check(t, err)
	bob := bobs.open(t, t.TempDir(), &swarm.Admission{Genesis: genesis})
	keeps := &keeper{heads: map[crypt.OwnerKey][]crypt.Bundle{}}
	server := wire.NewServer(wire.ServerConfig{Swarm: bob.ID(), Door: wire.OverSwarm(bob), Keeper: keeps})
	server.Register(wire.OverSwarm(bob))
	defer server.Close()
	text, err := bob.Invite(t.Context(), swarm.Invitation{Name: "carol"})
	check(t, err)
	ticket, err := swarm.ParseTicket(text)
	check(t, err)

	carol, mallory := newPerson(t), newPerson(t)
	join := func(p *person, token []byte) error {
		_, err := (&wire.Stranger{Open: asStranger(t, p, bob)}).Join(t.Context(), token, p.raw, "x")
		return err
	}
	want(t, join(mallory, make([]byte, 16)), wire.ErrTicket)
	want(t, join(mallory, []byte("x")), wire.ErrTicket)
	check(t, join(carol, ticket.Token[:]))
	err = join(mallory, ticket.Token[:])
	want(t, err, wire.ErrTicket)
	var no *wire.Refusal
	if !errors.As(err, &no) || no.Sentence != swarm.ErrTicketUsed.Error() {
		t.Errorf("the sentence is %q", err)
	}

	carol.newDevice(t) // the old machine is gone; the words are not
	check(t, keeps.PutHead(t.Context(), carol.bundle(t, 1)))
	s := &wire.Stranger{Open: asStranger(t, carol, bob)}
	state, heads, err := s.Recover(t.Context(), carol.root, carol.raw)
	check(t, err)
	if len(heads) != 1 {
		t.Errorf("%d heads", len(heads))
	}
	a, err := swarm.ParseAdmission(state)
	check(t, err)
	back := carol.open(t, t.TempDir(), a)
	c := wire.NewClient(wire.ClientConfig{
		Dialer: wire.OverSwarm(back), Device: carol.device, Owner: carol.root.Owner(), Swarm: back.ID(),
	})
	defer c.Close()
	got, err := c.Peer(bob.Self().ID).Heads(t.Context(), carol.root.Owner())
	check(t, err)
	if len(got) != 1 {
		t.Errorf("%d heads as a member", len(got))
	}
	s = &wire.Stranger{Open: asStranger(t, mallory, bob)}
	_, _, err = s.Recover(t.Context(), mallory.root, mallory.raw)
	want(t, err, wire.ErrDenied)
}
