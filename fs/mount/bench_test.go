package mount

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkWrite writes a file of 256 MiB that does not compress, in requests
// of 1 MiB, and closes it.
func BenchmarkWrite(b *testing.B) {
	_, dir := mountOrSkip(b, Options{})
	src, p := rand.NewChaCha8([32]byte{}), make([]byte, 1<<20)
	b.SetBytes(256 << 20)
	for i := 0; b.Loop(); i++ {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i%2)))
		must(b, err)
		for range 256 {
			_, _ = src.Read(p)
			_, err = f.Write(p)
			must(b, err)
		}
		must(b, f.Close())
	}
}

// BenchmarkCreate makes files of 4 KiB.
func BenchmarkCreate(b *testing.B) {
	_, dir := mountOrSkip(b, Options{})
	p := bytes.Repeat([]byte("text"), 1<<10)
	for i := 0; b.Loop(); i++ {
		must(b, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), p, 0o644))
	}
}

// BenchmarkOpenRead opens, reads and closes files of 4 KiB that are warm.
func BenchmarkOpenRead(b *testing.B) {
	_, dir := mountOrSkip(b, Options{})
	name := filepath.Join(dir, "f")
	must(b, os.WriteFile(name, make([]byte, 4096), 0o644))
	for b.Loop() {
		_, err := os.ReadFile(name)
		must(b, err)
	}
}

// BenchmarkReadCold reads a file of 256 MiB that the kernel has forgotten.
func BenchmarkReadCold(b *testing.B) {
	_, dir := mountOrSkip(b, Options{})
	name, p := filepath.Join(dir, "f"), make([]byte, 1<<20)
	src := rand.NewChaCha8([32]byte{1})
	w, err := os.Create(name)
	must(b, err)
	for range 256 {
		_, _ = src.Read(p)
		_, err = w.Write(p)
		must(b, err)
	}
	must(b, w.Close())
	b.SetBytes(256 << 20)
	for b.Loop() {
		b.StopTimer()
		if os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0) != nil {
			b.Skip("cannot drop caches")
		}
		b.StartTimer()
		f, err := os.Open(name)
		must(b, err)
		for range 256 {
			_, err = f.Read(p)
			must(b, err)
		}
		must(b, f.Close())
	}
}
