// Package memnet is a network of peers in the memory of one process: the
// interfaces of net/wire (Dialer, Listener, Stream) without sockets, for tests
// and simulations. It runs under testing/synctest, where hours of delay cost
// nothing.
//
// The model: a Net has nodes by name. A node opens streams to other nodes and
// handles those opened to it. Between each two nodes lies a Link with a delay,
// a rate and a share of lost segments; the groups of a partition do not hear
// each other; a node may lie, which means that a function alters what it sends;
// a stream may be cut after so many bytes.
//
// Traps:
//
//   - A stream is reliable, as TCP is: loss is felt as delay. What a partition
//     holds back arrives when it heals, unless a deadline came first.
//   - A reset crosses the link like data does. In a partition the other side
//     learns of nothing and has only its deadlines.
//   - Each direction buffers 256 KiB; a Write returns when its bytes are in the
//     buffer, not when they were read.
package memnet
