package swarm

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/integration/crashdisk"
	"github.com/hammockfs/hammock/whole"
)

// What Redeem and Invite acknowledged is there after a power cut.
func TestPowerCutKeepsWhatWasSaid(t *testing.T) {
	a, b, c := newParty(t, "anna"), newParty(t, "bert"), newParty(t, "carl")
	mem := vfs.NewCrashableMem()
	a.fs = mem
	a.found(t)
	sa := a.start(t)
	text, err := sa.Invite(t.Context(), Invitation{})
	if err != nil {
		t.Fatal(err)
	}
	afterInvite := mem.CrashClone(vfs.CrashCloneCfg{})
	if _, err := b.redeem(t, sa, text); err != nil {
		t.Fatal(err)
	}
	afterRedeem := mem.CrashClone(vfs.CrashCloneCfg{})
	sa.Close()

	a.fs = afterInvite
	s := a.start(t)
	if _, err := c.redeem(t, s, text); err != nil {
		t.Errorf("redeem a ticket after a power cut: %v", err)
	}
	s.Close()
	a.fs = afterRedeem
	s = a.start(t)
	if !s.IsMember(b.owner()) {
		t.Error("the power cut lost a member")
	}
	if _, err := c.redeem(t, s, text); !errors.Is(err, ErrTicketUsed) {
		t.Errorf("redeem a used ticket after a power cut: %v", err)
	}
}

func TestNotSavedIsNotSaid(t *testing.T) {
	a := newParty(t, "anna")
	full := errorfs.Toggle{Injector: errorfs.ErrInjected.If(errorfs.Writes)}
	mem := a.fs
	a.found(t)
	a.fs = errorfs.Wrap(mem, &full)
	sa, err := open(t.Context(), a.config(), hasty)
	if err != nil {
		t.Fatal(err)
	}
	full.On()
	if _, err := sa.Invite(t.Context(), Invitation{}); err == nil {
		t.Error("a ticket was given that could not be noted")
	}
	full.Off()
	if err := sa.Close(); err != nil {
		t.Error(err)
	}
}

func TestDamagedState(t *testing.T) {
	a := newParty(t, "anna").found(t)
	st, err := readState(a.fs, "state")
	if err != nil {
		t.Fatal(err)
	}
	good, err := encodeState(st)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 4
		if _, err := decodeState(bad); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := decodeState(good[:i]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if err := writeState(a.fs, "state", good[:40]); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), a.config()); !errors.Is(err, ErrDamaged) {
		t.Errorf("open a damaged state: %v", err)
	}
}

func FuzzState(f *testing.F) {
	b, _ := encodeState(&state{Genesis: []byte{1}, Records: [][]byte{{2}}, Tickets: []issuedTicket{{Name: "x"}}})
	f.Add(b[len(stateMagic) : len(b)-32])
	f.Fuzz(func(t *testing.T, body []byte) {
		b := append([]byte(stateMagic), body...)
		sum := crypt.Sum(b)
		st, err := decodeState(append(b, sum[:]...))
		if err == nil {
			if _, err := encodeState(st); err != nil {
				t.Error(err)
			}
			newRoster(st.Genesis)
		}
	})
}

// TestPowerCutInWrite cuts the power before every operation of a change of the
// swarm file, in many ways: it is the old one or the new, and the new one once
// that was said.
func TestPowerCutInWrite(t *testing.T) {
	var disk *crashdisk.Disk
	var cuts []*crashdisk.Disk
	rng := rand.New(rand.NewPCG(5, 5))
	cut := func() {
		for kept := 0; kept <= 100; kept += 10 {
			cuts = append(cuts, disk.Cut(crashdisk.Loss{Rand: rng, Kept: kept, Ordered: kept == 50, Noise: kept%20 == 0}, nil))
		}
	}
	watching := false
	disk = crashdisk.New(func(op crashdisk.Op) error {
		if watching && op.Kind.Changes() {
			cut()
		}
		return nil
	})
	write := func(n int) error {
		b, err := encodeState(&state{Genesis: bytes.Repeat([]byte{byte(n)}, 3000)})
		return errors.Join(err, writeState(disk, "state", b))
	}
	if err := errors.Join(whole.MkdirAll(disk, "state"), write(1)); err != nil {
		t.Fatal(err)
	}
	check := func(least int) {
		t.Helper()
		for i, d := range cuts {
			st, err := readState(d, "state")
			if err != nil {
				t.Fatalf("cut %d of %d: %v", i, len(cuts), err)
			}
			if n := int(st.Genesis[0]); n < least || n > 2 || len(st.Genesis) != 3000 {
				t.Fatalf("cut %d of %d: state %d, %d bytes", i, len(cuts), n, len(st.Genesis))
			}
		}
	}
	watching = true
	if err := write(2); err != nil {
		t.Fatal(err)
	}
	watching = false
	if len(cuts) < 5*11 {
		t.Errorf("only %d cuts", len(cuts))
	}
	check(1)
	cuts = nil
	cut()
	check(2)
}
