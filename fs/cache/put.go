package cache

import (
	"context"
	"fmt"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/room"
)

// Put stores plain (1 byte to crypt.MaxChunk) as one chunk and returns the ref
// that opens it. Data that is here or on stores already is not stored again;
// of several Puts of equal data at the same time one stores. The sealed bytes
// have been handed to the kernel when it returns. ErrFull when there is no room
// for data, and none can be made; the other classes may pass the limit, since
// without them nothing could ever be placed elsewhere.
func (c *Cache) Put(ctx context.Context, class uint8, plain []byte) (crypt.Ref, error) {
	return c.put(ctx, class, plain, crypt.EffortAuto)
}

// PutSoon is Put for data whose writer is ahead of who seals it: it is compressed
// with less effort, in a third of the time.
func (c *Cache) PutSoon(ctx context.Context, class uint8, plain []byte) (crypt.Ref, error) {
	return c.put(ctx, class, plain, crypt.EffortFast)
}

func (c *Cache) put(ctx context.Context, class uint8, plain []byte, effort crypt.Effort) (crypt.Ref, error) {
	if class < ClassData || class > ClassIndex {
		return crypt.Ref{}, fmt.Errorf("put chunk: there is no class %d", class)
	}
	if len(plain) == 0 || len(plain) > crypt.MaxChunk {
		return crypt.Ref{}, fmt.Errorf("put chunk: length of %d bytes", len(plain))
	}
	if err := ctx.Err(); err != nil {
		return crypt.Ref{}, err
	}
	sealer, shared := c.sealer(class, plain)
	k := sealer.Key(plain)
	if shared {
		effort = crypt.EffortNone
	}
	if class != ClassData {
		return c.store(class, sealer, plain, k, effort)
	}
	id := crypt.DedupID(k)
	if r, ok := c.known(id, k, len(plain)); ok {
		return r, nil
	}
	return c.puts.do(ctx, id, func() (crypt.Ref, error) {
		// Another Put may have stored it between the two looks.
		if r, ok := c.known(id, k, len(plain)); ok {
			return r, nil
		}
		r, err := c.store(class, sealer, plain, k, effort)
		if err == nil && c.cfg.Index != nil {
			if err := c.cfg.Index.AddChunk(id, &r); err != nil {
				c.cfg.Log.Warn("chunk is stored but will not be found for dedup", "err", err)
			}
		}
		return r, err
	})
}

// sealer is what seals a chunk, and whether that is the shared one.
func (c *Cache) sealer(class uint8, plain []byte) (*crypt.Sealer, bool) {
	if c.cfg.Shared != nil && class == ClassData && len(plain) >= SharedMin {
		return c.cfg.Shared, true
	}
	return c.cfg.Sealer, false
}

// Find is Put for data that is here or on stores already; it stores nothing.
func (c *Cache) Find(plain []byte) (crypt.Ref, bool) {
	if c.cfg.Index == nil || len(plain) == 0 || len(plain) > crypt.MaxChunk {
		return crypt.Ref{}, false
	}
	sealer, _ := c.sealer(ClassData, plain)
	k := sealer.Key(plain)
	return c.known(crypt.DedupID(k), k, len(plain))
}

// known asks the dedup index for a chunk whose stripe is here or on stores.
func (c *Cache) known(id crypt.ID, k crypt.Key, plain int) (crypt.Ref, bool) {
	if c.cfg.Index == nil {
		return crypt.Ref{}, false
	}
	r, ok := c.cfg.Index.FindChunk(id)
	if !ok || r.Key != k || int(r.Len) != plain {
		return crypt.Ref{}, false
	}
	if !c.Has(r.Stripe) && (c.cfg.Known == nil || !c.cfg.Known(r.Stripe)) {
		return crypt.Ref{}, false
	}
	c.deduped.Add(int64(plain))
	return r, true
}

// store seals plain and writes it to a stripe.
func (c *Cache) store(class uint8, sealer *crypt.Sealer, plain []byte, k crypt.Key, effort crypt.Effort) (crypt.Ref, error) {
	buf := c.buffers.get(crypt.SealBound(len(plain)))
	defer c.buffers.put(buf)
	sealed, r, err := c.seal((*buf)[:0], sealer, plain, k, effort)
	if err != nil {
		return crypt.Ref{}, fmt.Errorf("seal chunk: %w", err)
	}
	*buf = sealed[:0]
	if sealer == c.cfg.Shared {
		err = c.writeAlone(sealed, &k, &r)
	} else {
		err = c.write(class, sealed, &r)
	}
	if err != nil {
		return crypt.Ref{}, fmt.Errorf("store chunk: %w", err)
	}
	c.written.Add(int64(len(sealed)))
	return r, nil
}

// seal chooses how hard to compress. Chunks of a shared domain are stored as
// they are: two owners with two versions of a compressor must get equal bytes.
// Where every core is sealing already, the writer is ahead of us.
func (c *Cache) seal(dst []byte, sealer *crypt.Sealer, plain []byte, k crypt.Key, effort crypt.Effort) ([]byte, crypt.Ref, error) {
	busy := c.sealing.Add(1)
	defer c.sealing.Add(-1)
	if effort == crypt.EffortAuto && busy >= max(2, c.cores) {
		effort = crypt.EffortFast
	}
	return sealer.Seal(dst, plain, k, effort)
}

// write appends sealed to the open stripe of the class and completes r.
func (c *Cache) write(class uint8, sealed []byte, r *crypt.Ref) error {
	for {
		s, off, err := c.reserve(class, len(sealed))
		switch {
		case err == ErrFull && c.makeRoom(int64(len(sealed))): // which another may take first
		case err != nil:
			return err
		case s == nil:
			if err := c.grow(class); err != nil && !c.again(err, len(sealed)) {
				return err
			}
		case off < 0:
			c.wrote(s, 0, nil)
		default:
			r.Stripe, r.Offset = s.number, uint32(off)
			if err := c.writeAt(s, sealed, off); err == nil || !c.again(err, len(sealed)) {
				return err
			}
		}
	}
}

// again says whether what the disk had no room for, n bytes, may be tried again.
func (c *Cache) again(err error, n int) bool { return room.Full(err) && c.relieve(n) }

// writeAt writes to room that has been taken and gives notice of it.
func (c *Cache) writeAt(s *stripe, p []byte, off int) error {
	hd, err := c.handles.acquire(s)
	if err == nil {
		_, err = hd.WriteAt(p, int64(off))
		c.handles.release(hd)
	}
	c.wrote(s, off+len(p), err)
	if err != nil {
		return fullDisk(fmt.Errorf("write stripe %x: %w", s.number, err))
	}
	return nil
}

// writeAlone makes a stripe of one chunk and its padding.
func (c *Cache) writeAlone(sealed []byte, k *crypt.Key, r *crypt.Ref) error {
	size := c.cfg.SharedSize(len(sealed))
	if size < len(sealed) {
		return fmt.Errorf("shared stripe of %d bytes for %d", size, len(sealed))
	}
	buf := c.buffers.get(size)
	defer c.buffers.put(buf)
	copy(*buf, sealed)
	c.cfg.SharedPad((*buf)[len(sealed):], k)
	for {
		s, err := c.alone(size)
		if err == nil {
			r.Stripe, r.Offset = s.number, 0
			err = c.writeAt(s, *buf, 0)
		}
		if err == nil || !c.again(err, size) {
			return err
		}
	}
}

// alone makes a data stripe that nobody else appends to and takes size bytes.
func (c *Cache) alone(size int) (*stripe, error) {
	c.mu.Lock()
	room := c.fits(ClassData, size)
	c.mu.Unlock()
	if !room {
		c.makeRoom(int64(size))
	}
	s, err := c.create(ClassData)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	room = !c.shut && c.fits(ClassData, size)
	if room {
		c.stripes[s.number] = s
		c.take(s, size)
		s.state = closing
	}
	c.mu.Unlock()
	if !room {
		s.gone.Store(true)
		c.removeFiles(s)
		return nil, ErrFull
	}
	return s, nil
}
