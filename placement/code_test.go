package placement

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPolicyNames(t *testing.T) {
	for p := Default; p <= Policy20x20; p++ {
		if got, err := ParsePolicy(p.String()); err != nil || got != p {
			t.Errorf("ParsePolicy(%q) = %v, %v", p.String(), got, err)
		}
	}
	if _, err := ParsePolicy("3+1"); err == nil || !strings.Contains(err.Error(), `"3+1"`) {
		t.Errorf("ParsePolicy of an unknown policy: %v", err)
	}
	for d := DistinctMachine; d <= DistinctOwner; d++ {
		if got, err := ParseDistinct(d.String()); err != nil || got != d {
			t.Errorf("ParseDistinct(%q) = %v, %v", d.String(), got, err)
		}
	}
}

// TestCodesPage compares Policy.Code with the table in CODES.md, row by row.
func TestCodesPage(t *testing.T) {
	page, err := os.ReadFile("CODES.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, policy := 0, Default
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || strings.Contains(line, "---") || strings.Contains(line, "policy") {
			continue
		}
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `\n")
		}
		if cells[1] != "" {
			if policy, err = ParsePolicy(cells[1]); err != nil {
				t.Fatal(err)
			}
		}
		rows++
		from, to := storesOf(t, cells[2])
		for n := from; n <= to; n++ {
			checkCell(t, policy, ClassData, n, cells[3])
			checkCell(t, policy, ClassMetadata, n, cells[4])
			checkCell(t, policy, ClassIndex, n, cells[4])
		}
	}
	if rows != 21 {
		t.Errorf("%d rows in the table, 21 expected", rows)
	}
}

func storesOf(t *testing.T, cell string) (from, to int) {
	if cell == "any" {
		return 0, 200
	}
	if _, err := fmt.Sscanf(cell, "from %d", &from); err == nil {
		return from, from + 50
	}
	if _, err := fmt.Sscanf(cell, "%d–%d", &from, &to); err == nil {
		return from, to
	}
	if _, err := fmt.Sscanf(cell, "%d", &from); err != nil {
		t.Fatalf("stores %q: %v", cell, err)
	}
	return from, from
}

func checkCell(t *testing.T, p Policy, class uint8, stores int, cell string) {
	got := "–"
	if c, ok := p.Code(class, stores); ok {
		got = c.String()
	}
	var sub, k, m int
	want := cell
	if _, err := fmt.Sscanf(cell, "(stores−%d)+%d", &sub, &m); err == nil {
		want = Code{stores - sub, m}.String()
	} else if _, err := fmt.Sscanf(cell, "%d+(stores−%d)", &k, &sub); err == nil {
		want = Code{k, stores - sub}.String()
	}
	if got != want {
		t.Errorf("%v, class %d, %d stores: %s, the page says %s", p, class, stores, got, want)
	}
}

func TestCodesFitTheirStores(t *testing.T) {
	for p := Default; p <= Policy20x20; p++ {
		for n := range 200 {
			data, ok := p.Code(ClassData, n)
			for _, class := range []uint8{ClassData, ClassMetadata, ClassIndex} {
				c, ok2 := p.Code(class, n)
				if ok2 != ok || ok && (!c.valid() || c.N() > n || c.M < data.M || c.Happy() > n) {
					t.Errorf("%v, class %d, %d stores: %v, %v beside %v for data", p, class, n, c, ok2, data)
				}
			}
			if ok != (p.Needs() > 0 && n >= p.Needs()) {
				t.Errorf("%v on %d stores: %v, but it needs %d", p, n, ok, p.Needs())
			}
		}
	}
}

func TestShardSizes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(1, 20).Draw(t, "k")
		payload := rapid.IntRange(0, min(k*MaxShardSize, MaxPayload)).Draw(t, "payload")
		s := ShardSize(payload, k)
		if s < 1<<10 || s%(1<<10) != 0 || s > MaxShardSize || s*k < payload {
			t.Fatalf("ShardSize(%d, %d) = %d", payload, k, s)
		}
		if again := ShardSize(k*s, k); again != s {
			t.Fatalf("ShardSize(%d, %d) = %d, but of %d full ones %d", payload, k, s, k, again)
		}
		if waste := k*s - payload; payload >= k*256<<10 && float64(waste) > 0.12*float64(payload) {
			t.Fatalf("ShardSize(%d, %d) = %d wastes %d", payload, k, s, waste)
		}
		if s >= 256<<10 && s%(16<<10) != 0 {
			t.Fatalf("ShardSize(%d, %d) = %d is not whole groups", payload, k, s)
		}
	})
	for _, c := range []struct{ payload, k, size int }{
		{0, 4, 1 << 10}, {1, 1, 1 << 10}, {4096, 4, 1 << 10}, {4097, 4, 2 << 10}, {16 << 10, 1, 16 << 10}, {16<<10 + 1, 1, 17 << 10},
		{17<<10 + 1, 1, 19 << 10}, {31 << 10, 1, 32 << 10}, {33 << 10, 1, 34 << 10}, {4 << 20, 4, 1 << 20}, {4<<20 + 1, 4, 1088 << 10},
		{16 << 20, 1, 16 << 20}, {16<<20 + 1, 1, 0}, {1, 0, 0}, {8 << 20, 20, 432 << 10},
	} {
		if got := ShardSize(c.payload, c.k); got != c.size {
			t.Errorf("ShardSize(%d, %d) = %d, not %d", c.payload, c.k, got, c.size)
		}
	}
}
