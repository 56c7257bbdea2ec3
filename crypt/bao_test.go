package crypt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func slice(t testing.TB, data []byte, off, n int) []byte {
	root, tree := Outboard(data)
	s, err := ExtractSlice(bytes.NewReader(data), tree, root, int64(len(data)), int64(off), int64(n))
	if err != nil {
		t.Fatalf("slice of %d at %d of %d: %v", n, off, len(data), err)
	}
	return s
}

func TestEverySliceProvesItself(t *testing.T) {
	const g = GroupSize
	for _, size := range []int{1, g - 1, g, g + 1, 2 * g, 3*g - 5, 4 * g, 5 * g, 8*g + 1, 17 * g} {
		data := bytesOf("data", size)
		root, tree := Outboard(data)
		if root != Sum(data) || int64(len(tree)) != OutboardSize(int64(size)) {
			t.Fatalf("outboard of %d bytes: %d bytes, root %v", size, len(tree), root)
		}
		for off := 0; off < size; off += g {
			for end := off + g; ; end += g {
				end = min(end, size)
				s := slice(t, data, off, end-off)
				got, err := VerifySlice(s, root, int64(size), int64(off), int64(end-off))
				if err != nil || !bytes.Equal(got, data[off:end]) {
					t.Fatalf("[%d,%d) of %d: %v", off, end, size, err)
				}
				same, err := AppendUnchecked(nil, bytes.NewReader(data), tree, int64(size), int64(off), int64(end-off))
				if err != nil || !bytes.Equal(same, s) {
					t.Fatalf("[%d,%d) of %d unchecked is another slice: %v", off, end, size, err)
				}
				if end == size {
					break
				}
			}
		}
	}
}

func TestChangedSlicesProveNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		groups := rapid.IntRange(1, 9).Draw(t, "groups")
		size := groups*GroupSize - rapid.IntRange(0, GroupSize-1).Draw(t, "short")
		data := bytesOf("data", size)
		root, tree := Outboard(data)
		first := rapid.IntRange(0, groups-1).Draw(t, "first")
		last := rapid.IntRange(first+1, groups).Draw(t, "last")
		off, n := int64(first*GroupSize), int64(min(last*GroupSize, size)-first*GroupSize)
		s, err := ExtractSlice(bytes.NewReader(data), tree, root, int64(size), off, n)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(s)
		bad[rapid.IntRange(0, len(s)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		cut := s[:rapid.IntRange(0, len(s)-1).Draw(t, "cut")]
		for name, wrong := range map[string][]byte{"bit": bad, "cut": cut, "longer": append(bytes.Clone(s), 0)} {
			if _, err := VerifySlice(wrong, root, int64(size), off, n); !errors.Is(err, ErrProof) {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if _, err := VerifySlice(s, Sum([]byte("other")), int64(size), off, n); !errors.Is(err, ErrProof) {
			t.Fatalf("other root: %v", err)
		}
	})
}

func TestSlicesAreOfTheRangeAskedFor(t *testing.T) {
	data := bytesOf("data", 8*GroupSize)
	root := Sum(data)
	s := slice(t, data, 0, GroupSize)
	if _, err := VerifySlice(s, root, 8*GroupSize, GroupSize, GroupSize); !errors.Is(err, ErrProof) {
		t.Errorf("another group: %v", err)
	}
	if _, err := VerifySlice(s, root, 7*GroupSize+1, 0, GroupSize); !errors.Is(err, ErrProof) {
		t.Errorf("another size: %v", err)
	}
	for _, r := range [][3]int64{{100, 0, 0}, {100, 0, 101}, {100, 1, 99}, {0, 0, 0}, {-1, 0, 1}, {1 << 20, 0, 100}, {1 << 20, -GroupSize, GroupSize}, {1 << 62, 0, GroupSize}, {1 << 20, GroupSize, 1<<63 - 1}} {
		if _, err := VerifySlice(s, root, r[0], r[1], r[2]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%v verified: %v", r, err)
		}
		if _, err := ExtractSlice(bytes.NewReader(data), nil, root, r[0], r[1], r[2]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%v extracted: %v", r, err)
		}
	}
	if _, err := ExtractSlice(bytes.NewReader(data), make([]byte, 9), root, 8*GroupSize, 0, GroupSize); !errors.Is(err, ErrMalformed) {
		t.Errorf("a wrong outboard: %v", err)
	}
}

// What a peer keeps may have rotted: then no slice of it is made.
func TestRottenDataGivesNoSlice(t *testing.T) {
	data := bytesOf("data", 5*GroupSize-7)
	root, tree := Outboard(data)
	size := int64(len(data))
	extract := func(data, tree []byte, off, n int64) error {
		_, err := ExtractSlice(bytes.NewReader(data), tree, root, size, off, n)
		return err
	}
	bad := bytes.Clone(data)
	bad[3*GroupSize] ^= 1
	if err := extract(bad, tree, 2*GroupSize, 2*GroupSize); !errors.Is(err, ErrProof) {
		t.Errorf("a rotten group: %v", err)
	}
	if err := extract(bad, tree, 0, 3*GroupSize); err != nil {
		t.Errorf("beside the rotten group: %v", err)
	}
	if err := extract(data[:4*GroupSize], tree, 3*GroupSize, size-3*GroupSize); err == nil || errors.Is(err, ErrProof) {
		t.Errorf("data that ends early: %v", err)
	}
	for at := 8; at < len(tree); at++ { // each node is above the range, or not
		bad := bytes.Clone(tree)
		bad[at] ^= 1
		if err := extract(data, bad, 0, size); !errors.Is(err, ErrProof) {
			t.Fatalf("a rotten outboard, at %d: %v", at, err)
		}
	}
}

func FuzzVerifySlice(f *testing.F) {
	data := bytesOf("data", 5*GroupSize-7)
	root := Sum(data)
	f.Add(slice(f, data, 0, GroupSize), int64(len(data)), int64(0), int64(GroupSize))
	f.Add(slice(f, data, GroupSize, 4*GroupSize-7), int64(len(data)), int64(GroupSize), int64(4*GroupSize-7))
	f.Add(binary.LittleEndian.AppendUint64(nil, 1<<63), int64(1<<40), int64(0), int64(1<<40))
	f.Fuzz(func(t *testing.T, s []byte, size, off, n int64) {
		got, err := VerifySlice(s, root, size, off, n)
		if err == nil && !bytes.Equal(got, data[off:off+n]) {
			t.Fatal("wrong bytes were proved")
		}
	})
}
