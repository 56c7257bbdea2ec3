package mount

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// work is what a worker does in a mount, n times. What is in prepare is not
// timed, and has the same files: from is the number of the first.
type work struct {
	name         string
	bytes        int64
	prepare, run func(dir string, from, n int) error
}

const benchFile = 256 // MiB of the file that is read and written

var works = []work{
	{name: "create", run: createFiles},
	{name: "overwrite", prepare: createFiles, run: createFiles},
	{name: "stat-new", prepare: createFiles, run: statFiles},
	{name: "stat-again", prepare: func(dir string, from, n int) error {
		if err := createFiles(dir, from, n); err != nil {
			return err
		}
		return statFiles(dir, from, n)
	}, run: statFiles},
	{name: "open-read-close", prepare: func(dir string, from, _ int) error { return createFiles(dir, from, 1) }, run: openFile},
	{name: "write-1MiB", bytes: 1 << 20, run: writeLarge},
	{name: "read-cold-1MiB", bytes: 1 << 20, prepare: func(dir string, from, _ int) error { return writeLarge(dir, from, benchFile) }, run: readCold},
	{name: "read-warm-1MiB", bytes: 1 << 20, prepare: func(dir string, from, _ int) error {
		if err := writeLarge(dir, from, benchFile); err != nil {
			return err
		}
		return readWarm(dir, from, benchFile)
	}, run: readWarm},
}

// BenchmarkKernel is what programs see of a mount, beside a filesystem that does
// nothing: benchstat -col /fs shows both. The third figure is the number of
// requests that the kernel made for each operation.
func BenchmarkKernel(b *testing.B) {
	for i := range works {
		for _, fs := range []string{"empty", "real"} {
			b.Run(works[i].name+"/fs="+fs, func(b *testing.B) { benchWork(b, &works[i], fs == "real") })
		}
	}
}

func benchWork(b *testing.B, w *work, real bool) {
	b.StopTimer()
	c, dir := mountCounted(b, real)
	ask := startWorker(b, dir)
	b.SetBytes(w.bytes)
	ask("prepare", w.name, b.N)
	c.counts()
	b.StartTimer()
	ask("run", w.name, b.N)
	b.StopTimer()
	all := 0
	for _, n := range c.counts() {
		all += n
	}
	b.ReportMetric(float64(all)/float64(b.N), "requests/op")
}

// workerDir has this test binary be a worker: what is done in a mount is done by
// another process than the one that serves it.
const workerDir = "HAMMOCK_TEST_WORKER"

// TestWorker is what the worker does: what its standard input says, line by line.
func TestWorker(t *testing.T) {
	dir := os.Getenv(workerDir)
	if dir == "" {
		t.Skip("runs as a program of its own, started by the benchmarks that mount")
	}
	answers := os.NewFile(3, "answers")
	from := 0
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var what, name string
		var n int
		_, err := fmt.Sscan(in.Text(), &what, &name, &n)
		must(t, err)
		for _, w := range works {
			do := w.run
			if what == "prepare" {
				do = w.prepare
			}
			if w.name == name && do != nil {
				must(t, do(dir, from, n))
			}
		}
		if what == "run" {
			from += n
		}
		_, err = fmt.Fprintln(answers, "done")
		must(t, err)
	}
}

// startWorker starts a worker and returns how to tell it what to do, and wait
// until it has done so.
func startWorker(t testing.TB, dir string) func(what, name string, n int) {
	ctx, cancel := context.WithTimeout(context.Background(), outsideLimit)
	cmd := outside(ctx, os.Args[0], "-test.run=^TestWorker$", "-test.timeout=4m")
	cmd.Env = append(os.Environ(), workerDir+"="+dir)
	cmd.Stderr = os.Stderr
	orders, err := cmd.StdinPipe()
	must(t, err)
	r, w, err := os.Pipe()
	must(t, err)
	cmd.ExtraFiles = []*os.File{w}
	must(t, cmd.Start())
	must(t, w.Close())
	t.Cleanup(func() {
		_ = orders.Close()
		if err := cmd.Wait(); err != nil {
			t.Error("the worker:", err)
		}
		_ = r.Close()
		cancel()
	})
	answers := bufio.NewReader(r)
	return func(what, name string, n int) {
		_, err := fmt.Fprintln(orders, what, name, n)
		must(t, err)
		_, err = answers.ReadString('\n')
		must(t, err)
	}
}

func benchName(dir string, i int) string { return filepath.Join(dir, fmt.Sprint("f", i)) }

// withFile opens a file as programs in C do, without the poller of Go.
func withFile(name string, flags int, do func(fd int) error) error {
	fd, err := syscall.Open(name, flags|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	if err = do(fd); err != nil {
		_ = syscall.Close(fd)
		return err
	}
	return syscall.Close(fd)
}

// createFiles looks at each file when it has opened it, as Python and cp do.
func createFiles(dir string, from, n int) error {
	var st syscall.Stat_t
	p := make([]byte, 4096)
	for i := range n {
		copy(p, fmt.Sprint(i))
		err := withFile(benchName(dir, from+i), syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC, func(fd int) error {
			if err := syscall.Fstat(fd, &st); err != nil {
				return err
			}
			_, err := syscall.Write(fd, p)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func statFiles(dir string, from, n int) error {
	var st syscall.Stat_t
	for i := range n {
		if err := syscall.Stat(benchName(dir, from+i), &st); err != nil {
			return err
		}
		if st.Size != 4096 {
			return fmt.Errorf("%d bytes", st.Size)
		}
	}
	return nil
}

func openFile(dir string, from, n int) error {
	p := make([]byte, 8192)
	for range n {
		err := withFile(benchName(dir, from), syscall.O_RDONLY, func(fd int) error {
			_, err := syscall.Read(fd, p)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func largeFile(dir string) string { return filepath.Join(dir, "large") }

// writeLarge writes what does not compress and is different each time.
func writeLarge(dir string, _, n int) error {
	p, src := make([]byte, 1<<20), rand.NewChaCha8([32]byte{})
	return withFile(largeFile(dir), syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC, func(fd int) error {
		for i := range n {
			_, _ = src.Read(p)
			if _, err := syscall.Pwrite(fd, p, int64(i%benchFile)<<20); err != nil {
				return err
			}
		}
		return nil
	})
}

func readCold(dir string, _, n int) error { return readLarge(dir, n, true) }
func readWarm(dir string, _, n int) error { return readLarge(dir, n, false) }

func readLarge(dir string, n int, cold bool) error {
	p := make([]byte, 1<<20)
	return withFile(largeFile(dir), syscall.O_RDONLY, func(fd int) error {
		for i := range n {
			if cold && i%benchFile == 0 {
				if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
					return err
				}
			}
			if m, err := syscall.Pread(fd, p, int64(i%benchFile)<<20); err != nil || m != len(p) {
				return fmt.Errorf("%d bytes: %w", m, err)
			}
		}
		return nil
	})
}
