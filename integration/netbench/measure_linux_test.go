package netbench

import (
	"crypto/rand"
	"io"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hammockfs/hammock/integration/rig"
)

// spent is what something took: time, and CPU seconds of the daemon and of all
// peers together.
type spent struct {
	wall            time.Duration
	daemon, servers float64
}

// measure runs f and says what it took.
func (s *swarm) measure(f func()) spent {
	d, p := cpu(s.Node), s.peersCPU()
	start := time.Now()
	f()
	return spent{time.Since(start), cpu(s.Node) - d, s.peersCPU() - p}
}

// cpu is the CPU seconds that a node has used, 0 if it does not run.
func cpu(n *rig.Node) float64 {
	pid, runs := n.PID()
	if !runs {
		return 0 // a killed one may have an entry until somebody has reaped it
	}
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	// Behind the name, which may have spaces: state is the first of these.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}

func (s *swarm) peersCPU() (sum float64) {
	for _, p := range s.peers {
		sum += cpu(p)
	}
	return sum
}

// totals adds up what the iterations of one benchmark took.
type totals struct {
	wall, native, daemon, servers float64
}

func (t *totals) add(s spent, native time.Duration) {
	t.wall += s.wall.Seconds()
	t.native += native.Seconds()
	t.daemon += s.daemon
	t.servers += s.servers
}

// slower reports how many times longer it took than natively.
func (t *totals) slower(b *testing.B, s *swarm, bytes int64) {
	n := float64(b.N)
	b.ReportMetric(t.wall/t.native, "x-native")
	b.ReportMetric(t.native/n, "native-s")
	t.common(b, s, bytes)
}

func (t *totals) common(b *testing.B, s *swarm, bytes int64) {
	n := float64(b.N)
	gib := n * float64(bytes) / (1 << 30)
	b.ReportMetric(t.wall/n, "s")
	b.ReportMetric(t.daemon/gib, "daemon-cpu-s/GiB")
	b.ReportMetric(t.servers/gib, "peers-cpu-s/GiB")
	b.ReportMetric(float64(s.Peak()>>20), "peak-MiB")
	b.ReportMetric(0, "ns/op") // it would count what is set up, too
}

// copied is the time of cp and of a sync of the file system below.
func (s *swarm) copied(from, to string) time.Duration {
	s.b.Helper()
	start := time.Now()
	s.cp(from, to)
	syncfs(s.b, filepath.Dir(to))
	return time.Since(start)
}

func (s *swarm) cp(from, to string) {
	s.b.Helper()
	if out, err := exec.Command("cp", "-a", "--reflink=never", from, to).CombinedOutput(); err != nil {
		s.b.Fatalf("cp: %v: %s", err, out)
	}
}

func syncfs(b *testing.B, dir string) {
	b.Helper()
	f, err := os.Open(dir)
	ok(b, err)
	defer f.Close()
	ok(b, unix.Syncfs(int(f.Fd())))
}

// noise makes a file that neither compresses nor is like another of its kind.
func noise(b *testing.B, path string, size int64) {
	b.Helper()
	f, err := os.Create(path)
	ok(b, err)
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails
	if _, err = io.CopyN(f, mrand.NewChaCha8(seed), size); err == nil {
		err = f.Close()
	}
	ok(b, err)
}
