package model

import (
	"errors"
	"strings"
	"syscall"

	"github.com/hammockfs/hammock/fs/volume"
)

func isType(mode, typ uint32) bool { return mode&syscall.S_IFMT == typ }

// place is where a path leads: a name in a directory, and what it stands for.
type place struct {
	dir  uint64
	name string      // "" for the root
	attr volume.Attr // zero if there is nothing
}

func (p *place) there() bool { return p.attr.Ino != 0 }

// maxFollow is how many symbolic links a path may lead through, as in Linux.
const maxFollow = 40

// walk resolves a path as a kernel does. Only its last name may be missing.
func (c *Core) walk(path string, follow bool) (place, error) {
	root, err := c.Volume.GetAttr(ctx, volume.Root)
	at := place{dir: volume.Root, attr: root}
	if err != nil {
		return at, err
	}
	names := split(path)
	for links := 0; len(names) > 0; {
		if !isType(at.attr.Mode, syscall.S_IFDIR) {
			return at, syscall.ENOTDIR
		}
		dir, name := at.attr.Ino, names[0]
		names = names[1:]
		if at, err = c.step(dir, name); err != nil {
			return at, err
		}
		if !at.there() {
			if len(names) > 0 {
				return at, syscall.ENOENT
			}
			return at, nil
		}
		if !isType(at.attr.Mode, syscall.S_IFLNK) || len(names) == 0 && !follow {
			continue
		}
		if links++; links > maxFollow {
			return at, syscall.ELOOP
		}
		names = append(split(at.attr.Target), names...)
		if at.attr, err = c.Volume.GetAttr(ctx, dir); err != nil {
			return at, err
		}
	}
	return at, nil
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// step goes one name on; the place's attr is zero if there is none.
func (c *Core) step(dir uint64, name string) (place, error) {
	at := place{dir: dir, name: name}
	var err error
	if name == ".." {
		up, err := c.Volume.Parent(ctx, dir)
		if err != nil {
			return at, err
		}
		at.attr, err = c.Volume.GetAttr(ctx, up)
		return at, err
	}
	at.attr, err = c.Volume.Lookup(ctx, dir, name)
	if errors.Is(err, volume.ErrNotExist) {
		at.attr, err = volume.Attr{}, nil
	}
	return at, err
}

// find is walk for what must be there.
func (c *Core) find(path string, follow bool) (place, error) {
	at, err := c.walk(path, follow)
	if err == nil && !at.there() {
		err = syscall.ENOENT
	}
	return at, err
}

// vacant is the place of a name that is about to be made.
func (c *Core) vacant(path string) (place, error) {
	at, err := c.walk(path, false)
	if err == nil && at.there() {
		err = syscall.EEXIST
	}
	return at, err
}
