package powercuts

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/hammockfs/hammock/fs/volume"
)

// book is what a client of a volume on a failing disk knows: what was
// acknowledged, and, where a call failed, what may be.
type book struct {
	files []*entry
}

// entry is one file.
type entry struct {
	now state // after a kill
	cut state // after a power cut
}

// state is what a file may be: at one of the paths, or nowhere if it may be gone,
// and byte by byte one of the versions. With loose set the length is not known.
type state struct {
	paths    []string
	gone     bool
	versions [][]byte
	loose    bool
}

func (s state) clone() state {
	return state{slices.Clone(s.paths), s.gone, slices.Clone(s.versions), s.loose}
}

// settled says whether a file is known to be there, and as what.
func (s *state) settled() bool {
	return len(s.paths) == 1 && len(s.versions) == 1 && !s.gone && !s.loose
}

// synced notes that all that is there now survives a power cut.
func (b *book) synced() {
	for _, e := range b.files {
		e.cut = e.now.clone()
	}
}

// wrote notes a write of a new version, which was committed or not.
func (e *entry) wrote(p []byte, err error) {
	if err != nil {
		e.now.versions = append(e.now.versions, p)
		e.now.loose, e.cut.loose = true, true
	} else {
		e.now.versions, e.now.loose = [][]byte{p}, false
	}
	e.cut.versions = append(e.cut.versions, p)
}

// moved notes a rename.
func (e *entry) moved(to string, err error) {
	if err != nil {
		e.now.paths = append(e.now.paths, to)
	} else {
		e.now.paths = []string{to}
	}
	e.cut.paths = append(e.cut.paths, to)
}

// removed notes an unlink.
func (e *entry) removed(err error) {
	e.now.gone, e.cut.gone = true, true
	if err == nil {
		e.now.paths = nil
	}
}

// check compares what a volume has with what may be.
func (b *book) check(r *running, cut bool) error {
	for i, e := range b.files {
		s := &e.now
		if cut {
			s = &e.cut
		}
		if err := s.check(r); err != nil {
			return fmt.Errorf("file %d, which may be at %q, or gone: %v: %w", i, s.paths, s.gone, err)
		}
	}
	return nil
}

func (s *state) check(r *running) error {
	found := 0
	for _, path := range s.paths {
		a, err := r.volume.Lookup(ctx, volume.Root, path)
		if errors.Is(err, volume.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		found++
		got, err := r.read(a.Ino)
		if err != nil {
			return err
		}
		if err := s.holds(got); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if found > 1 || found == 0 && !s.gone {
		return fmt.Errorf("it is at %d of them", found)
	}
	return nil
}

// holds compares a content with the versions.
func (s *state) holds(got []byte) error {
	if len(s.versions) == 1 && !s.loose {
		return same(got, s.versions[0])
	}
	if !s.loose && !slices.ContainsFunc(s.versions, func(v []byte) bool { return len(v) == len(got) }) {
		return fmt.Errorf("a size of %d, which it never had", len(got))
	}
	if slices.ContainsFunc(s.versions, func(v []byte) bool { return bytes.Equal(v, got) }) {
		return nil
	}
	for i, b := range got {
		if b != 0 && !slices.ContainsFunc(s.versions, func(v []byte) bool { return i < len(v) && v[i] == b }) {
			return fmt.Errorf("byte %d was never written there", i)
		}
	}
	return nil
}
