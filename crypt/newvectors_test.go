package crypt

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// newVectors gives the cases of every file, without outputs: those are what the operations give when the files are
// written anew.
func newVectors(t *testing.T) map[string][]vector {
	f := newFixture(t)
	return map[string][]vector{
		"derive.json":  deriveVectors(f),
		"phrase.json":  phraseVectors(),
		"ref.json":     refVectors(),
		"chunk.json":   chunkVectors(t),
		"slice.json":   sliceVectors(t),
		"sign.json":    signVectors(t, f),
		"records.json": recordVectors(t, f),
		"keyring.json": keyringVectors(t),
		"atrest.json":  atRestVectors(),
		"cbor.json":    cborVectors(t),
	}
}

// with is a copy of in with some values replaced: name, value, name, value.
func (v values) with(changes ...string) values {
	out := maps.Clone(v)
	for i := 0; i < len(changes); i += 2 {
		out[changes[i]] = changes[i+1]
	}
	return out
}

// flip changes one bit of byte at, counted from the end if negative.
func flip(hexBytes string, at int) string {
	b := values{"b": hexBytes}.bytes("b")
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	return hexed(b)
}

func deriveVectors(f *fixture) (v []vector) {
	secret := hexed(keyOf("secret"))
	for _, context := range []string{
		"volume gear", "volume names", "volume padding", "epoch content", "epoch head", "domain gear", "domain content", "domain id",
		"dedup", "chunk padding", "root sign", "root wrap", "device sign", "device wrap", "at rest file", "at rest file check",
		"at rest tag", "at rest segment", "keyring without passphrase", "group secret",
	} {
		v = append(v, vector{Name: context, Op: "derive", In: values{"key": secret, "context": context}})
	}
	long := hexed(bytesOf("part", 3000))
	return append(v,
		vector{Name: "mac of nothing", Op: "mac", In: values{"key": secret, "part1": "", "part2": ""}},
		vector{Name: "mac", Op: "mac", In: values{"key": secret, "part1": "6162", "part2": "63"}},
		vector{Name: "mac split elsewhere", Op: "mac", In: values{"key": secret, "part1": "61", "part2": "6263"}},
		vector{Name: "mac of more than a BLAKE3 chunk", Op: "mac", In: values{"key": secret, "part1": long, "part2": "63"}},
		vector{Name: "name hash", Op: "name hash", In: values{"key": secret, "name": "README.md"}},
		vector{Name: "name hash of 255 bytes", Op: "name hash", In: values{"key": secret, "name": strings.Repeat("ü", 127) + "x"}},
		vector{Name: "padding", Op: "pad", In: values{"key": secret, "stripe": "1099511627777", "length": "40"}},
		vector{Name: "group", Op: "group secret", In: values{"file": hexed(bytesOf("group", 40))}},
		vector{Name: "device", Op: "device", In: values{"seed": secret}},
		vector{Name: "chunk key", Op: "chunk key", In: values{"content": secret, "plain": "68616d6d6f636b"}},
		vector{Name: "chunk key of more than a BLAKE3 chunk", Op: "chunk key", In: values{"content": secret, "plain": "68616d6d6f636b", "times": "10000"}},
		vector{Name: "content key of a public chunk", Op: "derive", In: values{"key": hexed(PublicDomain), "context": "domain content"}},
	)
}

func phraseVectors() (v []vector) {
	for name, entropy := range map[string][32]byte{"zeros": {}, "fixed": keyOf("entropy"), "ones": [32]byte(bytes.Repeat([]byte{255}, 32))} {
		words, _ := phraseOf(entropy)
		v = append(v, vector{Name: name, Op: "phrase", In: values{"words": words, "entropy": hexed(entropy)}})
	}
	words, _ := phraseOf(keyOf("entropy"))
	list := strings.Fields(words)
	swapped := append([]string{list[1], list[0]}, list[2:]...)
	for name, bad := range map[string]string{
		"empty":                  "",
		"23 words":               strings.Join(list[:23], " "),
		"25 words":               words + " abandon",
		"a word not in the list": "hammock " + strings.Join(list[1:], " "),
		"wrong checksum":         strings.Join(swapped, " "),
	} {
		v = append(v, vector{Name: name, Op: "phrase", In: values{"words": bad}, Error: "phrase"})
	}
	return sorted(v)
}

func refVectors() (v []vector) {
	plain := Ref{Key: keyOf("k"), Suite: SuiteAES, Len: BlockSize + 1, Stripe: 0xabcdef<<40 | 5, Offset: 1234,
		Blocks: []Block{{Len: BlockSize + Overhead}, {Len: 1 + Overhead}}}
	packed := plain
	packed.Suite = SuiteXChaCha
	packed.Blocks = []Block{{Codec: CodecZstd, Len: 300, Salt: [12]byte{1, 2, 3}}, {Len: 1 + Overhead}}
	empty := Ref{Suite: SuiteAES}
	add := func(name string, ref []byte, fails string) {
		v = append(v, vector{Name: name, Op: "parse ref", In: values{"ref": hexed(ref)}, Error: fails})
	}
	p, q := AppendRef(nil, &plain), AppendRef(nil, &packed)
	add("plain blocks", p, "")
	add("compressed blocks and something after", append(bytes.Clone(q), 0xaa), "")
	add("no bytes", AppendRef(nil, &empty), "")
	changed := func(b []byte, at int, to ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], to)
		return b
	}
	const lenAt = 45
	add("empty", nil, "malformed")
	add("cut off in the head", p[:44], "malformed")
	add("cut off in a salt", q[:lenAt+3+2+5], "malformed")
	add("suite 0", changed(p, 0, 0), "malformed")
	add("suite 3", changed(p, 0, 3), "malformed")
	add("unknown flag", changed(p, 0, 0x21), "malformed")
	add("flag without a compressed block", append(changed(p, 0, 0x11), append(binary.AppendUvarint(nil, (BlockSize+Overhead)<<2), 17<<2)...), "malformed")
	add("longer than 4 MiB", append(bytes.Clone(p[:lenAt]), 0x81, 0x80, 0x80, 0x02), "malformed")
	add("length not in its shortest form", append(bytes.Clone(p[:lenAt]), 0x81, 0x80, 0x84, 0x00), "malformed")
	add("length cut off", append(bytes.Clone(p[:lenAt]), 0x81), "malformed")
	add("codec 3", changed(q, lenAt+3, 0xb3), "malformed")
	add("plain block of another length", changed(q, lenAt+3, 0xb0), "malformed")
	add("compressed block not shorter", append(bytes.Clone(q[:lenAt+3]), append(binary.AppendUvarint(nil, (BlockSize+Overhead)<<2|1), q[lenAt+5:]...)...), "malformed")
	add("beyond 32 bits of a stripe", changed(p, 41, 0xff, 0xff, 0xff, 0xff), "malformed")
	return v
}

func chunkVectors(t *testing.T) (v []vector) {
	content := hexed(keyOf("content"))
	for _, suite := range suites {
		for name, in := range map[string]values{
			"one byte":     {"plain": "68"},
			"short":        {"plain": hexed(bytesOf("short", 100))},
			"three blocks": {"plain": hexed(bytesOf("block", 1<<10)), "times": "129"},
		} {
			in = in.with("content", content, "suite", number(suite), "stripe", "1099511627777", "offset", "4096")
			v = append(v, vector{Name: suite.String() + " " + name, Op: "seal plain", In: in})
		}
		for _, e := range []Effort{EffortAuto, EffortFast} {
			sealed, ref := sealOf(t, NewSealer(keyOf("content"), suite), text(BlockSize+1000), e)
			in := values{"ref": hexed(AppendRef(nil, &ref)), "sealed": hexed(sealed)}
			v = append(v, openVectors(suite.String()+" "+map[Effort]string{EffortAuto: "zstd", EffortFast: "S2"}[e], in, &ref)...)
		}
	}
	return sorted(v)
}

func openVectors(name string, in values, ref *Ref) []vector {
	const salt = 45 + 3 + 2
	n := int(ref.Blocks[0].Len)
	swapped := in["sealed"][2*n:] + in["sealed"][:2*n]
	fails := func(what string, in values) vector {
		return vector{Name: name + ": " + what, Op: "open", In: in, Error: "sealed"}
	}
	return []vector{
		{Name: name, Op: "open", In: in},
		fails("first bit", in.with("sealed", flip(in["sealed"], 0))),
		fails("last bit", in.with("sealed", flip(in["sealed"], -1))),
		fails("cut off", in.with("sealed", in["sealed"][2:])),
		fails("blocks swapped", in.with("sealed", swapped)),
		fails("another key", in.with("ref", flip(in["ref"], 1))),
		fails("another salt", in.with("ref", flip(in["ref"], salt+1))),
		fails("another length", in.with("ref", flip(in["ref"], 45))),
	}
}

func sliceVectors(t *testing.T) []vector {
	const size = 2*GroupSize + 100
	data := bytesOf("shard", size)
	in := values{"root": hexed(Sum(data)), "size": number(size), "offset": number(2 * GroupSize), "length": "100",
		"slice": hexed(slice(t, data, 2*GroupSize, 100))}
	small := values{"root": hexed(Sum(data[:100])), "size": "100", "offset": "0", "length": "100", "slice": hexed(slice(t, data[:100], 0, 100))}
	fails := func(name, as string, in values) vector {
		return vector{Name: name, Op: "verify slice", In: in, Error: as}
	}
	return []vector{
		{Name: "the last group of three", Op: "verify slice", In: in},
		{Name: "less than a group", Op: "verify slice", In: small},
		fails("changed byte", "proof", in.with("slice", flip(in["slice"], -1))),
		fails("changed proof", "proof", in.with("slice", flip(in["slice"], 8))),
		fails("changed length", "proof", in.with("slice", flip(in["slice"], 0))),
		fails("byte missing", "proof", in.with("slice", in["slice"][:len(in["slice"])-2])),
		fails("byte more", "proof", in.with("slice", in["slice"]+"00")),
		fails("another root", "proof", in.with("root", hexed(Sum(nil)))),
		fails("not a whole group", "malformed", in.with("length", "99")),
		fails("offset within a group", "malformed", in.with("offset", "1")),
		fails("nothing", "malformed", in.with("length", "0")),
		fails("beyond the end", "malformed", in.with("length", "101")),
	}
}

func signVectors(t *testing.T, f *fixture) []vector {
	seed := hexed(keyOf("device"))
	wrapped, err := WrapTo(f.device.Wrap(), "test", []byte("a secret"))
	if err != nil {
		t.Fatal(err)
	}
	w := values{"seed": seed, "context": "test", "wrapped": hexed(wrapped)}
	s := values{"entropy": hexed(keyOf("root")), "volume": hexed(f.genesis.ID()), "wrapped": hexed(f.bundle.Secrets[0])}
	fails := func(name, op string, in values) vector { return vector{Name: name, Op: op, In: in, Error: "unwrap"} }
	return []vector{
		{Name: "sign", Op: "sign", In: values{"seed": seed, "context": "test", "scope": hexed(Sum(nil)), "body": "626f6479"}},
		{Name: "sign nothing", Op: "sign", In: values{"seed": seed, "context": "test", "scope": hexed(ID{}), "body": ""}},
		{Name: "unwrap", Op: "unwrap", In: w},
		fails("unwrap for another device", "unwrap", w.with("seed", hexed(keyOf("other")))),
		fails("unwrap for another purpose", "unwrap", w.with("context", "test2")),
		fails("unwrap a changed key", "unwrap", w.with("wrapped", flip(w["wrapped"], 0))),
		fails("unwrap a changed tag", "unwrap", w.with("wrapped", flip(w["wrapped"], -1))),
		fails("unwrap nothing", "unwrap", w.with("wrapped", "")),
		{Name: "secrets of a volume", Op: "secrets", In: s},
		fails("secrets of another volume", "secrets", s.with("volume", hexed(Sum(nil)))),
		fails("secrets for another root", "secrets", s.with("entropy", hexed(keyOf("other")))),
	}
}

func recordVectors(t *testing.T, f *fixture) []vector {
	must := func(b []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return hexed(b)
	}
	now := number(fixtureTime.Unix())
	cert := values{"certificate": hexed(f.bundle.Certificate), "time": now}
	genesis := values{"genesis": hexed(f.bundle.Genesis)}
	head := values{"head": hexed(f.head), "certificate": hexed(f.bundle.Certificate), "head key": hexed(f.secrets.Current().HeadKey())}
	bundle := values{"bundle": must(f.bundle.Marshal()), "time": now}
	reader, _ := f.root.Certify(Certificate{Device: f.device.Key(), WriterEpoch: 1})
	later, _ := f.root.Certify(Certificate{Device: f.device.Key(), WriterEpoch: 2, Rights: RightWrite})
	stranger := f.bundle
	stranger.Owner = rootFrom(keyOf("stranger")).Owner()
	fails := func(name, op, as string, in values) vector {
		return vector{Name: op + ": " + name, Op: op, In: in, Error: as}
	}
	longer := func(s string) string { return s + "00" }
	return []vector{
		{Name: "certificate", Op: "certificate", In: cert},
		{Name: "certificate at any time", Op: "certificate", In: cert.with("time", "")},
		fails("changed signature", "certificate", "signature", cert.with("certificate", flip(cert["certificate"], -36))),
		fails("changed volume", "certificate", "signature", cert.with("certificate", flip(cert["certificate"], -1))),
		fails("too early", "certificate", "expired", cert.with("time", number(fixtureTime.Add(-2*time.Hour).Unix()))),
		fails("too late", "certificate", "expired", cert.with("time", number(fixtureTime.Add(time.Hour).Unix()))),
		fails("byte more", "certificate", "malformed", cert.with("certificate", longer(cert["certificate"]))),
		fails("empty", "certificate", "malformed", cert.with("certificate", "")),
		{Name: "genesis", Op: "genesis", In: genesis},
		fails("changed salt", "genesis", "signature", values{"genesis": flip(genesis["genesis"], -1)}),
		fails("byte more", "genesis", "malformed", values{"genesis": longer(genesis["genesis"])}),
		fails("version 3", "genesis", "malformed", values{"genesis": "a90103" + genesis["genesis"][6:]}),
		{Name: "head", Op: "head", In: head},
		fails("changed volume", "head", "signature", head.with("head", flip(head["head"], 4))),
		fails("changed signature", "head", "signature", head.with("head", flip(head["head"], -1))),
		fails("another key", "head", "sealed", head.with("head key", hexed(f.secrets.Epochs[0].HeadKey()))),
		fails("device may only read", "head", "rights", head.with("certificate", must(reader.Marshal()))),
		fails("another writer epoch", "head", "rights", head.with("certificate", must(later.Marshal()))),
		fails("byte more", "head", "malformed", head.with("head", longer(head["head"]))),
		{Name: "bundle", Op: "bundle", In: bundle},
		fails("another owner", "bundle", "rights", bundle.with("bundle", must(stranger.Marshal()))),
		fails("too late", "bundle", "expired", bundle.with("time", number(fixtureTime.Add(time.Hour).Unix()))),
		fails("byte more", "bundle", "malformed", bundle.with("bundle", longer(bundle["bundle"]))),
	}
}

func keyringVectors(t *testing.T) (v []vector) {
	for name, passphrase := range map[string]string{"with a passphrase": "correct horse", "without one": ""} {
		b, err := encodeKeyring([]byte(passphrase), keyring(t), cheap, [56]byte(bytesOf("random", 56)))
		if err != nil {
			t.Fatal(err)
		}
		in := values{"passphrase": passphrase, "file": hexed(b)}
		forged := bytes.Clone(b[:len(b)-32])
		forged[27] = 0xff // 4 TiB for Argon2id
		hash := Sum(forged)
		fails := func(what, as string, in values) {
			v = append(v, vector{Name: name + ": " + what, Op: "keyring", In: in, Error: as})
		}
		v = append(v, vector{Name: name, Op: "keyring", In: in})
		if passphrase != "" {
			fails("a wrong one", "passphrase", in.with("passphrase", "correct horsf"))
			fails("none given", "passphrase", in.with("passphrase", ""))
		}
		fails("changed salt", "keyring damaged", in.with("file", flip(in["file"], 28)))
		fails("changed hash", "keyring damaged", in.with("file", flip(in["file"], -1)))
		fails("cut off", "keyring damaged", in.with("file", in["file"][:200]))
		fails("too dear", "keyring damaged", in.with("file", hexed(append(forged, hash[:]...))))
	}
	return sorted(v)
}

func atRestVectors() []vector {
	k := keyOf("at rest")
	salt := bytesOf("salt", fileSalt)
	header := append(bytes.Clone(salt), fileCheck(&k, salt)...)
	file := values{"key": hexed(k), "header": hexed(header), "offset": "0", "bytes": hexed(make([]byte, 40))}
	tagged := values{"key": hexed(k), "name": "6b6579", "tagged": hexed(NewTagger(&k).TagValue(nil, []byte("key"), []byte("value")))}
	nonce := make([]byte, 12)
	segment := values{"key": hexed(k), "salt": hexed(salt), "nonce": hexed(nonce),
		"sealed": hexed(NewSegmentCipher(&k, [32]byte(salt)).Seal(nil, nonce, []byte("record"), nil))}
	return []vector{
		{Name: "file", Op: "file", In: file},
		{Name: "file within a block", Op: "file", In: file.with("offset", "5")},
		{Name: "file beyond 64 GiB", Op: "file", In: file.with("offset", "68719476741")},
		{Name: "file with another salt", Op: "file", In: file.with("header", flip(file["header"], 0)), Error: "file header"},
		{Name: "file with another check", Op: "file", In: file.with("header", flip(file["header"], -1)), Error: "file header"},
		{Name: "file of another key", Op: "file", In: file.with("key", hexed(keyOf("other"))), Error: "file header"},
		{Name: "value", Op: "check value", In: tagged},
		{Name: "value changed", Op: "check value", In: tagged.with("tagged", flip(tagged["tagged"], 0)), Error: "tag"},
		{Name: "value of another name", Op: "check value", In: tagged.with("name", "6b6578"), Error: "tag"},
		{Name: "value too short", Op: "check value", In: tagged.with("tagged", "00"), Error: "tag"},
		{Name: "segment", Op: "open segment record", In: segment},
		{Name: "segment with another salt", Op: "open segment record", In: segment.with("salt", flip(segment["salt"], 0)), Error: "sealed"},
	}
}

func cborVectors(t *testing.T) []vector {
	whole, err := EncodeCBOR(&sample{N: 5, ID: Sum(nil), B: []byte{1, 2}, L: []uint64{}})
	if err != nil {
		t.Fatal(err)
	}
	b := hexed(whole)
	fails := func(name, bad string) vector {
		return vector{Name: name, Op: "decode", In: values{"cbor": bad}, Error: "malformed"}
	}
	return []vector{
		{Name: "canonical", Op: "decode", In: values{"cbor": b}},
		fails("byte more", b+"00"),
		fails("cut off", b[:len(b)-2]),
		fails("number not in its shortest form", "a4011805"+b[6:]),
		fails("keys out of order", "a4"+b[6:]+"0105"),
		fails("duplicate key", "a50105"+b[2:]),
		fails("unknown key", "a5"+b[2:]+"0500"),
		fails("missing key", "a3"+b[6:]),
		fails("indefinite map", "bf"+b[2:]+"ff"),
		fails("tag", "c1"+b),
		fails("short ID", "a401050241000342010204"+"80"),
		fails("array longer than the input", b[:len(b)-2]+"9b00000000ffffffff"),
		fails("nine deep", b[:len(b)-2]+strings.Repeat("81", 9)+"00"),
	}
}

// sorted orders cases that came from maps, so that writing the files twice gives the same files.
func sorted(v []vector) []vector {
	byName := map[string]vector{}
	for _, c := range v {
		byName[c.Name] = c
	}
	out := make([]vector, 0, len(v))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, byName[name])
	}
	return out
}
