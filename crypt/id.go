package crypt

import (
	"encoding/hex"
	"fmt"

	"github.com/zeebo/blake3"
)

// ID is the BLAKE3 hash of some bytes: the name of a shard, a volume, a swarm, a head. It is not secret.
type ID [32]byte

// Sum is the BLAKE3 hash of p.
func Sum(p []byte) ID { return blake3.Sum256(p) }

// String is the ID as 64 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero says whether the ID is all zeros, which stands for "none".
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads what String printed. It takes upper and lower case, and exactly 64 digits.
func ParseID(s string) (ID, error) {
	var id ID
	if err := parseHex(id[:], s, "an ID"); err != nil {
		return ID{}, err
	}
	return id, nil
}

// MarshalText is String, for JSON.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is ParseID, for JSON.
func (id *ID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseID(string(b))
	return err
}

// MarshalBinary gives the 32 bytes; CBOR uses it.
func (id ID) MarshalBinary() ([]byte, error) { return id[:], nil }

// UnmarshalBinary takes exactly 32 bytes; CBOR uses it.
func (id *ID) UnmarshalBinary(b []byte) error { return exactly(id[:], b, "an ID") }

func parseHex(dst []byte, s, what string) error {
	if len(s) != 2*len(dst) {
		return fmt.Errorf("%w: %s has %d hexadecimal digits, this has %d", ErrMalformed, what, 2*len(dst), len(s))
	}
	if _, err := hex.Decode(dst, []byte(s)); err != nil {
		return fmt.Errorf("%w: %s is written in hexadecimal digits: %w", ErrMalformed, what, err)
	}
	return nil
}

// exactly copies b to dst if the lengths are equal: a short foreign value is never filled up with zeros.
func exactly(dst, b []byte, what string) error {
	if len(b) != len(dst) {
		return fmt.Errorf("%w: %s has %d bytes, this has %d", ErrMalformed, what, len(dst), len(b))
	}
	copy(dst, b)
	return nil
}
