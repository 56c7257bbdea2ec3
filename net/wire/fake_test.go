package wire_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/wire"
)

// depot is a Depot in memory that keeps state and counts what is open.
type depot struct {
	mu       sync.Mutex
	shards   map[held]shard
	open     int // reservations neither committed nor aborted
	reserved int64
	capacity int64
	writing  chan struct{} // if not nil, gets a value at each Write of a reservation
}

type held struct {
	owner crypt.OwnerKey
	id    crypt.ID
}

type shard struct {
	data, outboard []byte
	puts           map[wire.Put]bool
}

func newDepot() *depot { return &depot{shards: map[held]shard{}, capacity: 1 << 40} }

type reservation struct {
	d     *depot
	owner crypt.OwnerKey
	p     wire.Put
	size  int64
	buf   bytes.Buffer
	done  bool
}

func (d *depot) Reserve(_ context.Context, owner crypt.OwnerKey, p wire.Put, size int64) (wire.Reservation, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reserved+size > d.capacity {
		return nil, wire.ErrFull
	}
	d.open++
	d.reserved += size
	return &reservation{d: d, owner: owner, p: p, size: size}, nil
}

func (r *reservation) Write(p []byte) (int, error) {
	if r.d.writing != nil {
		r.d.writing <- struct{}{}
	}
	return r.buf.Write(p)
}

func (r *reservation) Commit(context.Context) error {
	if int64(r.buf.Len()) != r.size {
		panic("the server commits less than was announced")
	}
	id, outboard := crypt.Outboard(r.buf.Bytes())
	if id != r.p.Shard {
		return wire.ErrWrongHash
	}
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	r.done = true
	r.d.open--
	s, ok := r.d.shards[held{r.owner, id}]
	if !ok {
		s = shard{r.buf.Bytes(), outboard, map[wire.Put]bool{}}
	}
	s.puts[r.p] = true
	r.d.shards[held{r.owner, id}] = s
	return nil
}

func (r *reservation) Abort() {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	if !r.done {
		r.done = true
		r.d.open--
		r.d.reserved -= r.size
	}
}

func (d *depot) find(owner crypt.OwnerKey, id crypt.ID) (shard, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.shards[held{owner, id}]
	return s, ok
}

func (d *depot) Slice(_ context.Context, owner crypt.OwnerKey, id crypt.ID, off, n int64, dst []byte) (int64, []byte, error) {
	s, ok := d.find(owner, id)
	if !ok {
		return 0, nil, wire.ErrNotFound
	}
	size := int64(len(s.data))
	if off+n > size {
		return size, nil, nil
	}
	slice, err := crypt.AppendSlice(dst, bytes.NewReader(s.data), s.outboard, id, size, off, n)
	if errors.Is(err, crypt.ErrProof) {
		err = wire.ErrNotFound // rotten
	}
	return size, slice, err
}

// rot alters the first byte of a shard.
func (d *depot) rot(owner crypt.OwnerKey, id crypt.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.shards[held{owner, id}]
	s.data = bytes.Clone(s.data)
	s.data[0] ^= 1
	d.shards[held{owner, id}] = s
}

// Quote hands out what is there, right or not.
func (d *depot) Quote(_ context.Context, owner crypt.OwnerKey, id crypt.ID, off, n int64, dst []byte) (int64, []byte, error) {
	s, ok := d.find(owner, id)
	if !ok {
		return 0, nil, wire.ErrNotFound
	}
	size := int64(len(s.data))
	if off+n > size {
		return size, nil, nil
	}
	slice, err := crypt.AppendUnchecked(dst, bytes.NewReader(s.data), s.outboard, size, off, n)
	return size, slice, err
}

func (d *depot) Has(_ context.Context, owner crypt.OwnerKey, id crypt.ID) (int64, bool, error) {
	s, ok := d.find(owner, id)
	return int64(len(s.data)), ok, nil
}

func (d *depot) Delete(_ context.Context, owner crypt.OwnerKey, id crypt.ID, stripe, generation uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.shards[held{owner, id}]
	p := wire.Put{Shard: id, Stripe: stripe, Generation: generation}
	if !ok || !s.puts[p] {
		return wire.ErrNotFound
	}
	if delete(s.puts, p); len(s.puts) == 0 {
		delete(d.shards, held{owner, id})
	}
	return nil
}

func (d *depot) opened() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open
}

// keeper keeps the newest head of each owner.
type keeper struct {
	mu    sync.Mutex
	heads map[crypt.OwnerKey][]crypt.Bundle
}

func (k *keeper) PutHead(_ context.Context, b crypt.Bundle) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	newer, err := crypt.ParseHead(b.Head)
	if err != nil {
		return err
	}
	if old := k.heads[b.Owner]; len(old) > 0 {
		if h, err := crypt.ParseHead(old[0].Head); err != nil || h.Counter > newer.Counter {
			return wire.ErrStale
		}
	}
	k.heads[b.Owner] = []crypt.Bundle{b}
	return nil
}

func (k *keeper) Heads(_ context.Context, owner crypt.OwnerKey) ([]crypt.Bundle, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.heads[owner], nil
}

// door lets in whoever shows the token, once, and every device of its owner.
type door struct {
	mu     sync.Mutex
	token  string
	owner  crypt.OwnerKey
	joined []string
	state  []byte
}

// issue makes a token good, once.
func (d *door) issue(token string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.token = token
}

func (d *door) Join(_ context.Context, _ wire.Remote, token, _ []byte, name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.token == "" || string(token) != d.token {
		return nil, wire.ErrTicket
	}
	d.token = ""
	d.joined = append(d.joined, name)
	return d.state, nil
}

func (d *door) Recover(_ context.Context, _ wire.Remote, certificate []byte) ([]byte, error) {
	c, err := crypt.ParseCertificate(certificate)
	if err != nil || c.Owner != d.owner {
		return nil, wire.ErrDenied
	}
	return d.state, nil
}

// person is an owner with one device.
type person struct {
	root   *crypt.Root
	device *crypt.Device
	cert   crypt.Certificate
	raw    []byte // cert
}

func newPerson(t testing.TB) *person {
	t.Helper()
	words, err := crypt.NewPhrase()
	check(t, err)
	root, err := crypt.RootFromPhrase(words)
	check(t, err)
	p := &person{root: root}
	p.newDevice(t)
	return p
}

// newDevice gives the person another device, certified by the root.
func (p *person) newDevice(t testing.TB) {
	t.Helper()
	var err error
	p.device = crypt.NewDevice()
	p.cert, err = p.root.Certify(crypt.Certificate{
		Owner: p.root.Owner(), Device: p.device.Key(), Wrap: p.device.Wrap(), WriterEpoch: 1,
		Rights:    crypt.RightWrite | crypt.RightInvite,
		NotBefore: time.Now().Add(-time.Hour).Unix(), NotAfter: time.Now().Add(1000 * time.Hour).Unix(),
	})
	check(t, err)
	p.raw, err = p.cert.Marshal()
	check(t, err)
}

// bundle is a head with that counter, ready for a keeper.
func (p *person) bundle(t testing.TB, counter uint64) crypt.Bundle {
	t.Helper()
	g, err := p.root.NewGenesis(crypt.Genesis{Version: 1, Owner: p.root.Owner(), Wrap: p.root.WrapKey(), Time: 1, Suite: crypt.SuiteAES})
	check(t, err)
	raw, err := g.Marshal()
	check(t, err)
	h := crypt.Head{Volume: g.ID(), Device: p.device.Key(), WriterEpoch: 1, Counter: counter}
	head, err := crypt.SealHead(p.device, crypt.NewKey(), h, []byte("body"))
	check(t, err)
	return crypt.Bundle{Owner: p.root.Owner(), Genesis: raw, Certificate: p.raw, Secrets: [][]byte{{1}}, Head: head}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
