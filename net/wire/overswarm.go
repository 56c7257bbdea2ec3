package wire

import (
	"context"
	"errors"
	"fmt"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/swarm"
)

// OverSwarm makes the swarm a Dialer and a Listener, where peers go by their
// libp2p peer IDs.
func OverSwarm(s *swarm.Swarm) *SwarmNet { return &SwarmNet{s} }

// SwarmNet is the network of a swarm's members.
type SwarmNet struct{ s *swarm.Swarm }

// Open opens a stream to a member's device.
func (n *SwarmNet) Open(ctx context.Context, peer, proto string) (Stream, error) {
	st, err := n.s.Stream(ctx, peer, proto)
	if err != nil {
		return nil, err
	}
	return st, nil
}

// Handle serves a protocol for members.
func (n *SwarmNet) Handle(proto string, h Handler) {
	n.s.Handle(proto, func(ctx context.Context, from swarm.Peer, st swarm.Stream) {
		h(ctx, Remote{Peer: from.ID, Owner: from.Owner, Device: from.Device, Name: from.Name}, st)
	})
}

// HandleStranger serves a protocol for everybody, within the swarm's own limits.
func (n *SwarmNet) HandleStranger(proto string, h Handler) {
	n.s.HandleStranger(proto, func(ctx context.Context, device crypt.DeviceKey, st swarm.Stream) {
		id, err := swarm.PeerID(device)
		if err != nil {
			st.Reset()
			return
		}
		h(ctx, Remote{Peer: id, Device: device, Addr: swarm.Origin(st)}, st)
	})
}

// Join redeems a ticket of the swarm; see Door.
func (n *SwarmNet) Join(ctx context.Context, from Remote, token, certificate []byte, name string) ([]byte, error) {
	if len(token) != len(swarm.Token{}) {
		return nil, ErrTicket
	}
	a, err := n.s.Redeem(ctx, swarm.Redemption{
		Token: swarm.Token(token), Certificate: certificate, Name: name, Device: from.Device,
	})
	return admission(a, err)
}

// Recover admits a device of a member; see Door.
func (n *SwarmNet) Recover(ctx context.Context, from Remote, certificate []byte) ([]byte, error) {
	return admission(n.s.AdmitDevice(ctx, certificate, from.Device))
}

// admission encodes the answer; of a refusal only the swarm's own sentence goes
// to the stranger, not what was being done here.
func admission(a *swarm.Admission, err error) ([]byte, error) {
	for _, kind := range []error{swarm.ErrTicketUsed, swarm.ErrTicketExpired, swarm.ErrTicketUnknown, swarm.ErrTicket} {
		if errors.Is(err, kind) {
			return nil, refuse(ErrTicket, "%v", kind)
		}
	}
	for _, kind := range []error{swarm.ErrNotMember, swarm.ErrNotAllowed} {
		if errors.Is(err, kind) {
			return nil, refuse(ErrDenied, "%v", kind)
		}
	}
	if err != nil {
		return nil, err
	}
	state, err := a.Marshal()
	if err == nil && len(state) > MaxState {
		err = fmt.Errorf("the state of the swarm has %d bytes", len(state))
	}
	return state, err
}

// A swarm is all of a network that this package asks for, and a door besides.
var (
	_ Dialer   = (*SwarmNet)(nil)
	_ Listener = (*SwarmNet)(nil)
	_ Door     = (*SwarmNet)(nil)
)
