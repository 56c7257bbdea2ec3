package integration

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hammockfs/hammock/integration/liar"
	"github.com/hammockfs/hammock/integration/model"
	"github.com/hammockfs/hammock/integration/posix"
	"github.com/hammockfs/hammock/integration/rig"
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

// built makes the binary that the tests run, once.
var built = sync.OnceValues(func() (string, error) { return rig.Build("..", buildFolder) })

func hammock(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	rig.Missing(t, format, args...)
}

func needMount(t *testing.T, programs ...string) {
	t.Helper()
	rig.NeedMount(t, programs...)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "only root may do what this test does")
	}
}

// node is a node of a test, which fails when something fails that should not.
type node struct {
	*rig.Node
	t *testing.T
}

func newNode(t *testing.T, bin, state string) *node {
	return &node{t: t, Node: &rig.Node{Name: filepath.Base(state), Bin: bin, State: state}}
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
	w := &world{node: newNode(t, hammock(t), filepath.Join(base, "state"))}
	w.Dir = filepath.Join(base, "mnt")
	w.bound()
	if err := os.Mkdir(w.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	out := w.must(append([]string{"init", "--no-passphrase", "--policy", policy, "--name", "main"}, flags...)...)
	var err error
	if w.words, err = rig.Words(out); err != nil {
		t.Fatal(err)
	}
	w.alone()
	return w
}

// addPeer lets one more peer in, which gives so much space.
func (w *world) addPeer(give string) *node {
	w.t.Helper()
	name := "peer-" + strconv.Itoa(len(w.peers)+1)
	p := newNode(w.t, w.Bin, filepath.Join(filepath.Dir(w.State), name))
	ticket := strings.TrimSpace(w.must("invite", "--name", name))
	p.must("join", ticket, "--no-passphrase", "--name", name)
	p.alone()
	p.serve("--give", give)
	w.peers = append(w.peers, p)
	return p
}

func (w *world) awaitPeers() {
	w.t.Helper()
	w.await("all peers are connected", func(s *status) bool { return s.Connected() == len(w.peers) })
}

// alone is Alone, which has to succeed.
func (n *node) alone() {
	n.t.Helper()
	if err := n.Alone(); err != nil {
		n.t.Fatal(err)
	}
}

// must is Run for what has to succeed.
func (n *node) must(args ...string) string {
	n.t.Helper()
	out, err := n.Run(args...)
	if err != nil {
		n.t.Fatalf("%v\n%s\n%s", err, out, n.lastLog())
	}
	return out
}

// lastLog is the end of the node's log, for a test that fails.
func (n *node) lastLog() string { return "the end of its log:\n" + n.Log(2000) }

func (n *node) serve(args ...string) {
	n.t.Helper()
	n.t.Cleanup(n.kill)
	n.must(append([]string{"serve"}, args...)...)
}

func (n *node) mount(args ...string) {
	n.t.Helper()
	mounting.Store(n, nil)
	n.t.Cleanup(func() { n.kill(); n.detach(); mounting.Delete(n) })
	n.must(append([]string{"mount", n.Dir}, args...)...)
}

func (n *node) unmount() {
	n.t.Helper()
	n.must("unmount", n.Dir)
	n.detach()
}

func (n *node) detach() { n.Detach() }

// kill is Kill, which has to succeed; there may be nobody to kill.
func (n *node) kill() {
	n.t.Helper()
	if _, err := n.Kill(); err != nil {
		n.t.Error(err)
	}
}

// killMount kills the mounting daemon and takes the dead mount away.
func (n *node) killMount() {
	n.t.Helper()
	n.kill()
	n.detach()
}

type status = rig.Status

func (n *node) status() *status {
	n.t.Helper()
	s, err := n.Status()
	if err != nil {
		n.t.Fatal(err)
	}
	return s
}

// await waits a minute for a status that is as wanted.
func (n *node) await(what string, wanted func(*status) bool) {
	n.t.Helper()
	if err := n.Await(what, time.Minute, wanted); err != nil {
		n.t.Fatal(err)
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
	return filepath.Join(append([]string{n.Dir}, elem...)...)
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
