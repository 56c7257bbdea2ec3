package chunker

// Scanner finds cuts in an input that arrives in pieces. It remembers a hash and a position, never bytes; the caller
// keeps those. It is not safe for concurrent use; any number of Scanners may share a Table.
type Scanner struct {
	table *Table
	hash  uint64
	n     int // bytes of the current chunk that were consumed
}

// NewScanner returns a Scanner that stands at the start of a chunk.
func (t *Table) NewScanner() *Scanner { return &Scanner{table: t} }

// Reset puts the Scanner back to the start of a chunk, as after the end of an input.
func (s *Scanner) Reset() { s.hash, s.n = 0, 0 }

// Pending returns how many bytes of the current chunk were consumed: the length of the last chunk, at the input's end.
func (s *Scanner) Pending() int { return s.n }

// Scan consumes bytes of p up to the first cut. With cut set, the current chunk ends after these n bytes and the
// Scanner stands at the start of the next; else n is len(p) and the chunk goes on in the next piece.
func (s *Scanner) Scan(p []byte) (n int, cut bool) {
	q := s.table.params
	n = s.skip(p)
	for _, phase := range [...]struct {
		end   int // the tests of this phase are for chunks shorter than this
		bound uint64
	}{{q.Min, 0}, {q.Avg, s.table.rare}, {q.Max, s.table.often}} {
		// A chunk of s.n+1 bytes is the next to be tested: the last that this phase may test has end-1.
		m := min(phase.end-1-s.n, len(p)-n)
		if m <= 0 {
			continue
		}
		k, hash, found := s.table.find(p[n:n+m], s.hash, phase.bound)
		n, s.n, s.hash = n+k, s.n+k, hash
		if found {
			s.Reset()
			return n, true
		}
	}
	if s.n == q.Max-1 && n < len(p) {
		s.Reset()
		return n + 1, true
	}
	return n, false
}

// skip consumes what comes before the window of the first position that is tested, and returns how much of p it was.
func (s *Scanner) skip(p []byte) int {
	n := min(s.table.params.Min-Window-s.n, len(p))
	if n <= 0 {
		return 0
	}
	s.n += n
	return n
}
