package depot

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/room"
)

// maxOpen is how many idle segment files are kept open for reading.
const maxOpen = 64

// category tells Pebble's statistics that these writes are not its own.
const category vfs.DiskWriteCategory = "hammock-depot"

// segment is one append-only file of records. Its fields are guarded by segments.mu unless said otherwise.
type segment struct {
	num    uint64
	salt   salt
	end    int64 // where the next record goes; what lies beyond was never acknowledged. Of one of before: its length
	live   int64 // bytes of records that the index points to
	file   vfs.File
	refs   int  // users of file
	puts   int  // records that are written and not in the index yet: until then they look dead
	gone   bool // removed from the folder
	sealed bool // its header cannot be read
	clean  bool // it was there at the start, with nothing behind its last record: it may be continued
	sync   flusher
}

// segments are the files of a depot. Records are appended to one of them, the active one, until it has reached the
// target size.
type segments struct {
	fs     vfs.FS
	dir    string
	target int64

	write sync.Mutex // held while a record is appended; taken before mu
	mu    sync.Mutex // guards all below
	all   map[uint64]*segment
	last  *segment // the active one; nil: none yet
	next  uint64
	size  int64 // sum of all ends
	open  int

	flying map[mark]struct{} // what puts have appended and not settled
	landed sync.Cond         // flying has fewer; its lock is mu
}

func newSegments(fs vfs.FS, dir string, target int64) *segments {
	s := &segments{fs: fs, dir: dir, target: target, all: map[uint64]*segment{}, flying: map[mark]struct{}{}}
	s.landed.L = &s.mu
	return s
}

func (s *segments) path(num uint64) string {
	return s.fs.PathJoin(s.dir, fmt.Sprintf("%016x.seg", num))
}

// number gives the segment number that a file name stands for.
func number(name string) (num uint64, ok bool) {
	if len(name) != 20 || name[16:] != ".seg" {
		return 0, false
	}
	_, err := fmt.Sscanf(name, "%016x.seg", &num)
	return num, err == nil
}

// acquire returns a segment with its file open; release it. A segment that is gone is reported as not ok.
func (s *segments) acquire(num uint64) (g *segment, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g = s.all[num]
	if g == nil {
		return nil, false, nil
	}
	if g.file == nil {
		if g.file, err = s.fs.Open(s.path(num)); room.Scarce(err) {
			s.shed(0)
			g.file, err = s.fs.Open(s.path(num))
		}
		if err != nil {
			return nil, false, fmt.Errorf("open segment %016x: %w", num, err)
		}
		s.open++
	}
	g.refs++ // before others are closed, or this one may be among them
	s.shed(maxOpen)
	return g, true, nil
}

// shed closes idle files while more than keep are open. Called with mu held.
func (s *segments) shed(keep int) {
	for _, g := range s.all {
		if s.open <= keep {
			return
		}
		if g.file != nil && g.refs == 0 && g != s.last {
			_ = g.file.Close() // only ever read, or synced before
			g.file = nil
			s.open--
		}
	}
}

func (s *segments) release(g *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.refs--
	if g.gone && g.refs == 0 && g.file != nil {
		_ = g.file.Close()
		g.file = nil
		s.open--
	}
}

// append writes a record, whose beginning is the first n bytes and is signed here, to the active segment and returns
// where. The bytes are not synced yet. The segment is acquired; hand it to settle when the index knows the record, or
// will never know it. The index's mark does not pass a put until then; a copy that nothing points to is nothing.
func (s *segments) append(record []byte, n int, put bool) (*segment, int64, error) {
	s.write.Lock()
	defer s.write.Unlock()
	g, err := s.active(int64(len(record)))
	if err != nil {
		return nil, 0, diskError(err)
	}
	signHead(record[:n], &g.salt)
	off := g.end // only append changes it, and we hold write
	if _, err := g.file.WriteAt(record, off); err != nil {
		s.release(g)
		return nil, 0, diskError(fmt.Errorf("write to segment %016x: %w", g.num, err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g.end += int64(len(record))
	s.size += int64(len(record))
	g.puts++
	if put {
		s.flying[mark{g.num, off}] = struct{}{}
	}
	return g, off, nil
}

// settle says that a record that append wrote at off is in the index, or never will be.
func (s *segments) settle(g *segment, off int64) {
	s.mu.Lock()
	g.puts--
	delete(s.flying, mark{g.num, off})
	s.landed.Broadcast()
	s.mu.Unlock()
	s.release(g)
}

// flush syncs what was appended to g before. If that fails nobody knows what is on the disk, and nothing more is
// appended to g.
func (s *segments) flush(g *segment) error {
	if err := g.sync.flush(g.file.SyncData); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.last == g {
			s.last = nil
		}
		return diskError(fmt.Errorf("sync segment %016x: %w", g.num, err))
	}
	return nil
}

// active acquires the segment that takes n bytes more, beginning a new one if need be. Called with write held.
func (s *segments) active(n int64) (*segment, error) {
	s.mu.Lock()
	g, num := s.last, s.next
	if g != nil && (g.end+n <= s.target || g.end == segmentHeader) {
		g.refs++
		s.mu.Unlock()
		return g, nil
	}
	s.mu.Unlock()
	g, err := s.create(num)
	if err != nil {
		return nil, fmt.Errorf("begin segment %016x: %w", num, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[num], s.last, s.next = g, g, num+1
	s.size += g.end
	g.refs++
	s.open++
	s.shed(maxOpen)
	return g, nil
}

// create makes an empty segment file whose name survives a power cut.
func (s *segments) create(num uint64) (*segment, error) {
	file, err := s.fs.OpenReadWrite(s.path(num), category)
	if err != nil {
		return nil, err
	}
	g := &segment{num: num, end: segmentHeader, file: file}
	_, _ = rand.Read(g.salt[:]) // never fails
	header := append([]byte(segmentMagic), g.salt[:]...)
	if _, err = file.WriteAt(header, 0); err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = syncDir(s.fs, s.dir)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return g, nil
}

// reopen makes a segment of before the active one, if it has room.
func (s *segments) reopen(g *segment) error {
	if g.end >= s.target {
		return nil
	}
	file, err := s.fs.OpenReadWrite(s.path(g.num), category)
	if err != nil {
		return fmt.Errorf("open segment %016x: %w", g.num, err)
	}
	g.file, s.last = file, g
	s.open++
	return nil
}

// remove deletes a segment's file. Readers that have acquired it go on reading.
func (s *segments) remove(g *segment) error {
	s.mu.Lock()
	delete(s.all, g.num)
	s.size -= g.end
	g.gone = true
	g.refs++ // released below, which closes the file
	s.mu.Unlock()
	defer s.release(g)
	if err := s.fs.Remove(s.path(g.num)); err != nil {
		return fmt.Errorf("remove segment %016x: %w", g.num, err)
	}
	return nil
}

// close closes all files. Nobody may use the segments any more.
func (s *segments) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, g := range s.all {
		if g.file != nil {
			errs = append(errs, g.file.Close())
			g.file = nil
		}
	}
	return errors.Join(errs...)
}

// flusher makes one sync serve all who wait for one. Whoever comes while none is under way does it himself.
type flusher struct {
	mu          sync.Mutex
	done        sync.Cond
	begun, over uint64 // syncs
	busy        bool
	err         error // sticks
}

// flush returns after a sync that began after the call, or with the error of any sync so far.
func (f *flusher) flush(sync func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done.L = &f.mu
	for want := f.begun + 1; f.over < want && f.err == nil; {
		if f.busy {
			f.done.Wait()
			continue
		}
		f.busy, f.begun = true, f.begun+1
		n := f.begun
		f.mu.Unlock()
		err := sync()
		f.mu.Lock()
		f.busy, f.over, f.err = false, n, err
		f.done.Broadcast()
	}
	return f.err
}

// diskError says ErrDiskFull where the operating system said ENOSPC or EDQUOT.
func diskError(err error) error {
	if room.Full(err) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}
