package crypt

import (
	"encoding/binary"
	"fmt"
	"math"
)

const (
	// BlockSize is the length of the plain text of a block; the last block of a chunk may be shorter.
	BlockSize = 64 << 10
	// MaxChunk is the longest plain text of a chunk.
	MaxChunk = 4 << 20
	// Overhead is what sealing adds to the payload of a block: the tag, in both suites.
	Overhead = 16
	// SaltSize is the length of the salt of a compressed block.
	SaltSize = 12
	// MaxRef is the longest encoding of a Ref: all 64 blocks compressed.
	MaxRef = 1 + KeySize + 8 + 4 + 4 + MaxChunk/BlockSize*(3+SaltSize)
)

// Suite says which cipher seals blocks. The two are the only ones.
type Suite uint8

const (
	// SuiteAES is AES-256-GCM.
	SuiteAES Suite = 1
	// SuiteXChaCha is XChaCha20-Poly1305, for CPUs without AES instructions.
	SuiteXChaCha Suite = 2
)

// Valid says whether the suite is one of the two.
func (s Suite) Valid() bool { return s == SuiteAES || s == SuiteXChaCha }

// String is the usual name of the cipher.
func (s Suite) String() string {
	switch s {
	case SuiteAES:
		return "AES-256-GCM"
	case SuiteXChaCha:
		return "XChaCha20-Poly1305"
	}
	return fmt.Sprintf("suite %d", uint8(s))
}

// Codec says how the payload of a block was made from its plain text.
type Codec uint8

const (
	// CodecNone: the payload is the plain text.
	CodecNone Codec = 0
	// CodecZstd: one zstd frame (RFC 8878).
	CodecZstd Codec = 1
	// CodecS2: one S2 block.
	CodecS2 Codec = 2
)

// Block is one sealed block of a chunk, as its ref describes it.
type Block struct {
	Codec Codec
	Len   uint32         // sealed, tag included
	Salt  [SaltSize]byte // of a compressed block: its nonce is made of it; zero of a plain one
}

// Ref names one sealed chunk and carries the key that opens it: whoever has it and the bytes can read them.
type Ref struct {
	Key    Key
	Suite  Suite
	Len    uint32 // of the plain text; at most MaxChunk
	Stripe uint64
	Offset uint32 // of the sealed chunk in the stripe's payload
	Blocks []Block
}

// SealedLen is the length of the sealed chunk: its blocks lie one after another.
func (r *Ref) SealedLen() int { return r.BlockOffset(len(r.Blocks)) }

// BlockOffset is where sealed block i begins, counted from the beginning of the sealed chunk.
func (r *Ref) BlockOffset(i int) int {
	n := 0
	for _, b := range r.Blocks[:i] {
		n += int(b.Len)
	}
	return n
}

// plainLen is the length of the plain text of block i.
func (r *Ref) plainLen(i int) int { return min(BlockSize, int(r.Len)-i*BlockSize) }

// DedupID names the plain text under this domain's secret without giving away the key: the hash of K. The local
// dedup index is keyed with it.
func (r *Ref) DedupID() ID { return DedupID(r.Key) }

// DedupID is the dedup ID of the chunk whose key is k, before it has been sealed.
func DedupID(k Key) ID { return ID(k.Derive("dedup")) }

// blockCount is the number of blocks of n bytes of plain text.
func blockCount(n int) int { return (n + BlockSize - 1) / BlockSize }

// refPacked, in the first byte of an encoded ref, says that some block is compressed, and that blocks are described.
const refPacked = 0x10

// AppendRef appends the encoding of r: suite and flag (1 byte), K (32), stripe (8, little endian), offset (4, little
// endian), plain length (uvarint), and then, only if some block is compressed, for each block a uvarint of sealed
// length * 4 + codec, followed by the salt if the codec is not 0. A ref has exactly one encoding.
func AppendRef(dst []byte, r *Ref) []byte {
	first := byte(r.Suite)
	for _, b := range r.Blocks {
		if b.Codec != CodecNone {
			first |= refPacked
		}
	}
	dst = append(dst, first)
	dst = append(dst, r.Key[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, r.Stripe)
	dst = binary.LittleEndian.AppendUint32(dst, r.Offset)
	dst = binary.AppendUvarint(dst, uint64(r.Len))
	if first&refPacked == 0 {
		return dst
	}
	for _, b := range r.Blocks {
		dst = binary.AppendUvarint(dst, uint64(b.Len)<<2|uint64(b.Codec))
		if b.Codec != CodecNone {
			dst = append(dst, b.Salt[:]...)
		}
	}
	return dst
}

// ParseRef reads one ref from the beginning of b and gives what follows it. Anything but the one encoding of a possible
// ref is ErrMalformed: a wrong suite, a length above MaxChunk, blocks that do not fit their plain text, a stripe
// position beyond 32 bits.
func ParseRef(b []byte) (r Ref, rest []byte, err error) {
	const fixed = 1 + KeySize + 8 + 4
	if len(b) < fixed {
		return Ref{}, nil, badRef("cut off")
	}
	packed := b[0]&refPacked != 0
	r.Suite = Suite(b[0] &^ refPacked)
	if !r.Suite.Valid() {
		return Ref{}, nil, badRef("unknown suite")
	}
	copy(r.Key[:], b[1:])
	r.Stripe = binary.LittleEndian.Uint64(b[1+KeySize:])
	r.Offset = binary.LittleEndian.Uint32(b[1+KeySize+8:])
	n, b, err := uvarint(b[fixed:])
	if err != nil {
		return Ref{}, nil, err
	}
	if n > MaxChunk {
		return Ref{}, nil, badRef("longer than a chunk")
	}
	r.Len = uint32(n)
	if rest, err = r.parseBlocks(b, packed); err != nil {
		return Ref{}, nil, err
	}
	if uint64(r.Offset)+uint64(r.SealedLen()) > math.MaxUint32 {
		return Ref{}, nil, badRef("beyond the end of any stripe")
	}
	return r, rest, nil
}

func (r *Ref) parseBlocks(b []byte, packed bool) (rest []byte, err error) {
	r.Blocks = make([]Block, blockCount(int(r.Len)))
	some := false
	for i := range r.Blocks {
		block := &r.Blocks[i]
		if !packed {
			block.Len = uint32(r.plainLen(i)) + Overhead
			continue
		}
		if b, err = block.parse(b, r.plainLen(i)); err != nil {
			return nil, err
		}
		some = some || block.Codec != CodecNone
	}
	if packed != some {
		return nil, badRef("blocks described for nothing")
	}
	return b, nil
}

func (block *Block) parse(b []byte, plain int) (rest []byte, err error) {
	v, b, err := uvarint(b)
	if err != nil {
		return nil, err
	}
	block.Codec = Codec(v & 3)
	if !possiblePayload(block.Codec, v>>2, plain) {
		return nil, badRef("a block of impossible length or codec")
	}
	block.Len = uint32(v >> 2)
	if block.Codec == CodecNone {
		return b, nil
	}
	if len(b) < SaltSize {
		return nil, badRef("cut off in a salt")
	}
	copy(block.Salt[:], b)
	return b[SaltSize:], nil
}

// possiblePayload says whether a block of plain bytes can have that codec and sealed length: compressed ones are shorter
// than their plain text and not empty.
func possiblePayload(c Codec, sealed uint64, plain int) bool {
	switch c {
	case CodecNone:
		return sealed == uint64(plain)+Overhead
	case CodecZstd, CodecS2:
		return sealed > Overhead && sealed < uint64(plain)+Overhead
	}
	return false
}

// uvarint reads a number in its shortest form.
func uvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 || n > 1 && b[n-1] == 0 {
		return 0, nil, badRef("a bad number")
	}
	return v, b[n:], nil
}

func badRef(why string) error { return fmt.Errorf("%w ref: %s", ErrMalformed, why) }
