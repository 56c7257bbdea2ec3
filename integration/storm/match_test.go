package storm

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// seen is one name that was found in a folder.
type seen struct {
	Name   string
	Kind   byte
	Ino    uint64
	Links  uint64
	Target string
	Data   []byte
	Err    string // of a file that cannot be read: why
}

// found is a folder as it was read: what a name is, and the bytes of inodes.
type found struct {
	names    map[string]seen
	contents map[uint64]*content
	lost     map[uint64]string // inodes that cannot be read, and why
}

func newFound(list []seen) *found {
	f := &found{names: map[string]seen{}, contents: map[uint64]*content{}, lost: map[uint64]string{}}
	for _, s := range list {
		if _, had := f.contents[s.Ino]; s.Kind == 'f' && !had {
			f.contents[s.Ino] = contentOf(s.Data)
			if s.Err != "" {
				f.lost[s.Ino] = s.Err
			}
		}
		s.Data = nil
		f.names[s.Name] = s
	}
	return f
}

// match looks for a moment, of those from step lo to step hi, at which the folder
// was as it was found, and returns the newest. Bytes may be older than the
// moment, but not than their acknowledgement or the floor. All can be read.
func (h *history) match(f *found, lo, hi, floor int) (step int, contents map[int]*content, err error) {
	var newest, oldest error
	for step = hi; step >= max(lo, h.first); step-- {
		contents, err := h.matchAt(f, step, floor)
		if err == nil {
			return step, contents, nil
		}
		oldest = fmt.Errorf("not as after step %d (%s): %w", step, h.calls[step-h.first], err)
		if newest == nil {
			newest = oldest
		}
	}
	if lo < hi {
		newest = fmt.Errorf("%w\n  nor as after any other step down to that:\n%w", newest, oldest)
	}
	return 0, nil, newest
}

func (h *history) matchAt(f *found, step, floor int) (map[int]*content, error) {
	s := h.state(step)
	inodes, err := s.matchNames(f)
	if err != nil {
		return nil, err
	}
	contents := map[int]*content{}
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		id := s.names[name]
		if _, had := contents[id]; s.files[id].kind != 'f' || had {
			continue
		}
		got := f.contents[inodes[id]]
		if why := f.lost[inodes[id]]; why != "" {
			return nil, fmt.Errorf("%s cannot be read: %s\n%s", name, why, h.tail(name, 12))
		}
		if err := fits(got, h.versions(id, step, floor)); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", name, err, h.tail(name, 12))
		}
		contents[id] = got
	}
	return contents, nil
}

// matchNames compares names, kinds, targets, and who is a link to whom. It
// returns which inode is which file.
func (s *state) matchNames(f *found) (map[int]uint64, error) {
	var errs []error
	inodes, links := map[int]uint64{}, map[int]uint64{}
	for name, id := range s.names {
		links[id]++
		want, got := s.files[id], f.names[name]
		if got.Kind != want.kind || got.Target != want.target {
			errs = append(errs, fmt.Errorf("%s should be %c %s and is %c %s", name, want.kind, want.target, max(got.Kind, '-'), got.Target))
			continue
		}
		if ino, known := inodes[id]; known && ino != got.Ino {
			errs = append(errs, fmt.Errorf("%s is no more a link to what it was linked to", name))
		}
		inodes[id] = got.Ino
	}
	for name, got := range f.names {
		id, ok := s.names[name]
		if !ok {
			errs = append(errs, fmt.Errorf("%s (%c, %d links) should not be there", name, got.Kind, got.Links))
		} else if got.Kind == 'f' && got.Links != links[id] {
			errs = append(errs, fmt.Errorf("%s has %d links, and %d names", name, got.Links, links[id]))
		}
	}
	if n := len(errs); n > 6 {
		errs = append(errs[:6], fmt.Errorf("and %d more", n-6))
	}
	return inodes, errors.Join(errs...)
}

// fits says whether content is made of versions: its size is one between those
// they had, and each byte one that some version has at its place. Behind the end
// of a version are zeros.
func fits(got *content, versions []*content) error {
	if len(versions) == 0 {
		return errors.New("nothing is known of its bytes")
	}
	least, most := versions[0].size, versions[0].size
	for i := len(versions) - 1; i >= 0; i-- {
		v := versions[i]
		if got.equal(v) {
			return nil
		}
		least, most = min(least, v.size), max(most, v.size)
	}
	if got.size < least || got.size > most {
		return fmt.Errorf("it has %d bytes, and %d to %d were acknowledged", got.size, least, most)
	}
	suspect := got.differing(versions[len(versions)-1], len(got.blocks)+1)
	for _, i := range suspect {
		end := min(int64(i+1)*blockSize, got.size)
	next:
		for off := int64(i) * blockSize; off < end; off++ {
			for _, v := range versions {
				if got.at(off) == v.at(off) {
					continue next
				}
			}
			return fmt.Errorf("its byte at %d of %d is %#x, which it was in none of %d versions since it was acknowledged (the newest has %#x)",
				off, got.size, got.at(off), len(versions), versions[len(versions)-1].at(off))
		}
	}
	return nil
}
