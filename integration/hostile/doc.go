// Package hostile has nothing but tests: a node, honest members who use it all
// the while, and somebody, a member or a stranger, who sends it ten thousand
// messages of each protocol that are broken, false, out of order, half, repeated,
// or right and too many. The node may not end, nor grow, nor keep anything of
// them beyond what it gives, nor let the honest ones wait in vain. Hellos are in
// net/swarm, which has a protocol of its own.
package hostile
