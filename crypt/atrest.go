package crypt

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"fmt"

	"lukechampine.com/blake3/guts"
)

// FileHeader is the length of the header of an encrypted local file, in bytes: 32 random ones, which the key of the file
// is made from, and 16 that tell whether the key belongs to them.
const FileHeader = 48

const (
	fileSalt = 32
	// TagSize is the length of the tag of a local value.
	TagSize = 16
)

// FileStream encrypts and decrypts one local file with AES-256 in counter mode, at any offset. Safe for concurrent use.
//
// It hides, it does not authenticate: values carry tags of their own (Tagger). An offset must not be written twice with
// different bytes under one header if somebody can see the disk at both times; a file that is reused gets a new header.
type FileStream struct{ block cipher.Block }

// NewFileStream makes the header and the stream of a new file. k is the at-rest key.
func NewFileStream(k *Key) (header [FileHeader]byte, s *FileStream) {
	_, _ = rand.Read(header[:fileSalt]) // never fails: the runtime ends the program instead
	copy(header[fileSalt:], fileCheck(k, header[:fileSalt]))
	return header, newFileStream(k, header[:fileSalt])
}

// OpenFileStream makes the stream of a file from its header. A header of another length, of another key, or a damaged
// one is ErrFileHeader.
func OpenFileStream(k *Key, header []byte) (*FileStream, error) {
	if len(header) != FileHeader {
		return nil, fmt.Errorf("%w: it has %d bytes, not %d", ErrFileHeader, len(header), FileHeader)
	}
	if subtle.ConstantTimeCompare(header[fileSalt:], fileCheck(k, header[:fileSalt])) != 1 {
		return nil, ErrFileHeader
	}
	return newFileStream(k, header[:fileSalt]), nil
}

func fileCheck(k *Key, salt []byte) []byte {
	sum := k.Derive("at rest file check").MAC(salt)
	return sum[:FileHeader-fileSalt]
}

func newFileStream(k *Key, salt []byte) *FileStream {
	key := k.Derive("at rest file").MAC(salt)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // only for another length of the key
	}
	return &FileStream{block}
}

// XORAt encrypts or decrypts src to dst, src being the file's bytes from off on, the header not counted. dst is at least
// as long as src and is src itself or does not overlap it.
func (s *FileStream) XORAt(dst, src []byte, off int64) {
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[8:], uint64(off)/aes.BlockSize)
	stream := cipher.NewCTR(s.block, iv[:])
	if skip := int(off % aes.BlockSize); skip > 0 {
		var waste [aes.BlockSize]byte
		stream.XORKeyStream(waste[:skip], waste[:skip])
	}
	stream.XORKeyStream(dst[:len(src)], src)
}

// Tagger appends and checks the 16-byte tags of local values. Safe for concurrent use.
type Tagger struct{ mac *keyed }

// NewTagger makes a tagger from the at-rest key.
func NewTagger(k *Key) *Tagger {
	sub := k.Derive("at rest tag")
	return &Tagger{newKeyed((*[32]byte)(&sub))}
}

// TagValue appends value and its tag to dst. The tag binds the value to its key. value may begin where dst ends.
func (t *Tagger) TagValue(dst, key, value []byte) []byte {
	tag := t.tag(key, value)
	return append(append(dst, value...), tag[:TagSize]...)
}

// CheckValue gives the value inside what TagValue made, without copying, or ErrTag.
func (t *Tagger) CheckValue(key, tagged []byte) ([]byte, error) {
	n := len(tagged) - TagSize
	if n < 0 {
		return nil, fmt.Errorf("%w: it is too short to have one", ErrTag)
	}
	tag := t.tag(key, tagged[:n])
	if subtle.ConstantTimeCompare(tag[:TagSize], tagged[n:]) != 1 {
		return nil, ErrTag
	}
	return tagged[:n:n], nil
}

func (t *Tagger) tag(key, value []byte) [32]byte {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(key)))
	return t.mac.sum2(n[:], key, value)
}

// NewSegmentCipher is AES-256-GCM under a key of its own for one journal segment, made from the at-rest key and a salt
// that is drawn anew whenever a segment is begun or recycled. The caller counts the nonces (12 bytes) within the segment
// and never appends to one of before a restart.
func NewSegmentCipher(k *Key, salt [32]byte) cipher.AEAD {
	key := k.Derive("at rest segment").MAC(salt[:])
	return newAEAD(SuiteAES, key[:])
}

// NameHash is the place of a name in its directory: 63 bits of keyed BLAKE3, so that nobody without the key can make
// names collide. Values below 16 are left free for entries that have no name.
func NameHash(k *Key, name string) uint64 {
	var buf [256]byte
	sum := k.shortOrLong(append(buf[:0], name...))
	h := binary.LittleEndian.Uint64(sum[:]) >> 1
	if h < nameReserved {
		h += nameReserved
	}
	return h
}

const nameReserved = 16

// shortOrLong is keyed BLAKE3 of p alone.
func (k *Key) shortOrLong(p []byte) [32]byte {
	if len(p) > shortMax {
		return newKeyed((*[32]byte)(k)).sum(p)
	}
	w := wordsOf((*[32]byte)(k))
	out := shortHash(&w, guts.FlagKeyedHash, p)
	return [32]byte(out[:32])
}

// Pad fills dst with the pseudo-random padding of stripe n: AES-256 in counter mode under k, whose counter block begins
// with n as 8 bytes little endian. The same bytes come for the same key and number.
func Pad(dst []byte, k *Key, n uint64) {
	block, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err) // only for another length of the key
	}
	var iv [aes.BlockSize]byte
	binary.LittleEndian.PutUint64(iv[:], n)
	clear(dst)
	cipher.NewCTR(block, iv[:]).XORKeyStream(dst, dst)
}

// PadShared fills dst with the padding of the one chunk of a stripe in a shared domain, which its K decides, so that two
// owners make equal shards of it.
func PadShared(dst []byte, chunk *Key) {
	k := chunk.Derive("chunk padding")
	Pad(dst, &k, 0)
}
