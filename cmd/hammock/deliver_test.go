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

// TestDeliverWhereNothingCanBePlaced: a sync whose head is never made whole, for
// the policy needs more stores than there are, ends with that and not by its time.
// What is queued says so, too, before it; here nothing is.
func TestDeliverWhereNothingCanBePlaced(t *testing.T) {
	st := state{dir: filepath.Join(t.TempDir(), "state")}
	f := ownerFlags{policy: "4+2", convergence: "private", name: "main", cache: "1G", loopback: true, pass: passphraseFlags{none: true, quiet: true}}
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
	defer n.close()
	d, err := openRecords(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		d.placer.Close()
		if err := d.closeParts(context.Background()); err != nil {
			t.Error(err)
		}
	}()
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
