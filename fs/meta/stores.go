package meta

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/hammockfs/hammock/crypt"
)

const (
	sessionBits = 24
	counterBits = 40
)

// maxSessions keeps the list of sessions in the head within 48 KiB.
const maxSessions = 1 << 14

// reserveSession draws a session number that the volume is not known to have used, and makes it durable before anything
// is numbered with it.
func (d *DB) reserveSession(ctx context.Context) error {
	if len(d.sessions) >= maxSessions {
		return fmt.Errorf("%w: the volume has been started %d times", ErrTooBig, len(d.sessions))
	}
	var b [4]byte
	for d.session == 0 || d.sessionUsed(d.session) {
		_, _ = rand.Read(b[1:]) // never fails: the runtime ends the program instead
		d.session = binary.BigEndian.Uint32(b[:])
	}
	batch := newBatch()
	batch.putLocal(localVolume, d.cfg.Volume[:])
	batch.putLocal(localSession+string(b[1:]), nil)
	unsynced, err := d.local(localUnsynced)
	if err != nil {
		return err
	}
	batch.putLocal(localUnsynced, append(unsynced, b[1:]...))
	d.commit.Lock()
	if err = d.commitLocked(batch); err == nil && !d.held.all {
		d.held.begin(d.session, 0)
	}
	d.commit.Unlock()
	if err == nil {
		err = d.Sync(ctx)
	}
	if err != nil {
		return fmt.Errorf("reserve a session: %w", err)
	}
	if len(unsynced) > 0 {
		d.kick() // the first flush settles it
	}
	d.addSession(d.session)
	return nil
}

// settle notes that only stripes of this session may have bytes that are not synced: a flush has synced all others.
func (d *DB) settle() error {
	d.commit.Lock()
	defer d.commit.Unlock()
	if d.settled {
		return nil
	}
	b := newBatch()
	b.putLocal(localUnsynced, packSessions([]uint32{d.session}))
	err := d.commitLocked(b)
	d.settled = err == nil
	return err
}

func (d *DB) sessionUsed(s uint32) bool {
	_, used := slices.BinarySearch(d.sessions, s)
	return used
}

func (d *DB) addSession(s uint32) {
	d.storeMu.Lock()
	defer d.storeMu.Unlock()
	if i, used := slices.BinarySearch(d.sessions, s); !used {
		d.sessions = slices.Insert(d.sessions, i, s)
	}
}

func (d *DB) loadSessions() error {
	return d.locals(localSession, func(rest string, _ []byte) error {
		if len(rest) != 3 {
			return fmt.Errorf("%w: session", ErrFormat)
		}
		d.addSession(uint32(rest[0])<<16 | uint32(rest[1])<<8 | uint32(rest[2]))
		return nil
	})
}

// packSessions encodes sessions as 3 bytes each, ascending.
func packSessions(list []uint32) []byte {
	b := make([]byte, 0, 3*len(list))
	for _, s := range list {
		b = append(b, byte(s>>16), byte(s>>8), byte(s))
	}
	return b
}

func parseSessions(b []byte) ([]uint32, error) {
	if len(b)%3 != 0 || len(b) > 3*maxSessions {
		return nil, fmt.Errorf("%w: sessions in %d bytes", ErrFormat, len(b))
	}
	list := make([]uint32, 0, len(b)/3)
	for ; len(b) > 0; b = b[3:] {
		s := uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
		if n := len(list); s == 0 || (n > 0 && s <= list[n-1]) {
			return nil, fmt.Errorf("%w: sessions are not ascending", ErrFormat)
		}
		list = append(list, s)
	}
	return list, nil
}

// NextIno returns an inode number that was never used: session and counter.
func (d *DB) NextIno() uint64 {
	return uint64(d.session)<<counterBits | (d.inoCount.Add(1)-1)&(1<<counterBits-1)
}

// NextStripe returns a stripe number that was never used. Its error says that the session has none left.
func (d *DB) NextStripe() (uint64, error) {
	n := d.stripeCount.Add(1) - 1
	if n >= 1<<counterBits {
		return 0, errors.New("this session has no stripe numbers left; restart")
	}
	n |= uint64(d.session) << counterBits
	d.stripeMu.Lock()
	d.unplaced[n] = struct{}{}
	d.stripeMu.Unlock()
	return n, nil
}

// StoreEntry is a place that takes shards, as the volume knows it. Number is given by AddStore and never changes.
type StoreEntry struct {
	Number  uint32         `cbor:"1,keyasint"`
	Kind    uint8          `cbor:"2,keyasint,omitempty"`
	Peer    string         `cbor:"3,keyasint,omitempty"`
	Owner   crypt.OwnerKey `cbor:"4,keyasint"`
	Machine string         `cbor:"5,keyasint,omitempty"`
	Addrs   []string       `cbor:"6,keyasint,omitempty"`
}

// Limits of a store's entry, so that the store table fits into a head.
const (
	maxStores     = 1024
	maxStoreEntry = 2 << 10
)

func (e *StoreEntry) encode() ([]byte, error) {
	b, err := crypt.EncodeCBOR(e)
	if err == nil && len(b) > maxStoreEntry {
		err = fmt.Errorf("%w: store entry of %d bytes", ErrTooBig, len(b))
	}
	return b, err
}

func (e *StoreEntry) same(o *StoreEntry) bool {
	return e.Kind == o.Kind && e.Peer == o.Peer && e.Owner == o.Owner && e.Machine == o.Machine && slices.Equal(e.Addrs, o.Addrs)
}

// AddStore gives a store a number, or returns the one it has: stores are the same if kind and peer are. Other fields are
// updated. It is committed, not synced: the next Intend syncs it.
func (d *DB) AddStore(ctx context.Context, e StoreEntry) (uint32, error) {
	d.storeMu.Lock()
	defer d.storeMu.Unlock()
	i := slices.IndexFunc(d.stores, func(o StoreEntry) bool { return o.Kind == e.Kind && o.Peer == e.Peer })
	switch {
	case i >= 0 && e.same(&d.stores[i]):
		return d.stores[i].Number, nil
	case i >= 0:
		e.Number = d.stores[i].Number
	case len(d.stores) >= maxStores:
		return 0, fmt.Errorf("%w: %d stores", ErrTooBig, len(d.stores))
	default:
		e.Number = 1
		for _, o := range d.stores {
			e.Number = max(e.Number, o.Number+1)
		}
	}
	e.Addrs = slices.Clone(e.Addrs)
	b, err := e.encode()
	if err != nil {
		return 0, err
	}
	batch := newBatch()
	batch.putLocal(storeName(e.Number), b)
	if err := d.commitBatch(ctx, batch); err != nil {
		return 0, fmt.Errorf("add store %d: %w", e.Number, err)
	}
	if i >= 0 {
		d.stores[i] = e
	} else {
		d.stores = append(d.stores, e)
	}
	return e.Number, nil
}

func storeName(n uint32) string {
	return localStore + string(binary.BigEndian.AppendUint32(nil, n))
}

// Stores returns the store table, by number.
func (d *DB) Stores() []StoreEntry {
	d.storeMu.Lock()
	defer d.storeMu.Unlock()
	return slices.Clone(d.stores)
}

func (d *DB) loadStores() error {
	d.storeMu.Lock()
	defer d.storeMu.Unlock()
	return d.locals(localStore, func(_ string, v []byte) error {
		var e StoreEntry
		if err := crypt.DecodeCBOR(v, &e); err != nil {
			return fmt.Errorf("%w: store entry: %v", ErrFormat, err)
		}
		d.stores = append(d.stores, e)
		return nil
	})
}
