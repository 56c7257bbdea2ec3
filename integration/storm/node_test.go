package storm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/hammockfs/hammock/integration/rig"
)

// node is a node of a storm.
type node struct {
	*rig.Node
	bin     string   // that it runs while it is honest
	listen  string   // empty if it may choose
	options []string // of its mount
	disk    string   // the small file system that its state lies on, or empty
	freed   func()   // ends what lies in its place, or nil
}

func newNode(bin, name, state string) *node {
	return &node{Node: &rig.Node{Name: name, Bin: bin, State: state}, bin: bin}
}

// start starts the node: one that has a folder mounts it, any other serves, and
// is honest.
func (n *node) start(more ...string) error {
	args := []string{"serve", "--give", "20G"}
	if n.Dir != "" {
		args = append([]string{"mount", n.Dir}, n.options...)
	}
	if n.listen != "" {
		args = append(args, "--listen", n.listen)
	}
	n.Bin = n.bin
	_, err := n.Run(append(args, more...)...)
	return err
}

type status = rig.Status

// onDisk puts the node's state on a disk of its own, of a size as mount(8)
// takes it.
func (n *node) onDisk(size string) error {
	n.disk = n.State + "-disk"
	if err := os.Mkdir(n.disk, 0o700); err != nil {
		return err
	}
	n.State = filepath.Join(n.disk, "state")
	if err := unix.Mount("storm", n.disk, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		return fmt.Errorf("mount a small disk: %w", err)
	}
	return nil
}

// fill takes all room of the small disk.
func (n *node) fill() error {
	f, err := os.Create(filepath.Join(n.disk, "filler"))
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 1<<20)
	for {
		if _, err := f.Write(b); errors.Is(err, unix.ENOSPC) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (n *node) empty() error { return os.Remove(filepath.Join(n.disk, "filler")) }

// removeDisk takes the small disk away; the node must not run.
func (n *node) removeDisk() {
	if n.disk != "" {
		_ = unix.Unmount(n.disk, unix.MNT_DETACH)
	}
}
