// Package meta keeps what a volume knows about its files: inodes, names, which bytes are where, and where each stripe is.
//
// The model is one sorted map from record keys to values, in three levels that are read in this order: the overlay
// generation being written, the generation being folded (while a fold runs), and the namespace tree of the newest fold. A
// record replaces the older record of the same key whole, at every level, so nothing ever has to be merged across levels.
// The overlay lies in Pebble without Pebble's own log: each [DB.Commit] is first one record of the journal, which is in its
// file when Commit returns, and is then applied. A restart replays what Pebble had not yet written.
//
// A checkpoint is a consistent cut. It publishes either what changed since the last one (a delta) or, in a fold, a new root
// of the tree, in a head that is sealed, signed and synced before anybody sees it.
//
// Traps: a removed inode or a truncation hides records of lower levels through a mark (see generation), so a miss in one
// level is not yet a miss. A reader that saw the levels change begins again (see DB.get). Stripe records are published by
// the same checkpoints but live in a tree of their own, whose nodes must say where their children's stripes are (table.go).
//
// FORMAT.md describes every byte.
package meta
