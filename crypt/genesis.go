package crypt

import (
	"crypto/rand"
	"fmt"
)

// GenesisVersion is the version of the volume format that this code makes and reads.
const GenesisVersion = 1

// MaxGenesis is the longest encoding of a genesis record, in bytes.
const MaxGenesis = 1 << 10

// With whom equal files become equal chunks, as a genesis record says it.
const (
	ConvergencePrivate uint8 = 0
	ConvergenceGroup   uint8 = 1
	ConvergencePublic  uint8 = 2
)

// Genesis is the first record of a volume: what never changes about it. Its hash is the volume's ID.
type Genesis struct {
	Version     uint64   `cbor:"1,keyasint"`
	Owner       OwnerKey `cbor:"2,keyasint"`
	Wrap        [32]byte `cbor:"3,keyasint"` // X25519 public key of the root
	Time        int64    `cbor:"4,keyasint"` // Unix seconds
	Convergence uint8    `cbor:"5,keyasint"`
	Domain      ID       `cbor:"6,keyasint"` // of the shared domain; zero if private
	Suite       Suite    `cbor:"7,keyasint"`
	Signature   []byte   `cbor:"8,keyasint"`
	Salt        [16]byte `cbor:"9,keyasint"` // random, so that no two volumes have one ID
}

const genesisContext = "genesis"

// NewGenesis fills in version, owner, wrap key and, if it is zero, the salt, and signs. The owner's key is the scope of
// the signature: the volume has no ID before.
func (r *Root) NewGenesis(g Genesis) (Genesis, error) {
	g.Version, g.Owner, g.Wrap = GenesisVersion, r.Owner(), r.WrapKey()
	if g.Salt == [16]byte{} {
		_, _ = rand.Read(g.Salt[:]) // never fails: the runtime ends the program instead
	}
	body, err := g.body()
	if err != nil {
		return Genesis{}, err
	}
	g.Signature = r.Sign(genesisContext, ID(g.Owner), body)
	return g, g.possible()
}

func (g *Genesis) body() ([]byte, error) {
	unsigned := *g
	unsigned.Signature = []byte{}
	return EncodeCBOR(&unsigned)
}

// possible refuses what no version of the format means.
func (g *Genesis) possible() error {
	switch {
	case g.Version != GenesisVersion:
		return fmt.Errorf("%w: the volume has format %d, this program knows %d", ErrMalformed, g.Version, GenesisVersion)
	case !g.Suite.Valid():
		return fmt.Errorf("%w: the volume has unknown %v", ErrMalformed, g.Suite)
	case g.Convergence > ConvergencePublic, (g.Convergence == ConvergencePrivate) != g.Domain.IsZero():
		return fmt.Errorf("%w: the volume's convergence and its domain do not fit", ErrMalformed)
	}
	return nil
}

// Marshal is the encoding that ParseGenesis reads and ID hashes.
func (g *Genesis) Marshal() ([]byte, error) { return EncodeCBOR(g) }

// ID is the volume's ID: the hash of the encoded record, signature included.
func (g *Genesis) ID() ID {
	b, err := g.Marshal()
	if err != nil {
		panic(err) // a struct of numbers and byte strings always encodes
	}
	return Sum(b)
}

// Verify checks that the owner named in it signed the record; if not, ErrSignature.
func (g *Genesis) Verify() error {
	body, err := g.body()
	if err != nil {
		return err
	}
	return g.Owner.Verify(genesisContext, ID(g.Owner), body, g.Signature)
}

// ParseGenesis reads a genesis record of at most MaxGenesis bytes; what is not one, or of another version, is
// ErrMalformed. It does not verify it.
func ParseGenesis(b []byte) (Genesis, error) {
	var g Genesis
	if err := decodeCanonical(b, MaxGenesis, &g); err != nil {
		return Genesis{}, fmt.Errorf("parse a genesis record: %w", err)
	}
	if err := g.possible(); err != nil {
		return Genesis{}, err
	}
	return g, nil
}
