// Package journal is the write-ahead log of a volume's metadata: the one file that fsync of a small write waits for.
//
// The model: records are numbered from 1 (LSN) and lie in segments, files that were written full of zeros and synced
// before their first use, so that a record neither allocates blocks nor changes a length and fdatasync has one place to
// go to. A segment carries a random salt and so a key of its own; a record is sealed under it with its position as the
// nonce. Released segments are used again under a new salt, which makes everything that was in them unreadable: an old
// frame can never pass for a new one.
//
// What may be relied on: after Append returned, killing the process loses nothing; after Sync returned, cutting the
// power loses nothing. What Open replays is a prefix of what was appended, in order, each record once.
//
// An append that reaches a new block of the file writes zeros up to its end. Of a block that is written in part the kernel
// must read the rest first, if it is not in memory any more, and that of a segment which is used again may not be: small
// appends then waited for the disk to read what nobody wants.
//
// The traps: a segment is never appended to after a restart, since nobody knows which nonces its torn end has used. A
// segment is synced before the next one is begun, so only the last used one may end in a torn frame; a bad frame
// anywhere else is damage and is reported, never skipped. Where a segment ends is said by the next one's first LSN, not
// by its own content. After a failed fdatasync the kernel may have dropped the pages and call the next fdatasync a
// success; hence that failure is final for the whole journal.
package journal

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hammockfs/hammock/crypt"
)

// LSN is the number of a record, counted from 1 over the whole life of a journal. Zero stands before the first record.
type LSN uint64

// MaxRecord is the largest record that Append takes, in bytes.
const MaxRecord = 16 << 20

// DefaultSegmentSize is the size of a segment file in bytes where Config does not say.
const DefaultSegmentSize = 16 << 20

// keepFree is how many released segments wait for their next use; more than that are deleted.
const keepFree = 4

// ErrClosed is returned by every call after Close.
var ErrClosed = errors.New("the journal is closed")

// ErrTooLarge is returned by Append for a record above MaxRecord.
var ErrTooLarge = errors.New("record is larger than the journal takes")

// Config says where a journal lies and how it is sealed.
type Config struct {
	FS          vfs.FS
	Dir         string    // made if missing; holds nothing but segments
	Key         crypt.Key // the at-rest key; each segment derives its own from it
	SegmentSize int64     // bytes of a segment file; 0: DefaultSegmentSize; at least 8 KiB
}

// Journal is an open journal. All methods may be called concurrently.
type Journal struct {
	cfg Config

	// mu orders appends and guards what follows. Order of locks: mu before syncMu; flightMu is a leaf.
	mu       sync.Mutex
	cur      *segment   // where records go
	old      []*segment // full ones that are not released yet, oldest first
	free     []*segment // pre-written, ready for use
	coming   chan prepared
	nextFile uint64 // number in the name of the next new file
	number   uint64 // number of cur
	last     LSN
	released int64 // bytes of cur that Release has passed
	buf      []byte
	nonce    [12]byte

	// syncMu is held across every fdatasync: the kernel tells a write error to one caller only, so no second caller may
	// run beside it and believe its own success.
	syncMu sync.Mutex
	synced atomic.Uint64 // all records up to here are on the disk
	fault  atomic.Pointer[fault]

	flightMu sync.Mutex
	flight   *flight
	crowded  bool // somebody waited for the flight before
}

// fault is why the journal takes nothing any more.
type fault struct{ err error }

// Open opens the journal in cfg.Dir, hands every record after the given LSN to replay in order, and begins a new
// segment. after is the newest LSN whose effect is durable elsewhere; it never goes back between two calls. The record
// is valid during the call of replay only; an error of replay ends Open. A *DamageError says that acknowledged records
// cannot be read. What was replayed is synced when Open returns.
func Open(cfg Config, after LSN, replay func(lsn LSN, rec []byte) error) (*Journal, error) {
	if cfg.SegmentSize == 0 {
		cfg.SegmentSize = DefaultSegmentSize
	}
	if cfg.SegmentSize < 2*frameStart {
		return nil, fmt.Errorf("open journal: a segment of %d bytes is too small, %d is the least", cfg.SegmentSize, 2*frameStart)
	}
	if err := makeDir(cfg.FS, cfg.Dir); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{cfg: cfg}
	if err := j.open(after, replay); err != nil {
		j.closeFiles()
		return nil, fmt.Errorf("open journal in %s: %w", cfg.Dir, err)
	}
	return j, nil
}

func (j *Journal) open(after LSN, replay func(LSN, []byte) error) error {
	used, err := j.load()
	if err != nil {
		return err
	}
	j.old = used
	last, err := replaySegments(used, after, replay)
	if err != nil {
		return err
	}
	j.last = max(last, after)
	if n := len(used); n > 0 {
		j.number = used[n-1].number
		// After a mere kill the end of this segment may be in the page cache only; the next segment's header will
		// call it complete.
		if err := used[n-1].file.SyncData(); err != nil {
			return fmt.Errorf("sync %s: %w", used[n-1].name, err)
		}
	}
	j.synced.Store(uint64(j.last))
	if err := j.releaseLocked(after); err != nil {
		return err
	}
	if err := j.dropEmpty(); err != nil {
		return err
	}
	return j.begin(0)
}

// Append writes rec behind all records before it and returns its LSN. When it returns the record is in the file: it
// survives the end of the process, and the power only after Sync. After an error of the write the record is not in the
// journal, and others may be appended.
func (j *Journal) Append(rec []byte) (LSN, error) {
	if len(rec) > MaxRecord {
		return 0, fmt.Errorf("append %d bytes to the journal: %w (%d)", len(rec), ErrTooLarge, MaxRecord)
	}
	need := int64(len(rec)) + frameOverhead
	j.mu.Lock()
	defer j.mu.Unlock()
	if f := j.fault.Load(); f != nil {
		return 0, f.err
	}
	if j.cur.spent || j.cur.off+need > j.cur.size {
		if err := j.begin(need); err != nil {
			return 0, fmt.Errorf("append record %d: %w", j.last+1, err)
		}
	}
	if err := j.write(rec); err != nil {
		return 0, fmt.Errorf("append record %d: %w", j.last+1, err)
	}
	j.last++
	return j.last, nil
}

// write seals rec into the shared buffer and puts it at the end of the current segment. Holds mu.
func (j *Journal) write(rec []byte) error {
	s := j.cur
	frame := s.seal(j.buf[:0], &j.nonce, rec)
	size := len(frame)
	end := s.off + int64(size)
	if whole := min(roundUp(end), s.size); whole > roundUp(s.off) {
		frame = append(frame, make([]byte, whole-end)...)
	}
	if cap(frame) <= maxKeptBuffer {
		j.buf = frame
	}
	if n, err := s.file.WriteAt(frame, s.off); err != nil {
		// Some of it may be in the file, and its nonce must not seal another record: this segment is done.
		s.spent = true
		if n < size { // else only zeros are missing
			return fmt.Errorf("write %d bytes at %d of %s: %w", len(frame), s.off, s.name, err)
		}
	}
	s.off = end
	s.records++
	return nil
}

// blockSize is what the kernel reads if less of it is written, in bytes: a page, as a rule.
const blockSize = 4096

func roundUp(n int64) int64 { return (n + blockSize - 1) / blockSize * blockSize }

// maxKeptBuffer bounds the buffer that stays between appends, in bytes.
const maxKeptBuffer = 1 << 20

// Last returns the LSN of the newest record, appended or replayed, or the after of Open if that is higher.
func (j *Journal) Last() LSN {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// Synced returns the LSN up to which every record is known to survive a power cut.
func (j *Journal) Synced() LSN { return LSN(j.synced.Load()) }

// Pending returns how many bytes of frames lie in segments that Release has not freed.
func (j *Journal) Pending() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := j.cur.off - frameStart - j.released
	for _, s := range j.old {
		n += s.off - frameStart
	}
	return n
}

// Close syncs what was appended and closes the files. Later calls of any method return ErrClosed; a second Close is nil.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := j.fault.Load()
	if f != nil && f.err == ErrClosed {
		return nil
	}
	err := j.syncSegment(j.cur, j.last)
	j.fault.Store(&fault{ErrClosed})
	j.syncMu.Lock()
	defer j.syncMu.Unlock()
	return errors.Join(err, j.closeFiles())
}
