package journal

import (
	"bufio"
	"cmp"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// DamageError says that records which may have been acknowledged cannot be read. Open does not go on after it.
type DamageError struct {
	Segment string // file name
	Offset  int64  // where the frame that does not open begins
	LSN     LSN    // the first record that is missing
	Next    LSN    // the first record that is there again
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("journal segment %s is damaged at byte %d: records %d to %d cannot be read",
		e.Segment, e.Offset, e.LSN, e.Next-1)
}

// load opens every file of the folder. Files in use are returned in order of their numbers; the others become free.
func (j *Journal) load() (used []*segment, err error) {
	names, err := j.cfg.FS.List(j.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	slices.Sort(names)
	defer func() {
		if err != nil {
			j.old = used // for closeFiles
		}
	}()
	for _, name := range names {
		if made, ok := strings.CutSuffix(name, unready); ok {
			if _, ok := parseFileName(made); ok { // its making was interrupted
				_ = j.cfg.FS.Remove(j.cfg.FS.PathJoin(j.cfg.Dir, name))
			}
		}
		n, ok := parseFileName(name)
		if !ok {
			continue
		}
		j.nextFile = max(j.nextFile, n+1)
		s, inUse, err := j.openSegment(name)
		if err != nil {
			return used, err
		}
		if inUse {
			used = append(used, s)
		} else if err := j.recycle(s); err != nil {
			return used, err
		}
	}
	slices.SortFunc(used, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	return used, nil
}

func (j *Journal) openSegment(name string) (s *segment, used bool, err error) {
	f, err := j.cfg.FS.OpenReadWrite(j.cfg.FS.PathJoin(j.cfg.Dir, name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, false, fmt.Errorf("open segment %s: %w", name, err)
	}
	s = &segment{name: name, file: f}
	used, err = j.inspect(s)
	if err != nil {
		return nil, false, errors.Join(fmt.Errorf("segment %s: %w", name, err), f.Close())
	}
	return s, used, nil
}

func (j *Journal) inspect(s *segment) (used bool, err error) {
	info, err := s.file.Stat()
	if err != nil {
		return false, err
	}
	s.size = info.Size()
	if s.size < frameStart { // its making was interrupted
		return false, nil
	}
	var h [headerSize]byte
	if _, err := s.file.ReadAt(h[:], 0); err != nil {
		return false, fmt.Errorf("read header: %w", err)
	}
	return s.readHeader(&j.cfg.Key, h[:])
}

// replaySegments reads the segments in order and returns the newest LSN found. It sets records and off of each.
func replaySegments(used []*segment, after LSN, replay func(LSN, []byte) error) (last LSN, err error) {
	if len(used) > 0 && used[0].first > after+1 {
		return 0, &DamageError{Segment: used[0].name, LSN: after + 1, Next: used[0].first}
	}
	for i, s := range used {
		end := LSN(1<<64 - 1) // the last one ends where it ends
		if i+1 < len(used) {
			end = used[i+1].first
		}
		if err := s.replay(end, after, replay); err != nil {
			return 0, err
		}
		last = s.last()
	}
	return last, nil
}

// replay reads the frames of s up to the record before end, which is the first of the next segment.
func (s *segment) replay(end, after LSN, replay func(LSN, []byte) error) error {
	if end <= after+1 && end >= s.first { // all of it is durable elsewhere
		s.records, s.off = uint64(end-s.first), s.size
		return nil
	}
	r := bufio.NewReaderSize(io.NewSectionReader(s.file, frameStart, s.size-frameStart), 256<<10)
	fr := frameReader{r: r, aead: s.aead, off: frameStart, size: s.size}
	for lsn := s.first; lsn < end; lsn++ {
		rec, err := fr.next()
		if errors.Is(err, errTorn) {
			if end == 1<<64-1 {
				break
			}
			return &DamageError{Segment: s.name, Offset: fr.off, LSN: lsn, Next: end}
		}
		if err != nil {
			return fmt.Errorf("read segment %s at %d: %w", s.name, fr.off, err)
		}
		s.records, s.off = uint64(lsn-s.first)+1, fr.off
		if lsn <= after {
			continue
		}
		if err := replay(lsn, rec); err != nil {
			return fmt.Errorf("replay record %d: %w", lsn, err)
		}
	}
	return nil
}

// errTorn ends the frames of a segment: what follows was never written whole under its key.
var errTorn = errors.New("no whole frame")

// frameReader opens the frames of one segment one after another.
type frameReader struct {
	r     io.Reader
	aead  cipher.AEAD
	off   int64 // where the next frame begins
	size  int64 // of the file
	count uint64
	nonce [12]byte
	buf   []byte
}

// next returns the next record, valid until the call after; errTorn where there is none, else an error of the reader.
func (fr *frameReader) next() ([]byte, error) {
	var head [4]byte
	if err := readFull(fr.r, head[:]); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(head[:]))
	if n < tagSize || n > MaxRecord+tagSize || fr.off+4+n > fr.size {
		return nil, errTorn
	}
	fr.buf = slices.Grow(fr.buf[:0], int(n))[:n]
	if err := readFull(fr.r, fr.buf); err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint64(fr.nonce[:], fr.count)
	rec, err := fr.aead.Open(fr.buf[:0], fr.nonce[:], fr.buf, nil)
	if err != nil {
		return nil, errTorn
	}
	fr.count++
	fr.off += 4 + n
	return rec, nil
}

func readFull(r io.Reader, p []byte) error {
	_, err := io.ReadFull(r, p)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errTorn
	}
	return err
}
