package model

import "pgregory.net/rapid"

// history is what a run has seen of one inode of the truth.
type history struct {
	ino    uint64 // of the filesystem under test
	birth  int64
	ctimes [2]int64 // of both when it was last looked at
	mtimes [2]int64
	// mapped says that it was written through a mapping, spaced that space was
	// allocated in it or that a mapping did: ext4 then says data of what it has
	// only allocated.
	mapped, spaced bool
}

// of is the history of an inode.
func (m *Machine) of(gen string) *history {
	if m.inodes[gen] == nil {
		m.inodes[gen] = &history{}
	}
	return m.inodes[gen]
}

// compareStat compares what two attributes say beyond being equal: the number
// and the time of birth of an inode never change, nor do two inodes share one;
// and a time that has risen in the truth has risen.
func (m *Machine) compareStat(t *rapid.T, c *Call, test, truth *Stat) {
	if truth.Gen == "" {
		return
	}
	h := m.of(truth.Gen)
	if h.ino == 0 {
		h.ino, h.birth = test.Ino, test.Btime
		if _, known := m.numbers[test.Ino]; known {
			m.fatal(t, "%s: number %d is that of another inode", c, test.Ino)
		}
		m.numbers[test.Ino] = truth.Gen
	}
	if h.ino != test.Ino {
		m.fatal(t, "%s: inode %d was %d", c, test.Ino, h.ino)
	}
	if h.birth != test.Btime {
		m.fatal(t, "%s: born at %d, and before at %d", c, test.Btime, h.birth)
	}
	m.compareTimes(t, c, h, test, truth)
}

// compareTimes says whether times rose where they had to, and stayed where they
// had to.
func (m *Machine) compareTimes(t *rapid.T, c *Call, h *history, test, truth *Stat) {
	ctimes, mtimes := [2]int64{test.Ctime, truth.Ctime}, [2]int64{test.Mtime, truth.Mtime}
	defer func() { h.ctimes, h.mtimes = ctimes, mtimes }()
	if h.ctimes[0] == 0 || h.mapped {
		return
	}
	if truth.Ctime > h.ctimes[1] && test.Ctime <= h.ctimes[0] {
		m.fatal(t, "%s: ctime stays %d; the truth's goes from %d to %d", c, test.Ctime, h.ctimes[1], truth.Ctime)
	}
	if truth.Ctime == h.ctimes[1] && test.Ctime != h.ctimes[0] && m.FineClock {
		m.fatal(t, "%s: ctime goes from %d to %d; the truth's stays", c, h.ctimes[0], test.Ctime)
	}
	if test.Ctime < h.ctimes[0] {
		m.fatal(t, "%s: ctime goes back from %d to %d", c, h.ctimes[0], test.Ctime)
	}
	if truth.Mtime >= Early && h.mtimes[1] >= Early {
		rose := truth.Mtime > h.mtimes[1]
		if rose && test.Mtime <= h.mtimes[0] || !rose && m.FineClock && test.Mtime != h.mtimes[0] {
			m.fatal(t, "%s: mtime goes from %d to %d; the truth's from %d to %d", c, h.mtimes[0], test.Mtime, h.mtimes[1], truth.Mtime)
		}
	}
}

// wasMapped notes that an inode was written through a mapping.
func (m *Machine) wasMapped(gen string) {
	h := m.of(gen)
	h.mapped, h.spaced = true, true
}
