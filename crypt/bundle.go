package crypt

import (
	"fmt"
	"time"
)

// MaxBundle is the longest encoding of a bundle, in bytes.
const MaxBundle = 256 << 10

// Bundle is what a keeper holds of a volume: with it and the root key, or a device key, a bare machine mounts.
type Bundle struct {
	Owner       OwnerKey `cbor:"1,keyasint"`
	Genesis     []byte   `cbor:"2,keyasint"`
	Certificate []byte   `cbor:"3,keyasint"` // of the device that signed the head
	Secrets     [][]byte `cbor:"4,keyasint"` // wrapped secrets, each for one device or the root
	Head        []byte   `cbor:"5,keyasint"`
}

// Marshal is the encoding that ParseBundle reads. A bundle longer than MaxBundle is an error.
func (b *Bundle) Marshal() ([]byte, error) {
	out, err := EncodeCBOR(b)
	if err == nil && len(out) > MaxBundle {
		err = fmt.Errorf("encode a bundle: it has %d bytes, at most %d are possible", len(out), MaxBundle)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ParseBundle reads a bundle of at most MaxBundle bytes; what is not one is ErrMalformed. It looks neither into the
// records nor at their signatures.
func ParseBundle(p []byte) (Bundle, error) {
	var b Bundle
	if err := decodeCanonical(p, MaxBundle, &b); err != nil {
		return Bundle{}, fmt.Errorf("parse a bundle: %w", err)
	}
	return b, nil
}

// Verified is what a bundle that was verified holds, parsed.
type Verified struct {
	Volume      ID
	Genesis     Genesis
	Certificate Certificate
	Head        *Head
}

// Verify checks everything that needs no secret: that the owner signed genesis and certificate, that the certificate is
// valid at the time now (the zero time: was at some time), and that its device signed the head, of this volume.
func (b *Bundle) Verify(now time.Time) error {
	_, err := b.Parse(now)
	return err
}

// Parse is Verify that gives what it parsed.
func (b *Bundle) Parse(now time.Time) (v Verified, err error) {
	if v.Genesis, err = ParseGenesis(b.Genesis); err != nil {
		return Verified{}, err
	}
	if v.Certificate, err = ParseCertificate(b.Certificate); err != nil {
		return Verified{}, err
	}
	if v.Head, err = ParseHead(b.Head); err != nil {
		return Verified{}, err
	}
	v.Volume = Sum(b.Genesis)
	if err := v.check(b.Owner, now); err != nil {
		return Verified{}, fmt.Errorf("verify the bundle of owner %s: %w", b.Owner, err)
	}
	return v, nil
}

func (v *Verified) check(owner OwnerKey, now time.Time) error {
	if v.Genesis.Owner != owner || v.Certificate.Owner != owner {
		return fmt.Errorf("%w: its records are of another owner", ErrRights)
	}
	if err := v.Genesis.Verify(); err != nil {
		return err
	}
	if err := v.Certificate.Verify(now); err != nil {
		return err
	}
	if v.Head.Volume != v.Volume {
		return fmt.Errorf("%w: its head is of another volume", ErrRights)
	}
	return v.Head.Verify(&v.Certificate)
}
