package crypt

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sys/cpu"
	"lukechampine.com/blake3/guts"
)

// PreferredSuite is the suite that is fast on this CPU, for a new volume.
func PreferredSuite() Suite {
	aes := cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ || cpu.ARM64.HasAES && cpu.ARM64.HasPMULL ||
		cpu.S390X.HasAES && cpu.S390X.HasAESGCM
	if aes {
		return SuiteAES
	}
	return SuiteXChaCha
}

// Sealer seals chunks of one convergence domain: equal plain texts get equal keys. Safe for concurrent use.
type Sealer struct {
	content *keyed
	suite   Suite
	pack    packer
	cipher  cipherMaker
}

// cipherMaker makes the cipher of a suite from 32 bytes. Tests replace it, to see what is sealed.
type cipherMaker func(s Suite, key []byte) cipher.AEAD

// NewSealer makes a sealer from a content key: of an epoch (Epoch.ContentKey) or a shared domain (Domain.ContentKey).
func NewSealer(content Key, s Suite) *Sealer {
	return &Sealer{content: newKeyed((*[32]byte)(&content)), suite: s, pack: pack, cipher: newAEAD}
}

// Suite is the suite that chunks are sealed with.
func (s *Sealer) Suite() Suite { return s.suite }

// Key is K, the key of the chunk with this plain text: keyed BLAKE3 of it under the content key.
func (s *Sealer) Key(plain []byte) Key { return s.content.sum(plain) }

// SealBound is a capacity that holds whatever n bytes of plain text seal to.
func SealBound(n int) int { return n + blockCount(n)*Overhead }

// Seal appends the sealed blocks of plain to dst. k must be s.Key(plain): another key breaks the rule that no key and
// nonce ever seal two payloads. The ref has neither stripe nor offset yet. dst and plain must not overlap. At most
// MaxChunk bytes; if dst has room for SealBound(len(plain)) more bytes, nothing is allocated for each block.
func (s *Sealer) Seal(dst []byte, plain []byte, k Key, e Effort) ([]byte, Ref, error) {
	if len(plain) > MaxChunk {
		return nil, Ref{}, fmt.Errorf("seal a chunk of %d bytes: at most %d are possible", len(plain), MaxChunk)
	}
	if !s.suite.Valid() {
		return nil, Ref{}, fmt.Errorf("seal a chunk with unknown %v", s.suite)
	}
	dst = slices.Grow(dst, SealBound(len(plain)))
	ref := Ref{Key: k, Suite: s.suite, Len: uint32(len(plain)), Blocks: make([]Block, blockCount(len(plain)))}
	codec := e.codec()
	if codec != CodecNone && !worthPacking(plain) {
		codec = CodecNone
	}
	scratch := scratches.Get().(*[]byte)
	defer scratches.Put(scratch)
	keys := chunkKeys{ref: &ref, make: s.cipher}
	for i := range ref.Blocks {
		block := plain[i*BlockSize : i*BlockSize+ref.plainLen(i)]
		payload := block
		if codec != CodecNone {
			payload = s.pack(*scratch, block, codec)
		}
		dst = keys.seal(dst, i, codec, block, payload)
	}
	return dst, ref, nil
}

// saves says whether the payload is shorter than its plain text by an eighth.
func saves(payload, plain []byte) bool {
	return len(payload) > 0 && len(payload) <= len(plain)-(len(plain)+7)/8
}

// chunkKeys holds the ciphers of one chunk, made when first needed. Plain and compressed blocks have keys of their own,
// so that their nonces cannot meet.
type chunkKeys struct {
	ref           *Ref
	make          cipherMaker
	plain, packed cipher.AEAD
	salt          words
	nonce         [chacha20poly1305.NonceSizeX]byte
	aad           [9]byte
}

// seal appends block i to dst and describes it in the ref: compressed if that saves an eighth.
func (c *chunkKeys) seal(dst []byte, i int, codec Codec, plain, payload []byte) []byte {
	block := &c.ref.Blocks[i]
	if codec != CodecNone && saves(payload, plain) {
		block.Codec = codec
		c.usePacked()
		block.Salt = c.saltOf(codec, i, payload)
	} else {
		payload = plain
		c.usePlain()
	}
	block.Len = uint32(len(payload) + Overhead)
	aead, nonce := c.cipherOf(i)
	return aead.Seal(dst, nonce, payload, c.aad[:])
}

// saltOf is the start of a keyed hash of everything that decides what is encrypted.
func (c *chunkKeys) saltOf(codec Codec, i int, payload []byte) [SaltSize]byte {
	hash := Sum(payload)
	var buf [5 + len(hash)]byte
	buf[0] = byte(codec)
	binary.LittleEndian.PutUint32(buf[1:], uint32(i))
	copy(buf[5:], hash[:])
	out := shortHash(&c.salt, guts.FlagKeyedHash, buf[:])
	return [SaltSize]byte(out[:])
}

// cipherOf gives cipher and nonce of block i and sets the additional data, all by what the ref says of the block.
func (c *chunkKeys) cipherOf(i int) (cipher.AEAD, []byte) {
	block := &c.ref.Blocks[i]
	c.aad[0] = byte(block.Codec)
	binary.LittleEndian.PutUint32(c.aad[1:], uint32(i))
	binary.LittleEndian.PutUint32(c.aad[5:], c.ref.Len)
	c.nonce = [len(c.nonce)]byte{}
	aead := c.plain
	if block.Codec == CodecNone {
		binary.LittleEndian.PutUint32(c.nonce[:], uint32(i))
	} else {
		copy(c.nonce[:], block.Salt[:])
		aead = c.packed
	}
	return aead, c.nonce[:aead.NonceSize()]
}

func (c *chunkKeys) usePlain() {
	if c.plain == nil {
		k := derive(plainContext[c.ref.Suite], c.ref.Key[:])
		c.plain = c.make(c.ref.Suite, k[:KeySize])
	}
}

func (c *chunkKeys) usePacked() {
	if c.packed == nil {
		k := derive(packedContext[c.ref.Suite], c.ref.Key[:])
		c.packed = c.make(c.ref.Suite, k[:KeySize])
		c.salt = wordsOf((*[32]byte)(k[KeySize:]))
	}
}

var (
	plainContext = [...]string{SuiteAES: "chunk plain AES-256-GCM", SuiteXChaCha: "chunk plain XChaCha20-Poly1305"}
	// The second half of what these give is the key of the salts.
	packedContext = [...]string{SuiteAES: "chunk packed AES-256-GCM", SuiteXChaCha: "chunk packed XChaCha20-Poly1305"}
)

// newAEAD makes the cipher of a valid suite from 32 bytes.
func newAEAD(s Suite, key []byte) cipher.AEAD {
	var aead cipher.AEAD
	var err error
	if s == SuiteXChaCha {
		aead, err = chacha20poly1305.NewX(key)
	} else {
		aead, err = newGCM(key)
	}
	if err != nil {
		panic(err) // only for another length of the key
	}
	return aead
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
