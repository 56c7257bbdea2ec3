package meta

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hammockfs/hammock/crypt"
)

var update = flag.Bool("update", false, "write testdata/vectors.txt anew")

// vectorRef is the ref of all vectors.
var vectorRef = crypt.Ref{
	Key: crypt.Key(crypt.Sum([]byte("key"))), Suite: crypt.SuiteAES, Len: 1000, Stripe: 0x0102030000000004, Offset: 5,
	Blocks: []crypt.Block{{Len: 1016}},
}

type vector struct {
	name string
	b    []byte
}

// vectors returns the encodings that FORMAT.md's examples are.
func vectors(t *testing.T) []vector {
	name := crypt.Key(crypt.Sum([]byte("name key")))
	b := &Batch{names: &name}
	b.Reset()
	var list []vector
	add := func(what string, v []byte, err error) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, vector{what, bytes.Clone(v)})
	}
	v, err := appendInode(nil, &Inode{Ino: 7, Mode: 0o100644, UID: 1000, GID: 1000, Nlink: 1, Size: 5000000, Blocks: 9766,
		Atime: -1, Mtime: 1_800_000_000_000_000_001, Ctime: 3, Btime: 4, Parent: 1})
	add("inode", v, err)
	v, err = appendInode(nil, &Inode{Ino: 8, Mode: 0o120777, Nlink: 1, Size: 5, Target: "a/\xff"})
	add("symlink", v, err)
	v, err = appendDirent(nil, &Dirent{Ino: 7, Type: 8})
	add("dirent", v, err)
	add("dirent-key", appendDirentKey(nil, 1, crypt.NameHash(&name, "file"), "file"), nil)
	v, err = appendWindow(nil, 1, []Extent{
		{Off: Window + 10, Len: 100, Skip: 1, Ref: vectorRef}, {Off: Window + 200, Len: 50, Skip: 300, Ref: vectorRef},
	})
	add("window", v, err)
	other := vectorRef
	other.Offset = 2000
	v, err = appendWindow(nil, 1, []Extent{
		{Off: Window, Len: 10, Ref: vectorRef}, {Off: Window + 10, Len: 10, Ref: other},
		{Off: Window + 20, Len: 10, Skip: 20, Ref: vectorRef}, {Off: Window + 30, Len: 10, Skip: 30, Ref: vectorRef},
		{Off: Window + 40, Len: 10, Ref: other},
	})
	add("window-again", v, err)
	b.PutDirent(1, "file", 7, 8)
	b.DeleteXattr(7, "user.x")
	b.RemoveInode(9)
	b.Clip(7, Window)
	b.putStripe(vectorRef.Stripe, []byte("record"))
	add("batch", b.buf, b.err)
	child := crypt.AppendRef(nil, &vectorRef)
	add("link-same", append([]byte{linkSame}, child...), nil)
	add("link-record", append([]byte{linkRecord, 6}, append([]byte("record"), child...)...), nil)
	v, err = crypt.EncodeCBOR(&headBody{
		Version: headVersion, Names: rootRecord{Ref: child, Height: 2, Entries: 300}, Table: rootRecord{Ref: child, Height: 1, Entries: 3},
		Deltas: [][]byte{child}, Records: []stripeRecord{{vectorRef.Stripe, []byte("record")}}, Snapshots: []snapshot{},
		Stores:   []StoreEntry{{Number: 1, Kind: 1, Peer: "peer", Machine: "m", Addrs: []string{"/ip4/127.0.0.1/tcp/1"}}},
		Sessions: packSessions([]uint32{1, 0x010203}), Time: 5, Vector: []seenHead{{crypt.DeviceKey{1}, 9}}, Policy: "4+2", Unplaced: 2,
	})
	add("head-body", v, err)
	return list
}

func TestVectors(t *testing.T) {
	path := filepath.Join("testdata", "vectors.txt")
	if *update {
		var out strings.Builder
		for _, v := range vectors(t) {
			fmt.Fprintf(&out, "%s %x\n", v.name, v.b)
		}
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := readVectors(t, path)
	for _, v := range vectors(t) {
		if !bytes.Equal(v.b, want[v.name]) {
			t.Errorf("%s: %x, the vector is %x", v.name, v.b, want[v.name])
		}
		if err := parseVector(v.name, v.b); err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
	}
}

// TestBadVectors reads encodings that must be refused; the name of each says what is wrong with it.
func TestBadVectors(t *testing.T) {
	for name, b := range readVectors(t, filepath.Join("testdata", "bad.txt")) {
		kind, _, _ := strings.Cut(name, ":")
		if err := parseVector(kind, b); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func readVectors(t *testing.T, path string) map[string][]byte {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string][]byte)
	for line := range strings.Lines(string(text)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		b, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m[name] = b
	}
	return m
}

// parseVector parses bytes of one kind.
func parseVector(kind string, b []byte) (err error) {
	switch kind {
	case "inode", "symlink":
		_, err = ParseInode(7, b)
	case "dirent":
		_, err = parseDirent("x", 16, b)
	case "dirent-key", "key":
		err = checkKey(b)
	case "window", "window-again":
		_, err = ParseWindow(1, b)
	case "batch":
		err = checkDelta(b)
	case "link-same", "link-record", "link":
		var ref []byte
		if _, ref, err = parseLink(b); err == nil {
			_, err = parseWholeRef(ref)
		}
	case "head-body":
		_, err = parseHeadBody(b)
	case "sessions":
		_, err = parseSessions(b)
	case "published":
		_, err = parsePublished(b)
	default:
		err = fmt.Errorf("no parser for %q", kind)
	}
	return err
}

func fuzzKind(f *testing.F, kinds ...string) {
	for _, file := range []string{"vectors.txt", "bad.txt"} {
		text, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
			kind, _, _ := strings.Cut(name, ":")
			if b, err := hex.DecodeString(digits); err == nil && kind == kinds[0] {
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, k := range kinds {
			_ = parseVector(k, b)
		}
	})
}

func FuzzInode(f *testing.F)    { fuzzKind(f, "inode", "dirent") }
func FuzzKey(f *testing.F)      { fuzzKind(f, "dirent-key", "sessions") }
func FuzzDelta(f *testing.F)    { fuzzKind(f, "batch") }
func FuzzLink(f *testing.F)     { fuzzKind(f, "link-record", "link-same") }
func FuzzHeadBody(f *testing.F) { fuzzKind(f, "head-body", "published") }

// FuzzWindow also checks that a window has one encoding.
func FuzzWindow(f *testing.F) {
	f.Add([]byte{windowVersion, 0})
	for _, n := range []int{2, 5, 40} { // with few refs and with many
		var extents []Extent
		for i := range 50 {
			ref := vectorRef
			ref.Offset = uint32(i*i%n) * 1016
			extents = append(extents, Extent{Off: 3*Window + uint64(i)*7, Len: 5, Skip: uint32(i), Ref: ref})
		}
		b, err := appendWindow(nil, 3, extents)
		if err != nil {
			f.Fatal(err)
		}
		if got, err := ParseWindow(3, b); err != nil || !reflect.DeepEqual(got, extents) {
			f.Fatalf("%d extents of %d refs became %d: %v", len(extents), n, len(got), err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		extents, err := ParseWindow(3, b)
		if err != nil {
			return
		}
		again, err := appendWindow(nil, 3, extents)
		if err != nil {
			t.Fatalf("%v: cannot be encoded again: %v", extents, err)
		}
		if len(again) > len(b) || (len(again) == len(b) && !bytes.Equal(again, b)) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}
