package journal

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hammockfs/hammock/crypt"
	"pgregory.net/rapid"
)

// record is the content of the n-th record: its number and noise of a random length.
func record(rng *rand.Rand, n int) string {
	size := rng.IntN(200)
	switch rng.IntN(20) {
	case 0:
		size = rng.IntN(40_000) // more than a segment
	case 1:
		size = 0
	}
	return fmt.Sprintf("%d:", n) + strings.Repeat(string(rune('a'+n%26)), size)
}

// TestAgainstSlice does everything that a journal goes through, in random order, and compares with a slice.
func TestAgainstSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		rng := rand.New(rand.NewPCG(seed, 0))
		mem := vfs.NewCrashableMem()
		j, _ := reopen(t, config(mem), 0)
		var recs []string // recs[i] is record i+1
		released := LSN(0)
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			switch p := rng.IntN(100); {
			case p < 70:
				rec := record(rng, len(recs))
				lsn, err := j.Append([]byte(rec))
				recs = append(recs, rec)
				if err != nil || lsn != LSN(len(recs)) {
					t.Fatalf("append %d: %d, %v", len(recs), lsn, err)
				}
			case p < 80:
				if err := j.Sync(context.Background(), LSN(rng.IntN(len(recs)+1))); err != nil {
					t.Fatalf("sync: %v", err)
				}
			case p < 88:
				released += LSN(rng.IntN(len(recs) - int(released) + 1))
				if err := j.Release(released); err != nil {
					t.Fatalf("release: %v", err)
				}
			default:
				least := len(recs)
				switch {
				case p < 91:
					if err := j.Close(); err != nil {
						t.Fatalf("close: %v", err)
					}
				case p < 94:
					mem = kill(mem, j)
				default:
					least = int(j.Synced())
					mem = cut(mem, j, rng)
				}
				recs, j = restart(t, mem, recs, released, least)
			}
		}
		j.Close()
	})
}

// kill is the end of the process: all that was written is there.
func kill(mem *vfs.MemFS, j *Journal) *vfs.MemFS {
	mem = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(0, 0))})
	j.Close()
	return mem
}

// cut is the end of the power: all that was synced is there, and some of the rest.
func cut(mem *vfs.MemFS, j *Journal, rng *rand.Rand) *vfs.MemFS {
	percent := []int{0, 10, 50, 90, 100}[rng.IntN(5)]
	mem = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
	j.Close()
	return mem
}

func restart(t *rapid.T, mem *vfs.MemFS, recs []string, after LSN, least int) ([]string, *Journal) {
	j, got := reopen(t, config(mem), after)
	n := int(after) + len(got)
	if n > len(recs) || n < least || !slices.Equal(got, recs[min(int(after), n):n]) {
		t.Fatalf("%d records come back of %d, %d at least", n, len(recs), least)
	}
	for len(recs) < int(j.Last()) {
		recs = append(recs, "") // after was beyond the journal's end
	}
	return recs[:j.Last()], j
}

// TestPowerCutAtEverySync cuts the power before and after every single sync of a run, with several outcomes each.
func TestPowerCutAtEverySync(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &hookFS{FS: mem}
	type moment struct {
		mem      *vfs.MemFS
		least    int // records whose Sync had returned
		released LSN
	}
	var (
		mu              sync.Mutex
		moments         []moment
		acked, released int
		rng             = rand.New(rand.NewPCG(7, 7))
	)
	snap := func() {
		mu.Lock()
		defer mu.Unlock()
		cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng}
		moments = append(moments, moment{mem.CrashClone(cfg), acked, LSN(released)})
	}
	fs.setSync(func(f vfs.File) error {
		snap()
		defer snap()
		return f.Sync()
	})
	var recs []string
	j, _ := reopen(t, config(fs), 0)
	draw := rand.New(rand.NewPCG(3, 3))
	for i := range 250 {
		recs = append(recs, record(draw, i))
		_, err := j.Append([]byte(recs[i]))
		must(t, err)
		switch draw.IntN(8) {
		case 0:
			must(t, j.Sync(t.Context(), LSN(i+1)))
			mu.Lock()
			acked = i + 1
			mu.Unlock()
		case 1:
			mu.Lock()
			released = acked
			mu.Unlock()
			must(t, j.Release(LSN(released)))
		}
	}
	must(t, j.Close())
	if len(moments) < 100 {
		t.Errorf("only %d moments", len(moments))
	}
	for i, m := range moments {
		j, got := reopen(t, config(m.mem), m.released)
		n := int(m.released) + len(got)
		if n < m.least || !slices.Equal(got, recs[m.released:n]) {
			t.Fatalf("cut %d: %d records, wanted %d at least", i, n, m.least)
		}
		must(t, j.Close())
	}
}

func TestSizes(t *testing.T) {
	cfg := Config{FS: vfs.Default, Dir: t.TempDir(), Key: testKey, SegmentSize: 1 << 20}
	j, _ := reopen(t, cfg, 0)
	var want []string
	for _, size := range []int{0, 1, MaxRecord, 1<<20 - frameStart - frameOverhead, 5, 1 << 20, MaxRecord - 1} {
		want = append(want, strings.Repeat("x", size))
		_, err := j.Append([]byte(want[len(want)-1]))
		must(t, err)
	}
	if _, err := j.Append(make([]byte, MaxRecord+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if _, err := j.Append([]byte("last")); err != nil {
		t.Error(err)
	}
	must(t, j.Close())
	j, got := reopen(t, cfg, 0)
	if !slices.Equal(got, append(want, "last")) {
		t.Errorf("%d records come back", len(got))
	}
	if p := j.Pending(); p < 2*MaxRecord || p > 3*MaxRecord {
		t.Errorf("%d bytes pending", p)
	}
	must(t, j.Release(j.Last()))
	names, err := vfs.Default.List(cfg.Dir)
	must(t, err)
	if len(names) > keepFree+2 || j.Pending() != 0 {
		t.Errorf("files left: %v; pending: %d", names, j.Pending())
	}
	must(t, j.Close())
}

// damaged makes a journal of three segments, each with records of 1000 bytes.
func damaged(t *testing.T) (*vfs.MemFS, Config) {
	mem := vfs.NewCrashableMem()
	cfg := config(mem)
	j, _ := reopen(t, cfg, 0)
	for range 30 {
		_, err := j.Append(make([]byte, 1000))
		must(t, err)
	}
	must(t, j.Close())
	return mem, cfg
}

func flip(t *testing.T, mem *vfs.MemFS, name string, off int64) {
	t.Helper()
	b, err := mem.UnsafeGetFileDataBuffer(mem.PathJoin("journal", name))
	must(t, err)
	b[off] ^= 1
}

func TestDamage(t *testing.T) {
	const frame, inFirst = 1000 + frameOverhead, (16<<10 - frameStart) / (1000 + frameOverhead)
	mem, cfg := damaged(t)
	flip(t, mem, fileName(0), frameStart+3*frame+100)
	_, err := Open(cfg, 0, func(LSN, []byte) error { return nil })
	var d *DamageError
	want := DamageError{Segment: fileName(0), Offset: frameStart + 3*frame, LSN: 4, Next: inFirst + 1}
	if !errors.As(err, &d) || *d != want {
		t.Fatalf("%v", err)
	}
	if !strings.Contains(err.Error(), "damaged at byte") || !strings.Contains(err.Error(), "records 4 to 12") {
		t.Errorf("it says: %v", err)
	}
	// What is durable elsewhere need not be read.
	j, got := reopen(t, cfg, inFirst)
	if len(got) != 30-inFirst {
		t.Errorf("%d records", len(got))
	}
	must(t, j.Close())

	// The end of the last used segment may be torn.
	mem, cfg = damaged(t)
	flip(t, mem, fileName(2), frameStart+2*frame)
	j, got = reopen(t, cfg, 0)
	if len(got) != 2*inFirst+2 {
		t.Errorf("%d records before the torn one", len(got))
	}
	_, err = j.Append([]byte("next"))
	must(t, errors.Join(err, j.Close()))
	j, got = reopen(t, cfg, 0)
	if len(got) != 2*inFirst+3 || got[len(got)-1] != "next" {
		t.Errorf("%d records after a restart behind a torn end", len(got))
	}
	must(t, j.Close())

	// A whole segment is missing.
	mem, cfg = damaged(t)
	must(t, mem.Remove(mem.PathJoin("journal", fileName(1))))
	if _, err := Open(cfg, 0, func(LSN, []byte) error { return nil }); !errors.As(err, &d) || d.LSN != inFirst+1 {
		t.Errorf("a missing segment: %v", err)
	}
}

func TestForeignHeaders(t *testing.T) {
	_, cfg := damaged(t)
	other := cfg
	other.Key = crypt.Key{9}
	if _, err := Open(other, 0, nil); !errors.Is(err, errNotSegment) {
		t.Errorf("another key: %v", err)
	}
	for off := range int64(headerSize) {
		mem, cfg := damaged(t)
		flip(t, mem, fileName(1), off)
		if _, err := Open(cfg, 0, func(LSN, []byte) error { return nil }); !errors.Is(err, errNotSegment) {
			t.Fatalf("byte %d: %v", off, err)
		}
	}
	boom := errors.New("boom")
	if _, err := Open(cfg, 0, func(LSN, []byte) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("an error of replay: %v", err)
	}
	if _, err := Open(Config{FS: vfs.NewMem(), Dir: "x", SegmentSize: 100}, 0, nil); err == nil {
		t.Error("a segment of 100 bytes")
	}
}

// TestRecycledFramesAreNoise fills segments, releases them, and looks whether what was in them comes back.
func TestRecycledFramesAreNoise(t *testing.T) {
	mem := vfs.NewCrashableMem()
	j, _ := reopen(t, config(mem), 0)
	for i := range 200 {
		lsn, err := j.Append(bytes.Repeat([]byte{byte(i)}, 1000))
		must(t, err)
		must(t, j.Release(lsn-1))
	}
	names, err := mem.List("journal")
	must(t, err)
	if len(names) > 4 {
		t.Errorf("%d files for what fits in one", len(names))
	}
	after := j.Last() - 1
	mem = kill(mem, j)
	j, got := reopen(t, config(mem), after)
	if len(got) != 1 || got[0] != strings.Repeat("\xc7", 1000) {
		t.Errorf("%d records come back", len(got))
	}
	must(t, j.Close())
}

// TestAfterBeyondTheEnd: what is durable elsewhere may be newer than what survived here; numbers go on from there.
func TestAfterBeyondTheEnd(t *testing.T) {
	_, cfg := damaged(t)
	j, got := reopen(t, cfg, 100)
	lsn, err := j.Append([]byte("x"))
	if err != nil || lsn != 101 || len(got) != 0 {
		t.Errorf("%d, %v", lsn, err)
	}
	must(t, j.Close())
	j, got = reopen(t, cfg, 100)
	if len(got) != 1 {
		t.Errorf("%d records", len(got))
	}
	must(t, j.Close())
}

// TestRestartsLeaveNothing opens and kills the journal again and again without a release.
func TestRestartsLeaveNothing(t *testing.T) {
	mem := vfs.NewCrashableMem()
	j, _ := reopen(t, config(mem), 0)
	_, err := j.Append([]byte("x"))
	must(t, err)
	for range 20 {
		mem = kill(mem, j)
		var got []string
		if j, got = reopen(t, config(mem), 0); len(got) != 1 {
			t.Fatalf("%d records", len(got))
		}
	}
	must(t, j.Close())
	names, err := mem.List("journal")
	must(t, err)
	if len(names) > 4 {
		t.Errorf("%d files", len(names))
	}
}

// TestVectors builds the segment of FORMAT.md.
func TestVectors(t *testing.T) {
	var key crypt.Key
	var salt [32]byte
	for i := range 32 {
		key[i], salt[i] = byte(i), byte(0x40+i)
	}
	s := segment{aead: crypt.NewSegmentCipher(&key, salt)}
	header := encodeHeader(s.aead, 3, 17, salt)
	frame := s.seal(nil, new([12]byte), []byte("hammock"))
	s.records++
	frame = s.seal(frame, new([12]byte), nil)
	if got := hex.EncodeToString(header); got != headerVector {
		t.Errorf("header %s", got)
	}
	if got := hex.EncodeToString(frame); got != framesVector {
		t.Errorf("frames %s", got)
	}
	if used, err := s.readHeader(&key, header); !used || err != nil || s.number != 3 || s.first != 17 {
		t.Errorf("read back: %v, %v", used, err)
	}
}

const (
	headerVector = "686d6b6a726e6c0103000000000000001100000000000000" + // magic, number, first LSN
		"404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f" + // salt
		"4656c3d3c3aa18816e3cc5222fdb59bd" // tag
	framesVector = "17000000d60b186c343b22876bac0fda0db1fa69ba0fbb50c4cd2d" + // "hammock"
		"10000000e661dae38152f3f7cd5651cec7ff1b7f" // empty
)

func FuzzFrames(f *testing.F) {
	aead := crypt.NewSegmentCipher(&testKey, [32]byte{})
	s := segment{aead: aead}
	var good []byte
	for i := range 3 {
		good = s.seal(good, new([12]byte), bytes.Repeat([]byte("r"), i*10))
		s.records++
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		fr := frameReader{r: bytes.NewReader(b), aead: aead, off: frameStart, size: frameStart + int64(len(b))}
		n := 0
		for {
			rec, err := fr.next()
			if err != nil {
				if !errors.Is(err, errTorn) || fr.off > fr.size {
					t.Fatal(err, fr.off)
				}
				break
			}
			if len(rec) != n*10 {
				t.Fatalf("record %d has %d bytes: a forgery", n, len(rec))
			}
			n++
		}
	})
}

func FuzzHeader(f *testing.F) {
	salt := [32]byte{1}
	f.Add(encodeHeader(crypt.NewSegmentCipher(&testKey, salt), 1, 1, salt))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s segment
		if used, err := s.readHeader(&testKey, b); used && (err != nil || s.number == 0 || s.first == 0) {
			t.Fatal(err)
		}
	})
}

// TestUnreadySegment starts over a segment whose making a power cut has ended, with anything in it.
func TestUnreadySegment(t *testing.T) {
	mem := vfs.NewMem()
	j, _ := reopen(t, config(mem), 0)
	_, err := j.Append([]byte("kept"))
	must(t, err)
	must(t, j.Close())
	dir := config(mem).Dir
	f, err := mem.Create(mem.PathJoin(dir, fileName(77)+unready), vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write(bytes.Repeat([]byte{0xa5}, 2*frameStart))
	must(t, errors.Join(err, f.Close()))
	j, recs := reopen(t, config(mem), 0)
	if len(recs) != 1 || recs[0] != "kept" {
		t.Errorf("replayed %q", recs)
	}
	must(t, j.Close())
	names, err := mem.List(dir)
	must(t, err)
	if slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, unready) }) {
		t.Errorf("left over: %q", names)
	}
}
