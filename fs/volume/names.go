package volume

import "sync"

// keptNames is how many names are kept in memory, of all directories together:
// some ten megabytes.
const keptNames = 1 << 16

// names are all names of some directories: of those that were made in this run,
// so that everything which was ever in them went through here. What is not among
// them is not there, which otherwise takes the longest to find out. Whoever
// changes a directory changes its names when the batch that has the change is
// committed, with the directory still locked. Where they become too many, those
// of any directory are dropped.
type names struct {
	mu   sync.Mutex
	n    int
	dirs map[uint64]map[string]uint64 // directory -> name -> inode
}

// begin says that a directory is empty.
func (k *names) begin(dir uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dirs == nil {
		k.dirs = map[uint64]map[string]uint64{}
	}
	k.dirs[dir] = map[string]uint64{}
	k.n++ // an empty one counts, too
	k.bound()
}

// end says that a directory is gone.
func (k *names) end(dir uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(dir)
}

// drop needs mu.
func (k *names) drop(dir uint64) {
	if list, ok := k.dirs[dir]; ok {
		k.n -= len(list) + 1
		delete(k.dirs, dir)
	}
}

// bound needs mu.
func (k *names) bound() {
	for dir := range k.dirs {
		if k.n <= keptNames {
			return
		}
		k.drop(dir)
	}
}

// put says that a name stands for an inode now.
func (k *names) put(dir uint64, name string, ino uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list, ok := k.dirs[dir]
	if !ok {
		return
	}
	k.n -= len(list)
	list[name] = ino
	k.n += len(list)
	k.bound()
}

// remove says that a name is not there any more.
func (k *names) remove(dir uint64, name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := k.dirs[dir]
	k.n -= len(list)
	delete(list, name)
	k.n += len(list)
}

// find returns what a name stands for, 0 if it is not there; known is false if
// only the records can tell.
func (k *names) find(dir uint64, name string) (ino uint64, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list, known := k.dirs[dir]
	return list[name], known
}

// empty says whether a directory has no names, as far as it is known.
func (k *names) empty(dir uint64) (yes, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list, known := k.dirs[dir]
	return len(list) == 0, known
}
