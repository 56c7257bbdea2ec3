// Package wire is what nodes say to each other: handing over a shard, reading
// a part of one, asking and deleting, keeping heads, joining a swarm and
// recovering into one. PROTOCOL.md beside this file has every byte.
//
// The model: a Dialer opens an authenticated stream to a peer for one of the
// protocols, a Listener hands accepted streams to a Server. Both are small
// interfaces; net/swarm (through OverSwarm) and net/memnet provide them. On a
// stream, requests follow one another; each is a header in CBOR and perhaps
// raw bytes, and is answered by the same. A Client keeps the streams to its
// peers and reuses them: a new stream for each request would more than double
// its latency. Large transfers and small requests never share a stream.
//
// The server side trusts nobody: who asks is known from the stream, and every
// limit is checked before the bytes it limits are taken or allocated. The
// client side trusts nobody either: what a get returned was verified against
// the shard's ID before the caller sees it.
//
// Traps:
//
//   - A stream carries one request at a time. Cancelling a request means
//     resetting its stream, which is why streams are not shared by callers.
//   - A kept stream may have died while nobody looked. A request that fails on
//     one before any reply arrived is tried once more on a fresh stream; all
//     requests to members are idempotent for this reason. Join and recover
//     never run on a kept stream.
//   - Errors from a peer are values of this package (ErrFull and so on) wrapped
//     in a *Refusal with the peer's sentence. The sentence is foreign text.
package wire
