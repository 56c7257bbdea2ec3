package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// A process of hammock holds keys, and makes files that are nobody else's
// business. So before anything else it sees to it that what it makes is for its
// owner alone, whatever the umask it was started with, and that none of its
// memory gets into a core dump (harden_linux.go says how).

// wide are the bits of a mode that let in others than the owner.
const wide = 0o077

// close shuts others out of a state folder that was opened to them, and out of
// what lies directly in it: below that nobody comes who may not enter. It says
// so, for somebody may have read the folder before.
func (s state) close() error {
	if err := ownedHere(s.dir); err != nil {
		return err
	}
	was, err := closeToOthers(s.dir)
	if err != nil {
		return fmt.Errorf("close the state folder to others: %w", err)
	}
	if was != 0 {
		fmt.Fprintf(os.Stderr, "The state folder %s was open to others (mode %04o) and is now closed to them; whoever has read it may have its keys if they are without a passphrase.\n", s.dir, was)
	}
	if ours, err := s.exists(); err != nil || !ours {
		return err
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("look into the state folder: %w", err)
	}
	for _, e := range entries {
		if _, err := closeToOthers(filepath.Join(s.dir, e.Name())); err != nil {
			return fmt.Errorf("close %s in the state folder to others: %w", e.Name(), err)
		}
	}
	return nil
}

// closeToOthers takes the others' rights to a file or folder away; was is the
// mode before if there were any. A link is left alone: it has no rights, and
// what it leads to is not ours.
func closeToOthers(path string) (was os.FileMode, err error) {
	info, err := os.Lstat(path)
	if os.IsNotExist(err) {
		return 0, nil // a file of a process that has just ended
	}
	if err != nil {
		return 0, err
	}
	mode := info.Mode()
	if runtime.GOOS == "windows" || mode.Perm()&wide == 0 || !mode.IsRegular() && !mode.IsDir() {
		return 0, nil
	}
	return mode.Perm(), os.Chmod(path, mode.Perm()&^wide)
}
