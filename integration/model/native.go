package model

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Native is a folder on ext4, the truth.
type Native struct {
	Dir   string
	image string // where it is mounted, if it had to be made
}

const ext4Magic = 0xef53

// OpenNative gives a folder on ext4: dir itself if it is there, else one in an
// image that is made and mounted, which needs root.
func OpenNative(dir string) (*Native, error) {
	var fs unix.Statfs_t
	if err := again(func() error { return unix.Statfs(dir, &fs) }); err != nil {
		return nil, fmt.Errorf("ask for the filesystem of %s: %w", dir, err)
	}
	if fs.Type == ext4Magic {
		return &Native{Dir: dir}, nil
	}
	image, mnt := filepath.Join(dir, "ext4.img"), filepath.Join(dir, "ext4")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 4<<30), os.Mkdir(mnt, 0o755)); err != nil {
		return nil, err
	}
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-F", image}, {"mount", "-o", "loop", image, mnt}} {
		if err := run(command...); err != nil {
			return nil, fmt.Errorf("%s is not on ext4, and a folder that is cannot be made: %w", dir, err)
		}
	}
	return &Native{Dir: mnt, image: mnt}, nil
}

// Close takes away what was made.
func (n *Native) Close() error {
	if n.image == "" {
		return nil
	}
	return run("umount", "-l", n.image)
}

func run(command ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.WaitDelay = 10 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out)
	}
	return nil
}

// NewTruth makes an empty folder for one run of a property.
func (n *Native) NewTruth() (*Folder, error) {
	dir, err := os.MkdirTemp(n.Dir, "truth")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	return NewFolder(dir, true), err
}

// FineClock says whether the times of two changes always differ once somebody
// has looked between them, as since Linux 6.13.
func (n *Native) FineClock() (bool, error) {
	d, err := n.NewTruth()
	if err != nil {
		return false, err
	}
	defer d.Remove()
	last := int64(0)
	for i := range 20 {
		d.Do(&Call{Op: Chmod, Mode: 0o700 + uint32(i)})
		r := d.Do(&Call{Op: Lstat})
		if r.Errno != 0 {
			return false, r.Errno
		}
		if r.Stat.Ctime == last {
			return false, nil
		}
		last = r.Stat.Ctime
	}
	return true, nil
}
