package meta

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"

	"github.com/hammockfs/hammock/crypt"
)

// op is what one step of a batch does. Batches are journal records and the pieces of deltas alike, so these are format.
type op uint8

const (
	opPut    op = 1 // key, value: a record
	opDelete op = 2 // key
	opRemove op = 3 // ino (8): every record of the inode
	opClip   op = 4 // ino (8), size (8): windows and pages at or beyond
	opStripe op = 5 // stripe number (8), record
	// Those below occur in the journal only.
	opLocal   op = 6 // key, value: something this device keeps for itself
	opUnlocal op = 7 // key
	opFreeze  op = 8 // number of the new generation (8)
	opDrop    op = 9 // number of the generation that is in the tree now (8)
)

const batchVersion = 1

// maxBatch bounds a batch: a journal record holds at most 16 MiB.
const maxBatch = 15 << 20

// Batch collects changes that become visible and durable together, in the order they were called. It is not safe for
// concurrent use. A mistake of the caller (a name too long, an extent outside its window) is kept and returned by Commit.
// After Commit a batch may be used again after Reset.
type Batch struct {
	names *crypt.Key
	buf   []byte
	n     int
	err   error
	key   []byte
	val   []byte
}

// batches are those that Recycle took back.
var batches = sync.Pool{New: func() any { return new(Batch) }}

// keptBatch is the largest batch, in bytes, whose memory is kept.
const keptBatch = 64 << 10

// NewBatch returns an empty batch.
func (d *DB) NewBatch() *Batch {
	b := batches.Get().(*Batch)
	b.names = &d.cfg.NameKey
	b.Reset()
	return b
}

// Recycle gives the batch's memory to later ones; it is not used after that. Who does not call it leaves it to the
// collector.
func (b *Batch) Recycle() {
	if cap(b.buf) <= keptBatch {
		batches.Put(b)
	}
}

func newBatch() *Batch {
	b := &Batch{}
	b.Reset()
	return b
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.buf, b.n, b.err = append(b.buf[:0], batchVersion), 0, nil
}

// Len returns the number of changes.
func (b *Batch) Len() int { return b.n }

// Size returns the bytes that the batch takes in the journal.
func (b *Batch) Size() int { return len(b.buf) }

func (b *Batch) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

func (b *Batch) add(o op, key, value []byte) {
	if len(value) > MaxRecord {
		b.fail(fmt.Errorf("%w: value of %d bytes", ErrTooBig, len(value)))
		return
	}
	b.buf = appendOp(b.buf, o, key, value)
	b.n++
}

func appendOp(dst []byte, o op, key, value []byte) []byte {
	dst = append(dst, byte(o))
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	dst = append(dst, key...)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// PutInode writes the inode's own record.
func (b *Batch) PutInode(i *Inode) {
	v, err := appendInode(b.val[:0], i)
	b.val = v
	if err != nil {
		b.fail(err)
		return
	}
	b.key = appendPrefix(b.key[:0], i.Ino, KindInode)
	b.put(v)
}

func (b *Batch) put(v []byte) {
	if err := checkKey(b.key); err != nil {
		b.fail(err)
		return
	}
	b.add(opPut, b.key, v)
}

func (b *Batch) delete() {
	if err := checkKey(b.key); err != nil {
		b.fail(err)
		return
	}
	b.add(opDelete, b.key, nil)
}

// PutDirent makes name in directory dir mean inode ino; typ is its mode >> 12.
func (b *Batch) PutDirent(dir uint64, name string, ino uint64, typ uint8) {
	v, err := appendDirent(b.val[:0], &Dirent{Ino: ino, Type: typ})
	b.val = v
	if err != nil {
		b.fail(err)
		return
	}
	if b.direntKey(dir, name) {
		b.put(b.val)
	}
}

// DeleteDirent removes name from directory dir, if it is there.
func (b *Batch) DeleteDirent(dir uint64, name string) {
	if b.direntKey(dir, name) {
		b.delete()
	}
}

func (b *Batch) direntKey(dir uint64, name string) bool {
	if len(name) == 0 || len(name) > MaxName {
		b.fail(fmt.Errorf("%w: name of %d bytes", ErrTooBig, len(name)))
		return false
	}
	b.key = appendDirentKey(b.key[:0], dir, crypt.NameHash(b.names, name), name)
	return true
}

// PutWindow replaces all extents of window w ([w*Window, (w+1)*Window) of the file). The extents are sorted and do not
// overlap or leave the window. None: the window is a hole.
func (b *Batch) PutWindow(ino, w uint64, extents []Extent) {
	b.key = appendNumbered(b.key[:0], ino, KindWindow, w)
	if len(extents) == 0 {
		b.delete()
		return
	}
	v, err := appendWindow(b.val[:0], w, extents)
	b.val = v
	if err != nil {
		b.fail(fmt.Errorf("inode %d: %w", ino, err))
		return
	}
	b.put(v)
}

// PutPage stores at most Page bytes for [page*Page, (page+1)*Page); what data does not reach is zeros. A page shadows
// extents. The bytes are copied.
func (b *Batch) PutPage(ino, page uint64, data []byte) {
	if len(data) > Page {
		b.fail(fmt.Errorf("%w: page of %d bytes", ErrTooBig, len(data)))
		return
	}
	b.key = appendNumbered(b.key[:0], ino, KindPage, page)
	b.put(data)
}

// DeletePage removes a page, so that extents show again.
func (b *Batch) DeletePage(ino, page uint64) {
	b.key = appendNumbered(b.key[:0], ino, KindPage, page)
	b.delete()
}

// Clip removes the windows and pages that lie wholly at or beyond size. The one that contains size stays as it is: the
// caller rewrites it.
func (b *Batch) Clip(ino, size uint64) {
	if ino == 0 {
		b.fail(fmt.Errorf("%w: clip of inode 0", ErrFormat))
		return
	}
	b.key = binary.BigEndian.AppendUint64(b.key[:0], ino)
	b.val = binary.BigEndian.AppendUint64(b.val[:0], size)
	b.add(opClip, b.key, b.val)
}

// PutXattr sets an extended attribute; the value has at most MaxXattr bytes and is copied.
func (b *Batch) PutXattr(ino uint64, name string, value []byte) {
	if len(value) > MaxXattr {
		b.fail(fmt.Errorf("%w: xattr of %d bytes", ErrTooBig, len(value)))
		return
	}
	b.key = appendXattrKey(b.key[:0], ino, name)
	b.put(value)
}

// DeleteXattr removes an extended attribute, if it is there.
func (b *Batch) DeleteXattr(ino uint64, name string) {
	b.key = appendXattrKey(b.key[:0], ino, name)
	b.delete()
}

// RemoveInode removes the inode and everything under it: names in it, xattrs, windows, pages.
func (b *Batch) RemoveInode(ino uint64) {
	if ino == 0 {
		b.fail(fmt.Errorf("%w: removal of inode 0", ErrFormat))
		return
	}
	b.key = binary.BigEndian.AppendUint64(b.key[:0], ino)
	b.add(opRemove, b.key, nil)
}

// PutOrphan notes that ino has no name any more but is still open somewhere: whoever starts next reaps it.
func (b *Batch) PutOrphan(ino uint64) {
	b.key = appendNumbered(b.key[:0], 0, KindOrphan, ino)
	b.put(nil)
}

// DeleteOrphan takes the note back.
func (b *Batch) DeleteOrphan(ino uint64) {
	b.key = appendNumbered(b.key[:0], 0, KindOrphan, ino)
	b.delete()
}

// DeleteRecord removes whatever a key stands for, as Survey gave it.
func (b *Batch) DeleteRecord(key []byte) {
	b.key = append(b.key[:0], key...)
	b.delete()
}

// DropDirent removes an entry as ReadDir or Survey gave it, also from where its name is not looked for.
func (b *Batch) DropDirent(dir uint64, e *Dirent) {
	b.key = appendDirentKey(b.key[:0], dir, e.Cookie, e.Name)
	b.delete()
}

func (b *Batch) putStripe(stripe uint64, record []byte) {
	b.key = binary.BigEndian.AppendUint64(b.key[:0], stripe)
	b.add(opStripe, b.key, record)
}

func (b *Batch) putLocal(key string, value []byte) { b.add(opLocal, append(b.key[:0], key...), value) }

func (b *Batch) deleteLocal(key string) { b.add(opUnlocal, append(b.key[:0], key...), nil) }

func (b *Batch) generation(o op, g uint64) {
	b.key = binary.BigEndian.AppendUint64(b.key[:0], g)
	b.add(o, b.key, nil)
}

// step is one decoded change; key and value lie in the batch's bytes.
type step struct {
	op         op
	key, value []byte
}

// number returns the key of the ops that have a number for one.
func (s *step) number() uint64 { return binary.BigEndian.Uint64(s.key) }

// steps reads a batch. It checks form and sizes, so that what it yields can be applied.
type steps struct {
	rest []byte
	last op // the highest op allowed
	err  error
}

func readSteps(b []byte, last op) steps {
	if len(b) == 0 || b[0] != batchVersion || len(b) > math.MaxInt32 {
		return steps{err: fmt.Errorf("%w: batch of unknown version", ErrFormat)}
	}
	return steps{rest: b[1:], last: last}
}

func (s *steps) next() (st step, ok bool) {
	if s.err != nil || len(s.rest) == 0 {
		return step{}, false
	}
	st.op = op(s.rest[0])
	b := s.rest[1:]
	if st.key, b, ok = field(b, maxKey); ok {
		st.value, b, ok = field(b, MaxRecord)
	}
	if !ok || st.op == 0 || st.op > s.last {
		s.err = fmt.Errorf("%w: op %d", ErrFormat, st.op)
		return step{}, false
	}
	if s.err = st.check(); s.err != nil {
		return step{}, false
	}
	s.rest = b
	return st, true
}

func field(b []byte, limit int) (f, rest []byte, ok bool) {
	n, b, ok := uvarint(b)
	if !ok || n > uint64(limit) || n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}

func (s *step) check() error {
	switch s.op {
	case opPut, opDelete:
		if s.op == opDelete && len(s.value) != 0 {
			return fmt.Errorf("%w: deletion with a value", ErrFormat)
		}
		return checkKey(s.key)
	case opLocal, opUnlocal:
		return nil
	}
	want := 0
	switch s.op {
	case opClip:
		want = 8
	case opStripe:
		want = len(s.value)
	}
	if len(s.key) != 8 || len(s.value) != want || (s.op <= opClip && s.number() == 0) {
		return fmt.Errorf("%w: op %d with %d and %d bytes", ErrFormat, s.op, len(s.key), len(s.value))
	}
	return nil
}
