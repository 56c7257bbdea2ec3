package depot

import (
	"cmp"
	"encoding/binary"
	"errors"
)

// mark is a place among all records, which are appended one after another, and to a segment of a higher number later.
//
// The index has one that says how far it knows the records: each that lies before it was entered, or never will be, by
// something that was committed before the mark was. A start reads the records behind it, for the index is not synced for
// each of them. What the mark has passed is never looked at again, so that what was deleted and forgotten stays so.
type mark struct {
	seg uint64
	off int64
}

func (m mark) compare(n mark) int {
	return cmp.Or(cmp.Compare(m.seg, n.seg), cmp.Compare(m.off, n.off))
}

func (m mark) value() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, m.seg), uint64(m.off))
}

func parseMark(b []byte) (mark, error) {
	if len(b) != 16 {
		return mark{}, errors.New("depot index: mark of another length")
	}
	return mark{binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:]))}, nil
}

// tip is where the next record goes. Called with mu held.
func (s *segments) tip() mark {
	if s.last != nil {
		return mark{s.last.num, s.last.end}
	}
	return mark{s.next, 0}
}

// low is the first record that a put has appended and not settled yet, but for one of its own, or the tip. Called with mu
// held.
func (s *segments) low(own mark) mark {
	m := s.tip()
	for f := range s.flying {
		if f != own && f.compare(m) < 0 {
			m = f
		}
	}
	return m
}

// known is how far all records are settled, where the one at own is about to be.
func (s *segments) known(own mark) mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.low(own)
}

// land waits until all records that were appended before are settled.
func (s *segments) land() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for tip := s.tip(); s.low(mark{}).compare(tip) < 0; {
		s.landed.Wait()
	}
}

// pass moves the index's mark behind all records that are there: what is committed after it may make the index forget what
// they say. Called without locks of shards, for puts that are under way have to come to an end.
func (d *Depot) pass(sync bool) error {
	d.segments.land()
	d.marking.Lock()
	defer d.marking.Unlock()
	b := d.index.batch()
	b.set([]byte{keyMark}, d.segments.known(mark{}).value())
	return d.commit(b, sync)
}

// commitPut commits what enters the record of a put at a place, and moves the mark as far as it goes. The segment's bytes
// are synced, and a start would find the record in it: so the index need not be synced if the record alone says what
// the batch does, which is so where nobody knew of the claim (fresh), and if there is not too much for a start to read.
func (d *Depot) commitPut(b batch, at *place, fresh bool) error {
	d.marking.RLock() // a mark that was found before one of pass must not be committed after it
	defer d.marking.RUnlock()
	sync := !fresh || d.loose.Load()
	if d.tail.Add(at.record()) > maxTail {
		d.tail.Store(0)
		sync = true
	}
	b.set([]byte{keyMark}, d.segments.known(mark{at.seg, at.off}).value())
	return d.commit(b, sync)
}
