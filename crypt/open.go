package crypt

import (
	"fmt"
	"slices"
)

// OpenBlock appends the plain text of block i to dst. sealed is that block alone: r.Blocks[i].Len bytes. Whatever is
// wrong with it, or with a ref that was not made by Seal or ParseRef, is ErrSealed. dst and sealed must not overlap; on
// an error dst is not returned.
func OpenBlock(dst []byte, r *Ref, i int, sealed []byte) ([]byte, error) {
	keys := chunkKeys{ref: r, make: newAEAD}
	if err := r.check(); err != nil {
		return nil, err
	}
	if i < 0 || i >= len(r.Blocks) {
		return nil, fmt.Errorf("%w: there is no block %d", ErrSealed, i)
	}
	return keys.open(dst, i, sealed)
}

// Open appends the plain text of the whole chunk to dst. sealed is r.SealedLen() bytes. It is OpenBlock for all blocks,
// at less cost for each.
func Open(dst []byte, r *Ref, sealed []byte) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if len(sealed) != r.SealedLen() {
		return nil, fmt.Errorf("%w: %d bytes where the ref says %d", ErrSealed, len(sealed), r.SealedLen())
	}
	dst = slices.Grow(dst, int(r.Len))
	keys := chunkKeys{ref: r, make: newAEAD}
	for i := range r.Blocks {
		n := int(r.Blocks[i].Len)
		var err error
		if dst, err = keys.open(dst, i, sealed[:n]); err != nil {
			return nil, err
		}
		sealed = sealed[n:]
	}
	return dst, nil
}

// check refuses refs that no Seal made, so that a ref from a careless caller cannot make us allocate or panic.
func (r *Ref) check() error {
	if !r.Suite.Valid() || r.Len > MaxChunk || len(r.Blocks) != blockCount(int(r.Len)) {
		return fmt.Errorf("%w: the ref is not possible", ErrSealed)
	}
	for i, b := range r.Blocks {
		if !possiblePayload(b.Codec, uint64(b.Len), r.plainLen(i)) {
			return fmt.Errorf("%w: the ref's block %d is not possible", ErrSealed, i)
		}
	}
	return nil
}

func (c *chunkKeys) open(dst []byte, i int, sealed []byte) ([]byte, error) {
	block := &c.ref.Blocks[i]
	if len(sealed) != int(block.Len) {
		return nil, fmt.Errorf("%w: block %d has %d bytes where the ref says %d", ErrSealed, i, len(sealed), block.Len)
	}
	if block.Codec != CodecNone {
		return c.openPacked(dst, i, sealed)
	}
	c.usePlain()
	aead, nonce := c.cipherOf(i)
	out, err := aead.Open(dst, nonce, sealed, c.aad[:])
	if err != nil {
		return nil, fmt.Errorf("%w: block %d", ErrSealed, i)
	}
	return out, nil
}

func (c *chunkKeys) openPacked(dst []byte, i int, sealed []byte) ([]byte, error) {
	c.usePacked()
	aead, nonce := c.cipherOf(i)
	scratch := scratches.Get().(*[]byte)
	defer scratches.Put(scratch)
	payload, err := aead.Open((*scratch)[:0], nonce, sealed, c.aad[:])
	if err != nil {
		return nil, fmt.Errorf("%w: block %d", ErrSealed, i)
	}
	want := c.ref.plainLen(i)
	out, ok := unpack(slices.Grow(dst, want), payload, c.ref.Blocks[i].Codec, want)
	if !ok {
		return nil, fmt.Errorf("%w: block %d does not decompress to %d bytes", ErrSealed, i, want)
	}
	return out, nil
}
