package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"encoding/json"

	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
	"github.com/hammockfs/hammock/placement"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// status sums up how the volume is doing.
func (d *drive) status(ctx context.Context, dir string) (*volumeStatus, error) {
	ps, ms, cu := d.placer.Stats(), d.db.Stats(), d.cache.Usage()
	v := &volumeStatus{ID: d.node.genesis.ID().String(), Mount: dir, Policy: d.policy.String(), Files: ms.Entries, Head: ms.Counter,
		Unpublished: ms.Changed, Queued: ps.Queued, QueuedBytes: ps.QueuedBytes, Stripes: map[int]int{},
		CacheBytes: cu.Bytes, CacheLimit: cu.Limit, Fetched: d.fetched.Load()}
	if ps.LastError != nil {
		v.LastError = ps.LastError.Error()
	}
	if code, ok := d.policy.Code(meta.ClassData, len(d.stores.Stores())); ok {
		v.Code = "(" + code.String() + ")"
	}
	v.LocalStripes, v.LocalBytes = d.onlyHere()
	judge := d.placer.Conditions()
	err := d.db.Stripes(ctx, func(stripe uint64, record []byte) error {
		c, err := judge(record)
		if err != nil {
			return fmt.Errorf("record of stripe %x: %w", stripe, err)
		}
		switch {
		case !c.Placed:
			return nil
		case c.Spare < 0:
			v.Lost++
		default:
			v.Stripes[c.Spare]++
		}
		v.Repair.add(&c)
		return nil
	})
	v.Repair.complete(&ps)
	v.Keepers = d.keepersText()
	return v, err
}

// published says how many of how many keepers have the newest head.
func (d *drive) published() (have, of int) {
	list := keepersOf(d.node.cert.Owner, d.node.swarm.Peers())
	return d.having(d.db.Head(), list), len(list)
}

func (d *drive) keepersText() string {
	if d.db.Head() == nil {
		return "not published yet"
	}
	have, of := d.published()
	if o, _ := d.advance(); of > 0 && (o == nil || o.counter < d.db.Stats().Counter) {
		return "waits for what it names to be on peers"
	}
	return fmt.Sprintf("with %d of %d keepers", have, of)
}

// fileStatus is how one file is doing.
type fileStatus struct {
	Path      string `json:"path"`
	Size      uint64 `json:"size"`
	Local     uint64 `json:"local_only_bytes"` // only on this machine
	Placed    uint64 `json:"placed_bytes"`     // safe on peers
	Spare     int    `json:"spare"`            // how many more losses its worst part can take; -1: some cannot be read from peers now
	Published bool   `json:"published"`        // its newest change is in a head
}

func (d *drive) fileStatus(ctx context.Context, dir, path string) (*fileStatus, error) {
	attr, err := d.find(ctx, dir, path)
	if err != nil {
		return nil, err
	}
	f := &fileStatus{Path: path, Size: attr.Size, Spare: -1, Published: !d.db.Dirty()}
	extents, small, err := d.volume.Extents(ctx, attr.Ino)
	if err != nil {
		return nil, err
	}
	online, first := d.online(), true
	if small > 0 { // small data lies in metadata, which the head leads to
		if have, of := d.published(); !f.Published || of == 0 || have*3 < of*2 {
			f.Local = small
		} else {
			f.Placed = small
			if f.Spare, err = d.metaSpare(ctx, online); err != nil {
				return nil, err
			}
			first = false
		}
	}
	for _, e := range extents {
		record, err := d.db.Record(ctx, e.Ref.Stripe)
		r, perr := placement.ParseRecord(record)
		if err != nil || perr != nil || !r.Placed {
			f.Local += uint64(e.Len)
			continue
		}
		f.Placed += uint64(e.Len)
		if spare := d.spareOf(record, online); first || spare < f.Spare {
			f.Spare, first = spare, false
		}
	}
	return f, nil
}

// metaSpare is how many more stores the worst placed stripe of metadata can lose.
func (d *drive) metaSpare(ctx context.Context, online map[uint32]bool) (int, error) {
	worst, first := -1, true
	err := d.db.Stripes(ctx, func(_ uint64, record []byte) error {
		r, err := placement.ParseRecord(record)
		if err != nil || !r.Placed || r.Class == meta.ClassData {
			return err
		}
		if spare := d.spareOf(record, online); first || spare < worst {
			worst, first = spare, false
		}
		return nil
	})
	return worst, err
}

// find walks from the mount point to a path, inside the volume.
func (d *drive) find(ctx context.Context, dir, path string) (volume.Attr, error) {
	rel, err := filepath.Rel(dir, path)
	if err != nil || !filepath.IsLocal(rel) {
		return volume.Attr{}, fmt.Errorf("%s is not in the folder mounted on %s", path, dir)
	}
	attr, err := d.volume.GetAttr(ctx, volume.Root)
	for _, name := range strings.Split(rel, string(filepath.Separator)) {
		if err != nil {
			break
		}
		if name != "." {
			attr, err = d.volume.Lookup(ctx, attr.Ino, name)
		}
	}
	if err != nil {
		return volume.Attr{}, fmt.Errorf("%s: %w", path, err)
	}
	return attr, nil
}

func printFile(raw json.RawMessage) error {
	var f fileStatus
	if err := json.Unmarshal(raw, &f); err != nil {
		return err
	}
	fmt.Printf("%s: %s\n", f.Path, showSize(int64(f.Size)))
	if f.Local > 0 {
		fmt.Printf("  only on this machine: %s\n", showSize(int64(f.Local)))
	}
	switch {
	case f.Placed > 0 && f.Spare < 0:
		fmt.Printf("  on peers: %s, but some of it cannot be read now: too many peers are away\n", showSize(int64(f.Placed)))
	case f.Placed > 0:
		fmt.Printf("  on peers: %s, which can lose %d more of them\n", showSize(int64(f.Placed)), f.Spare)
	}
	if !f.Published {
		fmt.Println("  the volume has changes that are not published yet: they become recoverable within half a minute, or with `hammock sync`")
	}
	return nil
}
