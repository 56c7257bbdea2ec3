package mount

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hammockfs/hammock/fs/volume"
)

// patterned is n bytes that are different for each name.
func patterned(name string, n int) []byte {
	p := bytes.Repeat([]byte(name+" has these bytes\n"), n/len(name)+1)
	return p[:n]
}

// givenSizes are of files that are given to the kernel when they are opened, and
// of some that are not, behind a zero.
var givenSizes = []int{1, 4095, 4096, 4097, 20_000, smallFile, 0, smallFile + 1, 200_000}

// TestGive holds that what a small file has need not be asked for, and is right.
func TestGive(t *testing.T) {
	c, dir := mountCounted(t, true)
	v := c.RawFileSystem.(*Server).volume
	for i, n := range givenSizes { // the kernel knows nothing of these
		putFile(t, v, fmt.Sprint("f", i), patterned(fmt.Sprint("f", i), n))
	}
	small := true
	for i, n := range givenSizes {
		small = small && n > 0
		name := fmt.Sprint("f", i)
		c.counts()
		sum := shell(t, dir, `cat "$D/`+name+`" | cksum`)
		got := c.counts()["READ"]
		if small && got != 0 || !small && (got == 0) != (n == 0) {
			t.Errorf("%d bytes were asked for in %d requests", n, got)
		}
		local := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(local, patterned(name, n), 0o600))
		if want := shell(t, local, `cat "$D" | cksum`); sum != want {
			t.Errorf("%d bytes read as %s, want %s", n, sum, want)
		}
	}
}

func putFile(t *testing.T, v *volume.Volume, name string, data []byte) {
	ctx := context.Background()
	_, f, err := v.Create(ctx, volume.Caller{}, volume.Root, name, 0o644)
	must(t, err)
	if len(data) > 0 {
		_, err = f.Write(ctx, data, 0)
		must(t, err)
	}
	must(t, f.Flush(ctx))
	must(t, f.Release(ctx))
}

// TestGiveAndChange opens files to read them while others cut, overwrite and
// replace them: nobody may hang, nor read in the end what is not there any more.
func TestGiveAndChange(t *testing.T) {
	dir := mountFor(t, Config{})
	inProgram(t, "given", dir, 0)
}

func inGiven(t *testing.T, dir string) {
	const readers, rounds = 4, 150
	name := filepath.Join(dir, "file")
	want := patterned("first", smallFile)
	must(t, os.WriteFile(name, want, 0o600))
	for round := range rounds {
		wrote, err := os.OpenFile(name, os.O_WRONLY, 0) // who might have written: it is given again
		must(t, err)
		must(t, wrote.Close())
		var wg sync.WaitGroup
		for range readers {
			wg.Go(func() {
				for range 4 {
					if _, err := os.ReadFile(name); err != nil {
						t.Error(err)
					}
				}
			})
		}
		want = change(t, name, round, want)
		wg.Wait()
		if got := readNow(t, name); !bytes.Equal(got, want) {
			t.Fatalf("round %d: %d bytes that are not the %d that were left", round, len(got), len(want))
		}
	}
}

// change changes a file that has some bytes, and returns which it has then.
func change(t *testing.T, name string, round int, has []byte) []byte {
	n := 1 + round*7919%smallFile
	switch round % 3 {
	case 0:
		has = patterned(fmt.Sprint("round", round), n)
		must(t, os.WriteFile(name, has, 0o600))
	case 1:
		must(t, os.Truncate(name, int64(n)))
		has = append(has, make([]byte, max(0, n-len(has)))...)[:n]
	case 2:
		must(t, os.Truncate(name, int64(n/2)))
		must(t, os.Truncate(name, int64(n)))
		has = append(append(make([]byte, 0, n), has[:min(n/2, len(has))]...), make([]byte, n-min(n/2, len(has)))...)
	}
	return has
}

func readNow(t *testing.T, name string) []byte {
	p, err := os.ReadFile(name)
	must(t, err)
	return p
}
