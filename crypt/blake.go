package crypt

import (
	"encoding/binary"
	"sync"

	"github.com/zeebo/blake3"
	"lukechampine.com/blake3/guts"
)

// BLAKE3 is done by two modules. Whatever is longer than one BLAKE3 chunk goes to zeebo's, which is the fastest on long
// input but pays about 3 µs and 10 KiB for each new key. Keys, names and tags are short and each has a key of its own, so
// they are hashed here, from the compression function of the other module: 0.15 µs for each 64 bytes, nothing allocated.

// shortMax is the longest input of shortHash: one BLAKE3 chunk.
const shortMax = guts.ChunkSize

// words is a key as the compression function wants it.
type words [8]uint32

func wordsOf(key *[32]byte) (w words) {
	for i := range w {
		w[i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	return w
}

// shortHash is the first 64 bytes of BLAKE3's output for p of at most shortMax bytes, in the mode that flags say.
func shortHash(key *words, flags uint32, p []byte) (out [64]byte) {
	n := guts.CompressChunk(p, (*[8]uint32)(key), 0, flags)
	n.Flags |= guts.FlagRoot
	for i, w := range guts.CompressNode(n) {
		binary.LittleEndian.PutUint32(out[4*i:], w)
	}
	return out
}

// derive is BLAKE3's derive_key mode, with 64 bytes of output: enough for two keys.
func derive(context string, material []byte) [64]byte {
	var buf [shortMax]byte
	c := append(buf[:0], "hammock 1 "...)
	if len(c)+len(context) > shortMax || len(material) > shortMax {
		return deriveLong("hammock 1 "+context, material)
	}
	iv := words(guts.IV)
	contextKey := shortHash(&iv, guts.FlagDeriveKeyContext, append(c, context...))
	w := wordsOf((*[32]byte)(contextKey[:32]))
	return shortHash(&w, guts.FlagDeriveKeyMaterial, material)
}

func deriveLong(context string, material []byte) (out [64]byte) {
	blake3.DeriveKey(context, material, out[:])
	return out
}

// keyed is keyed BLAKE3 under one key that is used many times: long inputs take their state from a pool. Safe for
// concurrent use.
type keyed struct {
	words words
	pool  sync.Pool
}

func newKeyed(key *[32]byte) *keyed {
	k := &keyed{words: wordsOf(key)}
	raw := *key
	k.pool.New = func() any {
		h, _ := blake3.NewKeyed(raw[:]) // fails only for another length
		return h
	}
	return k
}

// sum hashes p.
func (k *keyed) sum(p []byte) (out [32]byte) {
	if len(p) <= shortMax {
		long := shortHash(&k.words, guts.FlagKeyedHash, p)
		return [32]byte(long[:32])
	}
	h := k.pool.Get().(*blake3.Hasher)
	h.Reset()
	_, _ = h.Write(p) // never fails
	h.Sum(out[:0])
	k.pool.Put(h)
	return out
}

// sum2 hashes prefix, a and b one after another; prefix is the encoding that keeps a and b apart.
func (k *keyed) sum2(prefix, a, b []byte) (out [32]byte) {
	if len(prefix)+len(a)+len(b) <= shortMax {
		var buf [shortMax]byte
		p := append(append(append(buf[:0], prefix...), a...), b...)
		long := shortHash(&k.words, guts.FlagKeyedHash, p)
		return [32]byte(long[:32])
	}
	h := k.pool.Get().(*blake3.Hasher)
	h.Reset()
	for _, p := range [...][]byte{prefix, a, b} {
		_, _ = h.Write(p)
	}
	h.Sum(out[:0])
	k.pool.Put(h)
	return out
}
