package volume

import (
	"slices"
	"sync"
)

// keptAbsent is how many absent names a directory remembers: as many as
// programs are likely to make in it at the same time.
const keptAbsent = 8

// absence remembers which names were last looked up in a directory and not
// found, and where its listing ended. The kernel looks a name up before it makes
// it, and asks for what comes behind the last entry of each listing. What is not
// there takes the longest to look for: in every level of the records.
type absence struct {
	mu    sync.Mutex
	added uint64 // counts the names that the directory has got
	names []string
	last  uint64 // no entry has a cookie above this; 0 if that is not known
}

// begin is called before a look into the records whose result goes to note.
func (a *absence) begin() (added uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.added
}

// note remembers that a name was not found, unless the directory has got a name
// since begin: that may be this one.
func (a *absence) note(name string, added uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.added != added || slices.Contains(a.names, name) {
		return
	}
	if len(a.names) == keptAbsent {
		a.names = slices.Delete(a.names, 0, 1)
	}
	a.names = append(a.names, name)
}

// has says whether a name is certainly not there, if whoever asks keeps the
// directory from getting names meanwhile.
func (a *absence) has(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.names, name)
}

// noteLast remembers that no entry has a cookie above last, unless the directory
// has got a name since begin.
func (a *absence) noteLast(last, added uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.added == added {
		a.last = last
	}
}

// behind says whether there is certainly no entry above a cookie.
func (a *absence) behind(cookie uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last != 0 && cookie >= a.last
}

// end is called once a name may be there: after the batch that has it, with the
// directory still locked.
func (a *absence) end(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.added++
	a.last = 0
	if i := slices.Index(a.names, name); i >= 0 {
		a.names = slices.Delete(a.names, i, i+1)
	}
}
