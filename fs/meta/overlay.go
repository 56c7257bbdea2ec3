package meta

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/hammockfs/hammock/crypt"
)

// The first byte of a key in Pebble. Names and stripes continue with a generation (8, big endian).
const (
	spaceNames  = 'N' // record key
	spaceTable  = 'T' // stripe number (8)
	spaceMarks  = 'M' // ino (8)
	spaceDedup  = 'D' // hash of a chunk's key (32)
	spaceLSN    = 'L' // nothing more: the newest journal record that is in Pebble
	spaceLocals = 'C' // name
)

const spacePrefix = 9 // space, generation

// The first byte of an overlay value.
const (
	valueGone = 0 // a deletion, kept because a lower level may hold the key
	valueHere = 1
)

// noClip is the clip size of a mark that clips nothing.
const noClip = math.MaxUint64

// mark hides records of an inode in the levels below the one that holds it.
type mark struct {
	removed bool
	clip    uint64 // windows and pages wholly at or beyond; noClip: none
}

func (m mark) hides(rk []byte) bool {
	if m.removed {
		return true
	}
	if m.clip == noClip {
		return false
	}
	k := keyKind(rk)
	return (k == KindWindow || k == KindPage) && keyNumber(rk) >= clipStart(k, m.clip)
}

// with returns the mark after another one has been set on top of it.
func (m mark) with(o mark) mark {
	return mark{removed: m.removed || o.removed, clip: min(m.clip, o.clip)}
}

func (m mark) encode() []byte {
	b := make([]byte, 1, 9)
	if m.removed {
		b[0] = 1
	}
	return binary.BigEndian.AppendUint64(b, m.clip)
}

func parseMark(b []byte) (mark, error) {
	if len(b) != 9 || b[0] > 1 {
		return mark{}, fmt.Errorf("%w: mark", ErrFormat)
	}
	return mark{removed: b[0] == 1, clip: binary.BigEndian.Uint64(b[1:])}, nil
}

// generation is one level of the overlay: its records are in Pebble, its marks in memory too.
//
// mu guards marks, and makes a batch that sets marks one step for readers: it is held for writing while the marks and the
// batch become visible, and for reading from the look into Pebble to the look at the marks.
type generation struct {
	num   uint64
	mu    sync.RWMutex
	marks map[uint64]mark
}

func newGeneration(num uint64) *generation {
	return &generation{num: num, marks: make(map[uint64]mark)}
}

// hides needs mu.
func (g *generation) hides(rk []byte) bool {
	m, ok := g.marks[keyIno(rk)]
	return ok && m.hides(rk)
}

func (g *generation) marksCopy() map[uint64]mark {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return maps.Clone(g.marks)
}

// markOf returns the mark of one inode.
func (g *generation) markOf(ino uint64) mark {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if m, ok := g.marks[ino]; ok {
		return m
	}
	return mark{clip: noClip}
}

func appendSpace(dst []byte, space byte, gen uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, space), gen)
}

func appendLocal(dst []byte, name string) []byte { return append(append(dst, spaceLocals), name...) }

// keyEnd returns the first key after all that begin with prefix, which must not be all 0xff.
func keyEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// found is what one level says about a key.
type found int

const (
	miss found = iota // ask the level below
	gone              // there is none, whatever is below
	here
)

// keyBufs lends memory for Pebble keys, which escape.
var keyBufs = sync.Pool{New: func() any { b := make([]byte, 0, spacePrefix+maxKey); return &b }}

// lookup asks one generation for a key and appends its value to dst.
func (d *DB) lookup(g *generation, space byte, rk, dst []byte) ([]byte, found, error) {
	buf := keyBufs.Get().(*[]byte)
	defer keyBufs.Put(buf)
	key := append(appendSpace((*buf)[:0], space, g.num), rk...)
	*buf = key

	if space == spaceNames {
		g.mu.RLock()
		defer g.mu.RUnlock()
	}
	tagged, closer, err := d.pebble.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		if space == spaceNames && g.hides(rk) {
			return dst, gone, nil
		}
		return dst, miss, nil
	}
	if err != nil {
		return dst, miss, fmt.Errorf("read overlay: %w", err)
	}
	defer closer.Close()
	v, ok, err := d.openValue(key, tagged)
	switch {
	case err != nil:
		return dst, miss, err
	case !ok:
		return dst, gone, nil
	}
	return append(dst, v...), here, nil
}

// openValue checks the tag of an overlay value; ok is false for a deletion.
func (d *DB) openValue(key, tagged []byte) (v []byte, ok bool, err error) {
	v, err = d.tagger.CheckValue(key, tagged)
	if err != nil || len(v) == 0 || v[0] > valueHere {
		return nil, false, fmt.Errorf("%w: local record of space %q: %w", ErrFormat, key[:1], cmpErr(err))
	}
	return v[1:], v[0] == valueHere, nil
}

func cmpErr(err error) error {
	if err == nil {
		return errors.New("unknown mark in its first byte")
	}
	return err
}

// local reads something this device keeps for itself; nil if there is none.
func (d *DB) local(name string) ([]byte, error) {
	key := appendLocal(nil, name)
	v, closer, err := d.pebble.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	defer closer.Close()
	v, err = d.tagger.CheckValue(key, v)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	return append([]byte{}, v...), nil
}

// locals calls fn for everything whose name begins with prefix, in order of name.
func (d *DB) locals(prefix string, fn func(rest string, value []byte) error) error {
	return d.localsFrom(prefix, prefix, fn)
}

// localsFrom is locals for names that are not before from.
func (d *DB) localsFrom(prefix, from string, fn func(rest string, value []byte) error) error {
	lower := appendLocal(nil, prefix)
	it, err := d.pebble.NewIter(&pebble.IterOptions{LowerBound: appendLocal(nil, from), UpperBound: keyEnd(lower)})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var v []byte
		if v, err = d.tagger.CheckValue(it.Key(), it.Value()); err == nil {
			err = fn(string(it.Key()[len(lower):]), v)
		}
	}
	return errors.Join(err, it.Error(), it.Close())
}

// loadMarks reads the marks of a generation from Pebble.
func (d *DB) loadMarks(ctx context.Context, g *generation) error {
	lower := appendSpace(nil, spaceMarks, g.num)
	it, err := d.pebble.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: keyEnd(lower)})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var v []byte
		if v, err = d.tagger.CheckValue(it.Key(), it.Value()); err != nil {
			break
		}
		var m mark
		if m, err = parseMark(v); err == nil && len(it.Key()) == spacePrefix+8 {
			g.marks[binary.BigEndian.Uint64(it.Key()[spacePrefix:])] = m
		}
	}
	return errors.Join(err, it.Error(), it.Close())
}

// FindChunk looks in the local dedup index: which sealed chunk has a key of this hash. It knows only what this device
// has written or read.
func (d *DB) FindChunk(id crypt.ID) (crypt.Ref, bool) {
	if d.filter.lacks(id[:]) {
		return crypt.Ref{}, false
	}
	key := append([]byte{spaceDedup}, id[:]...)
	tagged, closer, err := d.pebble.Get(key)
	if err != nil {
		return crypt.Ref{}, false
	}
	defer closer.Close()
	v, err := d.tagger.CheckValue(key, tagged)
	if err != nil {
		return crypt.Ref{}, false
	}
	r, rest, err := crypt.ParseRef(v)
	return r, err == nil && len(rest) == 0
}

// AddChunk adds to the local dedup index, without the journal: a chunk whose entry a crash forgets is sealed once more.
// An entry that outlives a power cut is right, because no table is synced before the stripes written until then.
func (d *DB) AddChunk(id crypt.ID, r *crypt.Ref) error {
	key := append([]byte{spaceDedup}, id[:]...)
	v := d.tagger.TagValue(nil, key, crypt.AppendRef(nil, r))
	if d.crowded() || d.broken() != nil {
		return nil // the disk cannot follow, and what it takes now are things that must not be lost
	}
	d.cites.Add(1)
	d.inMemory.Add(int64(len(v)) + applyCost)
	d.filter.add(id[:])
	if err := d.pebble.Set(key, v, pebble.NoSync); err != nil {
		return fmt.Errorf("add to the dedup index: %w", err)
	}
	return nil
}

// dropChunk forgets a dedup entry.
func (d *DB) dropChunk(id crypt.ID) error {
	return d.pebble.Delete(append([]byte{spaceDedup}, id[:]...), pebble.NoSync)
}
