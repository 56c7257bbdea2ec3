package crypt

import "errors"

// The ways in which bytes from elsewhere can be wrong. All are wrapped with what was looked at; use errors.Is.
var (
	// ErrMalformed: the bytes are not what they should encode: too long, cut off, not canonical, a number out of range.
	ErrMalformed = errors.New("malformed")
	// ErrProof: the bytes of a shard are not those that its ID names.
	ErrProof = errors.New("the bytes do not match the hash that names them")
	// ErrSealed: a sealed block does not open: forged, rotten, or sealed under another key.
	ErrSealed = errors.New("the sealed bytes are damaged or forged")
	// ErrSignature: a signature was not made by the key that it should be of, or not over these bytes.
	ErrSignature = errors.New("the signature is not valid")
	// ErrExpired: a certificate is not valid at this time (any more, or yet).
	ErrExpired = errors.New("the certificate is not valid at this time")
	// ErrRights: a certificate does not give the right that was used.
	ErrRights = errors.New("the certificate does not give this right")
	// ErrUnwrap: wrapped bytes are for another key or another purpose, or damaged.
	ErrUnwrap = errors.New("the wrapped secret is not for this key, or damaged")
	// ErrPhrase: what was typed is not a recovery phrase; the message says which word or what else is wrong.
	ErrPhrase = errors.New("this is not a recovery phrase")
	// ErrPassphrase: the passphrase does not open the keyring.
	ErrPassphrase = errors.New("the passphrase is wrong")
	// ErrKeyringDamaged: the keyring file is not whole; no passphrase can open it.
	ErrKeyringDamaged = errors.New("the keyring file is damaged")
	// ErrTag: a local value was changed by something else than hammock.
	ErrTag = errors.New("the value does not match its tag")
	// ErrFileHeader: an encrypted local file starts with a header that was not made with this key.
	ErrFileHeader = errors.New("the file header does not belong to this key")
)
