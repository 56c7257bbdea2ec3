package crypt

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// fixture is an owner with a device, a volume and a head, all from fixed secrets.
type fixture struct {
	root    *Root
	device  *Device
	secrets *VolumeSecrets
	genesis Genesis
	cert    Certificate
	head    []byte
	bundle  Bundle
}

var fixtureTime = time.Unix(1_800_000_000, 0)

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{
		root:    rootFrom(keyOf("root")),
		device:  DeviceFromSeed(keyOf("device")),
		secrets: &VolumeSecrets{Volume: keyOf("volume"), Epochs: []Epoch{{1, keyOf("epoch 1")}, {2, keyOf("epoch 2")}}},
	}
	var errs [5]error
	f.genesis, errs[0] = f.root.NewGenesis(Genesis{Time: fixtureTime.Unix(), Suite: SuiteAES, Salt: [16]byte{1}})
	f.cert, errs[1] = f.root.Certify(Certificate{
		Device: f.device.Key(), Wrap: f.device.Wrap(), WriterEpoch: 1, Rights: RightWrite | RightInvite,
		NotBefore: fixtureTime.Unix(), NotAfter: fixtureTime.Add(time.Hour).Unix(),
	})
	f.head, errs[2] = SealHead(f.device, f.secrets.Current().HeadKey(),
		Head{Volume: f.genesis.ID(), WriterEpoch: 1, Counter: 7, Prev: Sum(nil), Epoch: 2}, []byte("the body"))
	wrapped, err := f.secrets.Wrap(f.genesis.Wrap, f.genesis.ID())
	errs[3] = err
	f.bundle = Bundle{Owner: f.root.Owner(), Secrets: [][]byte{wrapped}, Head: f.head}
	f.bundle.Genesis, errs[4] = f.genesis.Marshal()
	f.bundle.Certificate, err = f.cert.Marshal()
	if err := errors.Join(append(errs[:], err)...); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSignaturesHoldInOneContextAndScope(t *testing.T) {
	f := newFixture(t)
	scope, body := Sum([]byte("swarm")), []byte("body")
	sig := f.device.Sign("test", scope, body)
	if err := f.device.Key().Verify("test", scope, body, sig); err != nil {
		t.Error(err)
	}
	rootSig := f.root.Sign("test", scope, body)
	if err := f.root.Owner().Verify("test", scope, body, rootSig); err != nil {
		t.Error(err)
	}
	key := f.device.Key()
	for name, err := range map[string]error{
		"context":  key.Verify("test2", scope, body, sig),
		"scope":    key.Verify("test", Sum(nil), body, sig),
		"body":     key.Verify("test", scope, []byte("bodY"), sig),
		"cut":      key.Verify("test", scope, body, sig[:63]),
		"none":     key.Verify("test", scope, body, nil),
		"key":      key.Verify("test", scope, body, rootSig),
		"zero key": DeviceKey{}.Verify("test", scope, body, make([]byte, 64)),
		"owner":    f.root.Owner().Verify("test", scope, body, sig),
	} {
		if !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecretsAreWrappedToOneKey(t *testing.T) {
	f := newFixture(t)
	stranger := NewDevice()
	b, err := WrapTo(f.device.Wrap(), "test", []byte("secret"))
	if err != nil || len(b) != 6+48 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if got, err := f.device.Unwrap("test", b); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	bad := bytes.Clone(b)
	bad[40] ^= 1
	for name, err := range map[string]error{
		"other device":  second(stranger.Unwrap("test", b)),
		"root":          second(f.root.Unwrap("test", b)),
		"other context": second(f.device.Unwrap("tesT", b)),
		"changed":       second(f.device.Unwrap("test", bad)),
		"short":         second(f.device.Unwrap("test", b[:20])),
		"empty":         second(f.device.Unwrap("test", nil)),
		"long":          second(f.device.Unwrap("test", make([]byte, MaxWrapped+1))),
	} {
		if !errors.Is(err, ErrUnwrap) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.root.Wipe()
	if _, err := f.root.Unwrap("test", b); !errors.Is(err, ErrUnwrap) {
		t.Errorf("wiped: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestVolumeSecretsReachRootAndDevices(t *testing.T) {
	f := newFixture(t)
	id := f.genesis.ID()
	old := &VolumeSecrets{Volume: f.secrets.Volume, Epochs: f.secrets.Epochs[:1]}
	var wrapped [][]byte
	for _, w := range []struct {
		v   *VolumeSecrets
		pub [32]byte
	}{{old, f.device.Wrap()}, {f.secrets, f.genesis.Wrap}, {f.secrets, f.device.Wrap()}, {old, f.device.Wrap()}} {
		b, err := w.v.Wrap(w.pub, id)
		if err != nil {
			t.Fatal(err)
		}
		wrapped = append(wrapped, b)
	}
	for _, u := range []Unwrapper{f.root, f.device} {
		got, err := UnwrapSecrets(u, id, wrapped)
		if err != nil || got.Current() != f.secrets.Current() || got.Volume != f.secrets.Volume {
			t.Errorf("%T: %v, %v", u, got, err)
		}
	}
	if _, err := UnwrapSecrets(f.root, Sum(nil), wrapped); !errors.Is(err, ErrUnwrap) {
		t.Errorf("another volume: %v", err)
	}
	if _, err := UnwrapSecrets(NewDevice(), id, wrapped); !errors.Is(err, ErrUnwrap) {
		t.Errorf("another device: %v", err)
	}
	if e, ok := f.secrets.Epoch(1); !ok || e.Secret != keyOf("epoch 1") {
		t.Error("epoch 1 is not found")
	}
	if _, ok := f.secrets.Epoch(3); ok || !(&VolumeSecrets{}).Current().Secret.IsZero() {
		t.Error("an epoch is found that is not there")
	}
}

func TestWrappedSecretsAreChecked(t *testing.T) {
	f := newFixture(t)
	for name, v := range map[string]*VolumeSecrets{
		"no epoch":     {Volume: keyOf("v")},
		"out of order": {Epochs: []Epoch{{2, Key{}}, {1, Key{}}}},
		"twice":        {Epochs: []Epoch{{2, Key{}}, {2, Key{}}}},
	} {
		b, err := v.Wrap(f.device.Wrap(), f.genesis.ID())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := UnwrapSecrets(f.device, f.genesis.ID(), [][]byte{b}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDerivedSecretsAllDiffer(t *testing.T) {
	v, d := &VolumeSecrets{Volume: keyOf("x"), Epochs: []Epoch{{1, keyOf("x")}}}, Domain{keyOf("x")}
	seen := map[[32]byte]bool{keyOf("x"): true}
	for _, k := range [][32]byte{v.GearSeed(), v.NameKey(), v.PadKey(), v.Epochs[0].ContentKey(), v.Epochs[0].HeadKey(), d.GearSeed(), d.ContentKey(), d.ID(), DedupID(keyOf("x")), PublicDomain} {
		if seen[k] {
			t.Error("two derivations give one key")
		}
		seen[k] = true
	}
}

func TestGroupSecretsNeedEnoughBytes(t *testing.T) {
	for _, n := range []int{0, 31, 1<<20 + 1} {
		if _, err := GroupSecret(make([]byte, n)); err == nil {
			t.Errorf("%d bytes were taken", n)
		}
	}
	a, errA := GroupSecret(bytesOf("a", 32))
	b, errB := GroupSecret(bytesOf("b", 32))
	if errA != nil || errB != nil || a.Equal(b) {
		t.Error("two files give one group")
	}
}
