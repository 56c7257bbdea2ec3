package cache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/room"
)

// blockKey names an opened block. Part of the chunk's key is in it, so that a
// ref with a wrong key never hits.
type blockKey struct {
	stripe uint64
	offset uint32
	tag    uint64
}

// blockOverhead is about what an entry costs beside its bytes.
const blockOverhead = 128

func keyOf(r *crypt.Ref, i int) blockKey {
	return blockKey{r.Stripe, r.Offset + uint32(r.BlockOffset(i)), binary.LittleEndian.Uint64(r.Key[:])}
}

// Get appends the plain bytes of the chunk to dst.
func (c *Cache) Get(ctx context.Context, r *crypt.Ref, dst []byte) ([]byte, error) {
	if err := checkRef(r); err != nil {
		return dst, err
	}
	at, n := len(dst), int(r.Len)
	dst = slices.Grow(dst, n)[:at+n]
	if err := c.ReadAt(ctx, r, dst[at:], 0); err != nil {
		return dst[:at], err
	}
	return dst, nil
}

// ReadAt fills p with the plain bytes of the chunk from off on; all of p must
// lie inside the chunk. Errors: ErrRef, ErrRot, ErrUnreachable (which wraps the
// error of the remote), and the context's. After an error the content of p is
// undefined.
func (c *Cache) ReadAt(ctx context.Context, r *crypt.Ref, p []byte, off int) error {
	if err := checkRef(r); err != nil {
		return err
	}
	if off < 0 || len(p) > int(r.Len) || off > int(r.Len)-len(p) {
		return fmt.Errorf("%w: bytes %d to %d of a chunk of %d", ErrRef, off, off+len(p), r.Len)
	}
	if len(p) == 0 {
		return nil
	}
	end := (off+len(p)-1)/crypt.BlockSize + 1
	for i := off / crypt.BlockSize; i < end; {
		if b, ok := c.memory.GetIfPresent(keyOf(r, i)); ok {
			copyBlock(p, off, i, b)
			i++
			continue
		}
		j := i + 1
		for j < end && !c.remembers(r, j) {
			j++
		}
		if err := c.readRun(ctx, r, i, j, p, off); err != nil {
			return fmt.Errorf("read stripe %x at %d: %w", r.Stripe, r.Offset, err)
		}
		i = j
	}
	return nil
}

func (c *Cache) remembers(r *crypt.Ref, i int) bool {
	_, ok := c.memory.GetEntryQuietly(keyOf(r, i))
	return ok
}

// checkRef says whether a ref can be used without going out of bounds.
func checkRef(r *crypt.Ref) error {
	n := int64(r.Len)
	switch {
	case n == 0 || n > crypt.MaxChunk:
		return fmt.Errorf("%w: chunk of %d bytes", ErrRef, n)
	case int64(len(r.Blocks)) != (n+crypt.BlockSize-1)/crypt.BlockSize:
		return fmt.Errorf("%w: %d blocks for %d bytes", ErrRef, len(r.Blocks), n)
	}
	for _, b := range r.Blocks {
		if b.Len > 2*crypt.BlockSize {
			return fmt.Errorf("%w: sealed block of %d bytes", ErrRef, b.Len)
		}
	}
	if int64(r.Offset)+int64(r.SealedLen()) > 1<<31 {
		return fmt.Errorf("%w: offset %d", ErrRef, r.Offset)
	}
	return nil
}

// readRun reads the blocks [i, j) of r, none of which is remembered, into the
// part of p (plain offset off) that they cover.
func (c *Cache) readRun(ctx context.Context, r *crypt.Ref, i, j int, p []byte, off int) error {
	from := r.BlockOffset(i)
	to := r.BlockOffset(j-1) + int(r.Blocks[j-1].Len)
	buf := c.buffers.get(to - from)
	defer c.buffers.put(buf)
	if err := c.sealed(ctx, r.Stripe, *buf, int(r.Offset)+from); err != nil {
		return err
	}
	if j-i == len(r.Blocks) && off == 0 && len(p) == int(r.Len) {
		if b, err := crypt.Open(p[:0:len(p)], r, *buf); err == nil {
			copyBlock(p, 0, 0, b) // onto itself, unless opening had to allocate
			return nil
		} // else block by block, to find the bad one
	}
	for ; i < j; i++ {
		at := r.BlockOffset(i) - from
		if err := c.readBlock(ctx, r, i, (*buf)[at:at+int(r.Blocks[i].Len)], p, off); err != nil {
			return err
		}
	}
	return nil
}

// readBlock opens one block: into p if p wants all of it, else into the memory
// and from there.
func (c *Cache) readBlock(ctx context.Context, r *crypt.Ref, i int, sealed, p []byte, off int) error {
	start := i * crypt.BlockSize
	n := min(crypt.BlockSize, int(r.Len)-start)
	if start >= off && start+n <= off+len(p) {
		at := start - off
		b, err := c.openBlock(ctx, r, i, sealed, p[at:at:at+n])
		copyBlock(p, off, i, b) // onto itself, unless opening had to allocate
		return err
	}
	k := keyOf(r, i)
	b, err := c.opening.do(ctx, k, func() ([]byte, error) {
		if b, ok := c.memory.GetIfPresent(k); ok {
			return b, nil
		}
		b, err := c.openBlock(ctx, r, i, sealed, make([]byte, 0, n))
		if err == nil {
			c.memory.Set(k, b)
		}
		return b, err
	})
	copyBlock(p, off, i, b)
	return err
}

// copyBlock copies what p (plain offset off) wants of block i.
func copyBlock(p []byte, off, i int, block []byte) {
	start := i * crypt.BlockSize
	if start >= off {
		copy(p[start-off:], block)
	} else if off-start < len(block) {
		copy(p, block[off-start:])
	}
}

// openBlock appends the plain bytes of block i to dst. Bytes that do not open
// are fetched once from the stores; good ones replace them in the local file.
func (c *Cache) openBlock(ctx context.Context, r *crypt.Ref, i int, sealed, dst []byte) ([]byte, error) {
	want := min(crypt.BlockSize, int(r.Len)-i*crypt.BlockSize)
	b, err := crypt.OpenBlock(dst, r, i, sealed)
	if err == nil && len(b) == len(dst)+want {
		return b, nil
	}
	c.rot.Add(1)
	off := int(r.Offset) + r.BlockOffset(i)
	c.cfg.Log.Warn("sealed bytes do not open", "stripe", r.Stripe, "offset", off, "err", err)
	buf := c.buffers.get(len(sealed))
	defer c.buffers.put(buf)
	if err := c.fetchInto(ctx, r.Stripe, *buf, off); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRot, err)
	}
	b, err = crypt.OpenBlock(dst, r, i, *buf)
	if err != nil || len(b) != len(dst)+want {
		return nil, ErrRot
	}
	c.mend(r.Stripe, *buf, off)
	return b, nil
}

// mend overwrites rotten bytes of a local stripe with good ones.
func (c *Cache) mend(number uint64, good []byte, off int) {
	s := c.find(number)
	if s == nil {
		return
	}
	s.mu.Lock()
	here := !s.partial || s.have.covers(off, off+len(good))
	s.mu.Unlock()
	if !here {
		return
	}
	if err := c.overwrite(s, good, off); err != nil {
		c.cfg.Log.Warn("cannot mend a local stripe", "stripe", number, "err", err)
	}
}

func (c *Cache) overwrite(s *stripe, p []byte, off int) error {
	hd, err := c.handles.acquire(s)
	if err != nil {
		return err
	}
	defer c.handles.release(hd)
	_, err = hd.WriteAt(p, int64(off))
	return err
}

// readLocal fills buf from the file of s.
func (c *Cache) readLocal(s *stripe, buf []byte, off int) error {
	hd, err := c.handles.acquire(s)
	if err != nil {
		return err
	}
	defer c.handles.release(hd)
	n, err := hd.ReadAt(buf, int64(off))
	if n == len(buf) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read stripe file %s: %w", s.name, err)
}

// Valid reports whether the sealed bytes of a chunk are on this disk and open,
// or were in a stripe that was evicted. Nothing is fetched, and stripes that
// are known to be synced are not read. An error says that it could not be found
// out, for want of something that has nothing to do with the bytes.
func (c *Cache) Valid(r *crypt.Ref) (bool, error) {
	if checkRef(r) != nil {
		return false, nil
	}
	if n, ok := c.list.has(r.Stripe); ok && int(r.Offset)+r.SealedLen() <= n {
		return true, nil
	}
	s := c.find(r.Stripe)
	if s == nil {
		return false, nil
	}
	from, to := int(r.Offset), int(r.Offset)+r.SealedLen()
	s.mu.Lock()
	here := !s.partial || s.have.covers(from, to)
	s.mu.Unlock()
	if !here {
		return false, nil
	}
	buf, plain := c.buffers.get(to-from), c.buffers.get(int(r.Len))
	defer c.buffers.put(buf)
	defer c.buffers.put(plain)
	if err := c.readLocal(s, *buf, from); room.Scarce(err) {
		return false, fmt.Errorf("look at a chunk of stripe %x: %w", r.Stripe, err)
	} else if err != nil {
		return false, nil
	}
	b, err := crypt.Open((*plain)[:0], r, *buf)
	return err == nil && len(b) == int(r.Len), nil
}
