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
	disk    string // the small file system that the daemon's state lies on, or empty
}

// build makes a volume and its peers, and mounts it.
func build(bin, base string, s *schedule) (h *house, err error) {
	h = &house{base: base, bin: bin}
	h.main = newNode(bin, "main", filepath.Join(base, "state"))
	h.main.Dir = filepath.Join(base, "mnt")
	if s.small {
		if err := h.mountDisk(); err != nil {
			return h, err
		}
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
	if err := errors.Join(h.main.Alone(), h.main.start()); err != nil {
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
	ticket, err := h.main.Run("invite", "--name", name)
	if err != nil {
		return err
	}
	if _, err := p.Run("join", strings.TrimSpace(ticket), "--no-passphrase", "--name", name); err != nil {
		return err
	}
	h.peers = append(h.peers, p)
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
	s, err := h.peers[0].Status()
	if err != nil {
		return err
	}
	if len(s.Addresses) == 0 {
		return errors.New("peer 0 has no address")
	}
	words := filepath.Join(h.base, "words")
	if err := os.WriteFile(words, []byte(h.words+"\n"), 0o600); err != nil {
		return err
	}
	defer os.Remove(words)
	if _, err := h.main.Run("recover", "--no-passphrase", "--phrase-file", words, "--peer", s.Addresses[0], "--name", "main"); err != nil {
		return err
	}
	return h.main.Alone()
}

// close ends whatever still runs.
func (h *house) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, n := range append(h.peers, h.main) {
		if n != nil && ctx.Err() == nil {
			_, _ = n.Signal(unix.SIGCONT)
			_, _ = n.Kill()
		}
	}
	if h.main != nil {
		h.main.Detach()
	}
	h.network.remove(len(h.peers))
	if h.disk != "" {
		_ = unix.Unmount(h.disk, unix.MNT_DETACH)
	}
}
