package crypt

import (
	"errors"
	"fmt"
)

// Epoch is one period of a volume's secrets; a new one begins when a device is revoked. Numbers count from 1.
type Epoch struct {
	Number uint32 `cbor:"1,keyasint"`
	Secret Key    `cbor:"2,keyasint"`
}

// ContentKey is what the keys of private chunks are made with (NewSealer).
func (e Epoch) ContentKey() Key { return e.Secret.Derive("epoch content") }

// HeadKey is what heads are sealed under.
func (e Epoch) HeadKey() Key { return e.Secret.Derive("epoch head") }

// VolumeSecrets are the random secrets that the devices of a volume share. Epochs are in ascending order, the last one
// in use.
type VolumeSecrets struct {
	Volume Key     `cbor:"1,keyasint"`
	Epochs []Epoch `cbor:"2,keyasint"`
}

// NewVolumeSecrets draws the secrets of a new volume, with epoch 1.
func NewVolumeSecrets() *VolumeSecrets {
	return &VolumeSecrets{Volume: NewKey(), Epochs: []Epoch{{Number: 1, Secret: NewKey()}}}
}

// GearSeed is the seed of the chunker's table.
func (v *VolumeSecrets) GearSeed() [32]byte { return v.Volume.Derive("volume gear") }

// NameKey is the key of NameHash.
func (v *VolumeSecrets) NameKey() Key { return v.Volume.Derive("volume names") }

// PadKey is the key of Pad.
func (v *VolumeSecrets) PadKey() Key { return v.Volume.Derive("volume padding") }

// Current is the epoch in use; zero if there is none.
func (v *VolumeSecrets) Current() Epoch {
	if len(v.Epochs) == 0 {
		return Epoch{}
	}
	return v.Epochs[len(v.Epochs)-1]
}

// Epoch finds an epoch by its number.
func (v *VolumeSecrets) Epoch(number uint32) (Epoch, bool) {
	for _, e := range v.Epochs {
		if e.Number == number {
			return e, true
		}
	}
	return Epoch{}, false
}

func (v *VolumeSecrets) possible() error {
	last := uint32(0)
	for _, e := range v.Epochs {
		if e.Number <= last {
			return fmt.Errorf("%w: the epochs of the volume are not in order", ErrMalformed)
		}
		last = e.Number
	}
	if last == 0 {
		return fmt.Errorf("%w: the volume has no epoch", ErrMalformed)
	}
	return nil
}

// Unwrapper opens what was wrapped to it: Root and Device.
type Unwrapper interface {
	Unwrap(context string, sealed []byte) ([]byte, error)
}

func secretsContext(volume ID) string { return "secrets " + volume.String() }

// Wrap encrypts the secrets to the wrap key of a root (Genesis.Wrap) or device (Certificate.Wrap).
func (v *VolumeSecrets) Wrap(pub [32]byte, volume ID) ([]byte, error) {
	b, err := EncodeCBOR(v)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	return WrapTo(pub, secretsContext(volume), b)
}

// UnwrapSecrets finds among the wrapped secrets of a volume (Bundle.Secrets) the newest that are for u and opens them;
// if none are, ErrUnwrap.
func UnwrapSecrets(u Unwrapper, volume ID, wrapped [][]byte) (*VolumeSecrets, error) {
	var best *VolumeSecrets
	for _, w := range wrapped {
		v, err := unwrapOne(u, volume, w)
		if errors.Is(err, ErrUnwrap) {
			continue // for another device
		}
		if err != nil {
			return nil, err
		}
		if best == nil || v.Current().Number > best.Current().Number {
			best = v
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%w: none of %d", ErrUnwrap, len(wrapped))
	}
	return best, nil
}

func unwrapOne(u Unwrapper, volume ID, wrapped []byte) (*VolumeSecrets, error) {
	b, err := u.Unwrap(secretsContext(volume), wrapped)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	var v VolumeSecrets
	if err := decodeCanonical(b, MaxWrapped, &v); err != nil {
		return nil, fmt.Errorf("parse the secrets of a volume: %w", err)
	}
	return &v, v.possible()
}

// Domain is a convergence domain that several owners share: a group's or the public one.
type Domain struct{ Secret Key }

// PublicDomain is the secret, known to everybody, of the public domain.
var PublicDomain = Key(Sum([]byte("hammock 1 public domain")))

const (
	groupSecretMin = 32
	groupSecretMax = 1 << 20
)

// GroupSecret makes the secret of a group's domain from the file that its members share, byte for byte. The file has at
// least 32 bytes, which ought to be random, and at most 1 MiB.
func GroupSecret(file []byte) (Key, error) {
	if len(file) < groupSecretMin || len(file) > groupSecretMax {
		return Key{}, fmt.Errorf("a group's secret has between %d bytes and %d, this file has %d: make one with `head -c 32 /dev/urandom`",
			groupSecretMin, groupSecretMax, len(file))
	}
	hash := Sum(file)
	return Key(hash).Derive("group secret"), nil
}

// GearSeed is the seed of the chunker's table in the domain.
func (d Domain) GearSeed() [32]byte { return d.Secret.Derive("domain gear") }

// ContentKey is what the keys of the domain's chunks are made with (NewSealer).
func (d Domain) ContentKey() Key { return d.Secret.Derive("domain content") }

// ID names the domain without giving its secret away; genesis records hold it.
func (d Domain) ID() ID { return ID(d.Secret.Derive("domain id")) }
