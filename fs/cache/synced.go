package cache

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The file "synced" says which stripes that were made here are closed and on
// the disk, or on stores, so that a start after a crash need neither read nor
// sync them. It
// is a list of records, little endian:
//
//	offset  size
//	     0     8  number of the stripe
//	     8     4  length of its payload
//	    12     4  CRC-32C of the 12 bytes before
//
// A record is written after the stripe was synced or placed, so it is true whenever it
// can be read; that the newest ones are missing after a power cut costs time
// and nothing else. Stripes that were evicted stay in the list: a ref to one is
// good, its bytes being on stores, while a ref to a file that a power cut took
// is not.
//
// A stripe that a start finds and the list does not know may be torn. It does
// not come into the list when it is synced then: that would keep its holes.
const (
	syncedName   = "synced"
	syncedRecord = 16
	syncedMax    = 64 << 20 // bytes of the file that are read
	// syncedGone is how many evicted stripes stay in the list over a start.
	syncedGone = 1 << 12
	// lag is how many closed stripes wait to be synced, and records in the list,
	// before it is done in the background.
	lag = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// syncedList is the file and what it says. It is a leaf in the order of locks.
type syncedList struct {
	fs   vfs.FS
	path string

	mu      sync.Mutex
	lengths map[uint64]int
	file    vfs.File // nil: it could not be made
	loose   int      // records that are not synced
}

// load reads the list.
func (l *syncedList) load() error {
	l.lengths = make(map[uint64]int)
	f, err := l.fs.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(f, syncedMax))
	for ; len(b) >= syncedRecord; b = b[syncedRecord:] {
		if crc32.Checksum(b[:12], castagnoli) == binary.LittleEndian.Uint32(b[12:]) {
			l.lengths[binary.LittleEndian.Uint64(b)] = int(binary.LittleEndian.Uint32(b[8:]))
		}
	}
	return errors.Join(err, f.Close())
}

// begin writes the list anew, without most of what is gone, and leaves it open
// for more. Without it everything works, and the next start takes longer.
func (l *syncedList) begin(here func(uint64) bool) error {
	numbers := make([]uint64, 0, len(l.lengths))
	gone := 0
	for n := range l.lengths {
		if !here(n) {
			if gone++; gone > syncedGone {
				continue
			}
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	var b []byte
	for _, n := range numbers {
		b = appendSynced(b, n, l.lengths[n])
	}
	f, err := l.fs.Create(l.path+tempSuffix, "stripes")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.SyncData()
	}
	if err == nil {
		err = l.fs.Rename(l.path+tempSuffix, l.path)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file = f
	return nil
}

func appendSynced(b []byte, number uint64, length int) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint64(b, number)
	b = binary.LittleEndian.AppendUint32(b, uint32(length))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

// has returns the length of a stripe that is known to be synced, or was before
// it was evicted.
func (l *syncedList) has(number uint64) (int, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, ok := l.lengths[number]
	return n, ok
}

// add notes that a stripe was synced. Errors are not kept: what is missing in
// the list is looked at.
func (l *syncedList) add(number uint64, length int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lengths[number] == length {
		return
	}
	l.lengths[number] = length
	if l.file == nil {
		return
	}
	if n, err := l.file.Write(appendSynced(nil, number, length)); err != nil {
		if n%syncedRecord != 0 { // the records that follow would not be found
			_ = l.file.Close()
			l.file = nil
		}
		return
	}
	if l.loose++; l.loose >= lag {
		l.syncLocked()
	}
}

// sync makes the list durable.
func (l *syncedList) sync() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.syncLocked()
}

func (l *syncedList) syncLocked() {
	if l.file != nil && l.loose > 0 && l.file.SyncData() == nil {
		l.loose = 0
	}
}

func (l *syncedList) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = errors.Join(l.file.SyncData(), l.file.Close())
		l.file = nil
	}
}

// syncBehind syncs closed stripes while others are written, so that never much
// has to be looked at after a crash. Close ends it.
func (c *Cache) syncBehind() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.behind:
		}
		list := c.closedUnsynced()
		if len(list) < lag {
			continue
		}
		if err := c.syncAll(c.ctx, list); err != nil && c.ctx.Err() == nil {
			c.cfg.Log.Error("a stripe could not be synced", "err", err)
		}
	}
}

// listAll enters the stripes that are synced and will not be appended to any
// more, since the cache is being closed.
func (c *Cache) listAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.stripes {
		if _, open := c.unsynced[s]; !open && !s.partial && !s.suspect && s.written > 0 {
			c.list.add(s.number, s.written)
		}
	}
}

func (c *Cache) closedUnsynced() (list []*stripe) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.unsynced {
		if s.state == closed {
			list = append(list, s)
		}
	}
	return list
}
