package placement

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/codes.txt anew")

// TestCodeVectors holds the code itself still: another matrix would make every stored spare shard wrong.
func TestCodeVectors(t *testing.T) {
	var got bytes.Buffer
	fmt.Fprintln(&got, "# Shard IDs of the payload of k*1024 bytes whose byte i is (i*7 + i/256) mod 256.")
	var c coders
	for _, code := range []Code{{1, 0}, {1, 2}, {1, 4}, {2, 1}, {2, 2}, {2, 4}, {3, 4}, {4, 2}, {4, 4}, {10, 6}, {10, 12}, {20, 20}, {16, 40}} {
		payload := make([]byte, code.K<<10)
		for i := range payload {
			payload[i] = byte(i*7 + i/256)
		}
		shards := make([][]byte, code.N())
		for i := range shards {
			shards[i] = make([]byte, 1<<10)
			copy(shards[i], payload[min(i<<10, len(payload)):])
		}
		rs, err := c.get(code)
		if err != nil {
			t.Fatal(err)
		}
		if code.M > 0 {
			if err := rs.Encode(shards); err != nil {
				t.Fatal(err)
			}
		}
		for i, id := range sums(shards) {
			if code.K == 1 && !bytes.Equal(shards[i], payload) {
				t.Errorf("%v: shard %d is not the payload", code, i)
			}
			fmt.Fprintf(&got, "%v %d %v\n", code, i, id)
		}
	}
	if *update {
		if err := os.WriteFile("testdata/codes.txt", got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/codes.txt")
	if err != nil || !bytes.Equal(want, got.Bytes()) {
		t.Errorf("the code gives other shards than testdata/codes.txt (%v)", err)
	}
}

func TestBuffers(t *testing.T) {
	var b buffers
	for _, n := range []int{0, 1, 1024, 1025, 1280, 1281, 5 << 20, 5<<20 + 1, 6<<20 - 1, 33 << 20} {
		p := b.get(n)
		if len(p) != 0 || cap(p) < n || n > 1024 && cap(p) > n+n/4+1 {
			t.Errorf("get(%d): cap %d", n, cap(p))
		}
		b.put(p)
		if q := b.get(n); cap(q) != cap(p) {
			t.Errorf("get(%d) again: cap %d, not %d", n, cap(q), cap(p))
		}
	}
	b.put(nil)
	b.put(make([]byte, 1000))
}
