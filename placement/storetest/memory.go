package storetest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/placement"
)

// Memory is a store that keeps shards in memory and misbehaves on demand. Its zero value is an honest, empty, infinite
// and instant one. Safe for concurrent use.
type Memory struct {
	mu     sync.Mutex
	shards map[crypt.ID][]byte
	rotten map[crypt.ID]int // first byte that is wrong
	faults Faults
	puts   int
	reads  int
	bytes  int64
}

// Faults is how a Memory misbehaves from now on.
type Faults struct {
	Delay  time.Duration                                    // before every answer; ends with the caller's context
	Silent bool                                             // never answers
	Err    error                                            // the answer to everything
	Full   bool                                             // takes nothing more
	Lies   bool                                             // whatever is read is wrong
	Before func(ctx context.Context, p placement.Put) error // asked before each put is done
	After  func(ctx context.Context, p placement.Put) error // asked after each put is done: the answer may get lost
}

// Set replaces the faults.
func (m *Memory) Set(f Faults) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = f
}

// Put is placement.Store's.
func (m *Memory) Put(ctx context.Context, p placement.Put, data []byte) error {
	f, err := m.answer(ctx)
	if err != nil {
		return err
	}
	if f.Before != nil {
		if err := f.Before(ctx, p); err != nil {
			return err
		}
	}
	if err := m.keep(f, p, data); err != nil {
		return err
	}
	if f.After != nil {
		return f.After(ctx, p)
	}
	return nil
}

func (m *Memory) keep(f Faults, p placement.Put, data []byte) error {
	if crypt.Sum(data) != p.Shard {
		return fmt.Errorf("put shard %v: %w", p.Shard, placement.ErrWrongBytes)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.Full {
		return placement.ErrFull
	}
	if m.shards == nil {
		m.shards, m.rotten = map[crypt.ID][]byte{}, map[crypt.ID]int{}
	}
	m.shards[p.Shard] = bytes.Clone(data)
	delete(m.rotten, p.Shard)
	m.puts++
	return nil
}

// ReadRange is placement.Store's.
func (m *Memory) ReadRange(ctx context.Context, id crypt.ID, size, off, n int64, dst []byte) ([]byte, error) {
	f, err := m.answer(ctx)
	if err != nil {
		return dst, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.shards[id]
	if !ok {
		return dst, placement.ErrNoShard
	}
	if int64(len(data)) != size || f.Lies {
		return dst, placement.ErrWrongBytes
	}
	end := off + n
	if off < 0 || n < 0 || end > size || off%crypt.GroupSize != 0 || end%crypt.GroupSize != 0 && end != size {
		return dst, fmt.Errorf("bytes [%d, %d) of a shard of %d are not whole groups", off, end, size)
	}
	m.reads++
	if bad, ok := m.rotten[id]; ok && int64(bad) >= off && int64(bad) < end {
		return dst, placement.ErrWrongBytes
	}
	m.bytes += n
	return append(dst, data[off:end]...), nil
}

// answer waits as long as the faults say.
func (m *Memory) answer(ctx context.Context) (Faults, error) {
	m.mu.Lock()
	f := m.faults
	m.mu.Unlock()
	if f.Silent {
		<-ctx.Done()
	}
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-ctx.Done():
		}
	}
	if err := ctx.Err(); err != nil {
		return f, err
	}
	return f, f.Err
}

// Rot makes the byte at off of a shard wrong, of which a reader of its group is told, as by a proof that fails.
func (m *Memory) Rot(id crypt.ID, off int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.shards[id]; ok {
		m.rotten[id] = off
	}
}

// Lose forgets a shard.
func (m *Memory) Lose(id crypt.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.shards, id)
}

// Clear forgets everything.
func (m *Memory) Clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.shards)
}

// Has says whether the store has a shard, whole.
func (m *Memory) Has(id crypt.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, rotten := m.rotten[id]
	return m.shards[id] != nil && !rotten
}

// IDs lists the shards.
func (m *Memory) IDs() []crypt.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []crypt.ID
	for id := range m.shards {
		ids = append(ids, id)
	}
	return ids
}

// Counts says how many puts and reads were done, and how many bytes were read.
func (m *Memory) Counts() (puts, reads int, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.puts, m.reads, m.bytes
}

// Delete is placement.Deleter's.
func (m *Memory) Delete(ctx context.Context, p placement.Put) error {
	if _, err := m.answer(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shards[p.Shard] == nil {
		return placement.ErrNoShard
	}
	delete(m.shards, p.Shard)
	return nil
}
