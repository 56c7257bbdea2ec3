package journal

import (
	"errors"
	"fmt"

	"github.com/hammockfs/hammock/room"
)

// Release says that the effects of all records up to upto are durable elsewhere: segments that hold nothing else are
// used again, or deleted where enough wait already. It may be called with any LSN; lower ones than before do nothing.
func (j *Journal) Release(upto LSN) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if f := j.fault.Load(); f != nil {
		return f.err
	}
	if j.cur.records > 0 && j.cur.last() <= upto {
		j.released = j.cur.off - frameStart
	}
	if err := j.releaseLocked(upto); err != nil {
		return fmt.Errorf("release the journal up to record %d: %w", upto, err)
	}
	return nil
}

func (j *Journal) releaseLocked(upto LSN) error {
	for len(j.old) > 0 && j.old[0].last() <= upto {
		s := j.old[0]
		j.old = j.old[1:]
		if err := j.recycle(s); err != nil {
			return err
		}
	}
	return nil
}

// dropEmpty frees the segments that no record came into, so that restarts one after another leave nothing behind.
func (j *Journal) dropEmpty() error {
	full := j.old[:0:0]
	for i, s := range j.old {
		if s.records > 0 {
			full = append(full, s)
			continue
		}
		if err := j.recycle(s); err != nil {
			j.old = append(full, j.old[i+1:]...)
			return err
		}
	}
	j.old = full
	return nil
}

// recycle keeps s for later, or deletes it. Its old frames stay in it; with the next salt they mean nothing.
func (j *Journal) recycle(s *segment) error {
	if s.size == j.cfg.SegmentSize && len(j.free) < keepFree {
		j.free = append(j.free, s)
		return nil
	}
	err := errors.Join(s.file.Close(), j.cfg.FS.Remove(j.cfg.FS.PathJoin(j.cfg.Dir, s.name)))
	if err != nil {
		return fmt.Errorf("delete segment %s: %w", s.name, err)
	}
	return nil
}

// begin leaves the current segment for a new one that takes a frame of need bytes. The old one is durable before the
// new one's header is written: this is what makes a torn frame in any but the last segment damage. Holds mu.
func (j *Journal) begin(need int64) error {
	s, err := j.take(frameStart + need)
	if err != nil {
		return err
	}
	if j.cur != nil {
		if err := j.syncSegment(j.cur, j.last); err != nil {
			j.free = append(j.free, s)
			return err
		}
	}
	if err := s.start(&j.cfg.Key, j.number+1, j.last+1); err != nil {
		return errors.Join(err, s.file.Close(), j.cfg.FS.Remove(j.cfg.FS.PathJoin(j.cfg.Dir, s.name)))
	}
	if j.cur != nil {
		j.old = append(j.old, j.cur)
	}
	j.cur, j.released = s, 0
	j.number++
	j.prepare()
	return nil
}

// prepared is what the making of a spare segment came to.
type prepared struct {
	s   *segment
	err error
}

// prepare has a spare segment made in the background when none is left, so that the next begin does not wait for it.
// The result goes to j.coming, which take and closeFiles collect.
func (j *Journal) prepare() {
	if len(j.free) > 0 || j.coming != nil {
		return
	}
	j.coming = make(chan prepared, 1)
	name := fileName(j.nextFile)
	j.nextFile++
	go func(to chan<- prepared) {
		s, err := create(j.cfg.FS, j.cfg.Dir, name, j.cfg.SegmentSize)
		to <- prepared{s, err}
	}(j.coming)
}

// take returns an unused segment file of at least size bytes. Holds mu.
func (j *Journal) take(size int64) (*segment, error) {
	if len(j.free) == 0 && j.coming != nil && size <= j.cfg.SegmentSize {
		j.collect()
	}
	for i, s := range j.free {
		if s.size >= size {
			j.free = append(j.free[:i], j.free[i+1:]...)
			return s, nil
		}
	}
	s, err := j.create(max(size, j.cfg.SegmentSize))
	if small := max(size, smallSegment); room.Full(err) && small < j.cfg.SegmentSize {
		return j.create(small)
	}
	return s, err
}

// smallSegment is the size in bytes of a segment for which the disk has no room in full.
const smallSegment = 256 << 10

func (j *Journal) create(size int64) (*segment, error) {
	name := fileName(j.nextFile)
	j.nextFile++
	return create(j.cfg.FS, j.cfg.Dir, name, size)
}

// collect waits for the spare that is being made. Its failure is not reported: whoever needs a segment tries again and
// gets the error of then.
func (j *Journal) collect() {
	if p := <-j.coming; p.err == nil {
		j.free = append(j.free, p.s)
	}
	j.coming = nil
}

func (j *Journal) closeFiles() error {
	if j.coming != nil {
		j.collect()
	}
	var errs []error
	for _, s := range append(append(j.old, j.free...), j.cur) {
		if s != nil {
			errs = append(errs, s.file.Close())
		}
	}
	j.old, j.free = nil, nil
	return errors.Join(errs...)
}
