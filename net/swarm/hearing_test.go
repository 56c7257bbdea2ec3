package swarm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// forged is a record or card whose signature is wrong.
func forged(t *testing.T, raw []byte, i int) []byte {
	t.Helper()
	var s signed
	if err := crypt.DecodeCBOR(raw, &s); err != nil {
		t.Fatal(err)
	}
	s.Signature = bytes.Clone(s.Signature)
	s.Signature[i%len(s.Signature)] ^= byte(1 + i/len(s.Signature))
	b, err := crypt.EncodeCBOR(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Who sends many wrong records keeps this node busy with a few of them.
func TestForgedRecordsAreGivenUp(t *testing.T) {
	c := newCast(t, 4)
	r := c.roster(t)
	good, late := c.sign(t, 0, 1, 1), c.sign(t, 0, 2, 1)
	var lot [][]byte
	for i := range 1000 {
		lot = append(lot, forged(t, late, i))
	}
	changed, err := r.merge(append([][]byte{good}, append(lot, late)...))
	if !errors.Is(err, errTooWrong) || !changed || len(r.edges) != 1 {
		t.Errorf("changed %v, %d records, error %v", changed, len(r.edges), err)
	}
	// What is not invited by a member is not looked at, however wrong it is.
	lot = nil
	for i := range 1000 {
		lot = append(lot, forged(t, c.sign(t, 3, 2, uint64(i+1)), 0))
	}
	if changed, err := r.merge(lot); err != nil || changed {
		t.Errorf("strangers' records: changed %v, %v", changed, err)
	}
	// Nor what is older than what is known.
	if _, err := r.merge([][]byte{c.sign(t, 0, 1, 9)}); err != nil {
		t.Fatal(err)
	}
	lot = nil
	for i := range 1000 {
		lot = append(lot, forged(t, c.sign(t, 0, 1, 3), i))
	}
	if changed, err := r.merge(lot); err != nil || changed {
		t.Errorf("old records: changed %v, %v", changed, err)
	}
}

// Of cards of strangers no signature is looked at, and wrong ones are given up.
func TestForgedCardsAreGivenUp(t *testing.T) {
	s := newParty(t, "one").found(t).start(t)
	p := newParty(t, "mallory")
	d, err := signCard(s.ID(), p.device, card{Version: 1, Certificate: p.cert, Seq: 1}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.learn(nil, [][]byte{forged(t, d.raw, 0)}); !errors.Is(err, ErrNotMember) {
		t.Errorf("a stranger's card: %v", err)
	}
	before := len(s.cards)
	p.joins(t, s)
	var lot [][]byte
	for i := range 1000 {
		lot = append(lot, forged(t, d.raw, i))
	}
	if err := s.learn(nil, append(lot, d.raw)); !errors.Is(err, errTooWrong) || len(s.cards) != before {
		t.Errorf("%d cards more, error %v", len(s.cards)-before, err)
	}
}

// An owner's devices say hello at a pace of their own.
func TestHellosArePaced(t *testing.T) {
	h := newHellos(&limits{greets: pace{0.001, 5}, gossips: pace{0.001, 2}})
	a, b := crypt.OwnerKey{1}, crypt.OwnerKey{2}
	count := func(o crypt.OwnerKey) (n int) {
		for h.of(o).greets.Allow() {
			n++
		}
		return n
	}
	if n, m := count(a), count(b); n != 5 || m != 5 {
		t.Errorf("%d and %d hellos at once, want 5 each", n, m)
	}
	var ends []func()
	hear := func(o crypt.OwnerKey) error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		end, err := h.hearing(ctx, o)
		if err == nil {
			ends = append(ends, end)
		}
		return err
	}
	for i := range 2 {
		if err := errors.Join(hear(a), hear(b)); err != nil {
			t.Fatalf("hearing %d: %v", i, err)
		}
	}
	if hear(a) == nil {
		t.Error("a third hearing within its pace of two")
	}
	for i := byte(3); len(ends) < hearings; i++ {
		if err := hear(crypt.OwnerKey{i}); err != nil {
			t.Fatal(fmt.Errorf("owner %d: %w", i, err))
		}
	}
	if hear(crypt.OwnerKey{100}) == nil {
		t.Errorf("more than %d hearings at once", hearings)
	}
	ends[0]()
	if err := hear(crypt.OwnerKey{101}); err != nil {
		t.Errorf("after the end of one: %v", err)
	}
}

// A member's hello beyond the pace of its owner is turned away before it is read.
func TestHelloBeyondItsPace(t *testing.T) {
	a := newParty(t, "anna").found(t)
	sa := a.start(t, func(_ *Config, l *limits) { l.greets = pace{0.001, 6} })
	b := newParty(t, "ben").joins(t, sa)
	sb := b.start(t)
	meet(t, sb, a)
	read := 0
	for range 12 {
		st, err := sb.host.NewStream(t.Context(), sa.host.ID(), ProtocolHello)
		if err != nil {
			t.Fatal(err)
		}
		var answer hello
		if writeFrame(st, sb.hello()) == nil && readFrame(st, &answer) == nil {
			read++
		}
		_ = st.Reset()
	}
	if read > 6 {
		t.Errorf("%d of 12 hellos were answered, 6 are its pace", read)
	}
}
