package crypt

import (
	"fmt"
	"time"
)

// What a certificate may permit, as bits of Rights. A device with none of them reads.
const (
	// RightWrite: the device may publish heads in the certificate's writer epoch.
	RightWrite uint64 = 1 << iota
	// RightInvite: the device may admit others to swarms in the owner's name.
	RightInvite
)

// MaxCertificate is the longest encoding of a certificate, in bytes.
const MaxCertificate = 1 << 10

// Certificate says that a device acts for an owner. The root signs it; the owner's key is its scope.
type Certificate struct {
	Owner       OwnerKey  `cbor:"1,keyasint"`
	Device      DeviceKey `cbor:"2,keyasint"`
	Wrap        [32]byte  `cbor:"3,keyasint"` // X25519 public key of the device
	WriterEpoch uint64    `cbor:"4,keyasint"`
	Rights      uint64    `cbor:"5,keyasint"`
	NotBefore   int64     `cbor:"6,keyasint"` // Unix seconds
	NotAfter    int64     `cbor:"7,keyasint"` // Unix seconds; 0: it does not expire
	Signature   []byte    `cbor:"8,keyasint"`
	Volume      ID        `cbor:"9,keyasint"` // the only volume that it is for; zero: all of the owner's
}

const certificateContext = "certificate"

// Certify fills in the owner and signs.
func (r *Root) Certify(c Certificate) (Certificate, error) {
	c.Owner = r.Owner()
	body, err := c.body()
	if err != nil {
		return Certificate{}, err
	}
	c.Signature = r.Sign(certificateContext, ID(c.Owner), body)
	return c, nil
}

// body is what is signed: the record with an empty signature.
func (c *Certificate) body() ([]byte, error) {
	unsigned := *c
	unsigned.Signature = []byte{}
	return EncodeCBOR(&unsigned)
}

// clockSkew is how far the clock of the machine that made a certificate may be ahead of ours.
const clockSkew = time.Hour

// Verify checks that the owner named in it signed the certificate (else ErrSignature) and that it is valid at the time
// now (else ErrExpired). With the zero time it asks for the signature only: a recovery reads heads that were published
// under a certificate that has expired since.
func (c *Certificate) Verify(now time.Time) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	if err := c.Owner.Verify(certificateContext, ID(c.Owner), body, c.Signature); err != nil {
		return err
	}
	if now.IsZero() {
		return nil
	}
	if from := time.Unix(c.NotBefore, 0); now.Add(clockSkew).Before(from) {
		return fmt.Errorf("%w: of device %s, valid from %s", ErrExpired, c.Device, from.UTC().Format(time.DateTime))
	}
	if to := time.Unix(c.NotAfter, 0); c.NotAfter != 0 && !now.Before(to) {
		return fmt.Errorf("%w: of device %s, valid until %s", ErrExpired, c.Device, to.UTC().Format(time.DateTime))
	}
	return nil
}

// Marshal is the encoding that ParseCertificate reads.
func (c *Certificate) Marshal() ([]byte, error) { return EncodeCBOR(c) }

// ParseCertificate reads a certificate of at most MaxCertificate bytes; what is not one is ErrMalformed. It does not
// verify it.
func ParseCertificate(b []byte) (Certificate, error) {
	var c Certificate
	if err := decodeCanonical(b, MaxCertificate, &c); err != nil {
		return Certificate{}, fmt.Errorf("parse a certificate: %w", err)
	}
	return c, nil
}
