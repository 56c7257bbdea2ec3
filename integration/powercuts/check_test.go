package powercuts

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/volume"
)

// compare looks whether what is there is one of the images, and the contents
// are among those that the files had since. Several images may have the same names
// for different files.
func (r *running) compare(images []*image) error {
	got, inos, err := r.dump()
	if err != nil {
		return err
	}
	tree := got.tree()
	err = fmt.Errorf("no state since the one promised has these names:\n%s\npromised was:\n%s", tree, images[0].tree())
	for at := len(images) - 1; at >= 0; at-- {
		if images[at].tree() != tree {
			continue
		}
		if err = r.contents(images, images[at], inos); err == nil {
			return r.fsck()
		}
	}
	return err
}

// contents compares all files with what they are in an image.
func (r *running) contents(images []*image, s *image, inos map[string]uint64) error {
	for _, path := range slices.Sorted(maps.Keys(inos)) {
		if err := r.content(images, s.names[path].id, inos[path]); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// content compares a file with its versions: with the only one, or byte by byte
// with those since the promise.
func (r *running) content(images []*image, id int, ino uint64) error {
	got, err := r.read(ino)
	if err != nil {
		return err
	}
	var versions [][]byte
	for _, s := range images {
		if v, ok := s.files[id]; ok && (len(versions) == 0 || !bytes.Equal(v, versions[len(versions)-1])) {
			versions = append(versions, v)
		}
	}
	if len(versions) == 1 {
		return same(got, versions[0])
	}
	if !slices.ContainsFunc(versions, func(v []byte) bool { return len(v) == len(got) }) {
		return fmt.Errorf("a size of %d, which it never had", len(got))
	}
	for i, b := range got {
		if b != 0 && !slices.ContainsFunc(versions, func(v []byte) bool { return i < len(v) && v[i] == b }) {
			return fmt.Errorf("byte %d was never written there", i)
		}
	}
	return nil
}

// same compares a file with what was promised.
func same(got, want []byte) error {
	if bytes.Equal(got, want) {
		return nil
	}
	at, bad := 0, 0
	for i := range min(len(got), len(want)) {
		if got[i] == want[i] {
			continue
		}
		if bad++; bad == 1 {
			at = i
		}
	}
	return fmt.Errorf("%d bytes of %d that were promised, and %d are wrong, the first at %d", len(got), len(want), bad, at)
}

func (r *running) read(ino uint64) ([]byte, error) {
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	f, err := r.volume.Open(within, ino, false)
	if err != nil {
		return nil, err
	}
	var all []byte
	p := make([]byte, 1<<20)
	for {
		n, err := f.Read(within, p, int64(len(all)))
		if err != nil {
			return nil, err
		}
		if n == 0 {
			_ = f.Release(ctx) // on a failing disk, what others have written may fail
			return all, nil
		}
		all = append(all, p[:n]...)
	}
}

// dump reads the whole tree through the volume.
func (r *running) dump() (*image, map[string]uint64, error) {
	s := newImage()
	files := map[string]uint64{}
	return s, files, r.walk(s, files, volume.Root, "")
}

func (r *running) walk(s *image, files map[string]uint64, dir uint64, path string) error {
	list, err := r.volume.ReadDir(ctx, dir, 0, 1000)
	if err != nil {
		return err
	}
	for _, e := range list {
		a, err := r.volume.Lookup(ctx, dir, e.Name)
		if err != nil {
			return fmt.Errorf("%s/%s: %w", path, e.Name, err)
		}
		x, err := r.volume.GetXattr(ctx, a.Ino, "user.x")
		if err != nil {
			x = nil
		}
		q := path + "/" + e.Name
		s.names[q] = node{id: int(a.Ino), mode: a.Mode, target: a.Target, xattr: string(x)}
		switch a.Mode & modeType {
		case modeReg:
			files[q] = a.Ino
		case modeDir:
			if err := r.walk(s, files, a.Ino, q); err != nil {
				return err
			}
		}
	}
	return nil
}

// alive uses the volume and the peers once.
func (r *running) alive(peersToo bool) error {
	_, f, err := r.volume.Create(ctx, volume.Caller{}, volume.Root, "after the cut", 0o600)
	if err != nil {
		return err
	}
	data := bytes.Repeat([]byte("it goes on"), 10_000)
	if n, err := f.Write(ctx, data, 0); err != nil || n != len(data) {
		return fmt.Errorf("write to a new file: %d bytes, %w", n, err)
	}
	if err := f.Fsync(ctx); err != nil {
		return err
	}
	p := make([]byte, len(data))
	if n, err := f.Read(ctx, p, 0); err != nil || !bytes.Equal(p[:n], data) {
		return fmt.Errorf("a new file reads wrong: %d bytes, %w", n, err)
	}
	if err := f.Release(ctx); err != nil {
		return err
	}
	if peersToo {
		return r.sync(false)
	}
	return nil
}

// check compares what the peers keep for the guest with what they promised.
func (g *guest) check(r *running) error {
	for k, stands := range g.stands {
		data := g.shard(k.stripe)
		id, d := crypt.Sum(data), r.depots[k.peer]
		_, ok, err := d.Has(ctx, g.root.Owner(), id)
		if err != nil || ok != stands {
			return fmt.Errorf("guest's stripe %d at peer %d: stands %v, promised was %v: %w", k.stripe, k.peer, ok, stands, err)
		}
		if !stands {
			continue
		}
		_, slice, err := d.Slice(ctx, g.root.Owner(), id, 0, int64(len(data)), nil)
		if err == nil {
			_, err = crypt.AppendVerified(nil, slice, id, int64(len(data)), 0, int64(len(data)))
		}
		if err != nil {
			return fmt.Errorf("guest's stripe %d at peer %d: %w", k.stripe, k.peer, err)
		}
	}
	for peer, counter := range g.heads {
		got, err := newest(r, peer, g.root.Owner())
		if err != nil || got.Counter < counter {
			return fmt.Errorf("guest's head at peer %d: %d, promised was %d: %w", peer, got.Counter, counter, err)
		}
	}
	return nil
}

// newest is the newest head of an owner that a peer keeps, with the zero counter if
// there is none.
func newest(r *running, peer int, owner crypt.OwnerKey) (best crypt.Head, err error) {
	heads, err := r.depots[peer].Heads(ctx, owner)
	for i := range heads {
		h, perr := crypt.ParseHead(heads[i].Head)
		if perr != nil {
			return best, perr
		}
		if h.Counter > best.Counter {
			best = *h
		}
	}
	return best, err
}
