// Package cache keeps stripes on the local disk: it appends sealed chunks to
// them, reads ranges of them back, fetches what is not here, and throws out
// what is safe elsewhere.
//
// The model. A stripe is a file that holds sealed chunks one after another and
// nothing else: no header, no lengths, no names. What tells the chunks apart
// is in refs, which live elsewhere. A stripe is in one of these states:
//
//	open      chunks are appended; one for each class
//	closing   no chunk is taken any more, some are still being written
//	closed    complete and never changed again; pinned until Unpin
//	partial   not made here: a sparse file of ranges that were fetched,
//	          with a map of what is present; never pinned
//
// Put seals in the goroutine of its caller and holds no lock meanwhile; the
// lock is taken to reserve room in the open stripe, and the bytes are written
// to that place outside of it, so that many writers fill one file at once.
//
// A read takes each 64 KiB block from the memory of opened blocks, or opens it
// from the local file, or from what the remote returns. Blocks that a request
// wants whole are opened straight into the buffer of the caller and are not
// remembered: the kernel remembers them already, and a long sequential read
// leaves the memory to those who read in small pieces.
//
// Traps.
//
//   - Put returns when write(2) has: that survives kill -9 of this process. Only
//     Sync makes it survive a power cut.
//   - A failed fdatasync is remembered for good: the kernel may have dropped the
//     pages, so a second one that succeeds proves nothing.
//   - The map of a partial stripe may lie after a crash. It does not matter:
//     bytes that do not open are fetched once more, then reported.
//   - Locks are taken in this order: Cache.grow, Cache.mu, stripe.mu. The
//     locks of handles, of the list of synced stripes and of the two flight
//     groups are the last.
package cache
