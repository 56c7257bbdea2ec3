// Package powercuts cuts the power. It has no code of its own besides its tests.
//
// The model. A house is a node with its volume (journal, index, cache, placer,
// as cmd/hammock puts them together) and peers with depots, all on one disk of
// package crashdisk. A life is a sequence of operations in it, drawn from a seed,
// with a log of what was acknowledged and how: by close, which a kill must not
// undo, by fsync, which a power cut must not, by sync, after which the node's
// disk may be lost. At operations of the disk, just before they take place, a
// copy of the disk is taken as a kill or a power cut would leave it, the house is
// opened on the copy, and what is there is compared with the log. Sometimes the
// power is cut again while the house is opened.
//
// The traps. What runs in the background of the parts makes two lives of one seed
// differ in the order of some operations of the disk; the seed and the number of
// the operation bring a failure back most of the time, not always.
package powercuts
