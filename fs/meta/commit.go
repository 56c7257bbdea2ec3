package meta

import (
	"context"
	"errors"
	"fmt"

	"github.com/hammockfs/hammock/fs/meta/journal"
)

// Commit makes the batch visible, all of it or nothing. When it returns, the batch is in the journal's file and survives
// the end of the process; Sync makes it survive a power cut. Batches become visible in the order of the journal. An
// error means that nothing was changed, unless it wraps ErrBroken. The batch is not kept.
func (d *DB) Commit(ctx context.Context, b *Batch) error {
	if d.levels.Load().pending {
		return ErrNotReady
	}
	return d.commitBatch(ctx, b)
}

func (d *DB) commitBatch(ctx context.Context, b *Batch) error {
	if b.err != nil || b.n == 0 {
		return b.err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.room(ctx); err != nil {
		return err
	}
	d.commit.Lock()
	defer d.commit.Unlock()
	return d.commitLocked(b)
}

// commitLocked needs d.commit. It does not look at any context: a batch that is begun is ended.
func (d *DB) commitLocked(b *Batch) error {
	if b.err != nil || b.n == 0 {
		return b.err
	}
	if len(b.buf) > maxBatch {
		return fmt.Errorf("%w: batch of %d bytes", ErrTooBig, len(b.buf))
	}
	if err := d.broken(); err != nil {
		return err
	}
	lsn, err := d.journal.Append(b.buf)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if err := d.apply(lsn, b.buf); err != nil {
		d.fault.CompareAndSwap(nil, &err)
		d.log.Error("metadata: a journaled batch could not be applied; nothing more is taken before a restart", "error", err)
		return d.broken()
	}
	if d.journal.Pending() > d.cfg.Journal {
		d.kick()
	}
	return nil
}

// ErrBroken says that the overlay could not be written; what was acknowledged is in the journal, and a restart brings it back.
var ErrBroken = errors.New("local metadata store failed; a restart is needed")

func (d *DB) broken() error {
	if err := d.fault.Load(); err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, *err)
	}
	if d.closed.Load() {
		return ErrClosed
	}
	return nil
}

// Sync makes everything committed before it survive a power cut. It runs Config.SyncStripes first, so that no durable
// record cites bytes that are not.
func (d *DB) Sync(ctx context.Context) error {
	lsn := journal.LSN(d.applied.Load())
	if err := d.syncStripes(ctx); err != nil {
		return err
	}
	if err := d.journal.Sync(ctx, lsn); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return d.broken()
}

func (d *DB) syncStripes(ctx context.Context) error {
	if d.cfg.SyncStripes == nil {
		return nil
	}
	if err := d.cfg.SyncStripes(ctx); err != nil {
		return fmt.Errorf("sync stripes: %w", err)
	}
	return nil
}

// room waits while the journal holds four times what it should: the disk cannot follow.
func (d *DB) room(ctx context.Context) error {
	if d.journal.Pending() <= 4*d.cfg.Journal {
		return nil
	}
	d.flushed.L.Lock()
	defer d.flushed.L.Unlock()
	d.flushErr = nil // this caller waits for a new attempt
	d.kick()
	stop := context.AfterFunc(ctx, d.flushed.Broadcast)
	defer stop()
	for d.journal.Pending() > 4*d.cfg.Journal {
		if err := errors.Join(ctx.Err(), d.broken(), d.flushErr); err != nil {
			return err
		}
		d.flushed.Wait()
	}
	return nil
}

func (d *DB) kick() {
	select {
	case d.kicks <- struct{}{}:
	default:
	}
}

// flusher empties the overlay's memory into tables when the journal has grown, so that the journal can be released.
func (d *DB) flusher(ctx context.Context) {
	defer close(d.flusherDone)
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.kicks:
		}
		err := d.flush(ctx)
		if err != nil && ctx.Err() == nil {
			d.log.Error("metadata: the overlay could not be flushed; the next commit tries again", "error", err)
		}
		d.flushed.L.Lock()
		d.flushErr = err
		d.flushed.Broadcast()
		d.flushed.L.Unlock()
	}
}

// flush moves everything applied until now into tables and releases its journal records. The at-rest file system syncs
// the stripes before the tables.
func (d *DB) flush(ctx context.Context) error {
	lsn := journal.LSN(d.applied.Load())
	if err := d.syncStripes(ctx); err != nil {
		return err
	}
	if err := d.pebble.Flush(); err != nil {
		return fmt.Errorf("flush overlay: %w", err)
	}
	if err := d.journal.Release(lsn); err != nil {
		return fmt.Errorf("release journal: %w", err)
	}
	return nil
}
