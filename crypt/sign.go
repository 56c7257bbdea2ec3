package crypt

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"encoding/hex"
	"fmt"
)

// OwnerKey is the Ed25519 public key of an owner's root: what names the owner everywhere.
type OwnerKey [32]byte

// DeviceKey is the Ed25519 public key of a device; its libp2p identity is made of it.
type DeviceKey [32]byte

// String is the key as 64 hexadecimal digits.
func (k OwnerKey) String() string { return hex.EncodeToString(k[:]) }

// String is the key as 64 hexadecimal digits.
func (k DeviceKey) String() string { return hex.EncodeToString(k[:]) }

// IsZero says whether the key is all zeros, which stands for "none".
func (k OwnerKey) IsZero() bool { return k == OwnerKey{} }

// IsZero says whether the key is all zeros, which stands for "none".
func (k DeviceKey) IsZero() bool { return k == DeviceKey{} }

// ParseOwnerKey reads what String printed.
func ParseOwnerKey(s string) (k OwnerKey, err error) {
	err = parseHex(k[:], s, "an owner's key")
	return k, err
}

// ParseDeviceKey reads what String printed.
func ParseDeviceKey(s string) (k DeviceKey, err error) {
	err = parseHex(k[:], s, "a device's key")
	return k, err
}

// MarshalText is String, for JSON.
func (k OwnerKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// MarshalText is String, for JSON.
func (k DeviceKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is ParseOwnerKey, for JSON.
func (k *OwnerKey) UnmarshalText(b []byte) error { return parseHex(k[:], string(b), "an owner's key") }

// UnmarshalText is ParseDeviceKey, for JSON.
func (k *DeviceKey) UnmarshalText(b []byte) error {
	return parseHex(k[:], string(b), "a device's key")
}

// MarshalBinary gives the 32 bytes; CBOR uses it.
func (k OwnerKey) MarshalBinary() ([]byte, error) { return k[:], nil }

// MarshalBinary gives the 32 bytes; CBOR uses it.
func (k DeviceKey) MarshalBinary() ([]byte, error) { return k[:], nil }

// UnmarshalBinary takes exactly 32 bytes; CBOR uses it.
func (k *OwnerKey) UnmarshalBinary(b []byte) error { return exactly(k[:], b, "an owner's key") }

// UnmarshalBinary takes exactly 32 bytes; CBOR uses it.
func (k *DeviceKey) UnmarshalBinary(b []byte) error { return exactly(k[:], b, "a device's key") }

// Verify checks a signature that Root.Sign made; a wrong one is ErrSignature.
func (k OwnerKey) Verify(context string, scope ID, body, sig []byte) error {
	return verify(k[:], context, scope, body, sig)
}

// Verify checks a signature that Device.Sign made; a wrong one is ErrSignature.
func (k DeviceKey) Verify(context string, scope ID, body, sig []byte) error {
	return verify(k[:], context, scope, body, sig)
}

func verify(pub []byte, context string, scope ID, body, sig []byte) error {
	if !ed25519.Verify(pub, signedBytes(context, scope, body), sig) {
		return fmt.Errorf("%w: %s", ErrSignature, context)
	}
	return nil
}

// signedBytes is what every signature covers: "hammock 1 " and the context, a zero byte, the scope (the ID of the volume
// or swarm), the body. Contexts are constants and hold no zero byte.
func signedBytes(context string, scope ID, body []byte) []byte {
	b := make([]byte, 0, len("hammock 1 ")+len(context)+1+len(scope)+len(body))
	b = append(b, "hammock 1 "...)
	b = append(b, context...)
	b = append(b, 0)
	b = append(b, scope[:]...)
	return append(b, body...)
}

// identity is a signing key and a wrap key made from 32 secret bytes: what Root and Device have in common.
type identity struct {
	seed Key
	sign ed25519.PrivateKey
	wrap *ecdh.PrivateKey
}

func newIdentity(seed Key, signContext, wrapContext string) identity {
	sign, wrap := seed.Derive(signContext), seed.Derive(wrapContext)
	w, err := ecdh.X25519().NewPrivateKey(wrap[:])
	if err != nil {
		panic(err) // only for another length
	}
	return identity{seed, ed25519.NewKeyFromSeed(sign[:]), w}
}

func (i *identity) public() [32]byte { return [32]byte(i.sign.Public().(ed25519.PublicKey)) }

func (i *identity) wrapPublic() [32]byte { return [32]byte(i.wrap.PublicKey().Bytes()) }

func (i *identity) signBody(context string, scope ID, body []byte) []byte {
	return ed25519.Sign(i.sign, signedBytes(context, scope, body))
}

// wipe forgets what can be overwritten. The X25519 key lies inside the standard library and is only let go.
func (i *identity) wipe() {
	clear(i.seed[:])
	clear(i.sign)
	i.wrap = nil
}

// MaxWrapped is the longest wrapped secret that is opened, in bytes.
const MaxWrapped = 64 << 10

// WrapTo encrypts a secret to an X25519 public key with HPKE (RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256),
// HKDF-SHA256, ChaCha20-Poly1305), with "hammock 1 wrap " + context as its info: 48 bytes longer than the secret. It does
// not say who wrapped it.
func WrapTo(pub [32]byte, context string, secret []byte) ([]byte, error) {
	p, err := ecdh.X25519().NewPublicKey(pub[:])
	if err != nil {
		return nil, fmt.Errorf("wrap %s: %w", context, err)
	}
	to, err := hpke.NewDHKEMPublicKey(p)
	if err != nil {
		return nil, fmt.Errorf("wrap %s: %w", context, err)
	}
	b, err := hpke.Seal(to, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), wrapInfo(context), secret)
	if err != nil {
		return nil, fmt.Errorf("wrap %s: %w", context, err)
	}
	return b, nil
}

func wrapInfo(context string) []byte { return []byte("hammock 1 wrap " + context) }

func (i *identity) unwrap(context string, sealed []byte) ([]byte, error) {
	if i.wrap == nil {
		return nil, fmt.Errorf("%w: the key has been wiped", ErrUnwrap)
	}
	if len(sealed) > MaxWrapped {
		return nil, fmt.Errorf("%w: %d bytes are too many", ErrUnwrap, len(sealed))
	}
	k, err := hpke.NewDHKEMPrivateKey(i.wrap)
	if err != nil {
		return nil, fmt.Errorf("unwrap %s: %w", context, err)
	}
	b, err := hpke.Open(k, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), wrapInfo(context), sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrUnwrap, context)
	}
	return b, nil
}
