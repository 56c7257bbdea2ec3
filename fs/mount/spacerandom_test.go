package mount

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// randomSpace is one file, with a mapping of it, beside the bytes that it should
// show.
type randomSpace struct {
	f    *os.File
	fd   int
	m    []byte
	want []byte
}

// randomMost is how large the file gets, and how long the mapping is.
const randomMost = 1 << 20

// spaceAtRandom does many things to a file, through a descriptor and a mapping,
// and looks after each at what both show.
func spaceAtRandom(t *testing.T, dir string) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	f, err := os.Create(filepath.Join(dir, "random"))
	must(t, err)
	defer f.Close()
	r := &randomSpace{f: f, fd: int(f.Fd())}
	r.m, err = unix.Mmap(r.fd, 0, randomMost, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	defer unix.Munmap(r.m)
	steps := []func(off, n, other int, fill byte) error{r.write, r.write, r.punch, r.zero, r.truncate, r.scribble, r.allocate, r.copy}
	for i := range 300 {
		off, n, other := rng.IntN(randomMost), 1+rng.IntN(100_000), rng.IntN(randomMost)
		if rng.IntN(2) == 0 {
			off, n, other = off&^4095, n&^4095+4096, other&^4095
		}
		n = min(n, randomMost-max(off, other))
		which := rng.IntN(len(steps))
		if err := steps[which](off, n, other, byte(1+i%255)); err != nil {
			t.Fatalf("seed %d, step %d: %v", seed, i, err)
		}
		if !r.same() {
			t.Fatalf("seed %d, step %d (%d of %d bytes at %d and %d): the file does not show what it should", seed, i, which, n, off, other)
		}
	}
}

// same compares what the descriptor and the mapping show.
func (r *randomSpace) same() bool {
	p := make([]byte, randomMost+1)
	n, err := r.f.ReadAt(p, 0)
	return err == io.EOF && bytes.Equal(p[:n], r.want) && bytes.Equal(r.m[:n], r.want)
}

func (r *randomSpace) grow(n int) {
	r.want = append(r.want, make([]byte, max(0, n-len(r.want)))...)
}

// has is the part of a range that is in the file.
func (r *randomSpace) has(off, n int) []byte {
	return r.want[min(off, len(r.want)):min(off+n, len(r.want))]
}

func (r *randomSpace) write(off, n, _ int, fill byte) error {
	r.grow(off + n)
	p := bytes.Repeat([]byte{fill}, n)
	copy(r.want[off:], p)
	_, err := r.f.WriteAt(p, int64(off))
	return err
}

// scribble writes through the mapping.
func (r *randomSpace) scribble(off, n, _ int, fill byte) error {
	p := bytes.Repeat([]byte{fill}, len(r.has(off, n)))
	copy(r.m[off:], p)
	copy(r.has(off, n), p)
	return nil
}

func (r *randomSpace) punch(off, n, _ int, _ byte) error {
	clear(r.has(off, n))
	return unix.Fallocate(r.fd, punch, int64(off), int64(n))
}

func (r *randomSpace) zero(off, n, _ int, _ byte) error {
	r.grow(off + n)
	clear(r.has(off, n))
	return unix.Fallocate(r.fd, zero, int64(off), int64(n))
}

func (r *randomSpace) allocate(off, n, _ int, _ byte) error {
	r.grow(off + n)
	return unix.Fallocate(r.fd, 0, int64(off), int64(n))
}

func (r *randomSpace) truncate(off, _, _ int, _ byte) error {
	r.grow(off)
	r.want = r.want[:off:off]
	return r.f.Truncate(int64(off))
}

func (r *randomSpace) copy(off, n, to int, _ byte) error {
	if off < to+n && to < off+n {
		return nil
	}
	p := bytes.Clone(r.has(off, n))
	if len(p) > 0 {
		r.grow(to + len(p))
		copy(r.want[to:], p)
	}
	from, dst := int64(off), int64(to)
	for left := len(p); left > 0; {
		done, err := unix.CopyFileRange(r.fd, &from, r.fd, &dst, left, 0)
		if err != nil || done == 0 {
			return err
		}
		left -= done
	}
	return nil
}
