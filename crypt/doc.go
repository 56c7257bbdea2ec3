// Package crypt holds everything that is secret and everything that is checked: IDs, keys and what is derived from them,
// the recovery phrase, signatures and certificates, the sealing of chunks and heads, the keyring file, and the ciphers of
// what lies on the local disk. KEYS.md gives every derivation and every byte; testdata holds vectors for both.
//
// # Model
//
// Twenty-four words are the owner: from them come the root key, which signs, and the root wrap key, to which the volume's
// secrets are wrapped. A Device has a key of its own that the root certifies. VolumeSecrets are random and shared by the
// devices of a volume; from their epochs come the content key, which chunks are sealed under (Sealer), and the head key.
// A Ref names one sealed chunk and carries its key, so old data needs no old secret. What lies on the local disk outside
// of chunks is under the at-rest key (FileStream, Tagger, NewSegmentCipher). The Keyring file keeps a device's share of
// all this under a passphrase.
//
// # Traps
//
// No key and nonce may ever seal two different payloads. Seal keeps that rule if it is given the key that Sealer.Key
// made of the same bytes; nothing else calls it.
//
// FileStream hides but does not authenticate, and a header must not serve a second file.
//
// GCM and Poly1305 do not commit to their key: that a block opens does not prove that it is the block that was sealed,
// to whoever knows the key. Bytes from a store are checked against the shard's ID first (VerifySlice).
//
// Certificates and heads that parse are not yet believed: call Verify.
package crypt
