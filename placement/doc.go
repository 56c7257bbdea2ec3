// Package placement turns closed stripes into shards on many stores, and shards back into bytes.
//
// The model. A stripe is a run of sealed bytes. It is padded to k equal shards, m more are computed from them by
// Reed-Solomon, and each of the n = k+m shards goes to a store (a peer, a directory, a bucket) in a failure domain of its
// own; any k of them give every byte back. The code is systematic: data shard i is the payload's bytes [iS, (i+1)S), so
// that a read of a range normally touches the one or two shards that hold it and decodes nothing. It is also column-wise:
// to rebuild bytes [a, b) of one shard takes the same [a, b) of k others and no more.
//
// A Record says which shards a stripe has (their IDs are the BLAKE3 hashes of their bytes) and which store each went to.
// It is bytes to everybody else. The Placer owns the upload queue, the reads and the repair of stripes; it is told what
// stores there are (Stores), where payloads lie (Payloads) and where to note what it does (Journal), and knows neither
// networks nor file systems.
//
// The traps:
//
//   - A record is journaled (Intend) before the first put that it announces, and again (Placed) before anybody may forget
//     the local copy. A shard's Store is only an intention until its Held is set.
//   - Success is not "n puts returned nil" but a matching of held shards to distinct failure domains, of at least k plus
//     half of m; none of them this machine. What is missing beyond that is left to repair.
//   - Hints about stores grow old. A read that fails at every hinted store asks all the others before it gives up.
//   - A store that is away is away, not lost: only "I do not have it" and "these bytes are wrong" start a repair.
//   - Where k is 1 all shards of a stripe are equal bytes with equal IDs. A stripe encoded before there were any stores
//     has the code 1+0, and later simply gains copies; records of it that were published before stay true.
package placement
