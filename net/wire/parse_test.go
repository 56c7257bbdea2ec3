package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/crypt"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

// vector is one frame header of PROTOCOL.md, or one that must be refused.
type vector struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`            // request, reply, parts, delete
	Bytes string `json:"bytes"`           // hex; of request and reply the header without its length
	Code  uint64 `json:"code"`            // what the header says
	Fails string `json:"fails,omitempty"` // why it must be refused

	// of a delete: the seed of the device, the swarm, and the signature over Bytes
	Seed      string `json:"seed,omitempty"`
	Swarm     string `json:"swarm,omitempty"`
	Signature string `json:"signature,omitempty"`
}

func seq(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// good are the headers that the vectors are made of.
func good() map[string]any {
	shard, key, sig := seq(0, 32), seq(64, 32), seq(128, 64)
	return map[string]any{
		"put 1 MiB":        request{Code: opPut, Body: 1 << 20, Shard: shard, Stripe: 3<<40 | 5, Generation: 1},
		"get two groups":   request{Code: opGet, Shard: shard, Size: 1 << 20, Offset: 65536, Length: 32768},
		"has":              request{Code: opHas, Shard: shard},
		"delete":           request{Code: opDelete, Shard: shard, Stripe: 3<<40 | 5, Generation: 1, Signature: sig, Certificate: []byte("certificate")},
		"info":             request{Code: opInfo},
		"head put":         request{Code: opHeadPut, Body: 4711},
		"head get":         request{Code: opHeadGet, Owner: key},
		"join":             request{Code: opJoin, Token: seq(1, 16), Certificate: []byte("certificate"), Name: "Anna's laptop"},
		"challenge":        request{Code: opChallenge},
		"recover":          request{Code: opRecover, Certificate: []byte("certificate"), Signature: sig},
		"yes":              reply{},
		"go on":            reply{Code: codeGoOn},
		"yes to has":       reply{Size: 1 << 20},
		"yes to get":       reply{Body: 33160, Size: 1 << 20},
		"yes to info":      reply{Free: 5 << 30, Machine: "cellar", Name: "Anna's box", Gives: true},
		"yes to challenge": reply{Challenge: key},
		"full":             reply{Code: codeFull, Sentence: "no space left on this node"},
	}
}

func vectors(t *testing.T) []vector {
	var all []vector
	for name, v := range good() {
		b, err := crypt.EncodeCBOR(v)
		if err != nil {
			t.Fatal(err)
		}
		one := vector{Name: name, Kind: "reply", Bytes: hex.EncodeToString(b)}
		if q, ok := v.(request); ok {
			one.Kind, one.Code = "request", q.Code
		} else {
			one.Code = v.(reply).Code
		}
		all = append(all, one)
	}
	p := Put{Shard: crypt.ID(seq(0, 32)), Stripe: 3<<40 | 5, Generation: 1}
	body, swarm := deleteBody(crypt.OwnerKey(seq(64, 32)), p), crypt.ID(seq(32, 32))
	sig := crypt.DeviceFromSeed([32]byte(seq(200, 32))).Sign(deleteContext, swarm, body)
	all = append(all,
		vector{Name: "what a delete signs", Kind: "delete", Bytes: hex.EncodeToString(body),
			Seed: hex.EncodeToString(seq(200, 32)), Swarm: swarm.String(), Signature: hex.EncodeToString(sig)},
		vector{Name: "two parts, one empty", Kind: "parts", Bytes: hex.EncodeToString(appendParts(nil, nil, []byte("head"))), Code: 2},
		vector{Name: "part longer than its body", Kind: "parts", Bytes: "0000000568656164", Fails: "length"},
		vector{Name: "half a length", Kind: "parts", Bytes: "000000", Fails: "length"},
		vector{Name: "no request code", Kind: "request", Bytes: "a0", Fails: "code"},
		vector{Name: "shard of 31 bytes", Kind: "request", Bytes: "a20103" + "03581f" + strings.Repeat("00", 31), Fails: "length of a field"},
		vector{Name: "key twice", Kind: "request", Bytes: "a201050105", Fails: "duplicate key"},
		vector{Name: "byte behind the map", Kind: "request", Bytes: "a1010500", Fails: "trailing byte"},
		vector{Name: "map without end", Kind: "request", Bytes: "bf0105ff", Fails: "indefinite length"},
		vector{Name: "cut off", Kind: "request", Bytes: "a10118", Fails: "cut off"},
		vector{Name: "nested 9 deep", Kind: "request", Bytes: "a20105184d" + strings.Repeat("81", 9) + "00", Fails: "depth"},
		vector{Name: "body of 16 MiB and a byte", Kind: "request", Bytes: "a20101021a01000001", Fails: "body over the limit"},
		vector{Name: "challenge of 31 bytes", Kind: "reply", Bytes: "a109581f" + strings.Repeat("00", 31), Fails: "length of a field"},
		vector{Name: "sentence that is not UTF-8", Kind: "reply", Bytes: "a2010503" + "61ff", Fails: "UTF-8"},
	)
	slices.SortFunc(all, func(a, b vector) int { return strings.Compare(a.Kind+a.Name, b.Kind+b.Name) })
	return all
}

// TestVectors reads the vectors as another implementation would.
func TestVectors(t *testing.T) {
	if *update {
		b, err := json.MarshalIndent(vectors(t), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/vectors.json", append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	want := map[string]vector{}
	for _, v := range vectors(t) {
		want[v.Name] = v
	}
	for _, v := range all {
		if v != want[v.Name] {
			t.Errorf("%s: the file and the code differ", v.Name)
		}
		delete(want, v.Name)
		err := readVector(t, v)
		if (err == nil) != (v.Fails == "") {
			t.Errorf("%s: %v, fails: %q", v.Name, err, v.Fails)
		}
		if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", v.Name, err)
		}
	}
	if len(want) > 0 {
		t.Errorf("%d vectors are missing in the file", len(want))
	}
}

func readVector(t *testing.T, v vector) error {
	b, err := hex.DecodeString(v.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	switch v.Kind {
	case "request":
		q, err := parseRequest(b)
		if err == nil && q.Code != v.Code {
			t.Errorf("%s: code %d", v.Name, q.Code)
		}
		return err
	case "reply":
		r, err := parseReply(b)
		if err == nil && r.Code != v.Code {
			t.Errorf("%s: code %d", v.Name, r.Code)
		}
		return err
	case "parts":
		parts, err := parseParts(b)
		if err == nil && len(parts) != int(v.Code) {
			t.Errorf("%s: %d parts", v.Name, len(parts))
		}
		return err
	}
	return nil
}

// What a header says survives encoding and decoding.
func TestHeadersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytesOf := func(n int) []byte {
			if rapid.Bool().Draw(t, "absent") {
				return nil
			}
			return rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "bytes")
		}
		q := request{
			Code: rapid.Uint64Min(1).Draw(t, "code"), Body: rapid.Uint64Max(MaxBody).Draw(t, "body"),
			Shard: bytesOf(32), Owner: bytesOf(32), Signature: bytesOf(64), Token: bytesOf(16),
			Stripe: rapid.Uint64().Draw(t, "stripe"), Name: rapid.StringN(0, 20, 60).Draw(t, "name"),
		}
		b, err := crypt.EncodeCBOR(&q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseRequest(b)
		if err != nil {
			t.Fatal(err)
		}
		again, err := crypt.EncodeCBOR(&got)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%+v became %+v (%v)", q, got, err)
		}
	})
}

func TestSpansCoverTheRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, MaxShard).Draw(t, "size")
		off := rapid.Int64Range(0, size-1).Draw(t, "off")
		n := rapid.Int64Range(1, size-off).Draw(t, "n")
		at := int64(-1)
		for i, s := range spans(size, off, n) {
			if i == 0 {
				at = s.off
				if at > off || off-at >= crypt.GroupSize {
					t.Fatalf("starts at %d for %d", at, off)
				}
			}
			if s.off != at || checkRange(uint64(size), uint64(s.off), uint64(s.n), MaxRange) != nil {
				t.Fatalf("span %+v", s)
			}
			at += s.n
		}
		if at < off+n || at-(off+n) >= crypt.GroupSize {
			t.Fatalf("ends at %d for %d", at, off+n)
		}
	})
}

// Allocation follows what arrives, not what was announced.
func TestReadGrowing(t *testing.T) {
	b, err := readGrowing(bytes.NewReader(make([]byte, 100)), nil, MaxBody)
	if !errors.Is(err, io.ErrUnexpectedEOF) || cap(b) > 8192 {
		t.Errorf("100 bytes of %d: %v, room for %d", MaxBody, err, cap(b))
	}
	data := seq(0, 100_000)
	b, err = readGrowing(iotest.OneByteReader(bytes.NewReader(data)), nil, len(data))
	if err != nil || !bytes.Equal(b, data) {
		t.Errorf("%v", err)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "a\x1b[31mb\n\u202e": "a[31m", "\xff\xfe": "", "ééé": "éé",
	} {
		if got := clean(in, 5); got != want {
			t.Errorf("clean(%q) = %q", in, got)
		}
	}
}

func TestCodesAreInOrder(t *testing.T) {
	for code := codeMalformed; code <= codeUnsupported; code++ {
		r := &Refusal{Code: uint64(code)}
		if codeOf(r) != uint64(code) || r.Error() == "" {
			t.Errorf("code %d", code)
		}
	}
	if !errors.Is(&Refusal{Code: 1 << 60}, ErrFailed) || !errors.Is(&Refusal{}, ErrFailed) {
		t.Error("an unknown code is not a failure")
	}
}

func FuzzRequest(f *testing.F) {
	for _, v := range good() {
		b, _ := crypt.EncodeCBOR(v)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := parseRequest(b)
		if err != nil {
			return
		}
		if q.Body > MaxBody || wrongLen(q.Shard, 32) || len(q.Certificate) > maxCert {
			t.Fatalf("over a limit: %+v", q)
		}
		checkRange(q.Size, q.Offset, q.Length, MaxRange)
	})
}

func FuzzReply(f *testing.F) {
	for _, v := range good() {
		b, _ := crypt.EncodeCBOR(v)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseReply(b)
		if err != nil {
			return
		}
		if len(r.Sentence) > maxSentence || strings.ContainsAny(r.Sentence+r.Name, "\x1b\n\r\x00") {
			t.Fatalf("unsafe to print: %q", r.Sentence)
		}
		if err := r.refusal(); err != nil && err.Error() == "" {
			t.Fatal("a refusal without words")
		}
	})
}

func FuzzParts(f *testing.F) {
	f.Add(appendParts(nil, []byte("a"), nil, []byte("bc")))
	f.Fuzz(func(t *testing.T, b []byte) {
		parts, err := parseParts(b)
		if err == nil && !bytes.Equal(appendParts(nil, parts...), b) {
			t.Fatal("parts do not encode to what they were read from")
		}
	})
}
