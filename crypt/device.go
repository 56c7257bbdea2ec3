package crypt

import (
	"crypto/ed25519"
	"fmt"
	"slices"
)

// Device is the key pair of one machine that mounts or serves: it signs heads and is its libp2p identity. Safe for
// concurrent use.
type Device struct{ id identity }

// NewDevice draws a new device key.
func NewDevice() *Device { return DeviceFromSeed(NewKey()) }

// DeviceFromSeed makes the device of the seed that Seed gave.
func DeviceFromSeed(seed [32]byte) *Device {
	return &Device{newIdentity(Key(seed), "device sign", "device wrap")}
}

// Seed is the 32 secret bytes that the device is made from; the keyring keeps them.
func (d *Device) Seed() [32]byte { return d.id.seed }

// Key is the public key of the device.
func (d *Device) Key() DeviceKey { return d.id.public() }

// Wrap is the X25519 public key that secrets for this device are wrapped to.
func (d *Device) Wrap() [32]byte { return d.id.wrapPublic() }

// PrivateEd25519 is a copy of the signing key, for libp2p's identity and nothing else.
func (d *Device) PrivateEd25519() ed25519.PrivateKey { return slices.Clone(d.id.sign) }

// Sign signs the body in the scope of a volume or swarm, for the purpose that context names.
func (d *Device) Sign(context string, scope ID, body []byte) []byte {
	return d.id.signBody(context, scope, body)
}

// Unwrap opens what WrapTo made for this device and context; anything else is ErrUnwrap.
func (d *Device) Unwrap(context string, sealed []byte) ([]byte, error) {
	return d.id.unwrap(context, sealed)
}

// Format prints the public key only, under every verb.
func (d *Device) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("device " + d.Key().String())) }
