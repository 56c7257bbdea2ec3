// Package liar is a peer that lies. It runs on the state of a peer that was
// honest, as a process of its own: the real swarm, protocol and depot, with a
// store between the two that does not do what it says. Tests have their own
// binary run again for it.
package liar
