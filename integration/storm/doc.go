// Package storm tries to make hammock lose something. A storm is drawn from one
// seed: processes that work in the mounted folder as programs do, faults that hit
// the daemon, its peers, their disks and the network meanwhile, then calm, and
// then a comparison of every byte with what was promised.
//
// What was promised is known from a history that lies outside of the folder
// (history_test.go). Each process works in a folder of its own and makes one call
// at a time, so that its history is a list of states, one for each call that
// returned. A call that did not return may have done its work or not. What a
// fault may take away is said by moments and acknowledgements:
//
//   - After a kill of the daemon, or of all nodes at once, names are as they were
//     after the last call that returned, or after the one that did not. The bytes
//     of a file are at least as new as the last close, fsync or fdatasync of it:
//     each is one of those that it has been since.
//   - After the loss of the machine, all is as it was at one moment after the last
//     `hammock sync` that returned was begun, in this same sense. A file that was
//     changed after that may be unreadable then.
//
// Under -o sync=peers each fsync that returned is such a sync, too.
//
// Faults stay within what the redundancy of the volume allows, so that whatever
// is lost is a bug: at most m peers, the same ones in all of a storm, are hurt in
// ways that last (rot, deleted segments, an emptied depot), and only when every
// stripe is known to have all its shards. A peer that lies is one of them; one that
// has no room left only refuses. In the calm after a storm all nodes run as many
// goroutines as before it.
package storm
