package powercuts

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// File types of a mode, as in stat(2).
const (
	modeType = 0o170000
	modeReg  = 0o100000
	modeDir  = 0o040000
	modeLink = 0o120000
)

// node is what a name stands for, as the journal has it.
type node struct {
	id     int // which file, so that hard links are known
	mode   uint32
	target string
	xattr  string
}

// image is the volume after one commit. It is never changed.
type image struct {
	names map[string]node
	files map[int][]byte // the committed contents
}

func newImage() *image { return &image{map[string]node{}, map[int][]byte{}} }

func (s *image) clone() *image { return &image{maps.Clone(s.names), maps.Clone(s.files)} }

// tree writes the names down such that two equal trees are equal strings.
func (s *image) tree() string {
	first, count := map[int]string{}, map[int]int{}
	paths := slices.Sorted(maps.Keys(s.names))
	for _, path := range paths {
		n := s.names[path]
		if count[n.id]++; count[n.id] == 1 {
			first[n.id] = path
		}
	}
	var b strings.Builder
	for _, path := range paths {
		n := s.names[path]
		fmt.Fprintf(&b, "%s %o %q %q = %s %d\n", path, n.mode, n.target, n.xattr, first[n.id], count[n.id])
	}
	return b.String()
}

// move renames a path and all that is below it.
func (s *image) move(from, to string) {
	for path, n := range maps.Clone(s.names) {
		if rest, below := strings.CutPrefix(path, from); below && (rest == "" || rest[0] == '/') {
			delete(s.names, path)
			s.names[to+rest] = n
		}
	}
}
