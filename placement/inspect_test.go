package placement_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hammockfs/hammock/placement"
	"github.com/hammockfs/hammock/placement/storetest"
)

// TestInspect asks stores for their shards, and changes nothing whatever they say.
func TestInspect(t *testing.T) {
	w := newWorld(t, 6)
	p, stop := w.start(w.config()) // 4+2 on six stores
	w.placeAll(p, placement.ClassData, 1<<20)
	w.expectWhole(1)
	stop()
	ctx := context.Background()
	look := func(whole bool) placement.Inspection {
		t.Helper()
		b, err := w.Record(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		x, err := p.Inspect(ctx, b, whole)
		if err != nil || x.Need != 4 {
			t.Fatalf("%+v, %v", x, err)
		}
		return x
	}
	for _, whole := range []bool{false, true} {
		if x := look(whole); x.Good != 6 || x.Away+x.Missing+len(x.Lost) != 0 {
			t.Errorf("all is well: %+v", x)
		}
	}
	r := w.record(1)
	before := r.Append(nil)
	w.mem[r.Shards[0].Store].Lose(r.Shards[0].ID)
	w.mem[r.Shards[1].Store].Rot(r.Shards[1].ID, 0)
	w.faults(r.Shards[2].Store, storetest.Faults{Err: errors.New("busy")})
	w.set(r.Shards[3].Store, func(i *placement.StoreInfo) { i.Online = false })
	x := look(true)
	if x.Good != 2 || x.Away != 2 || len(x.Lost) != 2 {
		t.Errorf("%+v", x)
	}
	if !strings.Contains(x.Lost[0], "shard 0 at") || !strings.Contains(x.Lost[1], "shard 1 at") {
		t.Errorf("lost: %q", x.Lost)
	}
	rec := w.record(1)
	if after := rec.Append(nil); string(after) != string(before) {
		t.Error("the record is another one now")
	}
}

// TestFlaws wants every senseless record found out.
func TestFlaws(t *testing.T) {
	r := placement.Record{
		Stripe: 7, Class: placement.ClassData, Code: placement.Code{K: 2, M: 1}, ShardSize: 16 << 10, Payload: 20_000,
		Placed: true, Shards: []placement.Shard{{Store: 1, Held: true}, {Store: 2, Held: true}, {Store: 3}},
	}
	all := map[uint32]bool{1: true, 2: true, 3: true}
	if f := placement.Flaws(7, r.Append(nil), all); len(f) != 0 {
		t.Errorf("a sound one: %q", f)
	}
	for want, f := range map[string][]string{
		"of stripe 7":            placement.Flaws(8, r.Append(nil), all),
		"not a valid":            placement.Flaws(7, []byte("junk"), all),
		"shards 1, 2 are at":     placement.Flaws(7, r.Append(nil), map[uint32]bool{1: true}),
		"with 1 shards of the 2": placement.Flaws(7, r.Append(nil), map[uint32]bool{1: true}),
	} {
		if !strings.Contains(strings.Join(f, "\n"), want) {
			t.Errorf("%q, want %q", f, want)
		}
	}
}
