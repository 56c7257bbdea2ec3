package crypt

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"
)

func TestCertificatesHoldFromToAndOnlyAsSigned(t *testing.T) {
	f := newFixture(t)
	b, err := f.cert.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCertificate(b)
	if err != nil || !reflect.DeepEqual(c, f.cert) {
		t.Fatalf("%+v, %v", c, err)
	}
	for _, at := range []time.Duration{-clockSkew, 0, time.Hour - 1} {
		if err := c.Verify(fixtureTime.Add(at)); err != nil {
			t.Errorf("at %v: %v", at, err)
		}
	}
	for _, at := range []time.Duration{-clockSkew - 1, time.Hour} {
		if err := c.Verify(fixtureTime.Add(at)); !errors.Is(err, ErrExpired) {
			t.Errorf("at %v: %v", at, err)
		}
	}
	if err := c.Verify(time.Time{}); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Certificate){
		"owner":     func(c *Certificate) { c.Owner[0]++ },
		"device":    func(c *Certificate) { c.Device[0]++ },
		"wrap":      func(c *Certificate) { c.Wrap[0]++ },
		"epoch":     func(c *Certificate) { c.WriterEpoch++ },
		"rights":    func(c *Certificate) { c.Rights = 1 },
		"from":      func(c *Certificate) { c.NotBefore-- },
		"to":        func(c *Certificate) { c.NotAfter = 0 },
		"volume":    func(c *Certificate) { c.Volume[0]++ },
		"signature": func(c *Certificate) { c.Signature = c.Signature[:10] },
		"none":      func(c *Certificate) { c.Signature = nil },
	} {
		bad := c
		change(&bad)
		if err := bad.Verify(fixtureTime); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGenesisRecordsAreChecked(t *testing.T) {
	f := newFixture(t)
	g, err := ParseGenesis(f.bundle.Genesis)
	if err != nil || !reflect.DeepEqual(g, f.genesis) || g.ID() != Sum(f.bundle.Genesis) {
		t.Fatalf("%+v, %v", g, err)
	}
	if err := g.Verify(); err != nil {
		t.Error(err)
	}
	g.Time++
	if err := g.Verify(); !errors.Is(err, ErrSignature) {
		t.Errorf("another time: %v", err)
	}
	for name, change := range map[string]func(*Genesis){
		"version":           func(g *Genesis) { g.Version = 2 },
		"suite":             func(g *Genesis) { g.Suite = 0 },
		"convergence":       func(g *Genesis) { g.Convergence, g.Domain = 3, Sum(nil) },
		"domain of private": func(g *Genesis) { g.Domain = Sum(nil) },
		"group of none":     func(g *Genesis) { g.Convergence = ConvergenceGroup },
	} {
		bad := f.genesis
		change(&bad)
		b, _ := bad.Marshal()
		if _, err := ParseGenesis(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.root.NewGenesis(Genesis{Suite: 7}); err == nil {
		t.Error("a genesis of an unknown suite was made")
	}
	a, _ := f.root.NewGenesis(Genesis{Suite: SuiteAES})
	b, _ := f.root.NewGenesis(Genesis{Suite: SuiteAES})
	if a.ID() == b.ID() {
		t.Error("two volumes have one ID")
	}
}

func TestHeadsOpenForTheirKeyAndAsSigned(t *testing.T) {
	f := newFixture(t)
	h, err := ParseHead(f.head)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Verify(&f.cert); err != nil {
		t.Error(err)
	}
	body, err := h.Open(f.secrets.Current().HeadKey())
	if err != nil || string(body) != "the body" {
		t.Errorf("%q, %v", body, err)
	}
	if _, err := h.Open(f.secrets.Epochs[0].HeadKey()); !errors.Is(err, ErrSealed) {
		t.Errorf("another epoch's key: %v", err)
	}
	for name, change := range map[string]func(*Head){
		"volume":  func(h *Head) { h.Volume[0]++ },
		"counter": func(h *Head) { h.Counter++ },
		"prev":    func(h *Head) { h.Prev[0]++ },
		"epoch":   func(h *Head) { h.Epoch++ },
		"sealed":  func(h *Head) { h.Sealed = bytes.Clone(h.Sealed); h.Sealed[30]++ },
		"short":   func(h *Head) { h.Sealed = h.Sealed[:23] },
	} {
		bad := *h
		change(&bad)
		if err := bad.Verify(&f.cert); !errors.Is(err, ErrSignature) {
			t.Errorf("%s verifies: %v", name, err)
		}
		if _, err := bad.Open(f.secrets.Current().HeadKey()); !errors.Is(err, ErrSealed) {
			t.Errorf("%s opens: %v", name, err)
		}
	}
	for name, change := range map[string]func(*Certificate){
		"device":       func(c *Certificate) { c.Device[0]++ },
		"rights":       func(c *Certificate) { c.Rights = RightInvite },
		"writer epoch": func(c *Certificate) { c.WriterEpoch++ },
		"volume":       func(c *Certificate) { c.Volume = Sum(nil) },
	} {
		bad := f.cert
		change(&bad)
		if err := h.Verify(&bad); !errors.Is(err, ErrRights) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHeadsHaveALimit(t *testing.T) {
	f := newFixture(t)
	most := Head{Volume: f.genesis.ID(), WriterEpoch: 1<<64 - 1, Counter: 1<<64 - 1, Epoch: 1<<32 - 1}
	b, err := SealHead(f.device, Key{}, most, make([]byte, MaxHead-HeadOverhead))
	if err != nil || len(b) > MaxHead {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, err := ParseHead(b); err != nil {
		t.Error(err)
	}
	if _, err := SealHead(f.device, Key{}, most, make([]byte, MaxHead-HeadOverhead+1)); err == nil {
		t.Error("a longer body was sealed")
	}
	if _, err := ParseHead(make([]byte, MaxHead+1)); !errors.Is(err, ErrMalformed) {
		t.Error("a longer head was parsed")
	}
}

func TestBundlesAreCheckedAllThrough(t *testing.T) {
	f := newFixture(t)
	p, err := f.bundle.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseBundle(p)
	if err != nil || !reflect.DeepEqual(b, f.bundle) {
		t.Fatal(err)
	}
	if err := b.Verify(fixtureTime); err != nil {
		t.Error(err)
	}
	if err := b.Verify(fixtureTime.Add(2 * time.Hour)); !errors.Is(err, ErrExpired) {
		t.Errorf("expired: %v", err)
	}
	if v, err := b.Parse(time.Time{}); err != nil || v.Volume != f.genesis.ID() || v.Head.Counter != 7 {
		t.Errorf("%+v, %v", v, err)
	}
	stranger := rootFrom(keyOf("stranger"))
	theirs, _ := stranger.NewGenesis(Genesis{Suite: SuiteAES})
	theirGenesis, _ := theirs.Marshal()
	mine, _ := f.root.NewGenesis(Genesis{Suite: SuiteAES})
	otherGenesis, _ := mine.Marshal()
	theirCert, _ := stranger.Certify(f.cert)
	theirCertificate, _ := theirCert.Marshal()
	otherHead, _ := SealHead(NewDevice(), Key{}, Head{Volume: f.genesis.ID(), WriterEpoch: 1}, nil)
	for name, c := range map[string]struct {
		change func(*Bundle)
		want   error
	}{
		"owner":             {func(b *Bundle) { b.Owner = stranger.Owner() }, ErrRights},
		"their genesis":     {func(b *Bundle) { b.Genesis = theirGenesis }, ErrRights},
		"other genesis":     {func(b *Bundle) { b.Genesis = otherGenesis }, ErrRights},
		"their certificate": {func(b *Bundle) { b.Certificate = theirCertificate }, ErrRights},
		"other device":      {func(b *Bundle) { b.Head = otherHead }, ErrRights},
		"no head":           {func(b *Bundle) { b.Head = nil }, ErrMalformed},
		"no certificate":    {func(b *Bundle) { b.Certificate = nil }, ErrMalformed},
		"no genesis":        {func(b *Bundle) { b.Genesis = nil }, ErrMalformed},
	} {
		bad := f.bundle
		c.change(&bad)
		if err := bad.Verify(fixtureTime); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	big := Bundle{Secrets: [][]byte{make([]byte, MaxBundle)}}
	if _, err := big.Marshal(); err == nil {
		t.Error("a bundle beyond the limit was encoded")
	}
}

// fuzzRecord runs a parser of canonical records on foreign bytes: what it takes, it gives back byte for byte.
func fuzzRecord(f *testing.F, seed []byte, parse func([]byte) (any, error)) {
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parse(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		again, err := EncodeCBOR(v)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x became %x, %v", b, again, err)
		}
	})
}

func FuzzHead(f *testing.F) {
	fuzzRecord(f, newFixture(f).head, func(b []byte) (any, error) {
		h, err := ParseHead(b)
		if err == nil {
			_ = h.Verify(&Certificate{Device: h.Device, WriterEpoch: h.WriterEpoch, Rights: RightWrite})
			_, _ = h.Open(Key{})
		}
		return h, err
	})
}

func FuzzCertificate(f *testing.F) {
	fuzzRecord(f, newFixture(f).bundle.Certificate, func(b []byte) (any, error) {
		c, err := ParseCertificate(b)
		_ = c.Verify(fixtureTime)
		return &c, err
	})
}

func FuzzGenesis(f *testing.F) {
	fuzzRecord(f, newFixture(f).bundle.Genesis, func(b []byte) (any, error) {
		g, err := ParseGenesis(b)
		_ = g.Verify()
		return &g, err
	})
}

func FuzzBundle(f *testing.F) {
	fx := newFixture(f)
	seed, _ := fx.bundle.Marshal()
	fuzzRecord(f, seed, func(b []byte) (any, error) {
		got, err := ParseBundle(b)
		_ = got.Verify(fixtureTime)
		return &got, err
	})
}
