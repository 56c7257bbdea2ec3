package tree

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
)

// TestVerify damages a tree in each way that its nodes alone do not show, and wants that told and the rest visited.
func TestVerify(t *testing.T) {
	at := func(p Pointer) int { return int(binary.BigEndian.Uint64(p)) }
	for name, damage := range map[string]func(m *memNodes, r *Root, leaf int){
		"a leaf is no node":             func(m *memNodes, _ *Root, leaf int) { m.nodes[leaf] = []byte("junk") },
		"a leaf is another's":           func(m *memNodes, _ *Root, leaf int) { m.nodes[leaf] = m.nodes[leaf+1] },
		"a node is of another level":    func(m *memNodes, r *Root, leaf int) { m.nodes[leaf] = m.nodes[at(r.Ptr)] },
		"the head says another number":  func(_ *memNodes, r *Root, _ int) { r.Entries++ },
		"the head says another height":  func(_ *memNodes, r *Root, _ int) { r.Height++ },
		"the head says any height":      func(_ *memNodes, r *Root, _ int) { r.Height = 200 },
		"the head leads to no node":     func(m *memNodes, r *Root, _ int) { m.nodes[at(r.Ptr)] = nil },
		"a node says of another number": func(m *memNodes, r *Root, _ int) { miscount(m, at(r.Ptr)) },
	} {
		t.Run(name, func(t *testing.T) {
			m := &memNodes{}
			s := small(m, 200)
			s.cache = newCache(0)
			r, err := s.Fold(context.Background(), Root{}, sequence(0, 500, 3))
			if err != nil {
				t.Fatal(err)
			}
			leaf := slices.IndexFunc(m.nodes, func(b []byte) bool { return b[1] == 0 })
			damage(m, &r, leaf)
			found := 0
			err = s.Verify(context.Background(), r, func(Pointer) error { return nil }, func(err error) {
				found++
				if !errors.Is(err, ErrNode) {
					t.Errorf("%v", err)
				}
			})
			if err != nil || found == 0 || found > 2 {
				t.Errorf("%d findings, %v", found, err)
			}
		})
	}
}

// miscount changes what a node says of its first child.
func miscount(m *memNodes, i int) {
	b := slices.Clone(m.nodes[i])
	n, err := parse(nil, b)
	if err != nil {
		panic(err)
	}
	n.rest(0)[0]++
	m.nodes[i] = b
}

// TestVerifyEnds wants the error of a visit to end it.
func TestVerifyEnds(t *testing.T) {
	s := small(&memNodes{}, 200)
	r, err := s.Fold(context.Background(), Root{}, sequence(0, 500, 3))
	if err != nil {
		t.Fatal(err)
	}
	enough, n := errors.New("enough"), 0
	err = s.Verify(context.Background(), r, func(Pointer) error {
		if n++; n == 7 {
			return enough
		}
		return nil
	}, func(err error) { t.Error(err) })
	if !errors.Is(err, enough) || n != 7 {
		t.Errorf("%v after %d nodes", err, n)
	}
}
