package journal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Verify reads every record that is not released from the files once more. Each must open under its segment's key in
// its place, and the segments must follow one another without a gap. What does not fit goes to bad; the error is of
// reading, or ctx's. Records may be appended and released meanwhile.
func (j *Journal) Verify(ctx context.Context, bad func(error)) (records uint64, err error) {
	list := j.inUse()
	for i := range list {
		s := &list[i]
		if i > 0 && list[i-1].last()+1 != s.first {
			bad(&DamageError{Segment: s.name, LSN: list[i-1].last() + 1, Next: s.first})
		}
		if ctx.Err() != nil {
			return records, ctx.Err()
		}
		n, err := j.verify(s)
		records += n
		switch {
		case err == nil && n == s.records:
		case !j.uses(s.number): // released since, and perhaps written over
		case err != nil:
			return records, fmt.Errorf("read segment %s: %w", s.name, err)
		default:
			bad(&DamageError{Segment: s.name, Offset: s.off, LSN: s.first + LSN(n), Next: s.last() + 1})
		}
	}
	return records, nil
}

// inUse returns what is known now of the segments that hold records which are not released, oldest first.
func (j *Journal) inUse() (list []segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range append(slices.Clone(j.old), j.cur) {
		list = append(list, segment{name: s.name, size: s.size, number: s.number, first: s.first, records: s.records, off: s.off})
	}
	return list
}

func (j *Journal) uses(number uint64) bool {
	return slices.ContainsFunc(j.inUse(), func(s segment) bool { return s.number == number })
}

// verify counts the records of a segment that open, up to as many as there should be. off becomes where they end.
func (j *Journal) verify(s *segment) (n uint64, err error) {
	f, err := j.cfg.FS.Open(j.cfg.FS.PathJoin(j.cfg.Dir, s.name), vfs.SequentialReadsOption)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	h := make([]byte, headerSize)
	if _, err := f.ReadAt(h, 0); err != nil {
		return 0, err
	}
	there := *s
	if used, err := there.readHeader(&j.cfg.Key, h); err != nil || !used || there.number != s.number || there.first != s.first {
		return 0, nil
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, frameStart, s.size-frameStart), 256<<10)
	fr := frameReader{r: r, aead: there.aead, off: frameStart, size: s.size}
	for n < s.records {
		if _, err := fr.next(); errors.Is(err, errTorn) {
			s.off = fr.off
			return n, nil
		} else if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
