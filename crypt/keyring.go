package crypt

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/hammockfs/hammock/whole"
)

// Keyring is a device's share of the secrets: the content of the keyring file of a state folder.
type Keyring struct {
	DeviceSeed  Key     `cbor:"1,keyasint"`
	AtRest      Key     `cbor:"2,keyasint"`
	Certificate []byte  `cbor:"3,keyasint"`
	Genesis     []byte  `cbor:"4,keyasint"`
	Volume      Key     `cbor:"5,keyasint"`
	Epochs      []Epoch `cbor:"6,keyasint"`
	Domain      Key     `cbor:"7,keyasint"` // secret of the shared domain; zero if the volume is private
	Swarm       []byte  `cbor:"8,keyasint"` // genesis record of the swarm
	Machine     ID      `cbor:"9,keyasint"` // the smallest failure domain, declared
	// Secrets are the wrapped secrets that go into every bundle: for the root and for each device.
	Secrets [][]byte `cbor:"10,keyasint"`
}

// VolumeSecrets are the secrets of the volume that the keyring holds.
func (k *Keyring) VolumeSecrets() *VolumeSecrets {
	return &VolumeSecrets{Volume: k.Volume, Epochs: k.Epochs}
}

// KeyringCost is what it costs to try a passphrase: the parameters of Argon2id, which the file keeps.
type KeyringCost struct {
	Time    uint32 // passes
	Memory  uint32 // KiB
	Threads uint8
}

// DefaultKeyringCost is 256 MiB and three passes: about half a second.
var DefaultKeyringCost = KeyringCost{Time: 3, Memory: 256 << 10, Threads: 4}

// What a file may ask of us before its passphrase has been tried.
const (
	maxKeyringTime   = 64
	maxKeyringMemory = 1 << 20 // KiB
	maxKeyring       = 1 << 20 // bytes of the file
)

func (c KeyringCost) possible() bool {
	return c.Time >= 1 && c.Time <= maxKeyringTime && c.Threads >= 1 && c.Threads <= 64 &&
		c.Memory >= 8*uint32(c.Threads) && c.Memory <= maxKeyringMemory
}

// The keyring file: magic (16 bytes), version (1), kind of key (1), threads (1), zero (1), passes (4, little endian),
// memory in KiB (4, little endian), salt (32), nonce (24); then the sealed CBOR of the Keyring with everything before it
// as additional data; at the end the BLAKE3 hash (32) of all that, which tells damage from a wrong passphrase.
const (
	keyringMagic    = "hammock keyring\n"
	keyringVersion  = 1
	keyringOpen     = 0 // no passphrase: whoever has the file has the keys
	keyringArgon    = 1
	keyringKindAt   = 17
	keyringSaltAt   = 28
	keyringNonceAt  = keyringSaltAt + 32
	keyringHeadSize = keyringNonceAt + chacha20poly1305.NonceSizeX
	keyringMinSize  = keyringHeadSize + Overhead + 32
)

// SaveKeyring writes the keyring to path, atomically and synced: after a power cut there is the old file or the new one.
// An empty passphrase is allowed; the file then says that it has none. path + ".new" is used on the way. A nil fsys is the
// disk, here and below.
func SaveKeyring(fsys vfs.FS, path string, passphrase []byte, k *Keyring) error {
	return SaveKeyringCost(fsys, path, passphrase, k, DefaultKeyringCost)
}

// SaveKeyringCost is SaveKeyring with another cost than the default, for tests.
func SaveKeyringCost(fsys vfs.FS, path string, passphrase []byte, k *Keyring, cost KeyringCost) error {
	var random [32 + chacha20poly1305.NonceSizeX]byte
	_, _ = rand.Read(random[:]) // never fails: the runtime ends the program instead
	b, err := encodeKeyring(passphrase, k, cost, random)
	if err != nil {
		return fmt.Errorf("save keyring %s: %w", path, err)
	}
	if err := whole.Write(fsys, path, b); err != nil {
		return fmt.Errorf("save keyring: %w", err)
	}
	return nil
}

func encodeKeyring(passphrase []byte, k *Keyring, cost KeyringCost, random [32 + chacha20poly1305.NonceSizeX]byte) ([]byte, error) {
	if !cost.possible() {
		return nil, errors.New("the cost of a passphrase is out of range")
	}
	plain, err := EncodeCBOR(k)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	b := append([]byte(keyringMagic), keyringVersion, keyringArgon, cost.Threads, 0)
	if len(passphrase) == 0 {
		b[keyringKindAt] = keyringOpen
	}
	b = binary.LittleEndian.AppendUint32(b, cost.Time)
	b = binary.LittleEndian.AppendUint32(b, cost.Memory)
	b = append(b, random[:]...)
	b = keyringCipher(b, passphrase).seal(b, plain)
	if len(b)+32 > maxKeyring {
		return nil, fmt.Errorf("%d bytes are too many", len(b))
	}
	hash := Sum(b)
	return append(b, hash[:]...), nil
}

// LoadKeyring reads the keyring at path. Errors: fs.ErrNotExist, ErrKeyringDamaged, ErrPassphrase (also when there is
// one where none was given). Trying a passphrase takes as long as the file's parameters say, 1 GiB and 64 passes at most.
func LoadKeyring(fsys vfs.FS, path string, passphrase []byte) (*Keyring, error) {
	b, err := readKeyring(fsys, path)
	if err != nil {
		return nil, err
	}
	k, err := decodeKeyring(b, passphrase)
	if err != nil {
		return nil, fmt.Errorf("load keyring %s: %w", path, err)
	}
	return k, nil
}

// KeyringNeedsPassphrase says whether the keyring at path is under a passphrase. Errors: fs.ErrNotExist,
// ErrKeyringDamaged.
func KeyringNeedsPassphrase(fsys vfs.FS, path string) (bool, error) {
	b, err := readKeyring(fsys, path)
	if err != nil {
		return false, err
	}
	if err := checkKeyring(b); err != nil {
		return false, fmt.Errorf("keyring %s: %w", path, err)
	}
	return b[keyringKindAt] == keyringArgon, nil
}

func decodeKeyring(b, passphrase []byte) (*Keyring, error) {
	if err := checkKeyring(b); err != nil {
		return nil, err
	}
	needs := b[keyringKindAt] == keyringArgon
	if needs && len(passphrase) == 0 {
		return nil, fmt.Errorf("%w: it needs one and none was given", ErrPassphrase)
	}
	sealed := b[keyringHeadSize : len(b)-32]
	plain, err := keyringCipher(b, passphrase).open(b[:keyringHeadSize], sealed)
	if err != nil && needs {
		return nil, ErrPassphrase
	}
	if err != nil {
		return nil, ErrKeyringDamaged
	}
	defer clear(plain)
	var k Keyring
	if err := decodeCanonical(plain, maxKeyring, &k); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyringDamaged, err)
	}
	return &k, nil
}

// checkKeyring finds all damage that shows without the passphrase.
func checkKeyring(b []byte) error {
	if len(b) < keyringMinSize || len(b) > maxKeyring || string(b[:len(keyringMagic)]) != keyringMagic {
		return fmt.Errorf("%w: it is not a keyring", ErrKeyringDamaged)
	}
	if Sum(b[:len(b)-32]) != ID(b[len(b)-32:]) {
		return ErrKeyringDamaged
	}
	head := b[len(keyringMagic):]
	if head[0] != keyringVersion || head[1] > keyringArgon || head[3] != 0 || !keyringCostOf(b).possible() {
		return fmt.Errorf("%w: its version or parameters are unknown", ErrKeyringDamaged)
	}
	return nil
}

func keyringCostOf(b []byte) KeyringCost {
	return KeyringCost{Threads: b[18], Time: binary.LittleEndian.Uint32(b[20:]), Memory: binary.LittleEndian.Uint32(b[24:])}
}

// keyringSeal seals with the key that the header and the passphrase give.
type keyringSeal struct{ key Key }

// keyringCipher spends the time that the header asks for.
func keyringCipher(head, passphrase []byte) keyringSeal {
	salt := head[keyringSaltAt:keyringNonceAt]
	if head[keyringKindAt] == keyringOpen {
		return keyringSeal{Key(salt).Derive("keyring without passphrase")}
	}
	c := keyringCostOf(head)
	return keyringSeal{Key(argon2.IDKey(passphrase, salt, c.Time, c.Memory, c.Threads, KeySize))}
}

func (s keyringSeal) seal(head, plain []byte) []byte {
	return newAEAD(SuiteXChaCha, s.key[:]).Seal(head, head[keyringNonceAt:keyringHeadSize], plain, head[:keyringHeadSize])
}

func (s keyringSeal) open(head, sealed []byte) ([]byte, error) {
	return newAEAD(SuiteXChaCha, s.key[:]).Open(nil, head[keyringNonceAt:], sealed, head)
}

func readKeyring(fsys vfs.FS, path string) ([]byte, error) {
	b, err := whole.Read(fsys, path, maxKeyring)
	if err != nil {
		return nil, fmt.Errorf("read keyring: %w", err)
	}
	return b, nil
}
