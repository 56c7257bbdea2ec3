package placement

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/crypt"
)

func drawRecord(t *rapid.T) Record {
	k, m := rapid.IntRange(1, 20).Draw(t, "k"), rapid.IntRange(0, 40).Draw(t, "m")
	payload := rapid.IntRange(0, min(k*MaxShardSize, MaxPayload)).Draw(t, "payload")
	r := Record{
		Stripe: rapid.Uint64().Draw(t, "stripe"), Class: rapid.Uint8Range(1, 3).Draw(t, "class"), Code: Code{k, m},
		ShardSize: uint32(ShardSize(payload, k)), Payload: uint32(payload), Live: uint32(rapid.IntRange(0, payload).Draw(t, "live")),
		Birth: rapid.Int64().Draw(t, "birth"), Generation: rapid.Uint64().Draw(t, "generation"), Placed: rapid.Bool().Draw(t, "placed"),
		Shards: make([]Shard, k+m),
	}
	for i := range r.Shards {
		s := &r.Shards[i]
		s.Store = rapid.Uint32().Draw(t, "store")
		s.Held = s.Store != 0 && rapid.Bool().Draw(t, "held")
		s.ID = crypt.Sum([]byte{byte(i), byte(k)})
	}
	return r
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecord(t)
		b := r.Append(nil)
		got, err := ParseRecord(b)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("%+v became %+v, %v", r, got, err)
		}
		if len(b) > 50+37*len(r.Shards) {
			t.Fatalf("%d bytes for %d shards", len(b), len(r.Shards))
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if _, err := ParseRecord(b[:cut]); !errors.Is(err, ErrRecord) {
			t.Fatalf("cut at %d of %d: %v", cut, len(b), err)
		}
		if _, err := ParseRecord(append(b, 0)); !errors.Is(err, ErrRecord) {
			t.Fatalf("a byte more: %v", err)
		}
	})
}

func sampleRecord() Record {
	r := Record{
		Stripe: 0x123456<<40 | 81, Class: ClassData, Code: Code{4, 2}, ShardSize: 1088 << 10, Payload: 4400000, Live: 4400000,
		Birth: 1795170000123456789, Generation: 1, Placed: true,
	}
	for i := range 6 {
		r.Shards = append(r.Shards, Shard{ID: crypt.Sum([]byte{byte(i)}), Store: uint32(i + 1), Held: i != 5})
	}
	return r
}

func TestRecordLimits(t *testing.T) {
	whole := sampleRecord()
	if n := len(whole.Append(nil)); n > 232 {
		t.Errorf("a 4+2 record takes %d bytes", n)
	}
	wide := Record{Stripe: 1<<64 - 1, Class: ClassIndex, Code: Code{16, 40}, ShardSize: 1 << 20, Payload: 16 << 20, Live: 16 << 20,
		Birth: 1<<63 - 1, Generation: 1 << 40}
	for range wide.Code.N() {
		wide.Shards = append(wide.Shards, Shard{Store: 1<<20 - 1, Held: true})
	}
	if n := len(wide.Append(nil)); n > 2<<10 {
		t.Errorf("the widest record takes %d bytes", n)
	}
	for name, spoil := range map[string]func(r *Record){
		"class 0":                 func(r *Record) { r.Class = 0 },
		"class beyond":            func(r *Record) { r.Class = 0x10 },
		"k is 0":                  func(r *Record) { r.Code.K = 0 },
		"too many shards":         func(r *Record) { r.Code.M = 61 },
		"fewer shards than k+m":   func(r *Record) { r.Shards = r.Shards[:5] },
		"more shards than k+m":    func(r *Record) { r.Shards = append(r.Shards, Shard{}) },
		"shards of no size":       func(r *Record) { r.ShardSize = 0 },
		"shards too large":        func(r *Record) { r.ShardSize = MaxShardSize + 1024 },
		"payload does not fit":    func(r *Record) { r.Payload = 4*r.ShardSize + 1 },
		"more live than there is": func(r *Record) { r.Live = r.Payload + 1 },
		"held by no store":        func(r *Record) { r.Shards[2].Store = 0 },
	} {
		r := sampleRecord()
		spoil(&r)
		if _, err := ParseRecord(r.Append(nil)); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := whole.Append(nil)
	b[0] = 2
	if _, err := ParseRecord(b); !errors.Is(err, ErrRecord) {
		t.Errorf("version 2: %v", err)
	}
	long := whole.Append(nil)
	long = append(long[:4:4], append([]byte{0x80 | 81, 0x00}, long[4+8:]...)...)
	if _, err := ParseRecord(long); !errors.Is(err, ErrRecord) {
		t.Errorf("a number longer than it need be: %v", err)
	}
}

func FuzzParseRecord(f *testing.F) {
	r := sampleRecord()
	f.Add(r.Append(nil))
	f.Add((&Record{Class: 3, Code: Code{1, 0}, ShardSize: 1024, Shards: make([]Shard, 1)}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Append(nil), b) {
			t.Fatalf("%x is not what %+v is written as", b, r)
		}
	})
}
