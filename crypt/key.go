package crypt

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"log/slog"

	"github.com/zeebo/blake3"
	"lukechampine.com/blake3/guts"
)

// KeySize is the length of every secret key, in bytes.
const KeySize = 32

// Key is 32 secret bytes. However it is printed, logged or marshalled to text, it says "redacted".
type Key [KeySize]byte

// NewKey draws a key from the system's random numbers.
func NewKey() Key {
	var k Key
	_, _ = rand.Read(k[:]) // never fails: the runtime ends the program instead
	return k
}

// Derive gives the subkey for one purpose: BLAKE3's derive_key with the context string "hammock 1 " + context. Contexts
// are constants of the program, listed in KEYS.md; whatever varies goes through MAC.
func (k Key) Derive(context string) Key {
	both := derive(context, k[:])
	return Key(both[:KeySize])
}

// MAC is keyed BLAKE3 over the parts, each preceded by its length as 8 bytes little endian, so that no two different
// lists of parts mean the same. The result may serve as a MAC or, converted to Key, as a subkey.
func (k Key) MAC(parts ...[]byte) ID {
	total := 0
	for _, p := range parts {
		total += 8 + len(p)
	}
	if total > shortMax {
		return k.macLong(parts)
	}
	var buf [shortMax]byte
	b := buf[:0]
	for _, p := range parts {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	w := wordsOf((*[32]byte)(&k))
	out := shortHash(&w, guts.FlagKeyedHash, b)
	return ID(out[:32])
}

func (k Key) macLong(parts [][]byte) (id ID) {
	h, _ := blake3.NewKeyed(k[:]) // fails only for another length
	var n [8]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint64(n[:], uint64(len(p)))
		_, _ = h.Write(n[:])
		_, _ = h.Write(p)
	}
	h.Sum(id[:0])
	return id
}

// Equal compares in constant time.
func (k Key) Equal(o Key) bool { return subtle.ConstantTimeCompare(k[:], o[:]) == 1 }

// IsZero says whether the key is all zeros, which stands for "none".
func (k Key) IsZero() bool { return k.Equal(Key{}) }

const redacted = "redacted"

// String says "redacted".
func (Key) String() string { return redacted }

// GoString says "redacted".
func (Key) GoString() string { return redacted }

// Format says "redacted" under every verb, %x included.
func (Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue says "redacted".
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText says "redacted": a key never gets into JSON.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary gives the 32 secret bytes; CBOR uses it, for what is then sealed.
func (k Key) MarshalBinary() ([]byte, error) { return k[:], nil }

// UnmarshalBinary takes exactly 32 bytes; CBOR uses it.
func (k *Key) UnmarshalBinary(b []byte) error { return exactly(k[:], b, "a key") }
