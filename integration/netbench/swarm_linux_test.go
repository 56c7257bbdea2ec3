package netbench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hammockfs/hammock/integration/rig"
)

const (
	peers  = 6
	policy = "4+2"
)

var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "hammock-netbench-")
	if err == nil {
		defer os.RemoveAll(folder)
		binary, err = rig.Build("../..", folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// swarm is a mounting node with its peers.
type swarm struct {
	*rig.Node
	b     *testing.B
	aside string // a native folder on the same file system
	peers []*rig.Node
	words string // of the volume
}

// newSwarm starts all of it, and ends it when the benchmark does.
func newSwarm(b *testing.B) *swarm {
	b.Helper()
	rig.NeedMount(b)
	base, err := os.MkdirTemp(os.Getenv("HAMMOCK_BENCH_DIR"), "netbench-")
	ok(b, err)
	b.Cleanup(func() { _ = os.RemoveAll(base) })
	at := func(name string) string { return filepath.Join(base, name) }
	s := &swarm{b: b, aside: at("native"), Node: &rig.Node{Name: "main", Bin: binary, State: at("state"), Dir: at("mnt")}}
	ok(b, os.Mkdir(s.Dir, 0o755))
	ok(b, os.Mkdir(s.aside, 0o755))
	s.words, err = rig.Words(s.must(s.Node, "init", "--no-passphrase", "--policy", policy, "--name", "main"))
	ok(b, err)
	ok(b, s.Alone())
	b.Cleanup(func() { _, _ = s.Kill(); s.Detach() })
	s.must(s.Node, "mount", s.Dir)
	for i := range peers {
		name := "peer-" + strconv.Itoa(i+1)
		s.addPeer(&rig.Node{Name: name, Bin: binary, State: at(name)})
	}
	s.connected()
	return s
}

func (s *swarm) addPeer(p *rig.Node) {
	s.b.Helper()
	ticket := strings.TrimSpace(s.must(s.Node, "invite", "--name", p.Name))
	s.must(p, "join", ticket, "--no-passphrase", "--name", p.Name)
	ok(s.b, p.Alone())
	s.b.Cleanup(func() { _, _ = p.Kill() })
	s.must(p, "serve", "--give", "40G")
	s.peers = append(s.peers, p)
}

func ok(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (s *swarm) must(n *rig.Node, args ...string) string {
	s.b.Helper()
	out, err := n.Run(args...)
	ok(s.b, err)
	return out
}

// connected returns when all peers that run are connected, and no others.
func (s *swarm) connected() {
	s.b.Helper()
	want := 0
	for _, p := range s.peers {
		if _, runs := p.PID(); runs {
			want++
		}
	}
	ok(s.b, s.Await("the peers are connected", time.Minute, func(st *rig.Status) bool { return st.Connected() == want }))
}

// forget leaves this machine with nothing but what it needs to ask peers: its
// cache is dropped, and a new mount has nothing in the kernel's.
func (s *swarm) forget() {
	s.b.Helper()
	s.must(s.Node, "sync")
	s.must(s.Node, "unmount", s.Dir)
	s.must(s.Node, "mount", s.Dir)
	s.connected()
	s.must(s.Node, "cache", "drop")
}
