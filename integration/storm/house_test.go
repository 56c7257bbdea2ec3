package storm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

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
	h.main = &node{name: "main", bin: bin, state: filepath.Join(base, "state"), dir: filepath.Join(base, "mnt")}
	if s.small {
		if err := h.mountDisk(); err != nil {
			return h, err
		}
	}
	if h.network, err = newNetwork(s.peers); err != nil {
		return h, err
	}
	h.network.place(h.main, -1)
	if err := os.Mkdir(h.main.dir, 0o755); err != nil {
		return h, err
	}
	out, err := h.main.run("init", "--no-passphrase", "--policy", s.policy, "--name", "main")
	if err != nil {
		return h, err
	}
	for line := range strings.Lines(out) {
		if words := strings.Fields(line); strings.HasPrefix(line, "    ") && len(words) == 6 {
			h.words = strings.TrimSpace(h.words + " " + strings.Join(words, " "))
		}
	}
	if err := errors.Join(h.main.alone(), h.main.start()); err != nil {
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
	p := &node{name: name, bin: h.bin, state: filepath.Join(h.base, name)}
	h.network.place(p, i)
	ticket, err := h.main.run("invite", "--name", name)
	if err != nil {
		return err
	}
	if _, err := p.run("join", strings.TrimSpace(ticket), "--no-passphrase", "--name", name); err != nil {
		return err
	}
	h.peers = append(h.peers, p)
	return errors.Join(p.alone(), p.start())
}

// awaitPeers waits until all peers are connected.
func (h *house) awaitPeers() error {
	return h.main.await("all peers are connected", 90*time.Second, func(s *status) bool {
		n := 0
		for _, p := range s.Peers {
			if p.Connected && p.Gives > 0 {
				n++
			}
		}
		return n == len(h.peers)
	})
}

// recover brings the volume back on a bare state: nothing is left of the one
// before but the words.
func (h *house) recover() error {
	if err := os.RemoveAll(h.main.state); err != nil {
		return err
	}
	s, err := h.peers[0].status()
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
	if _, err := h.main.run("recover", "--no-passphrase", "--phrase-file", words, "--peer", s.Addresses[0], "--name", "main"); err != nil {
		return err
	}
	return h.main.alone()
}

// close ends whatever still runs.
func (h *house) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, n := range append(h.peers, h.main) {
		if n != nil && ctx.Err() == nil {
			_, _ = n.signal(unix.SIGCONT)
			_, _ = n.kill()
		}
	}
	if h.main != nil {
		h.main.detach()
	}
	h.network.remove(len(h.peers))
	if h.disk != "" {
		_ = unix.Unmount(h.disk, unix.MNT_DETACH)
	}
}
