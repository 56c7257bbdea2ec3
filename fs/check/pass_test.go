package check

import "testing"

// TestManyNotes: notes are no problems, however many there are.
func TestManyNotes(t *testing.T) {
	c := &checker{said: map[string]bool{}}
	p := newPass(c)
	for i := range maxFindings + 10 {
		p.note(Index, 0, nil, "note %d", i)
	}
	p.tell(t.Context())
	if c.report.Notes != maxFindings+10 || c.report.Problems != 0 || c.left != 0 {
		t.Errorf("%+v, %d left", c.report, c.left)
	}
}
