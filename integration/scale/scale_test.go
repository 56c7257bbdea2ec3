package scale

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

const gib = 1 << 30

// forest and archive measure a volume of n files of 64 KiB, and one of n files
// of 1 GiB.
func forest(t testing.TB, n int) figures {
	f, err := measure(t.TempDir(), n, int64(n)*64<<10, func(fl *filler) error { return fl.forest(n) })
	must(t, err)
	return f
}

func archive(t testing.TB, n int) figures {
	f, err := measure(t.TempDir(), n, int64(n)*gib, func(fl *filler) error { return fl.archive(n) })
	must(t, err)
	return f
}

// TestGrowth compares two volumes of which one is 12 times the other, by what does
// not depend on a clock. One more level of the tree is what growth may cost.
func TestGrowth(t *testing.T) {
	small, large := forest(t, 1_000), forest(t, 12_000)
	t.Logf("small: %+v", small)
	t.Logf("large: %+v", large)
	atMost(t, "bytes of a checkpoint after 1,000 creates", large.deltaBytes, small.deltaBytes*5/4)
	atMost(t, "bytes fetched until the first ls of a recovery", large.recoverBytes, 2*small.recoverBytes+64<<10)
	atMost(t, "fetches until the first ls of a recovery", large.recoverFetches, small.recoverFetches+3)
	// Each changed file is in a leaf of its own at worst, of at most 64 KiB with what is above it.
	atMost(t, "bytes of a fold after 1,000 changes", large.foldBytes, changes*64<<10)
}

func atMost(t *testing.T, what string, got, limit int64) {
	t.Helper()
	if got > limit {
		t.Errorf("%s: %d, and at most %d were expected", what, got, limit)
	}
}

// TestScale prints the table of docs/PERFORMANCE.md. HAMMOCK_SCALE_FILES and
// HAMMOCK_SCALE_GIB say for which sizes, like 1000,10000; without them there is
// nothing to do. Ten million files take 20 GB below TMPDIR and half an hour.
func TestScale(t *testing.T) {
	run := func(variable string, measure func(testing.TB, int) figures) (list []figures) {
		for _, n := range sizes(t, variable) {
			f := measure(t, n)
			t.Logf("%s %d: %+v", variable, n, f)
			list = append(list, f)
		}
		return list
	}
	files, bytes := run("HAMMOCK_SCALE_FILES", forest), run("HAMMOCK_SCALE_GIB", archive)
	if len(files)+len(bytes) == 0 {
		t.Skip("HAMMOCK_SCALE_FILES and HAMMOCK_SCALE_GIB name no sizes")
	}
	fmt.Print(table("files of 64 KiB", files), "\n", table("files of 1 GiB", bytes))
}

func sizes(t *testing.T, variable string) (list []int) {
	for s := range strings.SplitSeq(os.Getenv(variable), ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("%s: %q is no size", variable, s)
		}
		list = append(list, n)
	}
	return list
}

// table is the figures in Markdown, a column for each size.
func table(what string, list []figures) string {
	if len(list) == 0 {
		return ""
	}
	var b strings.Builder
	row := func(name string, cell func(f figures) string) {
		b.WriteString("| " + name)
		for _, f := range list {
			b.WriteString(" | " + cell(f))
		}
		b.WriteString(" |\n")
	}
	row(what, func(f figures) string { return strconv.Itoa(f.files) })
	b.WriteString("|---" + strings.Repeat("|--:", len(list)) + "|\n")
	row("lookup of a name, µs", func(f figures) string { return micro(f.lookup) })
	row("lookup of an absent name, µs", func(f figures) string { return micro(f.absent) })
	row("extents and stripe of a read, µs", func(f figures) string { return micro(f.window) })
	row("create, write 4 KiB, close, µs", func(f figures) string { return micro(f.create) })
	row("checkpoint after 1,000 creates, ms", func(f figures) string { return milli(f.delta) })
	row("its bytes, KiB", func(f figures) string { return kib(f.deltaBytes) })
	row("fold after 1,000 changes anywhere, ms", func(f figures) string { return milli(f.fold) })
	row("its bytes, KiB", func(f figures) string { return kib(f.foldBytes) })
	row("figures for status, µs", func(f figures) string { return micro(f.status) })
	row("start after a restart, ms", func(f figures) string { return milli(f.start) })
	row("recovery to the first ls, ms", func(f figures) string { return milli(f.recover) })
	row("bytes fetched for it, KiB", func(f figures) string { return kib(f.recoverBytes) })
	row("memory in use, MiB", func(f figures) string { return strconv.FormatInt(f.heap>>20, 10) })
	row("records on the disk, MiB", func(f figures) string { return strconv.FormatInt(f.disk>>20, 10) })
	return b.String()
}

func micro(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Nanoseconds())/1e3) }
func milli(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d.Microseconds())/1e3) }
func kib(n int64) string           { return strconv.FormatInt(n>>10, 10) }
