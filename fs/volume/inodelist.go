package volume

// inodeList is a list of states, oldest first. Its links are in the states
// themselves: nearly every request takes one out and puts it back. Volume.mu
// guards it.
type inodeList struct {
	first, last *inode
	n           int
}

// place is where a state stands in a list.
type place struct {
	list       *inodeList // nil: in none
	prev, next *inode
}

func (l *inodeList) pushBack(in *inode) {
	in.place = place{list: l, prev: l.last}
	if l.last == nil {
		l.first = in
	} else {
		l.last.place.next = in
	}
	l.last = in
	l.n++
}

// leave takes a state out of its list, if it is in one.
func (in *inode) leave() {
	l := in.place.list
	if l == nil {
		return
	}
	if prev := in.place.prev; prev == nil {
		l.first = in.place.next
	} else {
		prev.place.next = in.place.next
	}
	if next := in.place.next; next == nil {
		l.last = in.place.prev
	} else {
		next.place.prev = in.place.prev
	}
	l.n--
	in.place = place{}
}
