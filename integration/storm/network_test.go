package storm

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// network is a network of namespaces: one with the mounting node and a bridge,
// and one for each peer, whose link can be set down. Nothing of it can be seen
// from outside.
type network struct{ prefix string }

// newNetwork makes the namespaces; it is nil where that is not permitted, and
// then everybody is on the loopback network and links stay up.
func newNetwork(peers int) (*network, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	w := &network{prefix: fmt.Sprintf("storm-%d-", os.Getpid())}
	w.remove(peers)
	steps := []string{"netns add MAIN", "-n MAIN link set lo up", "-n MAIN link add br0 type bridge",
		"-n MAIN addr add 10.77.0.1/24 dev br0", "-n MAIN link set br0 up"}
	for i := range peers {
		peer := strings.NewReplacer("PEER", w.peer(i), "LINK", w.link(i), "ADDR", w.address(i))
		for _, s := range []string{"netns add PEER", "-n PEER link set lo up",
			"link add LINK netns MAIN type veth peer name eth0 netns PEER", "-n MAIN link set LINK master br0",
			"-n MAIN link set LINK up", "-n PEER addr add ADDR/24 dev eth0", "-n PEER link set eth0 up"} {
			steps = append(steps, peer.Replace(s))
		}
	}
	for _, s := range steps {
		if err := w.ip(strings.ReplaceAll(s, "MAIN", w.main())); err != nil {
			w.remove(peers)
			return nil, err
		}
	}
	return w, nil
}

func (w *network) main() string         { return w.prefix + "main" }
func (w *network) peer(i int) string    { return fmt.Sprintf("%s%d", w.prefix, i) }
func (w *network) link(i int) string    { return fmt.Sprintf("p%d", i) }
func (w *network) address(i int) string { return fmt.Sprintf("10.77.0.%d", 10+i) }

// place puts a node into its namespace; i is -1 for the mounting one.
func (w *network) place(n *node, i int) {
	switch {
	case w == nil:
	case i < 0:
		n.Space, n.listen = w.main(), "/ip4/10.77.0.1/tcp/4001"
	default:
		n.Space, n.listen = w.peer(i), "/ip4/"+w.address(i)+"/tcp/4001"
	}
}

// set takes a peer's link up or down.
func (w *network) set(i int, how string) error {
	return w.ip("-n " + w.main() + " link set " + w.link(i) + " " + how)
}

func (w *network) ip(args string) error {
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", args, err, out)
	}
	return nil
}

// remove removes what there is of it.
func (w *network) remove(peers int) {
	if w == nil {
		return
	}
	for i := range peers {
		_ = w.ip("netns del " + w.peer(i)) // it may not be there
	}
	_ = w.ip("netns del " + w.main())
}
