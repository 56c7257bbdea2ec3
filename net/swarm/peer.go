package swarm

import (
	"context"
	"fmt"
	"io"
	"time"

	ic "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/hammockfs/hammock/crypt"
)

// Peer is a known device of a member, as it is now.
type Peer struct {
	ID      string // libp2p peer ID, the text form of the device key
	Owner   crypt.OwnerKey
	Device  crypt.DeviceKey
	Machine string // declared by the device, signed: the smallest failure domain
	Site    string // declared, may be empty
	Name    string // declared, for people
	Addrs   []string
	// Connected says that a connection is open and that the hello is over.
	Connected bool
	Gives     int64 // bytes it keeps for others at most; 0: it keeps nothing
	Free      int64 // bytes of these that were free when it last said hello
	// LastSeen is when this device last talked to it; zero if never.
	LastSeen time.Time
}

// Member is an owner who belongs to the swarm.
type Member struct {
	Owner     crypt.OwnerKey
	Name      string
	Inviter   crypt.OwnerKey // zero for the founder
	Founder   bool
	Allowance int64     // bytes that each node keeps for this owner at most; 0: no limit of the record's own
	Expiry    time.Time // zero: none
}

// Stream is what two devices talk over; libp2p's streams are such.
// One reader and one writer at a time.
type Stream interface {
	io.ReadWriteCloser // Close ends both directions, without waiting for the other side
	CloseWrite() error // the other side reads io.EOF
	Reset() error      // both directions end with an error on both sides
	SetDeadline(t time.Time) error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// Handler serves one stream of a member's device. It owns the stream and closes
// or resets it. The context ends when the swarm is closed, which waits for it.
type Handler func(ctx context.Context, from Peer, st Stream)

// StrangerHandler serves one stream of whoever holds the key of device, member or
// not.
type StrangerHandler func(ctx context.Context, device crypt.DeviceKey, st Stream)

// PeerID gives the libp2p peer ID of a device.
func PeerID(device crypt.DeviceKey) (string, error) {
	id, err := peerID(device)
	return id.String(), err
}

// DeviceOf gives the device key that a peer ID stands for.
func DeviceOf(id string) (crypt.DeviceKey, error) {
	p, err := peer.Decode(id)
	if err != nil {
		return crypt.DeviceKey{}, fmt.Errorf("%q is not a peer ID: %w", clip(id), err)
	}
	return deviceOf(p)
}

func peerID(device crypt.DeviceKey) (peer.ID, error) {
	pub, err := ic.UnmarshalEd25519PublicKey(device[:])
	if err != nil {
		return "", fmt.Errorf("make a peer ID of a device key: %w", err)
	}
	return peer.IDFromPublicKey(pub)
}

func deviceOf(id peer.ID) (crypt.DeviceKey, error) {
	var device crypt.DeviceKey
	pub, err := id.ExtractPublicKey()
	if err != nil {
		return device, fmt.Errorf("peer %s does not carry its key: %w", id, err)
	}
	raw, err := pub.Raw()
	if err != nil || pub.Type() != ic.Ed25519 || len(raw) != len(device) {
		return device, fmt.Errorf("peer %s has no Ed25519 key", id)
	}
	copy(device[:], raw)
	return device, nil
}

func hostKey(d *crypt.Device) (ic.PrivKey, error) {
	k, err := ic.UnmarshalEd25519PrivateKey(d.PrivateEd25519())
	if err != nil {
		return nil, fmt.Errorf("use the device key for the network: %w", err)
	}
	return k, nil
}

// clip shortens foreign text for an error message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
