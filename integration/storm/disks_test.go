package storm

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Damage to disks lasts, so it is done only when every stripe is known to have
// all its shards, and in one storm always to the same peers: then as many shards
// as are needed are always left with the others.

// damage does to disks what a round begins with.
func (s *storm) damage(r *round) error {
	if r.damage == "" {
		return nil
	}
	h := s.house
	if err := h.awaitPeers(); err != nil {
		return err
	}
	if err := s.syncAll(); err != nil {
		return err
	}
	if err := s.awaitFull(time.Minute); err != nil {
		return err
	}
	if r.damage == "lie" {
		return errors.Join(s.lie(r), s.drop(r))
	}
	s.counts.damages++
	dice := rand.New(rand.NewPCG(s.plan.seed, uint64(s.counts.damages)+1000))
	if r.damage == "cache" {
		n, err := rot(filepath.Join(h.main.State, "cache"), dice)
		s.note("%d bits turned in the cache", n)
		return errors.Join(err, s.drop(r))
	}
	for _, i := range r.hurt {
		p := h.peers[i]
		if err := s.killPeer(p); err != nil {
			return err
		}
		n, err := p.harm(r.damage, dice)
		if err := errors.Join(err, p.start()); err != nil {
			return err
		}
		s.note("%s: %s (%d)", p.Name, r.damage, n)
	}
	return errors.Join(h.awaitPeers(), s.drop(r))
}

// drop drops the cache, if the round says so, and reads everything from peers.
func (s *storm) drop(r *round) error {
	if !r.dropped {
		return nil
	}
	if _, err := s.house.main.Run("cache", "drop"); err != nil {
		return err
	}
	if err := s.compare(false); err != nil {
		return fmt.Errorf("read from peers: %w", err)
	}
	return nil
}

// syncAll has everything on peers; nobody is at work.
func (s *storm) syncAll() error {
	if _, err := s.house.main.Run("sync", "--timeout", "2m"); err != nil {
		return err
	}
	for i, a := range s.actors {
		a.history.restart()
		s.synced[i] = a.history.synced
	}
	return nil
}

// awaitFull waits until every stripe has all its shards on peers that are there.
func (s *storm) awaitFull(limit time.Duration) error {
	return s.house.main.Await("every stripe has all its shards", limit, func(st *status) bool {
		v := st.Volume
		for spare := range v.Stripes {
			if spare < s.plan.spare {
				return false
			}
		}
		return v.LocalBytes == 0 && v.Queued == 0 && v.Lost == 0
	})
}

// harm damages what a node keeps for others. The node must not run.
func (n *node) harm(how string, dice *rand.Rand) (int, error) {
	depot := filepath.Join(n.State, "depot")
	segments := filepath.Join(depot, "segments")
	switch how {
	case "rot":
		return rot(segments, dice)
	case "segments":
		return removeSome(segments, dice)
	case "wipe":
		return 1, os.RemoveAll(depot)
	}
	return 0, fmt.Errorf("there is no damage %s", how)
}

// rotEvery is about how far apart the bits are that turn.
const rotEvery = 3000

// rot turns bits in all files of a folder.
func rot(dir string, dice *rand.Rand) (places int, err error) {
	files, err := filesIn(dir)
	for _, path := range files {
		f, ferr := os.OpenFile(path, os.O_RDWR, 0)
		if errors.Is(ferr, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if ferr != nil {
			return places, ferr
		}
		info, ferr := f.Stat()
		var b [1]byte
		for off := dice.Int64N(rotEvery); ferr == nil && off < info.Size(); off += 1 + dice.Int64N(2*rotEvery) {
			if _, ferr = f.ReadAt(b[:], off); ferr == nil {
				b[0] ^= 1 << dice.IntN(8)
				_, ferr = f.WriteAt(b[:], off)
				places++
			}
		}
		err = errors.Join(err, ferr, f.Close())
	}
	return places, err
}

// removeSome removes about half of the files of a folder.
func removeSome(dir string, dice *rand.Rand) (removed int, err error) {
	files, err := filesIn(dir)
	for _, path := range files {
		if dice.IntN(2) == 0 {
			err = errors.Join(err, os.Remove(path))
			removed++
		}
	}
	return removed, err
}

// filesIn lists the files that hold stripes or shards, in order.
func filesIn(dir string) (list []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.Type().IsRegular() && (strings.HasSuffix(path, ".seg") || strings.HasSuffix(path, ".data") || strings.HasSuffix(path, ".meta")) {
			list = append(list, path)
		}
		return err
	})
	slices.Sort(list)
	return list, err
}

// Sizes of small disks; what actors have in their folders, and what they had,
// fits well.
const (
	diskSize     = "768m"
	peerDiskSize = "512m"
)
