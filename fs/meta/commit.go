package meta

import (
	"context"
	"errors"
	"fmt"

	"github.com/hammockfs/hammock/fs/meta/journal"
	"github.com/hammockfs/hammock/room"
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
	lsn, err := d.append(b.buf)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if err := d.apply(lsn, b.buf); err != nil {
		d.disk.fail(err)
		d.log.Error("metadata: a journaled batch could not be applied; nothing more is taken before a restart", "error", err)
		return d.broken()
	}
	if d.journal.Pending() > d.cfg.Journal || d.inMemory.Load() > d.memTable() {
		d.kick()
	}
	return nil
}

// append journals a record, with the room of the ballast if the disk has no other.
func (d *DB) append(rec []byte) (journal.LSN, error) {
	lsn, err := d.journal.Append(rec)
	if room.Full(err) && d.ballast.Drop() {
		d.log.Warn("metadata: the disk is full; until there is room, nothing new is taken")
		d.kick() // what is in tables frees segments
		return d.journal.Append(rec)
	}
	return lsn, err
}

// ErrBroken says that the overlay could not be written; what was acknowledged is in the journal, and a restart brings it back.
var ErrBroken = errors.New("local metadata store failed; a restart is needed")

func (d *DB) broken() error {
	if err := d.disk.failed(); err != nil {
		return err
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

// beforeSync runs before each table and manifest is synced. A table holds only what was applied before it was begun, so
// where nothing was since the last time (compactions, manifests) there is nothing to do.
func (d *DB) beforeSync() error {
	n := d.cites.Load()
	if d.backed.Load() >= n {
		return nil
	}
	if err := d.syncStripes(context.Background()); err != nil {
		return err
	}
	d.backed.Store(n)
	return nil
}

// room waits while more is not in tables than there should be: the disk cannot follow. If it is full, so says the error.
func (d *DB) room(ctx context.Context) error {
	if !d.crowded() {
		return nil
	}
	d.flushed.L.Lock()
	defer d.flushed.L.Unlock()
	d.flushErr = nil // this caller waits for a new attempt
	d.kick()
	stop := context.AfterFunc(ctx, d.flushed.Broadcast)
	defer stop()
	for d.crowded() {
		if err := errors.Join(ctx.Err(), d.broken(), d.flushErr); err != nil {
			return err
		}
		d.flushed.Wait()
	}
	return nil
}

// crowded says whether the journal, or what Pebble holds in memory, has four times the size at which it is flushed.
func (d *DB) crowded() bool {
	return d.journal.Pending() > 4*d.cfg.Journal || d.inMemory.Load() > 4*d.memTable()
}

// memTable is the size in bytes at which Pebble's memory is flushed.
func (d *DB) memTable() int64 { return max(d.cfg.Memory/12, 1<<20) }

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
		if err == nil {
			err = d.settle()
		}
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
// the stripes before the tables. After an error Pebble goes on trying, and so does the next flush.
func (d *DB) flush(ctx context.Context) error {
	lsn := journal.LSN(d.applied.Load())
	if err := d.beforeSync(); err != nil {
		return err
	}
	if err := d.flushTables(ctx); err != nil {
		return fmt.Errorf("flush overlay: %w", err)
	}
	if err := d.journal.Release(lsn); err != nil {
		return fmt.Errorf("release journal: %w", err)
	}
	return nil
}

// flushTables is Pebble's Flush, which would not return before the disk is well.
func (d *DB) flushTables(ctx context.Context) error {
	d.flushMu.Lock()
	defer d.flushMu.Unlock()
	for mine := false; !mine; {
		if err := d.disk.failed(); err != nil {
			return err
		}
		failure := d.disk.next()
		if mine = d.flushing == nil; mine { // else one of before, that its caller did not wait for
			if err := d.startFlush(); err != nil {
				return err
			}
		}
		select {
		case <-d.flushing:
		case <-failure:
			return d.disk.last()
		case <-ctx.Done():
			return ctx.Err()
		}
		d.flushing = nil
		d.inMemory.Add(-d.flushBytes)
	}
	return d.disk.failed()
}

func (d *DB) startFlush() (err error) {
	d.flushBytes = d.inMemory.Load()
	d.flushing, err = d.pebble.AsyncFlush()
	return err
}
