package meta

// keptHeld is for how many inodes it is remembered which records the current generation has of them: some megabytes.
const keptHeld = 1 << 16

// holding is a set of records of one inode. Bit 0 is its own record, the next are its first windows, then its first
// pages, and the last one stands for any other record.
type holding uint64

const (
	heldWindows = 1 // bits before the windows
	heldPages   = 8 // bits before the pages, and so after the windows
	heldOthers  = holding(1) << 63
)

// heldBit returns the set of one record.
func heldBit(rk []byte) holding {
	switch keyKind(rk) {
	case KindInode:
		return 1
	case KindWindow:
		if n := keyNumber(rk); n < heldPages-heldWindows {
			return 1 << (heldWindows + n)
		}
	case KindPage:
		if n := keyNumber(rk); n < 63-heldPages {
			return 1 << (heldPages + n)
		}
	}
	return heldOthers
}

// heldKey appends the key of the record that bit i of a holding stands for.
func heldKey(dst []byte, ino uint64, i int) []byte {
	switch {
	case i == 0:
		return appendPrefix(dst, ino, KindInode)
	case i < heldPages:
		return appendNumbered(dst, ino, KindWindow, uint64(i-heldWindows))
	}
	return appendNumbered(dst, ino, KindPage, uint64(i-heldPages))
}

// held remembers which records of an inode the current generation may have, so that their removal need not look for them
// in all of Pebble's tables: a small file is mostly removed while they are few. What an inode holds is known if nothing of
// it can have been put without being noted: of all inodes in a generation that began in this run, and else of those whose
// numbers were given out since. The lock of commits guards it.
type held struct {
	inodes  map[uint64]holding
	all     bool   // of every inode that is not among them, nothing is held
	session uint32 // else of those that this session has numbered,
	from    uint64 // from this count on; nothing is known without a session
}

// begin forgets everything. What is not noted from now on is not held, if it is of an inode that the session numbers
// after so many others.
func (h *held) begin(session uint32, from uint64) {
	h.inodes, h.all, h.session, h.from = make(map[uint64]holding), false, session, from
}

// beginGeneration is begin where there are no records at all.
func (h *held) beginGeneration() { h.inodes, h.all = make(map[uint64]holding), true }

// of returns what an inode may hold; known is false if it may be more.
func (h *held) of(ino uint64) (set holding, known bool) {
	set, known = h.inodes[ino]
	if !known {
		known = h.all || h.session != 0 && SessionOf(ino) == h.session && ino&(1<<counterBits-1) >= h.from
	}
	return set, known && set&heldOthers == 0
}

// note adds a record. full says that there are too many to be remembered.
func (h *held) note(rk []byte) (full bool) {
	ino := keyIno(rk)
	set, known := h.inodes[ino]
	if !known {
		if _, known = h.of(ino); !known {
			return false
		}
		if len(h.inodes) >= keptHeld {
			return true
		}
	}
	h.inodes[ino] = set | heldBit(rk)
	return false
}

// drop takes records away from what an inode holds.
func (h *held) drop(ino uint64, gone holding) {
	set, noted := h.inodes[ino]
	switch set &^= gone; {
	case !noted:
	case set == 0:
		delete(h.inodes, ino)
	default:
		h.inodes[ino] = set
	}
}

// hold notes a record of the current generation.
func (d *DB) hold(rk []byte) {
	if d.held.note(rk) {
		d.held.begin(d.session, d.inoCount.Load())
		d.held.note(rk)
	}
}
