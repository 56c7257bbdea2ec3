package crypt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestIDsAreReadAsTheyArePrinted(t *testing.T) {
	id := Sum([]byte("x"))
	for _, s := range []string{id.String(), strings.ToUpper(id.String())} {
		if got, err := ParseID(s); err != nil || got != id {
			t.Errorf("ParseID(%q) = %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "00", id.String() + "0", id.String()[1:], "zz" + id.String()[2:]} {
		if _, err := ParseID(s); !errors.Is(err, ErrMalformed) {
			t.Errorf("ParseID(%q): %v", s, err)
		}
	}
	var back struct {
		ID     ID
		Owner  OwnerKey
		Device DeviceKey
	}
	back.ID, back.Owner, back.Device = id, OwnerKey(id), DeviceKey(id)
	b, err := json.Marshal(back)
	if err != nil {
		t.Fatal(err)
	}
	want := back
	back.ID, back.Owner, back.Device = ID{}, OwnerKey{}, DeviceKey{}
	if err := json.Unmarshal(b, &back); err != nil || back != want {
		t.Errorf("JSON %s reads as %v, %v", b, back, err)
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	seed := keyOf("secret")
	k, device, root := &seed, DeviceFromSeed(seed), rootFrom(seed)
	ref := Ref{Key: seed}
	secret := fmt.Sprintf("%x", seed[:8])
	decimal := strings.Trim(fmt.Sprint(seed[:4]), "[]")
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	for _, v := range []any{*k, k, ref, &ref, Epoch{Secret: seed}, VolumeSecrets{Volume: seed}, Keyring{AtRest: seed}, device, root, Domain{seed}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
			got := fmt.Sprintf(verb, v)
			if strings.Contains(strings.ToLower(got), secret) || strings.Contains(got, decimal) {
				t.Errorf("%T prints itself under %s: %s", v, verb, got)
			}
		}
		b, err := json.Marshal(v)
		if err == nil && bytes.Contains(b, []byte(secret)) {
			t.Errorf("%T shows itself in JSON", v)
		}
		logger.Info("x", "v", v)
	}
	if strings.Contains(log.String(), secret) {
		t.Errorf("a secret got into the log: %s", log.String())
	}
	if s := k.String() + k.GoString(); s != redacted+redacted {
		t.Errorf("%s", s)
	}
}

func TestKeysOfDifferentContextsDiffer(t *testing.T) {
	k := keyOf("k")
	if k.Derive("a").Equal(k.Derive("b")) || k.Derive("a").Equal(keyOf("l").Derive("a")) || k.IsZero() || !(Key{}).IsZero() {
		t.Error("keys that must differ are equal")
	}
	if NewKey().Equal(NewKey()) {
		t.Error("two random keys are equal")
	}
}
