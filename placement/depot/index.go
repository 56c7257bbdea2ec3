package depot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hammockfs/hammock/crypt"
)

// The keys of the index begin with a letter. Numbers within them are big-endian, so that they sort.
//
//	s shard                       location, then owner and stripe of each holder
//	c owner shard stripe          claim
//	t time owner shard stripe     (empty) a claim that went to the trash at that time, in unix nanoseconds
//	h owner head                  the bundle with that head
//	m                             mark: how far the index knows the segments
//	f                             the version of all this; written last when the index is made
const (
	keyShard = 's'
	keyClaim = 'c'
	keyTrash = 't'
	keyHead  = 'h'
	keyMark  = 'm'
	keyForm  = 'f'
	form     = 2
	formOld  = 1 // no mark, and no segment that the index does not know to its end
)

func shardKey(id crypt.ID) []byte { return append([]byte{keyShard}, id[:]...) }

func claimPrefix(owner crypt.OwnerKey, id crypt.ID) []byte {
	return append(append([]byte{keyClaim}, owner[:]...), id[:]...)
}

// hold names one claim: an owner's hold on a shard for one of his stripes.
type hold struct {
	owner  crypt.OwnerKey
	id     crypt.ID
	stripe uint64
}

func (h *hold) key() []byte {
	return binary.BigEndian.AppendUint64(claimPrefix(h.owner, h.id), h.stripe)
}

func (h *hold) trashKey(at int64) []byte {
	k := binary.BigEndian.AppendUint64([]byte{keyTrash}, uint64(at))
	return append(k, h.key()[1:]...)
}

// parseHold reads a claim key, or a trash key without its time, without the letter.
func parseHold(b []byte) (hold, error) {
	if len(b) != 72 {
		return hold{}, errors.New("depot index: claim key of another length")
	}
	return hold{crypt.OwnerKey(b[:32]), crypt.ID(b[32:64]), binary.BigEndian.Uint64(b[64:])}, nil
}

// claim is what is known of a hold. Trashed is the unix nanosecond of its deletion; 0: it stands.
type claim struct {
	generation uint64
	size       uint32
	trashed    int64
}

func (c *claim) value() []byte {
	b := binary.BigEndian.AppendUint64(nil, c.generation)
	b = binary.BigEndian.AppendUint32(b, c.size)
	return binary.BigEndian.AppendUint64(b, uint64(c.trashed))
}

func parseClaim(b []byte) (claim, error) {
	if len(b) != 20 {
		return claim{}, errors.New("depot index: claim of another length")
	}
	return claim{binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:]), int64(binary.BigEndian.Uint64(b[12:]))}, nil
}

// place is where a shard lies: the record at off of a segment, whose beginning has head bytes.
type place struct {
	seg        uint64
	off        int64
	head, size uint32
}

// record is the length of the whole record.
func (p *place) record() int64 {
	return int64(p.head) + int64(p.size) + crypt.OutboardSize(int64(p.size))
}

func (p *place) end() int64 { return p.off + p.record() }

// entry is what the index says of a shard: where it lies and who holds it.
type entry struct {
	place
	holders []hold
}

// find returns the index of a hold among the holders, or -1.
func (e *entry) find(h *hold) int {
	for i := range e.holders {
		if e.holders[i].owner == h.owner && e.holders[i].stripe == h.stripe {
			return i
		}
	}
	return -1
}

func (e *entry) value() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 24+40*len(e.holders)), e.seg)
	b = binary.BigEndian.AppendUint64(b, uint64(e.off))
	b = binary.BigEndian.AppendUint32(b, e.head)
	b = binary.BigEndian.AppendUint32(b, e.size)
	for i := range e.holders {
		b = append(b, e.holders[i].owner[:]...)
		b = binary.BigEndian.AppendUint64(b, e.holders[i].stripe)
	}
	return b
}

func parseEntry(id crypt.ID, b []byte) (e entry, err error) {
	if len(b) < 24 || (len(b)-24)%40 != 0 {
		return entry{}, errors.New("depot index: shard entry of another length")
	}
	e.place = place{
		seg:  binary.BigEndian.Uint64(b),
		off:  int64(binary.BigEndian.Uint64(b[8:])),
		head: binary.BigEndian.Uint32(b[16:]),
		size: binary.BigEndian.Uint32(b[20:]),
	}
	for b = b[24:]; len(b) > 0; b = b[40:] {
		e.holders = append(e.holders, hold{crypt.OwnerKey(b[:32]), id, binary.BigEndian.Uint64(b[32:])})
	}
	return e, nil
}

// index is the Pebble database beside the segments.
type index struct {
	db    *pebble.DB
	guard *guard
}

// openIndex opens the index, or makes an empty one.
func openIndex(fs vfs.FS, dir string, files int, log *slog.Logger) (*index, error) {
	cache := pebble.NewCache(8 << 20)
	defer cache.Unref()
	x := &index{guard: newGuard()}
	o := &pebble.Options{
		FS:                 guardFS{orderedFS{fs}, x.guard},
		Cache:              cache,
		FormatMajorVersion: pebble.FormatNewest,
		Logger:             pebbleLog{log, x.guard},
		MemTableSize:       4 << 20,
		MaxOpenFiles:       files,
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	opened := make(chan *pebble.DB, 1)
	err := x.guard.wait(func() error {
		db, err := pebble.Open(dir, o)
		opened <- db
		return err
	})
	if err != nil {
		return nil, errors.Join(err, x.guard.unlock())
	}
	x.db = <-opened
	return x, nil
}

// close closes the index. After a fault Pebble is left as it is, with what it holds in memory; it changes nothing.
func (x *index) close() error {
	err := x.guard.failed() // there may be calls that nobody waited for: they must not find it closed
	if err == nil {
		err = x.guard.wait(x.db.Close)
	}
	return errors.Join(err, x.guard.unlock())
}

// get calls f with a value, or returns false. The value is f's only while it runs.
func (x *index) get(key []byte, f func(v []byte) error) (bool, error) {
	v, done, err := x.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the depot's index: %w", err)
	}
	return true, errors.Join(f(v), done.Close())
}

func (x *index) entry(id crypt.ID) (e entry, ok bool, err error) {
	ok, err = x.get(shardKey(id), func(v []byte) error {
		e, err = parseEntry(id, v)
		return err
	})
	return e, ok, err
}

func (x *index) claim(h *hold) (c claim, ok bool, err error) {
	ok, err = x.get(h.key(), func(v []byte) error {
		c, err = parseClaim(v)
		return err
	})
	return c, ok, err
}

// each calls f for every key that begins with prefix, in order, until it returns an error; io.EOF ends without one.
func (x *index) each(prefix []byte, f func(k, v []byte) error) error {
	return x.from(prefix, successor(prefix), f)
}

// from is each for the keys from one to before another.
func (x *index) from(lower, upper []byte, f func(k, v []byte) error) error {
	it, err := x.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("read the depot's index: %w", err)
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = f(it.Key(), it.Value())
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, it.Close())
}

// successor is the first key after all that begin with prefix, whose first byte is a letter.
func successor(prefix []byte) []byte {
	b := append([]byte(nil), prefix...)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return b[:i+1]
		}
	}
	return nil
}

// batch collects changes of the index that happen together.
type batch struct{ *pebble.Batch }

func (x *index) batch() batch { return batch{x.db.NewBatch()} }

// Setting and deleting in a batch cannot fail: it is memory.
func (b batch) set(k, v []byte) { _ = b.Set(k, v, nil) }
func (b batch) delete(k []byte) { _ = b.Delete(k, nil) }

// commit applies a batch; with sync set it survives a power cut when commit returns. A failed write of the index's log
// is for good: what the database holds in memory and what is on the disk are then two things.
func (x *index) commit(b batch, sync bool) error {
	if err := x.guard.failed(); err != nil {
		_ = b.Close()
		return err
	}
	return x.guard.wait(func() error {
		return errors.Join(x.db.Apply(b.Batch, &pebble.WriteOptions{Sync: sync}), b.Close())
	})
}

// pebbleLog hands Pebble's messages on: routine ones for those who debug.
type pebbleLog struct {
	log   *slog.Logger
	guard *guard
}

func (l pebbleLog) Infof(format string, args ...any) {
	l.log.Debug("depot index", "message", fmt.Sprintf(format, args...))
}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.log.Error("depot index", "message", fmt.Sprintf(format, args...))
}

// Fatalf is called when Pebble cannot go on, and does not return. An error of the disk is a fault of the index. Anything
// else is a mistake in the program, whose memory is not to be trusted.
func (l pebbleLog) Fatalf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	l.log.Error("depot index", "message", message)
	for _, a := range args {
		if err, ok := a.(error); ok {
			l.guard.park(err)
		}
	}
	panic(message)
}
