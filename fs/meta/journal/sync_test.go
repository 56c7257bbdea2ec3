package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestSyncFailureIsFinal(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	j, _ := reopen(t, config(fs), 0)
	_, err := j.Append([]byte("a"))
	must(t, errors.Join(err, j.Sync(t.Context(), 1)))
	_, err = j.Append([]byte("b"))
	must(t, err)
	boom := errors.New("boom")
	fs.setSync(func(vfs.File) error { return boom })
	err = j.Sync(t.Context(), 2)
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), "changes after record 1 may be lost") {
		t.Errorf("%v", err)
	}
	fs.setSync(nil)
	if err := j.Sync(t.Context(), 2); !errors.Is(err, boom) {
		t.Errorf("the next sync: %v", err)
	}
	if _, err := j.Append([]byte("c")); !errors.Is(err, boom) {
		t.Errorf("the next append: %v", err)
	}
	if err := j.Release(1); !errors.Is(err, boom) {
		t.Errorf("the next release: %v", err)
	}
	if err := j.Close(); !errors.Is(err, boom) {
		t.Errorf("close: %v", err)
	}
}

// TestFailedWrite: a record that could not be written is not in the journal, one without the zeros behind it is, and the
// journal goes on.
func TestFailedWrite(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &hookFS{FS: mem}
	j, _ := reopen(t, config(fs), 0)
	boom := errors.New("boom")
	for i := range 20 {
		fs.mu.Lock()
		fs.write = nil
		if i%3 == 1 {
			fs.write = func(f vfs.File, p []byte, off int64) (int, error) {
				if off < frameStart {
					return 0, nil
				}
				n, _ := f.WriteAt(p[:frameOverhead], off) // the last byte of the record is missing, or two
				return n, boom
			}
		}
		if i%3 == 2 {
			fs.write = func(f vfs.File, p []byte, off int64) (int, error) {
				if off < frameStart {
					return 0, nil
				}
				n, _ := f.WriteAt(p[:len(p)-1], off) // the segment is new, since the one before failed, and so is the block
				return n, boom
			}
		}
		fs.mu.Unlock()
		if _, err := j.Append(fmt.Append(nil, i)); (err != nil) != (i%3 == 1) {
			t.Errorf("append %d: %v", i, err)
		}
	}
	mem = kill(mem, j)
	j, got := reopen(t, config(mem), 0)
	if len(got) != 13 || strings.Join(got, " ") != "0 2 3 5 6 8 9 11 12 14 15 17 18" {
		t.Errorf("%q", got)
	}
	must(t, j.Close())
}

// TestWholeBlocks: a block is written whole when it is first reached, so that no rest of it must be read from the disk.
func TestWholeBlocks(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &hookFS{FS: mem}
	whole := map[vfs.File]int64{} // up to where
	fs.write = func(f vfs.File, p []byte, off int64) (int, error) {
		if off == 0 {
			whole[f] = 0
		}
		end := off + int64(len(p))
		if off > whole[f] || end > whole[f] && end%blockSize != 0 {
			t.Errorf("a write from %d to %d, where blocks are whole up to %d", off, end, whole[f])
		}
		whole[f] = max(whole[f], end)
		return 0, nil
	}
	j, _ := reopen(t, config(fs), 0)
	var want []string
	for i := range 300 {
		rec := strings.Repeat(fmt.Sprint(i, " "), i*i%1700)
		want = append(want, rec)
		if _, err := j.Append([]byte(rec)); err != nil {
			t.Fatal(err)
		}
	}
	_, got := reopen(t, config(kill(mem, j)), 0)
	if !slices.Equal(got, want) {
		t.Errorf("%d records came back of %d, or others", len(got), len(want))
	}
}

// TestFullDisk: where no segment can be made, appends fail and succeed again later.
func TestFullDisk(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	j, _ := reopen(t, config(fs), 0)
	fs.setFull(syscall.ENOSPC)
	failed := 0
	for range 100 {
		if _, err := j.Append(make([]byte, 1000)); err != nil {
			if failed++; !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("the error is %v", err)
			}
		}
	}
	if failed < 100-36 || failed > 100-12 {
		t.Errorf("%d of 100 failed", failed)
	}
	fs.setFull(nil)
	if _, err := j.Append(make([]byte, 1000)); err != nil {
		t.Errorf("with space again: %v", err)
	}
	must(t, j.Close())
}

func TestClosed(t *testing.T) {
	j, _ := reopen(t, config(vfs.NewMem()), 0)
	must(t, j.Close())
	must(t, j.Close())
	_, err := j.Append(nil)
	for i, err := range []error{err, j.Sync(t.Context(), 1), j.Release(1)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// TestGroupCommit has one fdatasync stand still until many callers wait, and counts how many more there are.
func TestGroupCommit(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	j, _ := reopen(t, config(fs), 0)
	j.mu.Lock()
	if j.coming != nil {
		j.collect()
	}
	j.mu.Unlock()
	arrived, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fs.setSync(func(vfs.File) error {
		once.Do(func() { close(arrived); <-release })
		return nil
	})
	before := fs.synced
	_, err := j.Append(nil)
	must(t, err)
	var wg sync.WaitGroup
	wg.Go(func() { must(t, j.Sync(t.Context(), 1)) })
	<-arrived
	for range 64 {
		lsn, err := j.Append([]byte("x"))
		must(t, err)
		wg.Go(func() { must(t, j.Sync(t.Context(), lsn)) })
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Sync(ctx, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who gave up: %v", err)
	}
	close(release)
	wg.Wait()
	if n := fs.synced - before; n != 2 {
		t.Errorf("%d fdatasyncs for 65 callers", n)
	}
	must(t, j.Close())
}

// TestConcurrent appends, syncs and releases from many goroutines and checks that nothing is lost or doubled.
func TestConcurrent(t *testing.T) {
	mem := vfs.NewCrashableMem()
	j, _ := reopen(t, config(mem), 0)
	var mu sync.Mutex
	want := map[LSN]string{}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				rec := fmt.Sprintf("%d-%d", g, i) + strings.Repeat(".", i*7)
				lsn, err := j.Append([]byte(rec))
				if err == nil && i%3 == 0 {
					err = j.Sync(t.Context(), lsn)
				}
				if err == nil && i%10 == 0 {
					err = j.Release(100)
				}
				if err != nil {
					t.Error(err)
				}
				_ = j.Pending()
				mu.Lock()
				want[lsn] = rec
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	must(t, j.Close())
	j, got := reopen(t, config(mem), 100)
	if len(got) != 700 || len(want) != 800 {
		t.Fatalf("%d of %d", len(got), len(want))
	}
	for i, rec := range got {
		if want[LSN(101+i)] != rec {
			t.Fatalf("record %d is %q", 101+i, rec)
		}
	}
	must(t, j.Close())
}

func TestAppendDoesNotAllocate(t *testing.T) {
	j, err := Open(Config{FS: vfs.Default, Dir: t.TempDir(), Key: testKey}, 0, nil)
	must(t, err)
	rec := make([]byte, 200)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := j.Append(rec); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	must(t, j.Close())
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{200, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			j, rec := bench(b, vfs.Default), make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for range b.N {
				lsn, err := j.Append(rec)
				if err != nil {
					b.Fatal(err)
				}
				if err := j.Release(lsn); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSync(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			fs := &hookFS{FS: vfs.Default}
			j := bench(b, fs)
			var wg sync.WaitGroup
			for c := range callers {
				wg.Go(func() {
					rec := make([]byte, 200)
					for i := c; i < b.N; i += callers {
						lsn, err := j.Append(rec)
						if err == nil {
							err = j.Sync(context.Background(), lsn)
						}
						if err == nil {
							err = j.Release(lsn)
						}
						if err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/float64(fs.synced), "records/sync")
		})
	}
}

func bench(b *testing.B, fs vfs.FS) *Journal {
	j, err := Open(Config{FS: fs, Dir: b.TempDir(), Key: testKey}, 0, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := j.Close(); err != nil {
			b.Error(err)
		}
	})
	b.ResetTimer()
	return j
}
