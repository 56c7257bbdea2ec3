package storm

import "github.com/hammockfs/hammock/integration/rig"

// node is a node of a storm.
type node struct {
	*rig.Node
	listen string // empty if it may choose
}

func newNode(bin, name, state string) *node {
	return &node{Node: &rig.Node{Name: name, Bin: bin, State: state}}
}

// start starts the node: one that has a folder mounts it, any other serves.
func (n *node) start(more ...string) error {
	args := []string{"serve", "--give", "20G"}
	if n.Dir != "" {
		args = []string{"mount", n.Dir}
	}
	if n.listen != "" {
		args = append(args, "--listen", n.listen)
	}
	_, err := n.Run(append(args, more...)...)
	return err
}

type status = rig.Status
