package volume

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// runModel is what runs should hold: a byte and whether there is one.
type runModel struct {
	data []byte
	has  []bool
}

const runSpace = 20_000

func (m *runModel) count() (n int64) {
	for _, h := range m.has {
		if h {
			n++
		}
	}
	return n
}

func (m *runModel) check(t *rapid.T, d *runs) {
	if d.bytes != m.count() {
		t.Fatalf("%d bytes counted, %d there", d.bytes, m.count())
	}
	var sum int64
	for i, r := range d.list {
		sum += int64(len(r.buf))
		if len(r.buf) == 0 || i > 0 && d.list[i-1].end() > r.off {
			t.Fatalf("run %d: [%d,%d)", i, r.off, r.end())
		}
	}
	if sum != d.bytes {
		t.Fatalf("%d bytes counted, runs have %d", d.bytes, sum)
	}
}

func (m *runModel) read(t *rapid.T, d *runs) {
	off := rapid.IntRange(0, runSpace-1).Draw(t, "off")
	p := bytes.Repeat([]byte{0xee}, rapid.IntRange(0, runSpace-off).Draw(t, "len"))
	holes := make([]bool, len(p))
	d.read(p, uint64(off), func(q []byte, at uint64) {
		if len(q) == 0 {
			t.Fatal("an empty hole")
		}
		for i := range q {
			holes[int(at)-off+i] = true
		}
	})
	for i := range p {
		if holes[i] == m.has[off+i] {
			t.Fatalf("at %d: hole %v, written %v", off+i, holes[i], m.has[off+i])
		}
		if !holes[i] && p[i] != m.data[off+i] {
			t.Fatalf("at %d: wrong byte", off+i)
		}
	}
}

// TestRuns compares runs with a plain slice.
func TestRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d runs
		m := &runModel{data: make([]byte, runSpace), has: make([]bool, runSpace)}
		seed := byte(0)
		draw := func(t *rapid.T) (p []byte, off int) {
			off = rapid.IntRange(0, runSpace-1).Draw(t, "off")
			p = make([]byte, rapid.IntRange(1, min(6000, runSpace-off)).Draw(t, "len"))
			for i := range p {
				seed++
				p[i] = seed
			}
			return p, off
		}
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				p, off := draw(t)
				before := m.count()
				reach := d.reach(uint64(off), len(p))
				grown, at := d.write(p, uint64(off))
				copy(m.data[off:], p)
				for i := range p {
					m.has[off+i] = true
				}
				if grown != m.count()-before {
					t.Fatalf("grown by %d, told %d", m.count()-before, grown)
				}
				if at.off > uint64(off) || at.end() < uint64(off+len(p)) || len(at.buf) < reach {
					t.Fatalf("the run [%d,%d) does not hold the write; at least %d bytes were foretold", at.off, at.end(), reach)
				}
			},
			"under": func(t *rapid.T) {
				p, off := draw(t)
				before := m.count()
				grown := d.under(p, uint64(off))
				for i := range p {
					if !m.has[off+i] {
						m.has[off+i], m.data[off+i] = true, p[i]
					}
				}
				if grown != m.count()-before {
					t.Fatalf("grown by %d, told %d", m.count()-before, grown)
				}
			},
			"cut": func(t *rapid.T) {
				size := rapid.IntRange(0, runSpace).Draw(t, "size")
				before := m.count()
				dropped := d.cut(uint64(size))
				clear(m.has[size:])
				if dropped != before-m.count() {
					t.Fatalf("dropped %d, told %d", before-m.count(), dropped)
				}
			},
			"remove": func(t *rapid.T) {
				if len(d.list) == 0 {
					return
				}
				i := rapid.IntRange(0, len(d.list)-1).Draw(t, "run")
				r := *d.list[i]
				d.remove(i)
				clear(m.has[r.off:r.end()])
			},
			"read": func(t *rapid.T) { m.read(t, &d) },
			"":     func(t *rapid.T) { m.check(t, &d) },
		})
		if n := m.count(); d.clear() != n || len(d.list) != 0 || d.bytes != 0 {
			t.Fatal("clear left something or told wrong")
		}
	})
}

// TestBuffersGrow grows a run through all sizes of buffers.
func TestBuffersGrow(t *testing.T) {
	var d runs
	want := random(1, 9<<20)
	for off := 0; off < len(want); {
		n := min(1+off/3, len(want)-off)
		d.write(want[off:off+n], uint64(off))
		off += n
	}
	if len(d.list) != 1 || !bytes.Equal(d.list[0].buf, want) {
		t.Fatalf("%d runs", len(d.list))
	}
}
