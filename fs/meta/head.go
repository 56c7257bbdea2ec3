package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta/tree"
)

// published is what the newest head says about the trees; it is kept locally too, under localPublished.
type published struct {
	Names   rootRecord     `cbor:"1,keyasint"`
	Table   rootRecord     `cbor:"2,keyasint"`
	Deltas  [][]byte       `cbor:"3,keyasint"` // refs of the pieces, oldest first
	Records []stripeRecord `cbor:"4,keyasint"` // of the stripes of the table's root and of the deltas
	Pending bool           `cbor:"5,keyasint"` // restored, and the deltas are not in the overlay yet
	Folded  int64          `cbor:"6,keyasint"` // time of the last fold, ns
	Vector  []seenHead     `cbor:"7,keyasint"`
}

// rootRecord is a tree.Root. A height of 0 is an empty tree.
type rootRecord struct {
	Ref     []byte `cbor:"1,keyasint"`
	Height  uint8  `cbor:"2,keyasint"`
	Entries uint64 `cbor:"3,keyasint"`
}

func recordOf(r tree.Root) rootRecord {
	return rootRecord{Ref: r.Ptr, Height: r.Height, Entries: r.Entries}
}

func (r *rootRecord) root() tree.Root {
	if r.Height == 0 {
		return tree.Root{}
	}
	return tree.Root{Ptr: r.Ref, Height: r.Height, Entries: r.Entries}
}

func (r *rootRecord) check() error {
	if r.Height == 0 {
		if len(r.Ref) != 0 || r.Entries != 0 {
			return fmt.Errorf("%w: empty tree with a root", ErrFormat)
		}
		return nil
	}
	_, err := parseWholeRef(r.Ref)
	if err == nil && r.Height > tree.MaxHeight {
		err = fmt.Errorf("%w: tree of height %d", ErrFormat, r.Height)
	}
	return err
}

// stripeRecord is where a stripe is.
type stripeRecord struct {
	Stripe uint64 `cbor:"1,keyasint"`
	Record []byte `cbor:"2,keyasint"`
}

// seenHead is the newest head seen of another device.
type seenHead struct {
	Device  crypt.DeviceKey `cbor:"1,keyasint"`
	Counter uint64          `cbor:"2,keyasint"`
}

// snapshot is a kept checkpoint.
type snapshot struct {
	Name  string     `cbor:"1,keyasint"`
	Time  int64      `cbor:"2,keyasint"`
	Names rootRecord `cbor:"3,keyasint"`
}

// headBody is what a head seals.
type headBody struct {
	Version   uint64         `cbor:"1,keyasint"`
	Names     rootRecord     `cbor:"2,keyasint"`
	Table     rootRecord     `cbor:"3,keyasint"`
	Deltas    [][]byte       `cbor:"4,keyasint"`
	Records   []stripeRecord `cbor:"5,keyasint"`
	Snapshots []snapshot     `cbor:"6,keyasint"`
	Stores    []StoreEntry   `cbor:"7,keyasint"`
	Sessions  []byte         `cbor:"8,keyasint"` // 3 bytes each, ascending
	Time      int64          `cbor:"9,keyasint"` // ns since 1970
	Vector    []seenHead     `cbor:"10,keyasint"`
	Policy    string         `cbor:"11,keyasint"`
	Unplaced  uint64         `cbor:"12,keyasint"` // data stripes that were not placed yet
}

const (
	headVersion = 1
	maxDeltas   = 48
	maxVector   = 1024
)

func parsePublished(b []byte) (p published, err error) {
	if err := crypt.DecodeCBOR(b, &p); err != nil {
		return p, fmt.Errorf("%w: published state: %v", ErrFormat, err)
	}
	return p, checkTrees(&p.Names, &p.Table, p.Deltas, p.Records)
}

// parseHeadBody decodes and checks what a head sealed.
func parseHeadBody(b []byte) (h headBody, err error) {
	if len(b) > crypt.MaxHead {
		return h, fmt.Errorf("%w: head body of %d bytes", ErrTooBig, len(b))
	}
	if err := crypt.DecodeCBOR(b, &h); err != nil {
		return h, fmt.Errorf("%w: head body: %v", ErrFormat, err)
	}
	if h.Version != headVersion {
		return h, fmt.Errorf("%w: head body of version %d; a newer hammock is needed", ErrFormat, h.Version)
	}
	if len(h.Stores) > maxStores || len(h.Vector) > maxVector {
		return h, fmt.Errorf("%w: %d stores, %d devices", ErrFormat, len(h.Stores), len(h.Vector))
	}
	for i := range h.Stores {
		if h.Stores[i].Number == 0 || (i > 0 && h.Stores[i].Number <= h.Stores[i-1].Number) {
			return h, fmt.Errorf("%w: store numbers are not ascending", ErrFormat)
		}
	}
	if _, err := parseSessions(h.Sessions); err != nil {
		return h, err
	}
	return h, checkTrees(&h.Names, &h.Table, h.Deltas, h.Records)
}

func checkTrees(names, table *rootRecord, deltas [][]byte, records []stripeRecord) error {
	if err := errors.Join(names.check(), table.check()); err != nil {
		return err
	}
	for _, b := range deltas {
		r, err := parseWholeRef(b)
		if err != nil {
			return err
		}
		if r.Len > deltaPiece {
			return fmt.Errorf("%w: delta piece of %d bytes", ErrFormat, r.Len)
		}
	}
	for _, r := range records {
		if len(r.Record) > tree.MaxValue {
			return fmt.Errorf("%w: stripe record of %d bytes", ErrFormat, len(r.Record))
		}
	}
	return nil
}

// errHeadFull says that the deltas do not fit into a head any more.
var errHeadFull = fmt.Errorf("%w: head", ErrTooBig)

// sealHead makes the head that publishes p.
func (d *DB) sealHead(ctx context.Context, p *published) ([]byte, error) {
	unplaced, err := d.unplacedData(ctx)
	if err != nil {
		return nil, err
	}
	d.storeMu.Lock()
	sessions := packSessions(d.sessions)
	stores := slices.Clone(d.stores)
	d.storeMu.Unlock()
	body, err := crypt.EncodeCBOR(&headBody{
		Version: headVersion, Names: p.Names, Table: p.Table, Deltas: p.Deltas, Records: p.Records, Stores: stores,
		Snapshots: []snapshot{}, Sessions: sessions, Time: d.cfg.Now().UnixNano(), Vector: p.Vector,
		Policy: d.cfg.Policy, Unplaced: unplaced,
	})
	if err != nil {
		return nil, err
	}
	if len(body) > crypt.MaxHead-crypt.HeadOverhead {
		return nil, errHeadFull
	}
	h := crypt.Head{
		Volume: d.cfg.Volume, WriterEpoch: d.cfg.Certificate.WriterEpoch, Epoch: d.cfg.Epoch.Number, Counter: d.counter + 1,
	}
	if d.newest != nil {
		h.Prev = crypt.HeadID(d.newest)
	}
	return crypt.SealHead(d.cfg.Device, d.cfg.Epoch.HeadKey(), h, body)
}

// openHead opens a head of this volume, of whatever device, under the secret of its epoch.
func (c *Config) openHead(b []byte) (*crypt.Head, headBody, error) {
	h, err := crypt.ParseHead(b)
	if err != nil {
		return nil, headBody{}, err
	}
	if h.Volume != c.Volume {
		return nil, headBody{}, fmt.Errorf("%w: the head is of another volume", ErrFormat)
	}
	for _, e := range append([]crypt.Epoch{c.Epoch}, c.Epochs...) {
		if e.Number != h.Epoch {
			continue
		}
		plain, err := h.Open(e.HeadKey())
		if err != nil {
			return nil, headBody{}, err
		}
		body, err := parseHeadBody(plain)
		return h, body, err
	}
	return nil, headBody{}, fmt.Errorf("the head is sealed under the secret of epoch %d, which this device does not have", h.Epoch)
}

// Head returns the newest head of this device that is synced, always the same bytes; nil if it made none yet.
func (d *DB) Head() []byte {
	d.headMu.Lock()
	defer d.headMu.Unlock()
	return d.head
}
