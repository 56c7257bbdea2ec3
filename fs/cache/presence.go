package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The map of a partial stripe is a file beside it, all integers little endian:
//
//	offset  size
//	     0     4  "hmap"
//	     4     4  payload length of the stripe, 0 if not known
//	     8     8  for each range that is present: from, to (4 bytes each);
//	    16     8  ranges ascend and neither overlap nor touch
//	   ...
//
// It is written to a temporary file that is renamed; it is not synced, and what
// it says is believed only as far as blocks open.
const (
	mapSuffix  = "m"
	tempSuffix = ".tmp"
	mapMagic   = "hmap"
	mapHeader  = 8
	mapMax     = 1 << 20 // bytes; the ranges of one stripe need far less
)

var errMap = errors.New("malformed map of a partial stripe")

// appendMap encodes a map.
func appendMap(dst []byte, payload int, have spans) []byte {
	dst = append(dst, mapMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(payload))
	for _, r := range have {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(r.from))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(r.to))
	}
	return dst
}

// parseMap decodes a map.
func parseMap(b []byte) (payload int, have spans, err error) {
	if len(b) < mapHeader || len(b) > mapMax || string(b[:4]) != mapMagic || len(b)%8 != 0 {
		return 0, nil, errMap
	}
	payload = int(binary.LittleEndian.Uint32(b[4:]))
	last := -1
	for b = b[mapHeader:]; len(b) > 0; b = b[8:] {
		r := span{int(binary.LittleEndian.Uint32(b)), int(binary.LittleEndian.Uint32(b[4:]))}
		if r.from <= last || r.to <= r.from || r.to > 1<<31 || payload > 0 && r.to > payload {
			return 0, nil, errMap
		}
		have, last = append(have, r), r.to
	}
	if payload > 1<<31 {
		return 0, nil, errMap
	}
	return payload, have, nil
}

// partials lists the partial stripes.
func (c *Cache) partials() (out []*stripe) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.stripes {
		if s.partial {
			out = append(out, s)
		}
	}
	return out
}

// saveMaps writes the maps of those that have changed.
func (c *Cache) saveMaps(list []*stripe) error {
	var errs []error
	for _, s := range list {
		s.mu.Lock()
		b := appendMap(nil, s.payload, s.have)
		changed := s.dirty && len(s.have) > 0 && len(b) <= mapMax
		s.dirty = false
		s.mu.Unlock()
		if !changed || s.gone.Load() {
			continue
		}
		if err := c.writeFile(s.name+mapSuffix, b); err != nil {
			s.mu.Lock()
			s.dirty = true
			s.mu.Unlock()
			errs = append(errs, fmt.Errorf("save map of stripe %x: %w", s.number, err))
		}
		if s.gone.Load() {
			c.remove(s.name + mapSuffix)
		}
	}
	return errors.Join(errs...)
}

// writeFile replaces a small file of the folder.
func (c *Cache) writeFile(name string, b []byte) error {
	fs := c.cfg.FS
	path := fs.PathJoin(c.cfg.Dir, name)
	f, err := fs.Create(path+tempSuffix, "stripes")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return fs.Rename(path+tempSuffix, path)
}

// readFile reads a small file of the folder.
func (c *Cache) readFile(name string) ([]byte, error) {
	f, err := c.cfg.FS.Open(c.cfg.FS.PathJoin(c.cfg.Dir, name))
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, mapMax+1))
	return b, errors.Join(err, f.Close())
}
