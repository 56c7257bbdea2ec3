package crypt

import (
	"bytes"
	"crypto/cipher"
	"testing"

	"pgregory.net/rapid"
)

// sealedOnce is everything that was ever sealed: by key and nonce, what.
type sealedOnce map[string]string

// spy makes ciphers that note what they seal. What is sealed twice under a key and nonce must be the same, additional data
// included.
func (o sealedOnce) spy(t testing.TB) cipherMaker {
	return func(s Suite, key []byte) cipher.AEAD { return &spy{newAEAD(s, key), string(key), o, t} }
}

type spy struct {
	cipher.AEAD
	key  string
	once sealedOnce
	t    testing.TB
}

func (s *spy) Seal(dst, nonce, plain, aad []byte) []byte {
	at, what := s.key+string(nonce), string(plain)+string(aad)
	if before, ok := s.once[at]; ok && before != what {
		s.t.Errorf("one key and nonce sealed two payloads, of %d and %d bytes", len(before), len(what))
	}
	s.once[at] = what
	return s.AEAD.Seal(dst, nonce, plain, aad)
}

// version is a compressor whose output depends on its version, and on nothing else.
func version(v int) packer {
	return func(_, plain []byte, c Codec) []byte {
		out := bytes.Clone(plain[:len(plain)/2])
		if len(out) > 0 {
			out[len(out)-1] += byte(v)
		}
		if v == 3 { // one that only makes another block shorter
			out = out[:len(out)*2/3]
		}
		return out
	}
}

// The rule: no key and nonce ever seal two different payloads. Not when two chunks are nearly alike, not for equal blocks
// of one chunk, not when a compressor gives other bytes in its next version, not when the codec is another, and not
// between compressed and plain blocks.
func TestNoKeyAndNonceSealTwoPayloads(t *testing.T) {
	once := sealedOnce{}
	packers := []packer{pack, version(1), version(2), version(3)}
	chunks := [][]byte{make([]byte, 3*BlockSize), text(3 * BlockSize), text(3*BlockSize + 1), mixed(5 * BlockSize), text(100), text(101)}
	for _, suite := range suites {
		for _, p := range packers {
			s := NewSealer(keyOf("content"), suite)
			s.pack, s.cipher = p, once.spy(t)
			for _, plain := range chunks {
				for _, e := range efforts {
					sealOf(t, s, plain, e)
				}
			}
		}
	}
	// Counted once by hand: without a collision, each key and nonce above has its own entry.
	if len(once) < 100 {
		t.Errorf("only %d keys and nonces were seen", len(once))
	}
}

func TestNoKeyAndNonceSealTwoPayloadsAtRandom(t *testing.T) {
	once := sealedOnce{}
	s := NewSealer(keyOf("content"), SuiteAES)
	s.cipher = once.spy(t)
	rapid.Check(t, func(r *rapid.T) {
		plain := mixed(rapid.IntRange(0, 3*BlockSize).Draw(r, "len"))
		if len(plain) > 0 {
			plain[rapid.IntRange(0, len(plain)-1).Draw(r, "at")]++
		}
		s.pack = rapid.SampledFrom([]packer{pack, version(1), version(2)}).Draw(r, "packer")
		_, _, _ = s.Seal(nil, plain, s.Key(plain), rapid.SampledFrom(efforts).Draw(r, "effort"))
	})
}

// A compressed payload that is, byte for byte, the plain text of another block of the same chunk is the nearest that the
// two kinds come to each other.
func TestPlainAndCompressedNoncesNeverMeet(t *testing.T) {
	for _, suite := range suites {
		keys := map[string]string{}
		nonces := map[string]bool{}
		s := NewSealer(keyOf("content"), suite)
		s.cipher = func(su Suite, key []byte) cipher.AEAD {
			keys[string(key)] = su.String()
			return newAEAD(su, key)
		}
		plain := mixed(2 * BlockSize)
		_, ref := sealOf(t, s, plain, EffortAuto)
		if len(keys) != 2 {
			t.Errorf("%v: plain and compressed blocks share a key", suite)
		}
		c := chunkKeys{ref: &ref, make: newAEAD}
		c.usePlain()
		c.usePacked()
		for i := range ref.Blocks {
			_, nonce := c.cipherOf(i)
			nonces[string(nonce)] = true
		}
		if len(nonces) != 2 {
			t.Errorf("%v: two blocks share a nonce", suite)
		}
	}
}
