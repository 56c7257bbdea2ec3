package depot

import (
	"errors"
	"io"
	"math"

	"github.com/hammockfs/hammock/crypt"
)

// scan calls f for the records of a segment from off on, one after another, to the first whose beginning is not whole or
// which ends beyond size. What has become of their shards is for f to find out: whole.
func scan(g *segment, file io.ReaderAt, off, size int64, f func(h *head, at place) error) error {
	for {
		h, at, err := readHead(file, &g.salt, off, size)
		if errors.Is(err, errRecord) {
			return nil
		}
		if err != nil {
			return err
		}
		at.seg = g.num
		if err := f(&h, at); err != nil {
			return err
		}
		off = at.end()
	}
}

// readHead reads the beginning of the record at off, all of which lies within size. errRecord says that there is none.
func readHead(file io.ReaderAt, s *salt, off, size int64) (h head, at place, err error) {
	if off < 0 || off > size-recordHeader {
		return head{}, place{}, errRecord
	}
	fixed := make([]byte, recordHeader)
	if _, err := file.ReadAt(fixed, off); err != nil {
		return head{}, place{}, err
	}
	n, length, err := parseSizes(fixed)
	if err != nil {
		return head{}, place{}, err
	}
	at = place{off: off, head: uint32(n), size: length}
	if at.record() > math.MaxInt64-off || at.end() > size {
		return head{}, place{}, errRecord
	}
	b := make([]byte, n)
	if _, err := file.ReadAt(b, off); err != nil {
		return head{}, place{}, err
	}
	h, err = parseHead(b, s)
	return h, at, err
}

// whole says whether the shard of a record is what its beginning says.
func whole(file io.ReaderAt, h *head, at place) (bool, error) {
	b := make([]byte, at.size)
	if _, err := file.ReadAt(b, at.off+int64(at.head)); err != nil {
		return false, err
	}
	return crypt.Sum(b) == h.ID, nil
}
