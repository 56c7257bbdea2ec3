package depot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/hammockfs/hammock/crypt"
)

// Has says whether a claim of the owner on the shard stands, and how long the shard is in bytes. One in the trash does
// not stand.
func (d *Depot) Has(ctx context.Context, owner crypt.OwnerKey, id crypt.ID) (size int64, ok bool, err error) {
	return d.held(owner, id, false)
}

// held looks for a claim of an owner on a shard. It reads nothing but the owner's own keys, so that the time it takes
// tells him nothing of others.
func (d *Depot) held(owner crypt.OwnerKey, id crypt.ID, trash bool) (size int64, ok bool, err error) {
	err = d.index.each(claimPrefix(owner, id), func(_, v []byte) error {
		c, err := parseClaim(v)
		if err != nil || c.trashed != 0 && !trash {
			return err
		}
		size, ok = int64(c.size), true
		return io.EOF
	})
	return size, ok, err
}

// Slice appends n bytes of a shard from off, with their proof, to dst, as crypt.VerifySlice takes them, and the size of the
// shard. off is a multiple of crypt.GroupSize, off+n too or the shard's size. What an owner has put to the trash can
// still be read. ErrNotFound says that he has no claim, whoever else has one; a range outside the shard is
// crypt.ErrMalformed. Bytes that have rotted are ErrRotten: the reader would find out as well, but take this node for a
// liar.
func (d *Depot) Slice(ctx context.Context, owner crypt.OwnerKey, id crypt.ID, off, n int64, dst []byte) (int64, []byte, error) {
	return d.slice(ctx, owner, id, off, n, dst, crypt.AppendSlice)
}

// Quote is Slice that does not look for rot. The reader finds it, and asks for a Slice then: so the same bytes need not be
// hashed at both ends each time.
func (d *Depot) Quote(ctx context.Context, owner crypt.OwnerKey, id crypt.ID, off, n int64, dst []byte) (int64, []byte, error) {
	return d.slice(ctx, owner, id, off, n, dst,
		func(dst []byte, data io.ReaderAt, outboard []byte, _ crypt.ID, size, off, n int64) ([]byte, error) {
			return crypt.AppendUnchecked(dst, data, outboard, size, off, n)
		})
}

// extract is crypt.AppendSlice or the like.
type extract func(dst []byte, data io.ReaderAt, outboard []byte, id crypt.ID, size, off, n int64) ([]byte, error)

func (d *Depot) slice(ctx context.Context, owner crypt.OwnerKey, id crypt.ID, off, n int64, dst []byte, e extract) (int64, []byte, error) {
	size, slice, err := d.extract(ctx, owner, id, off, n, dst, e)
	if err != nil {
		return 0, nil, fmt.Errorf("read %d bytes at %d of shard %s: %w", n, off, id, err)
	}
	return size, slice, nil
}

func (d *Depot) extract(ctx context.Context, owner crypt.OwnerKey, id crypt.ID, off, n int64, dst []byte, e extract) (int64, []byte, error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, err
	}
	_, ok, err := d.held(owner, id, true)
	if err != nil {
		return 0, nil, err
	}
	if !ok {
		return 0, nil, ErrNotFound
	}
	at, seg, err := d.reach(id)
	if err != nil {
		return 0, nil, err
	}
	defer d.segments.release(seg)

	size, data := int64(at.size), at.off+int64(at.head)
	outboard := outboards.Get().(*[]byte)
	defer outboards.Put(outboard)
	*outboard = slices.Grow((*outboard)[:0], int(crypt.OutboardSize(size)))[:crypt.OutboardSize(size)]
	if _, err := seg.file.ReadAt(*outboard, data+size); err != nil {
		return 0, nil, err
	}
	slice, err := e(dst, io.NewSectionReader(seg.file, data, size), *outboard, id, size, off, n)
	if errors.Is(err, crypt.ErrProof) {
		err = fmt.Errorf("%w: %w", ErrRotten, err)
	}
	if err != nil {
		return 0, nil, err
	}
	return size, slice, nil
}

// outboards holds buffers for the trees of shards that are read.
var outboards = sync.Pool{New: func() any { return new([]byte) }}

// reach finds where a shard lies and acquires the segment. Between the two, compaction may move the shard: then it looks
// again.
func (d *Depot) reach(id crypt.ID) (place, *segment, error) {
	for range 100 {
		e, ok, err := d.index.entry(id)
		if err != nil {
			return place{}, nil, err
		}
		if !ok {
			return place{}, nil, ErrNotFound // reaped a moment ago
		}
		seg, ok, err := d.segments.acquire(e.seg)
		if err != nil {
			return place{}, nil, err
		}
		if ok {
			return e.place, seg, nil
		}
	}
	return place{}, nil, errors.New("the shard is moved too often")
}
