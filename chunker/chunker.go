// Package chunker cuts a stream of bytes at points that its content chooses, so that the same content gives the same
// chunks wherever it stands: after an insertion all but the chunks around it are what they were.
//
// The model is FastCDC with normalised chunking of level two. A gear hash rolls over the bytes: it is shifted left by
// one bit for each, and the byte's value in a table of 256 random numbers is added, so that it depends on the last
// [Window] bytes and on nothing before them. A chunk may end after its n-th byte, Min <= n <= Max, when the hash over
// the Window bytes that end there is small: below 2^64/(4*Avg) while n < Avg, and below 2^64*4/Avg from there. The first
// test is four times rarer than one in Avg, the second four times more frequent, which draws the sizes together around
// Avg. At Max it ends in any case. Bytes before Min-Window are never looked at.
//
// The table comes from a secret of the volume. That alone does not hide what is stored from one who sees the sizes of
// chunks; see THREATS.md.
//
// There are two ways to the same cuts. [Table.Cut] has the whole rest of the input in one buffer. A [Scanner] is fed
// pieces of any size and never keeps nor copies a byte of them. Neither allocates.
//
// Traps: the last chunk of an input ends with the input and not by a cut; Cut returns it like any other, but a user of
// Scanner must count it himself. The table, Min, Avg, Max and the comparison are part of the volume's format: another
// cut point for the same bytes means that nothing deduplicates against what was stored before.
package chunker

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// Window is how many bytes the rolling hash depends on: each is shifted out of the 64 bits after as many steps.
const Window = 64

// level is the level of normalisation: how many bits the two tests are away from the one of plain chunking.
const level = 2

// maxSize bounds Params.Max; it is far above any sensible chunk and keeps arithmetic on sizes out of trouble.
const maxSize = 1 << 30

// ErrParams is wrapped by every complaint about parameters that no table can be made for.
var ErrParams = errors.New("chunker: bad parameters")

// Params are the sizes of chunks in bytes. All chunks but the last one of an input have Min to Max bytes, and Avg, a
// power of two, is about their mean.
type Params struct{ Min, Avg, Max int }

var (
	// Default is what private data is cut with: 64 KiB, 256 KiB, 1 MiB.
	Default = Params{Min: 64 << 10, Avg: 256 << 10, Max: 1 << 20}
	// Shared is what data of a shared convergence domain is cut with: 256 KiB, 1 MiB, 4 MiB.
	Shared = Params{Min: 256 << 10, Avg: 1 << 20, Max: 4 << 20}
)

// Validate says what is wrong with p, or nil. Its errors wrap ErrParams.
func (p Params) Validate() error {
	switch {
	case p.Min < Window:
		return fmt.Errorf("%w: smallest chunk of %d bytes, below the window of %d", ErrParams, p.Min, Window)
	case p.Avg < p.Min || p.Max < p.Avg:
		return fmt.Errorf("%w: sizes %d, %d, %d do not ascend", ErrParams, p.Min, p.Avg, p.Max)
	case p.Max > maxSize:
		return fmt.Errorf("%w: largest chunk of %d bytes, above %d", ErrParams, p.Max, maxSize)
	case bits.OnesCount(uint(p.Avg)) != 1:
		return fmt.Errorf("%w: average of %d bytes is no power of two", ErrParams, p.Avg)
	}
	return nil
}

// Table is a gear table with the sizes that go with it. It is immutable and safe for concurrent use.
type Table struct {
	gear   [256]uint64
	params Params
	// rare and often are the bounds that the hash must be below for a cut before Avg and from Avg on.
	rare, often uint64
}

// NewTable derives the table of a seed: the first 2048 bytes of the AES-256-CTR keystream under it, from an all-zero
// counter block, read as 256 little-endian numbers. Errors wrap ErrParams.
func NewTable(seed [32]byte, p Params) (*Table, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(seed[:])
	if err != nil {
		return nil, fmt.Errorf("chunker: derive the gear table: %w", err)
	}
	var stream [256 * 8]byte
	cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(stream[:], stream[:])

	avg := bits.TrailingZeros(uint(p.Avg))
	t := &Table{params: p, rare: 1 << (64 - avg - level), often: 1 << (64 - avg + level)}
	for i := range t.gear {
		t.gear[i] = binary.LittleEndian.Uint64(stream[8*i:])
	}
	return t, nil
}

// Params returns the sizes that the table cuts to.
func (t *Table) Params() Params { return t.params }

// Cut returns the length of the first chunk of p, where p holds all the input from there to its end, or at least Max
// bytes of it. It is zero only for an empty p.
func (t *Table) Cut(p []byte) int {
	s := Scanner{table: t}
	n, _ := s.Scan(p)
	return n
}
