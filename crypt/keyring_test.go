package crypt

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// cheap is a cost that tests can pay.
var cheap = KeyringCost{Time: 1, Memory: 64, Threads: 1}

func keyring(t testing.TB) *Keyring {
	f := newFixture(t)
	return &Keyring{
		DeviceSeed: f.device.Seed(), AtRest: keyOf("at rest"), Certificate: f.bundle.Certificate, Genesis: f.bundle.Genesis,
		Volume: f.secrets.Volume, Epochs: f.secrets.Epochs, Domain: PublicDomain, Swarm: []byte("swarm"), Machine: Sum([]byte("machine")),
		Secrets: f.bundle.Secrets,
	}
}

func TestKeyringsComeBack(t *testing.T) {
	want := keyring(t)
	for name, passphrase := range map[string][]byte{"none": nil, "one": []byte("correct horse")} {
		path := filepath.Join(t.TempDir(), "keyring")
		if err := os.WriteFile(path+".new", []byte("left over"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := SaveKeyringCost(nil, path, passphrase, want, cheap); err != nil {
			t.Fatal(err)
		}
		got, err := LoadKeyring(nil, path, passphrase)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", name, err)
		}
		if needs, err := KeyringNeedsPassphrase(nil, path); err != nil || needs != (passphrase != nil) {
			t.Errorf("%s: needs %v, %v", name, needs, err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: left over: %v", name, err)
		}
		if got.VolumeSecrets().Current().Number != 2 {
			t.Errorf("%s: the epochs are lost", name)
		}
	}
}

func TestKeyringsSayWhatIsWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring")
	if _, err := LoadKeyring(nil, path, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := KeyringNeedsPassphrase(nil, path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := SaveKeyringCost(nil, path, []byte("right"), keyring(t), cheap); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"wrong", "righ", ""} {
		if _, err := LoadKeyring(nil, path, []byte(wrong)); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		bad := append([]byte{}, whole...)
		bad[i] ^= 0x41
		if _, err := decodeKeyring(bad, []byte("right")); !errors.Is(err, ErrKeyringDamaged) {
			t.Fatalf("byte %d: %v", i, err)
		}
		if _, err := decodeKeyring(whole[:i], []byte("right")); !errors.Is(err, ErrKeyringDamaged) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

// Whoever can write the file can also write its checksum; he must not make us spend what we do not have.
func TestForgedKeyringsAskForNothing(t *testing.T) {
	var random [56]byte
	whole, err := encodeKeyring([]byte("p"), keyring(t), cheap, random)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(b []byte){
		"version":   func(b []byte) { b[16] = 2 },
		"kind":      func(b []byte) { b[17] = 2 },
		"threads":   func(b []byte) { b[18] = 0 },
		"reserved":  func(b []byte) { b[19] = 1 },
		"no passes": func(b []byte) { b[20] = 0 },
		"passes":    func(b []byte) { b[21] = 1 },
		"memory":    func(b []byte) { b[27] = 0xff },
	} {
		bad := append([]byte{}, whole[:len(whole)-32]...)
		change(bad)
		hash := Sum(bad)
		if _, err := decodeKeyring(append(bad, hash[:]...), []byte("p")); !errors.Is(err, ErrKeyringDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := SaveKeyringCost(nil, filepath.Join(t.TempDir(), "k"), nil, keyring(t), KeyringCost{}); err == nil {
		t.Error("an impossible cost was taken")
	}
}

func TestAFailedSaveKeepsTheOldKeyring(t *testing.T) {
	path, want := filepath.Join(t.TempDir(), "keyring"), keyring(t)
	if err := SaveKeyringCost(nil, path, nil, want, cheap); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path+".new", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := SaveKeyringCost(nil, path, nil, &Keyring{}, cheap); err == nil {
		t.Error("saved over a folder")
	}
	if k, err := LoadKeyring(nil, path, nil); err != nil || !reflect.DeepEqual(k, want) {
		t.Errorf("the old keyring is gone: %v", err)
	}
}

func FuzzKeyring(f *testing.F) {
	k := keyring(f)
	for _, p := range []string{"", "p"} {
		b, err := encodeKeyring([]byte(p), k, cheap, [56]byte{1})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:len(b)-32])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		hash := Sum(b)
		b = append(b, hash[:]...)
		if len(b) > keyringMinSize && keyringCostOf(b) != cheap {
			return // possible, but slow
		}
		_, err := decodeKeyring(b, []byte("p"))
		if err != nil && !errors.Is(err, ErrKeyringDamaged) && !errors.Is(err, ErrPassphrase) {
			t.Fatal(err)
		}
	})
}
