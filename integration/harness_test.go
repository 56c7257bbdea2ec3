package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hammockfs/hammock/integration/liar"
	"github.com/hammockfs/hammock/integration/model"
	"github.com/hammockfs/hammock/integration/posix"
)

// buildFolder is where the binary is built, once, for all tests.
var buildFolder string

func TestMain(m *testing.M) {
	model.Work()
	if status, asked := posix.Main(); asked {
		os.Exit(status)
	}
	if status, asked := liar.Main(); asked {
		os.Exit(status)
	}
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if buildFolder, err = os.MkdirTemp("", "hammock-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(buildFolder)
	return m.Run()
}

// built makes the binary that the tests run. The race detector stays out of it:
// what is tested here is what users have, sizes and speeds included.
// HAMMOCK_BINARY has the tests run another one.
var built = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("HAMMOCK_BINARY"); path != "" {
		return filepath.EvalSymlinks(path)
	}
	if err := noteSources(); err != nil {
		return "", err
	}
	path := filepath.Join(buildFolder, "hammock")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "../cmd/hammock") // as `make build` does
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	return path, nil
})

// noteSources looks at every source file, so that the go command does not take
// the result of a test from its cache when one has changed.
func noteSources() error {
	return filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && filepath.Ext(path) == ".go" {
			_, err = os.Stat(path)
		}
		return err
	})
}

func hammock(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// missing ends a test that cannot run here. Under CI that is a failure: there
// the mount and the programs have to be there.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("CI has to have it: "+format, args...)
	}
	t.Skipf(format, args...)
}

// needMount ends a test where nothing can be mounted, or a program is missing.
func needMount(t *testing.T, programs ...string) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		missing(t, "nothing can be mounted here: %v", err)
	}
	f.Close()
	if os.Getuid() != 0 {
		programs = append(programs, "fusermount3")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, "%s is not installed", p)
		}
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "only root may do what this test does")
	}
}

// node is one node: a state folder, and the process that runs on it.
type node struct {
	t     *testing.T
	bin   string
	state string
	dir   string // where it is mounted; empty if it only serves
}

// world is a mounting node and its peers, each a process of its own, on the
// loopback network.
type world struct {
	*node
	words   string
	peers   []*node
	options string // of newSolo
}

// newWorld starts a volume of a policy with so many peers and mounts it; more
// flags may be given to init. All of it has ended when the test has.
func newWorld(t *testing.T, peers int, policy string, flags ...string) *world {
	t.Helper()
	w := newVolume(t, policy, flags...)
	w.mount()
	for range peers {
		w.addPeer("20G")
	}
	w.awaitPeers()
	return w
}

// newSolo is a volume without peers, mounted with options, or none.
func newSolo(t *testing.T, options string) *world {
	t.Helper()
	w := newVolume(t, "2+1")
	w.options = options
	w.mountAgain()
	return w
}

// mountAgain mounts a volume of newSolo with its options.
func (w *world) mountAgain() {
	w.t.Helper()
	w.mount("-o", w.options)
}

// newVolume makes a volume that is not yet mounted.
func newVolume(t *testing.T, policy string, flags ...string) *world {
	t.Helper()
	return newVolumeIn(t, t.TempDir(), policy, flags...)
}

// newVolumeIn is newVolume in a folder.
func newVolumeIn(t *testing.T, base, policy string, flags ...string) *world {
	t.Helper()
	w := &world{node: &node{t: t, bin: hammock(t), state: filepath.Join(base, "state"), dir: filepath.Join(base, "mnt")}}
	w.bound()
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	out := w.must(append([]string{"init", "--no-passphrase", "--policy", policy, "--name", "main"}, flags...)...)
	for line := range strings.Lines(out) {
		if words := strings.Fields(line); strings.HasPrefix(line, "    ") && len(words) == 6 {
			w.words = strings.TrimSpace(w.words + " " + strings.Join(words, " "))
		}
	}
	if n := len(strings.Fields(w.words)); n != 24 {
		t.Fatalf("init printed %d words, not 24:\n%s", n, out)
	}
	w.alone()
	return w
}

// addPeer lets one more peer in, which gives so much space.
func (w *world) addPeer(give string) *node {
	w.t.Helper()
	name := "peer-" + strconv.Itoa(len(w.peers)+1)
	p := &node{t: w.t, bin: w.bin, state: filepath.Join(filepath.Dir(w.state), name)}
	ticket := strings.TrimSpace(w.must("invite", "--name", name))
	p.must("join", ticket, "--no-passphrase", "--name", name)
	p.alone()
	p.serve("--give", give)
	w.peers = append(w.peers, p)
	return p
}

func (w *world) awaitPeers() {
	w.t.Helper()
	w.await("all peers are connected", func(s *status) bool { return s.connected() == len(w.peers) })
}

// alone keeps a node off all networks but the loopback one, as `hammock demo`
// does.
func (n *node) alone() {
	n.t.Helper()
	path := filepath.Join(n.state, "settings.json")
	var set map[string]any
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &set)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	set["loopback"] = true
	if b, err = json.Marshal(set); err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// command is a hammock command on this node's state.
func (n *node) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := grouped(exec.CommandContext(ctx, n.bin, append(args, "--state", n.state)...))
	cmd.Env = append(os.Environ(), "HAMMOCK_PASSPHRASE_FILE=")
	return cmd
}

// commandLimit ends a command that hangs, before the whole test binary is.
const commandLimit = 4 * time.Minute

// try runs a command and returns what it wrote.
func (n *node) try(args ...string) (stdout string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	cmd := n.command(ctx, args...)
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("hammock %s: %w: %s", strings.Join(args, " "), err, diag.String())
	}
	return out.String(), nil
}

// must is try for what has to succeed.
func (n *node) must(args ...string) string {
	n.t.Helper()
	out, err := n.try(args...)
	if err != nil {
		n.t.Fatalf("%v\n%s\n%s", err, out, n.lastLog())
	}
	return out
}

// lastLog is the end of the node's log, for a test that fails.
func (n *node) lastLog() string {
	b, err := os.ReadFile(filepath.Join(n.state, "log"))
	if err != nil {
		return ""
	}
	return "the end of its log:\n" + string(b[max(0, len(b)-2000):])
}

func (n *node) serve(args ...string) {
	n.t.Helper()
	n.t.Cleanup(n.kill)
	n.must(append([]string{"serve"}, args...)...)
}

func (n *node) mount(args ...string) {
	n.t.Helper()
	mounting.Store(n, nil)
	n.t.Cleanup(func() { n.kill(); n.detach(); mounting.Delete(n) })
	n.must(append([]string{"mount", n.dir}, args...)...)
}

func (n *node) unmount() {
	n.t.Helper()
	n.must("unmount", n.dir)
	n.detach()
}

// detach takes a mount away that its daemon has left behind. What is asked of it
// fails first, so that nobody waits for an answer.
func (n *node) detach() {
	n.t.Helper()
	_ = unix.Unmount(n.dir, unix.MNT_FORCE)
	for unix.Unmount(n.dir, unix.MNT_DETACH) == nil {
	}
	if os.Getuid() != 0 {
		_ = exec.Command("fusermount3", "-u", "-z", "-q", n.dir).Run() // fails where nothing is mounted
	}
}

// pid is the node's process, if it runs: the number in a state could have gone
// to somebody else's process.
func (n *node) pid() (int, bool) {
	b, err := os.ReadFile(filepath.Join(n.state, "pid"))
	if err != nil {
		return 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, false
	}
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return pid, err == nil && exe == n.bin
}

// kill ends the node's process without a word to it, and returns when it is
// gone.
func (n *node) kill() {
	n.t.Helper()
	pid, ok := n.pid()
	if !ok {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it has just ended
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		n.t.Errorf("kill the node in %s: %v", n.state, err)
		return
	}
	awaitExit(n.t, fd)
}

// awaitExit waits until the process of a pidfd has ended.
func awaitExit(t *testing.T, fd int) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		k, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000)
		if k > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
	t.Error("a killed process does not end: it waits for its own mount")
}

// killMount kills the mounting daemon and takes the dead mount away.
func (n *node) killMount() {
	n.t.Helper()
	n.kill()
	n.detach()
}

// status is the part of `hammock status --json` that the tests look at.
type status struct {
	Addresses []string `json:"addresses"`
	Held      int64    `json:"held"`
	BytesIn   int64    `json:"bytes_in"`
	BytesOut  int64    `json:"bytes_out"`
	Peers     []struct {
		Name      string     `json:"name"`
		Connected bool       `json:"connected"`
		Gives     int64      `json:"gives"`
		Record    peerRecord `json:"record"`
	} `json:"peers"`
	Volume *struct {
		LocalBytes  int64       `json:"local_only_bytes"`
		Queued      int         `json:"uploads_queued"`
		CacheBytes  int64       `json:"cache_bytes"`
		Fetched     int64       `json:"fetched_bytes"`
		Unpublished int         `json:"unpublished_changes"`
		Stripes     map[int]int `json:"stripes_by_spare"`
		Lost        int         `json:"stripes_unreadable_now"`
		Repair      struct {
			Stripes int `json:"stripes"`
		} `json:"repair"`
	} `json:"volume"`
}

// connected counts the peers that give space and are connected.
func (s *status) connected() (n int) {
	for _, p := range s.Peers {
		if p.Connected && p.Gives > 0 {
			n++
		}
	}
	return n
}

func (n *node) status() *status {
	n.t.Helper()
	var s status
	if err := json.Unmarshal([]byte(n.must("status", "--json")), &s); err != nil {
		n.t.Fatalf("status --json: %v", err)
	}
	return &s
}

// await asks for the status until it is as wanted. What changes it is in other
// processes, so there is nothing to wait on but time.
func (n *node) await(what string, wanted func(*status) bool) {
	n.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !wanted(n.status()) {
		if time.Now().After(deadline) {
			n.t.Fatalf("not within a minute: %s\n%s\n%s", what, n.must("status"), n.lastLog())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// check proves the volume whole.
func (n *node) check(args ...string) {
	n.t.Helper()
	out := n.must(append([]string{"check"}, args...)...)
	if !strings.HasSuffix(strings.TrimSpace(out), ": clean") {
		n.t.Fatalf("the check says:\n%s", out)
	}
}

// path is a path below the mount point.
func (n *node) path(elem ...string) string {
	return filepath.Join(append([]string{n.dir}, elem...)...)
}

// goSource is the Go distribution's src folder: real input that every machine
// with these tests has.
func goSource(t *testing.T) string {
	t.Helper()
	root := strings.TrimSpace(program(t, ".", "go", "env", "GOROOT"))
	return filepath.Join(root, "src")
}

// full returns large, or small under -short.
func full[T any](large, small T) T {
	if testing.Short() {
		return small
	}
	return large
}

// soak says whether the hours-long variants are asked for.
func soak() bool { return os.Getenv("HAMMOCK_SOAK") != "" }

// isGone says whether an error is what a program gets from a mount whose daemon
// was killed.
func isGone(err error) bool {
	for _, e := range []error{syscall.ENOTCONN, syscall.ECONNABORTED, syscall.EIO, syscall.EINTR, fs.ErrClosed} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
