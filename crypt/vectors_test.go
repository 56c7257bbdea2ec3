package crypt

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/*.json anew from what the code does")

// vector is one case of testdata: an operation, its input and either its output or the name of its failure. Values are
// hexadecimal unless KEYS.md says text or number for that name.
type vector struct {
	Name  string `json:"name"`
	Op    string `json:"op"`
	In    values `json:"in"`
	Out   values `json:"out,omitempty"`
	Error string `json:"error,omitempty"`
}

type values map[string]string

func (v values) bytes(name string) []byte {
	b, err := hex.DecodeString(v[name])
	if err != nil {
		panic(name + ": " + err.Error())
	}
	return b
}

func (v values) key(name string) Key     { return Key(v.bytes(name)) }
func (v values) id(name string) ID       { return ID(v.bytes(name)) }
func (v values) int(name string) int64   { n, _ := strconv.ParseInt(v[name], 10, 64); return n }
func (v values) uint(name string) uint64 { n, _ := strconv.ParseUint(v[name], 10, 64); return n }

func (v values) time(name string) time.Time {
	if v[name] == "" {
		return time.Time{}
	}
	return time.Unix(v.int(name), 0)
}

func hexed[T ~[]byte | ~[16]byte | ~[32]byte | ~[48]byte](b T) string {
	return hex.EncodeToString(asBytes(b))
}

func asBytes(v any) []byte {
	switch b := v.(type) {
	case []byte:
		return b
	case [32]byte:
		return b[:]
	case ID:
		return b[:]
	case Key:
		return b[:]
	case OwnerKey:
		return b[:]
	case DeviceKey:
		return b[:]
	case [FileHeader]byte:
		return b[:]
	}
	panic("no bytes")
}

func number[T int | int64 | uint32 | uint64 | Suite](n T) string {
	return strconv.FormatUint(uint64(n), 10)
}

// one is the usual result of an operation: one value.
func one[T ~[]byte | ~[16]byte | ~[32]byte | ~[48]byte](name string, b T) (values, error) {
	return values{name: hexed(b)}, nil
}

// failures names the errors that a vector may ask for.
var failures = map[string]error{
	"malformed": ErrMalformed, "proof": ErrProof, "sealed": ErrSealed, "signature": ErrSignature, "expired": ErrExpired,
	"rights": ErrRights, "unwrap": ErrUnwrap, "phrase": ErrPhrase, "passphrase": ErrPassphrase,
	"keyring damaged": ErrKeyringDamaged, "tag": ErrTag, "file header": ErrFileHeader,
}

func failureName(t *testing.T, err error) string {
	found := ""
	for name, f := range failures {
		// A damaged keyring may be damaged by being malformed.
		if errors.Is(err, f) && found != "keyring damaged" {
			found = name
		}
	}
	if err != nil && found == "" {
		t.Fatalf("%v has no name", err)
	}
	return found
}

var operations = map[string]func(in values) (values, error){
	"derive": func(in values) (values, error) { return one("key", in.key("key").Derive(in["context"])) },
	"mac": func(in values) (values, error) {
		return one("mac", in.key("key").MAC(in.bytes("part1"), in.bytes("part2")))
	},
	"name hash": func(in values) (values, error) {
		k := in.key("key")
		return values{"hash": number(NameHash(&k, in["name"]))}, nil
	},
	"pad": func(in values) (values, error) {
		k, out := in.key("key"), make([]byte, in.int("length"))
		Pad(out, &k, in.uint("stripe"))
		return one("padding", out)
	},
	"group secret": func(in values) (values, error) {
		k, err := GroupSecret(in.bytes("file"))
		return values{"secret": hexed(k)}, err
	},
	"chunk key": func(in values) (values, error) {
		s := NewSealer(in.key("content"), SuiteAES)
		k := s.Key(plainOf(in))
		return values{"key": hexed(k), "dedup": hexed(DedupID(k))}, nil
	},
	"seal plain": sealPlain,
	"parse ref":  parseRef,
	"open":       openChunk,
	"verify slice": func(in values) (values, error) {
		b, err := VerifySlice(in.bytes("slice"), in.id("root"), in.int("size"), in.int("offset"), in.int("length"))
		return values{"bytes": hexed(b)}, err
	},
	"phrase": func(in values) (values, error) {
		r, err := RootFromPhrase(in["words"])
		if err != nil {
			return nil, err
		}
		return values{"owner": hexed(r.Owner()), "wrap": hexed(r.WrapKey())}, nil
	},
	"device": func(in values) (values, error) {
		d := DeviceFromSeed(in.key("seed"))
		return values{"device": hexed(d.Key()), "wrap": hexed(d.Wrap())}, nil
	},
	"sign": func(in values) (values, error) {
		return one("signature", DeviceFromSeed(in.key("seed")).Sign(in["context"], in.id("scope"), in.bytes("body")))
	},
	"unwrap": func(in values) (values, error) {
		b, err := DeviceFromSeed(in.key("seed")).Unwrap(in["context"], in.bytes("wrapped"))
		return values{"secret": hexed(b)}, err
	},
	"certificate": func(in values) (values, error) {
		c, err := ParseCertificate(in.bytes("certificate"))
		if err == nil {
			err = c.Verify(in.time("time"))
		}
		return values{"device": hexed(c.Device), "rights": number(c.Rights), "writer epoch": number(c.WriterEpoch)}, err
	},
	"genesis": func(in values) (values, error) {
		g, err := ParseGenesis(in.bytes("genesis"))
		if err == nil {
			err = g.Verify()
		}
		return values{"owner": hexed(g.Owner), "volume": hexed(g.ID())}, err
	},
	"head":   openHead,
	"bundle": openBundle,
	"secrets": func(in values) (values, error) {
		v, err := UnwrapSecrets(rootFrom(in.key("entropy")), in.id("volume"), [][]byte{in.bytes("wrapped")})
		if err != nil {
			return nil, err
		}
		return values{"volume secret": hexed(v.Volume), "epoch": number(v.Current().Number), "epoch secret": hexed(v.Current().Secret)}, nil
	},
	"keyring": func(in values) (values, error) {
		k, err := decodeKeyring(in.bytes("file"), []byte(in["passphrase"]))
		if err != nil {
			return nil, err
		}
		b, err := EncodeCBOR(k)
		return values{"cbor": hexed(b)}, err
	},
	"file": func(in values) (values, error) {
		k, b := in.key("key"), in.bytes("bytes")
		s, err := OpenFileStream(&k, in.bytes("header"))
		if err == nil {
			s.XORAt(b, b, in.int("offset"))
		}
		return values{"bytes": hexed(b)}, err
	},
	"check value": func(in values) (values, error) {
		k := in.key("key")
		b, err := NewTagger(&k).CheckValue(in.bytes("name"), in.bytes("tagged"))
		return values{"value": hexed(b)}, err
	},
	"open segment record": func(in values) (values, error) {
		k := in.key("key")
		b, err := NewSegmentCipher(&k, in.id("salt")).Open(nil, in.bytes("nonce"), in.bytes("sealed"), nil)
		if err != nil {
			err = ErrSealed
		}
		return values{"record": hexed(b)}, err
	},
	"decode": func(in values) (values, error) {
		var s sample
		err := decodeCanonical(in.bytes("cbor"), 1<<10, &s)
		return values{"1": number(s.N), "2": hexed(s.ID), "3": hexed(s.B)}, err
	},
}

// plainOf is the plain text of a vector: "plain" as often as "times" says, or once.
func plainOf(in values) []byte { return bytes.Repeat(in.bytes("plain"), max(1, int(in.int("times")))) }

// sealPlain seals without compression, which only this package's code decides; a sealed chunk that is long is given by
// its hash.
func sealPlain(in values) (values, error) {
	s, plain := NewSealer(in.key("content"), Suite(in.int("suite"))), plainOf(in)
	sealed, ref, err := s.Seal(nil, plain, s.Key(plain), EffortNone)
	if err != nil {
		return nil, err
	}
	ref.Stripe, ref.Offset = in.uint("stripe"), uint32(in.uint("offset"))
	out := values{"ref": hexed(AppendRef(nil, &ref)), "hash of sealed": hexed(Sum(sealed))}
	if len(sealed) < 1000 {
		out["sealed"] = hexed(sealed)
	}
	return out, nil
}

func parseRef(in values) (values, error) {
	r, rest, err := ParseRef(in.bytes("ref"))
	if err != nil {
		return nil, err
	}
	return values{
		"key": hexed(r.Key), "suite": number(r.Suite), "length": number(r.Len), "stripe": number(r.Stripe), "offset": number(r.Offset),
		"blocks": number(len(r.Blocks)), "sealed length": number(r.SealedLen()), "rest": hexed(rest),
	}, nil
}

func openChunk(in values) (values, error) {
	r, _, err := ParseRef(in.bytes("ref"))
	if err != nil {
		return nil, err
	}
	plain, err := Open(nil, &r, in.bytes("sealed"))
	return values{"hash of plain": hexed(Sum(plain))}, err
}

func openHead(in values) (values, error) {
	h, err := ParseHead(in.bytes("head"))
	if err != nil {
		return nil, err
	}
	c, err := ParseCertificate(in.bytes("certificate"))
	if err != nil {
		return nil, err
	}
	if err := h.Verify(&c); err != nil {
		return nil, err
	}
	body, err := h.Open(in.key("head key"))
	return values{"body": hexed(body), "counter": number(h.Counter), "epoch": number(h.Epoch), "id": hexed(HeadID(in.bytes("head")))}, err
}

func openBundle(in values) (values, error) {
	b, err := ParseBundle(in.bytes("bundle"))
	if err != nil {
		return nil, err
	}
	v, err := b.Parse(in.time("time"))
	return values{"volume": hexed(v.Volume)}, err
}

// TestVectors runs every case of testdata against the code.
func TestVectors(t *testing.T) {
	if *update {
		for file, cases := range newVectors(t) {
			writeVectors(t, file, cases)
		}
	}
	files, _ := filepath.Glob("testdata/*.json")
	if len(files) < 8 {
		t.Fatalf("only %d files of vectors", len(files))
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var cases []vector
		if err := json.Unmarshal(b, &cases); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, c := range cases {
			t.Run(filepath.Base(file)+"/"+c.Name, func(t *testing.T) { runVector(t, c) })
		}
	}
}

func runVector(t *testing.T, c vector) {
	op, ok := operations[c.Op]
	if !ok {
		t.Fatalf("unknown operation %q", c.Op)
	}
	out, err := op(c.In)
	if name := failureName(t, err); name != c.Error {
		t.Fatalf("failed as %q, not as %q: %v", name, c.Error, err)
	}
	if err != nil {
		return
	}
	for name, want := range c.Out {
		if out[name] != want {
			t.Errorf("%s is %.100s, not %.100s", name, out[name], want)
		}
	}
}

func writeVectors(t *testing.T, file string, cases []vector) {
	for i := range cases {
		c := &cases[i]
		out, err := operations[c.Op](c.In)
		if name := failureName(t, err); name != c.Error {
			t.Fatalf("%s: failed as %q, not as %q: %v", c.Name, name, c.Error, err)
		}
		if err == nil {
			c.Out = out
		}
	}
	b, err := json.MarshalIndent(cases, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("testdata", file), append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
