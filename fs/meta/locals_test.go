package meta

import (
	"context"
	"slices"
	"testing"

	"github.com/hammockfs/hammock/crypt"
)

// TestDebts: debts come back in pages; what was owed before a record that is synced survives the power cut that the record
// survives; what was paid is gone.
func TestDebts(t *testing.T) {
	ctx := context.Background()
	w := newWorld(31)
	d := w.open(t)
	defer func() { d.Close(ctx) }()
	var want []Debt
	for i := range uint64(100) {
		want = append(want, Debt{Store: uint32(1 + i/30), Stripe: i % 30, Shard: crypt.Sum([]byte{byte(i)}), Generation: i})
	}
	if err := d.Owe(ctx, want); err != nil {
		t.Fatal(err)
	}
	soundOverlay(t, d)
	if err := d.Placed(ctx, 5, fakeRecord(5)); err != nil {
		t.Fatal(err)
	}
	d = w.cut(t, d, 0)
	var got []Debt
	for after := (*Debt)(nil); ; after = &got[len(got)-1] {
		list, err := d.Debts(ctx, after, 7)
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, list...); len(list) < 7 {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d debts come back: %v", len(got), got)
	}
	if err := d.Paid(ctx, want[1:]); err != nil {
		t.Fatal(err)
	}
	if list, err := d.Debts(ctx, nil, 7); err != nil || !slices.Equal(list, want[:1]) {
		t.Errorf("after the others were paid: %v, %v", list, err)
	}
}

// TestStandings: what is known of stores is there after a restart, is in no head, and is no reason for a checkpoint.
func TestStandings(t *testing.T) {
	ctx := context.Background()
	w := newWorld(32)
	d := w.open(t)
	defer func() { d.Close(ctx) }()
	commit(t, d, func(b *Batch) { b.PutInode(&Inode{Ino: 1, Mode: 0o40755}) })
	head := checkpoint(t, d, true)
	for n := range uint32(3) {
		if err := d.SaveStanding(ctx, n, []byte{byte(n), 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.SaveStanding(ctx, 1, make([]byte, Page+1)); err == nil {
		t.Error("a standing of more than a page is taken")
	}
	if d.Dirty() {
		t.Error("a standing asks for a checkpoint")
	}
	if err := d.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	d = w.cut(t, d, 0)
	soundOverlay(t, d)
	m, err := d.Standings(ctx)
	if err != nil || len(m) != 3 || !slices.Equal(m[2], []byte{2, 1}) {
		t.Errorf("%v, %v", m, err)
	}
	other := w.restore(t, head)
	defer other.Close(ctx)
	if m, err := other.Standings(ctx); err != nil || len(m) != 0 {
		t.Errorf("elsewhere: %v, %v", m, err)
	}
}

// TestRecords: records come from a number on, across what is in the tree and what is not, and end when enough was seen.
func TestRecords(t *testing.T) {
	ctx := context.Background()
	w := newWorld(33)
	d := w.open(t)
	defer d.Close(ctx)
	for part := range uint64(2) {
		commit(t, d, func(b *Batch) {
			b.PutInode(&Inode{Ino: 1, Mode: 0o40755})
			for i := range uint64(500) {
				if i%2 == part {
					b.putStripe(1<<50+i, fakeRecord(1<<50+i))
				}
			}
		})
		if part == 0 {
			checkpoint(t, d, true)
		}
	}
	var got []uint64
	for after := uint64(1<<50 + 99); ; after = got[len(got)-1] {
		n := 0
		if err := d.Records(ctx, after, func(stripe uint64, record []byte) bool {
			if string(record[:11]) != string(fakeRecord(stripe)[:11]) {
				t.Errorf("stripe %x: %q", stripe, record)
			}
			got = append(got, stripe)
			n++
			return n < 64
		}); err != nil {
			t.Fatal(err)
		}
		if n < 64 {
			break
		}
	}
	seen := 0
	for i, s := range got {
		if i > 0 && s <= got[i-1] {
			t.Fatalf("stripe %x after %x", s, got[i-1])
		}
		if s >= 1<<50 && s < 1<<50+500 {
			seen++
		}
	}
	if seen != 400 {
		t.Errorf("%d of 400 records", seen)
	}
	if err := d.Records(ctx, ^uint64(0), func(uint64, []byte) bool { t.Error("a record behind the last number"); return false }); err != nil {
		t.Error(err)
	}
}

// soundOverlay has the check know all that is kept.
func soundOverlay(t *testing.T, d *DB) {
	t.Helper()
	if err := d.VerifyOverlay(t.Context(), func(err error) { t.Error(err) }); err != nil {
		t.Error(err)
	}
}
