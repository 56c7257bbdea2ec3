package depot

import (
	"testing"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// volume is an owner with one volume and a device.
type volume struct {
	root    *crypt.Root
	genesis crypt.Genesis
	device  *crypt.Device
}

func newVolume(t testing.TB) *volume {
	t.Helper()
	phrase, err := crypt.NewPhrase()
	if err != nil {
		t.Fatal(err)
	}
	root, err := crypt.RootFromPhrase(phrase)
	if err != nil {
		t.Fatal(err)
	}
	v := &volume{root: root, device: crypt.NewDevice()}
	v.another(t, 1)
	return v
}

// another makes a further volume of the same owner the one that is spoken of.
func (v *volume) another(t testing.TB, at int64) {
	t.Helper()
	var err error
	v.genesis, err = v.root.NewGenesis(crypt.Genesis{Version: 1, Time: at, Suite: crypt.SuiteAES})
	if err != nil {
		t.Fatal(err)
	}
}

// bundle makes a head with what belongs to it. Two calls never give the same bytes.
func (v *volume) bundle(t testing.TB, epoch, counter uint64, prev crypt.ID) crypt.Bundle {
	t.Helper()
	cert, err := v.root.Certify(crypt.Certificate{
		Device: v.device.Key(), Wrap: v.device.Wrap(), WriterEpoch: epoch, Rights: crypt.RightWrite,
		NotBefore: 1, NotAfter: 4_000_000_000,
	})
	if err != nil {
		t.Fatal(err)
	}
	b := crypt.Bundle{Owner: v.root.Owner(), Secrets: [][]byte{{1}}}
	if b.Certificate, err = cert.Marshal(); err != nil {
		t.Fatal(err)
	}
	if b.Genesis, err = v.genesis.Marshal(); err != nil {
		t.Fatal(err)
	}
	h := crypt.Head{Volume: v.genesis.ID(), WriterEpoch: epoch, Counter: counter, Prev: prev}
	if b.Head, err = crypt.SealHead(v.device, crypt.NewKey(), h, []byte("body")); err != nil {
		t.Fatal(err)
	}
	return b
}

func counter(b *crypt.Bundle) uint64 {
	h, err := crypt.ParseHead(b.Head)
	if err != nil {
		return 0
	}
	return h.Counter
}

// wantHeads compares the counters of the heads that are kept.
func wantHeads(t *testing.T, d *Depot, o crypt.OwnerKey, want ...uint64) {
	t.Helper()
	all, err := d.Heads(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for i := range all {
		if err := all[i].Verify(time.Unix(1_800_000_000, 0)); err != nil {
			t.Error(err)
		}
		got = append(got, counter(&all[i]))
	}
	if len(got) != len(want) {
		t.Fatalf("heads %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("heads %v, want %v", got, want)
		}
	}
}

func TestHeads(t *testing.T) {
	d, _, _ := fresh(t)
	v := newVolume(t)
	o := v.root.Owner()
	keep := func(b crypt.Bundle) {
		t.Helper()
		if err := d.PutHead(ctx, b); err != nil {
			t.Error(err)
		}
	}
	wantHeads(t, d, o)
	first := v.bundle(t, 1, 7_000_000, crypt.ID{}) // whatever counter comes first
	keep(first)
	keep(first)
	wantHeads(t, d, o, 7_000_000)
	wantErr(t, d.PutHead(ctx, v.bundle(t, 1, 6_999_999, crypt.ID{})), ErrStale)
	wantErr(t, d.PutHead(ctx, v.bundle(t, 0, 7_000_001, crypt.ID{})), ErrStale)
	wantErr(t, d.PutHead(ctx, v.bundle(t, 1, 8_000_001, crypt.ID{})), ErrCounter)
	keep(v.bundle(t, 1, 8_000_000, crypt.ID{}))
	wantHeads(t, d, o, 8_000_000)

	grown := v.bundle(t, 1, 8_000_001, crypt.ID{})
	keep(grown)
	grown.Secrets = append(grown.Secrets, []byte{2})
	keep(grown)
	grown.Secrets = grown.Secrets[:1]
	wantErr(t, d.PutHead(ctx, grown), ErrStale)
	all, err := d.Heads(ctx, o)
	if err != nil || len(all) != 1 || len(all[0].Secrets) != 2 {
		t.Errorf("%d heads, %v", len(all), err)
	}

	// A new writer epoch, certified, begins to count anew.
	keep(v.bundle(t, 2, 1, crypt.ID{}))
	wantHeads(t, d, o, 1)
}

func TestForkIsKept(t *testing.T) {
	d, _, _ := fresh(t)
	v := newVolume(t)
	o := v.root.Owner()
	keep := func(b crypt.Bundle) crypt.ID {
		t.Helper()
		if err := d.PutHead(ctx, b); err != nil {
			t.Error(err)
		}
		return crypt.HeadID(b.Head)
	}
	a := keep(v.bundle(t, 1, 5, crypt.ID{}))
	b := keep(v.bundle(t, 1, 5, crypt.ID{}))
	wantHeads(t, d, o, 5, 5)
	for n := uint64(6); n < 12; n++ { // both sides go on, the second more slowly
		a = keep(v.bundle(t, 1, n, a))
		if n%2 == 0 {
			b = keep(v.bundle(t, 1, n/2+3, b))
		}
	}
	wantHeads(t, d, o, 11, 8)
	// Heads between were missed: nobody knows to which side the next one belongs.
	keep(v.bundle(t, 1, 20, crypt.ID{1}))
	wantHeads(t, d, o, 20, 11, 8)
	keep(v.bundle(t, 1, 30, crypt.ID{1}))
	keep(v.bundle(t, 1, 40, crypt.ID{1}))
	wantHeads(t, d, o, 40, 30, 20, 11)
	wantErr(t, d.PutHead(ctx, v.bundle(t, 1, 11, crypt.ID{1})), ErrTooManyHeads)
	keep(v.bundle(t, 2, 1, crypt.ID{}))
	wantHeads(t, d, o, 1)
}

func TestVolumesDoNotDisplaceEachOther(t *testing.T) {
	d, _, _ := fresh(t)
	v := newVolume(t)
	var second crypt.Genesis
	for i := range int64(MaxHeads) {
		v.another(t, i+1)
		if i == 1 {
			second = v.genesis
		}
		if err := d.PutHead(ctx, v.bundle(t, 1, 1, crypt.ID{})); err != nil {
			t.Error(err)
		}
	}
	v.another(t, MaxHeads+1)
	wantErr(t, d.PutHead(ctx, v.bundle(t, 1, 1, crypt.ID{})), ErrTooManyHeads)
	wantHeads(t, d, v.root.Owner(), 1, 1, 1, 1)
	v.genesis = second
	if err := d.PutHead(ctx, v.bundle(t, 1, 2, crypt.ID{})); err != nil {
		t.Error(err)
	}
}

func TestForgedHeads(t *testing.T) {
	d, _, _ := fresh(t)
	v, w := newVolume(t), newVolume(t)
	b := v.bundle(t, 1, 1, crypt.ID{})

	stolen := b
	stolen.Owner = w.root.Owner()
	other := b
	other.Certificate = w.bundle(t, 1, 1, crypt.ID{}).Certificate
	uncertified := b
	uncertified.Head = v.bundle(t, 2, 1, crypt.ID{}).Head
	for name, bad := range map[string]crypt.Bundle{"owner": stolen, "certificate": other, "writer epoch": uncertified, "nothing": {}} {
		if err := d.PutHead(ctx, bad); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	wantHeads(t, d, v.root.Owner())
	wantHeads(t, d, w.root.Owner())
}
