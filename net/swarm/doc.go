// Package swarm is who a node talks to: the libp2p host, the members of the
// swarm, and how one becomes a member.
//
// # The model
//
// A swarm is named by the hash of its genesis, which its founder's root key
// signed. Members are owners, not machines. Every owner but the founder is a
// member by a record that a member's device signed; following the inviters
// leads to the founder. Records are numbered, and a higher number of the same
// inviter about the same owner replaces a lower one, so a revocation is a record
// like any other. A device belongs to the owner whose root key certified it; its
// Ed25519 key is its libp2p identity, so that a connection that TLS has
// authenticated proves the device, and the certificate proves the owner.
//
// Each device announces itself in a card, which it signs: machine, name, what it
// gives, where it listens. Records and cards are all the state that a swarm has;
// both are gossiped whole in the hello that follows each connection, and merging
// them does not depend on the order in which they arrive.
//
// # What strangers get
//
// A connection of a device that is not known as a member's has ten seconds to
// say hello, join or recover; then it is closed. Every other protocol is reset
// for it. Nothing is dialled that is not a member's device. What a hello says of
// this swarm is said only after the other side has proved its membership.
//
// # Traps
//
// A connection is not yet an acquaintance: the far side may know this device only
// once the hello is over, and would reset an earlier stream. [Swarm.Stream] waits
// for that. Whoever uses the host directly does not.
//
// Times decide only about expiry. What replaces what is decided by numbers.
package swarm
