package storm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hammockfs/hammock/integration/rig"
	"golang.org/x/sys/unix"
)

// house is a mounting node, its peers, and the network between them.
type house struct {
	base    string
	bin     string
	main    *node
	peers   []*node
	network *network
	words   string
	plan    *schedule
}

// build makes a volume and its peers, and mounts it.
func build(bin, base string, s *schedule) (h *house, err error) {
	h = &house{base: base, bin: bin, plan: s}
	h.main = newNode(bin, "main", filepath.Join(base, "state"))
	h.main.Dir = filepath.Join(base, "mnt")
	if s.small {
		if err := h.main.onDisk(diskSize); err != nil {
			return h, err
		}
	}
	if s.synced {
		h.main.options = []string{"-o", "sync=peers"}
	}
	if h.network, err = newNetwork(s.peers); err != nil {
		return h, err
	}
	h.network.place(h.main, -1)
	if err := os.Mkdir(h.main.Dir, 0o755); err != nil {
		return h, err
	}
	out, err := h.main.Run("init", "--no-passphrase", "--policy", s.policy, "--name", "main")
	if err != nil {
		return h, err
	}
	if h.words, err = rig.Words(out); err != nil {
		return h, err
	}
	if err := errors.Join(h.settings(), h.main.start()); err != nil {
		return h, err
	}
	for i := range s.peers {
		if err := h.invite(i); err != nil {
			return h, err
		}
	}
	return h, h.awaitPeers()
}

// invite lets a peer in and starts it.
func (h *house) invite(i int) error {
	name := fmt.Sprintf("peer-%d", i)
	p := newNode(h.bin, name, filepath.Join(h.base, name))
	h.network.place(p, i)
	h.peers = append(h.peers, p)
	if i == h.plan.narrow {
		if err := p.onDisk(peerDiskSize); err != nil {
			return err
		}
	}
	ticket, err := h.main.Run("invite", "--name", name)
	if err != nil {
		return err
	}
	if _, err := p.Run("join", strings.TrimSpace(ticket), "--no-passphrase", "--name", name); err != nil {
		return err
	}
	return errors.Join(p.Alone(), p.start())
}

// awaitPeers waits until all peers are connected.
func (h *house) awaitPeers() error {
	return h.main.Await("all peers are connected", 90*time.Second, func(s *status) bool {
		return s.Connected() == len(h.peers)
	})
}

// recover brings the volume back on a bare state: nothing is left of the one
// before but the words.
func (h *house) recover() error {
	if err := os.RemoveAll(h.main.State); err != nil {
		return err
	}
	p := h.peers[0]
	if p.Bin != p.bin {
		p = h.peers[1] // who tells the truth
	}
	s, err := p.Status()
	if err != nil {
		return err
	}
	if len(s.Addresses) == 0 {
		return fmt.Errorf("%s has no address", p.Name)
	}
	words := filepath.Join(h.base, "words")
	if err := os.WriteFile(words, []byte(h.words+"\n"), 0o600); err != nil {
		return err
	}
	defer os.Remove(words)
	if _, err := h.main.Run("recover", "--no-passphrase", "--phrase-file", words, "--peer", s.Addresses[0], "--name", "main"); err != nil {
		return err
	}
	return h.settings()
}

// settings are those of the mounting node.
func (h *house) settings() error {
	err := h.main.Alone()
	if h.plan.lies {
		err = errors.Join(err, h.main.Set("audit_every", auditEvery))
	}
	return err
}

// close ends whatever still runs.
func (h *house) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, n := range append(h.peers, h.main) {
		if n != nil && ctx.Err() == nil {
			_, _ = n.Signal(unix.SIGCONT)
			_, _ = n.Kill()
			if n.freed != nil {
				n.freed()
			}
		}
	}
	if h.main != nil {
		h.main.Detach()
	}
	h.network.remove(len(h.peers))
	for _, n := range append(h.peers, h.main) {
		if n != nil {
			n.removeDisk()
		}
	}
}
