package depot

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/hammockfs/hammock/crypt"
)

// sealedRecord is a whole record as it lies in a segment.
func sealedRecord(s *salt, data []byte, holders ...holder) []byte {
	b := appendHead(nil, &head{ID: crypt.Sum(data), Size: uint32(len(data)), Holders: holders})
	signHead(b, s)
	_, outboard := crypt.Outboard(data)
	return append(append(b, data...), outboard...)
}

// readRecord reads a record and checks all of it but the outboard.
func readRecord(file io.ReaderAt, s *salt, off, size int64) (head, place, error) {
	h, at, err := readHead(file, s, off, size)
	if err != nil {
		return h, at, err
	}
	ok, err := whole(file, &h, at)
	if err == nil && !ok {
		err = errRecord
	}
	return h, at, err
}

func TestRecord(t *testing.T) {
	s := &salt{1, 2, 3}
	data := shard(1, 40_000)
	holders := []holder{{owner(1), 7, 8, 0}, {owner(2), 1<<64 - 1, 9, 12345}}
	b := sealedRecord(s, data, holders...)
	if int64(len(b)) != recordLen(int64(len(data)), 2) {
		t.Errorf("%d bytes, want %d", len(b), recordLen(int64(len(data)), 2))
	}
	h, at, err := readRecord(bytes.NewReader(b), s, 0, int64(len(b)))
	if err != nil || at.end() != int64(len(b)) || !reflect.DeepEqual(h.Holders, holders) || h.ID != crypt.Sum(data) {
		t.Errorf("%+v, %+v, %v", h, at, err)
	}
	for name, change := range map[string]func(b []byte) []byte{
		"magic":      func(b []byte) []byte { b[0]++; return b },
		"size":       func(b []byte) []byte { b[4]++; return b },
		"huge":       func(b []byte) []byte { b[7] = 0xff; return b },
		"outboard":   func(b []byte) []byte { b[8]++; return b },
		"no holders": func(b []byte) []byte { b[12] = 0; return b },
		"holders":    func(b []byte) []byte { b[15] = 1; return b },
		"reserved":   func(b []byte) []byte { b[59]++; return b },
		"holder":     func(b []byte) []byte { b[recordHeader+50]++; return b },
		"data":       func(b []byte) []byte { b[headLen(2)+77]++; return b },
		"torn":       func(b []byte) []byte { return b[:len(b)-1] },
		"torn early": func(b []byte) []byte { return b[:recordHeader-1] },
		"nothing":    func(b []byte) []byte { return nil },
	} {
		c := change(bytes.Clone(b))
		if _, _, err := readRecord(bytes.NewReader(c), s, 0, int64(len(c))); !errors.Is(err, errRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := readRecord(bytes.NewReader(b), &salt{9}, 0, int64(len(b))); !errors.Is(err, errRecord) {
		t.Errorf("a record of another segment: %v", err)
	}
}

// Whatever bytes lie in a segment, reading it ends, and what it takes for a record is one.
func FuzzSegment(f *testing.F) {
	s := &salt{1}
	two := append(sealedRecord(s, shard(1, 100), holder{owner(1), 1, 2, 3}), sealedRecord(s, shard(2, 2000), holder{}, holder{})...)
	f.Add(two)
	f.Add(two[:len(two)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for off := int64(0); ; {
			h, at, err := readRecord(bytes.NewReader(b), s, off, int64(len(b)))
			if err != nil {
				if !errors.Is(err, errRecord) {
					t.Fatal(err)
				}
				return
			}
			again := appendHead(nil, &h)
			signHead(again, s)
			if !bytes.Equal(again[:48], b[off:off+48]) || !bytes.Equal(again[recordHeader:], b[off+recordHeader:off+int64(at.head)]) {
				t.Fatal("the beginning of a record is not what was read from it")
			}
			off = at.end()
		}
	})
}

// Values of the index are our own, but a parser that panics would keep a node from starting.
func FuzzIndexValues(f *testing.F) {
	e := entry{place: place{1, 2, 3, 4}, holders: []hold{{owner(1), crypt.ID{}, 5}}}
	f.Add(e.value())
	c := claim{1, 2, 3}
	f.Add(c.value())
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := parseEntry(crypt.ID{}, b); err == nil && !bytes.Equal(e.value(), b) {
			t.Error("an entry changes")
		}
		if c, err := parseClaim(b); err == nil && !bytes.Equal(c.value(), b) {
			t.Error("a claim changes")
		}
		_, _ = parseHold(b)
		_, _ = parseSegment(b)
	})
}
