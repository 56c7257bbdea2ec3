package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/whole"
)

const (
	// recordsDir is where the records of a volume lie in its state.
	recordsDir = "meta"
	// restoredDir is where a recovery makes them. Only the keyring, which it writes
	// afterwards, opens them: if it is cut off before that, they are of no use, and
	// the next one makes them anew.
	restoredDir = "meta.new"
)

// restore makes the records of a head, aside.
func (s state) restore(ctx context.Context, cfg meta.Config, head []byte) error {
	cfg.Dir = s.path(restoredDir)
	if err := s.dropRestored(); err != nil {
		return err
	}
	db, err := meta.Restore(ctx, cfg, head)
	if err != nil {
		return fmt.Errorf("restore the volume's newest head: %w", err)
	}
	return db.Close(ctx)
}

// dropRestored takes away what a recovery left that was cut off.
func (s state) dropRestored() error {
	if err := s.disk().RemoveAll(s.path(restoredDir)); err != nil {
		return fmt.Errorf("take away what a recovery left that was cut off: %w", err)
	}
	return nil
}

// takeRestored puts the records of a recovery into their place, unless that was
// done. The keyring is there.
func (s state) takeRestored() error {
	from, to := s.path(restoredDir), s.path(recordsDir)
	_, err := s.disk().Stat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = whole.Rename(s.fs, from, to)
	}
	if err != nil {
		return fmt.Errorf("put the records that were recovered into their place: %w", err)
	}
	return nil
}
