package main

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/placement"
)

// recordsOf opens the records of a new volume, of a node without peers.
func recordsOf(t *testing.T, policy string) *drive {
	t.Helper()
	st := state{dir: filepath.Join(t.TempDir(), "state")}
	f := ownerFlags{policy: policy, convergence: "private", name: "main", cache: "1G", loopback: true, pass: passphraseFlags{none: true, quiet: true}}
	set, err := f.settings()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.create(st, set, func(root *crypt.Root, k *crypt.Keyring) error { return newSwarm(st, root, k, f.name) }); err != nil {
		t.Fatal(err)
	}
	k, err := f.pass.load(st)
	if err != nil {
		t.Fatal(err)
	}
	n, err := startNode(t.Context(), st, k, nodeOptions{listen: []string{"/ip4/127.0.0.1/tcp/0"}, log: quietLog()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.close() })
	d, err := openRecords(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.placer.Close()
		if err := d.closeParts(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d
}

// TestDeliverWhereNothingCanBePlaced: a sync whose head is never made whole, for
// the policy needs more stores than there are, ends with that and not by its time.
// What is queued says so, too, before it; here nothing is.
func TestDeliverWhereNothingCanBePlaced(t *testing.T) {
	d := recordsOf(t, "4+2")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, _, err := d.deliver(ctx, 1, silent); !errors.Is(err, placement.ErrTooFew) {
		t.Errorf("a head that cannot be made whole: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, _, err := d.deliver(ended, 1, silent); err == nil {
		t.Error("a sync that was ended says that all is well")
	}
}

// TestStrays: stripes that are neither here nor noted as placed are looked for, and
// no others.
func TestStrays(t *testing.T) {
	d := recordsOf(t, "2+1")
	record := func(placed bool) (stripe uint64) {
		stripe, err := d.db.NextStripe()
		if err != nil {
			t.Fatal(err)
		}
		r := placement.Record{Stripe: stripe, Class: placement.ClassData, Code: placement.Code{K: 2, M: 1}, ShardSize: uint32(placement.ShardSize(1000, 2)), Payload: 1000, Live: 1000, Placed: placed}
		for i := range r.Code.N() {
			r.Shards = append(r.Shards, placement.Shard{ID: crypt.Sum([]byte{byte(i)}), Store: uint32(i + 1)})
		}
		note := d.db.Placed
		if !placed {
			note = d.db.Intend
		}
		if err := note(t.Context(), stripe, r.Append(nil)); err != nil {
			t.Fatal(err)
		}
		return stripe
	}
	record(true)
	if n, err := d.findStrays(t.Context()); n != 0 || err != nil {
		t.Errorf("%d strays among what is placed, %v", n, err)
	}
	record(false)
	if n, err := d.findStrays(t.Context()); n != 1 || err != nil {
		t.Errorf("%d strays, want 1: %v", n, err)
	}
	if s := d.placer.Stats(); s.Queued != 1 {
		t.Errorf("%d stripes are queued, want the stray", s.Queued)
	}
}
