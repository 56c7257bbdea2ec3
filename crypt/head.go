package crypt

import (
	"crypto/rand"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// MaxHead is the longest encoding of a head, in bytes.
const MaxHead = 64 << 10

// HeadOverhead bounds by how many bytes an encoded head is longer than its body.
const HeadOverhead = 512

// Head is the signed pointer to the newest checkpoint of a volume. What it points to is sealed; the rest lets a keeper
// order heads without reading them.
type Head struct {
	Volume      ID        `cbor:"1,keyasint"`
	Device      DeviceKey `cbor:"2,keyasint"`
	WriterEpoch uint64    `cbor:"3,keyasint"`
	Counter     uint64    `cbor:"4,keyasint"`
	Prev        ID        `cbor:"5,keyasint"` // HeadID of the head before; zero for the first
	Epoch       uint32    `cbor:"6,keyasint"` // number of the Epoch whose HeadKey sealed it
	Sealed      []byte    `cbor:"7,keyasint"`
	Signature   []byte    `cbor:"8,keyasint"`
}

const headContext = "head"

// SealHead seals the body under key (Epoch.HeadKey of epoch h.Epoch), fills in device, sealed body and signature, and
// gives the encoded head. The nonce is drawn at random, so no two calls give the same bytes: keep what was sent.
func SealHead(d *Device, key Key, h Head, body []byte) ([]byte, error) {
	if len(body) > MaxHead-HeadOverhead {
		return nil, fmt.Errorf("seal a head: its body has %d bytes, at most %d are possible", len(body), MaxHead-HeadOverhead)
	}
	h.Device = d.Key()
	aad, err := h.outside()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(body)+Overhead)
	_, _ = rand.Read(nonce) // never fails: the runtime ends the program instead
	h.Sealed = newAEAD(SuiteXChaCha, key[:]).Seal(nonce, nonce, body, aad)
	signed, err := h.body()
	if err != nil {
		return nil, err
	}
	h.Signature = d.Sign(headContext, h.Volume, signed)
	return EncodeCBOR(&h)
}

// outside is what lies outside of the seal, encoded: the head without sealed body and signature.
func (h *Head) outside() ([]byte, error) {
	bare := *h
	bare.Sealed, bare.Signature = []byte{}, []byte{}
	return EncodeCBOR(&bare)
}

// body is what is signed: the head with an empty signature.
func (h *Head) body() ([]byte, error) {
	unsigned := *h
	unsigned.Signature = []byte{}
	return EncodeCBOR(&unsigned)
}

// ParseHead reads an encoded head of at most MaxHead bytes; what is not one is ErrMalformed. It does not verify it.
func ParseHead(b []byte) (*Head, error) {
	var h Head
	if err := decodeCanonical(b, MaxHead, &h); err != nil {
		return nil, fmt.Errorf("parse a head: %w", err)
	}
	return &h, nil
}

// HeadID names an encoded head: the hash of its bytes.
func HeadID(b []byte) ID { return Sum(b) }

// Verify checks that the certificate's device signed the head (else ErrSignature) and may write in the head's writer
// epoch and volume (else ErrRights). The certificate itself is verified by the caller.
func (h *Head) Verify(c *Certificate) error {
	switch {
	case h.Device != c.Device:
		return fmt.Errorf("%w: the head is of device %s, the certificate of %s", ErrRights, h.Device, c.Device)
	case c.Rights&RightWrite == 0:
		return fmt.Errorf("%w: device %s may not write", ErrRights, h.Device)
	case h.WriterEpoch != c.WriterEpoch:
		return fmt.Errorf("%w: the head is of writer epoch %d, the certificate of %d", ErrRights, h.WriterEpoch, c.WriterEpoch)
	case !c.Volume.IsZero() && c.Volume != h.Volume:
		return fmt.Errorf("%w: the certificate is for another volume", ErrRights)
	}
	body, err := h.body()
	if err != nil {
		return err
	}
	return h.Device.Verify(headContext, h.Volume, body, h.Signature)
}

// Open gives the body, or ErrSealed. key is the HeadKey of the epoch whose number is h.Epoch.
func (h *Head) Open(key Key) ([]byte, error) {
	if len(h.Sealed) < chacha20poly1305.NonceSizeX {
		return nil, fmt.Errorf("open a head: %w", ErrSealed)
	}
	aad, err := h.outside()
	if err != nil {
		return nil, err
	}
	nonce, sealed := h.Sealed[:chacha20poly1305.NonceSizeX], h.Sealed[chacha20poly1305.NonceSizeX:]
	body, err := newAEAD(SuiteXChaCha, key[:]).Open(nil, nonce, sealed, aad)
	if err != nil {
		return nil, fmt.Errorf("open head %d: %w", h.Counter, ErrSealed)
	}
	return body, nil
}
