package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/cache"
	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/integration/crashdisk"
	"github.com/hammockfs/hammock/net/swarm"
	"github.com/hammockfs/hammock/placement"
	"github.com/hammockfs/hammock/whole"
)

// testState is where the states of these tests lie.
const testState = "home/share/hammock"

// founding is a way to make a state that is empty, or in which such an attempt
// was cut off, and what must then open.
type founding struct {
	make func(st state) error
	open func(st state) error
}

// allWays is how many kinds of power cuts cutAll knows.
const allWays = 5

// cutAll runs something on a disk and cuts the power before each operation that
// changes it, in so many ways, and once more at the end. check gets each disk, and
// whether all was over by then. Of the many cuts within the folder of records,
// which is tested elsewhere, only every thirtieth is looked at.
func cutAll(t *testing.T, ways int, disk *crashdisk.Disk, run func(on vfs.FS) error, check func(cut *crashdisk.Disk, over bool) error) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	losses := []crashdisk.Loss{{}, {Rand: rng, Ordered: true}, {Rand: rng, Kept: 30, Noise: true}, {Rand: rng, Kept: 70}, {Rand: rng, Kept: 100}}
	rng.Shuffle(len(losses), func(i, j int) { losses[i], losses[j] = losses[j], losses[i] })
	losses = losses[:ways]
	var mu sync.Mutex // the index works in the background, too
	var running *crashdisk.Disk
	var failed error
	cuts, inner := 0, 0
	cut := func(op string, losses []crashdisk.Loss) {
		for _, loss := range losses {
			if err := check(running.Cut(loss, nil), op == "the end"); err != nil && failed == nil {
				failed = fmt.Errorf("seed %d, cut %d, before %s: %w", seed, cuts, op, err)
			}
			cuts++
		}
	}
	running = disk.Kill(func(op crashdisk.Op) error {
		mu.Lock()
		defer mu.Unlock()
		switch within := strings.Contains(op.Path, restoredDir+"/"); {
		case !op.Kind.Changes() || failed != nil:
		case !within:
			cut(fmt.Sprint(op), losses)
		default:
			if inner++; inner%30 == 0 {
				cut(fmt.Sprint(op), losses[inner/30%len(losses):][:1])
			}
		}
		return nil
	})
	if err := run(running); err != nil {
		t.Fatal(err)
	}
	if cuts < 5*len(losses) {
		t.Errorf("only %d cuts", cuts)
	}
	cut("the end", losses)
	t.Log(cuts, "cuts")
	if failed != nil {
		t.Fatal(failed)
	}
}

func (f *founding) test(t *testing.T, ways int) {
	cutAll(t, ways, crashdisk.New(nil), func(on vfs.FS) error { return f.make(state{dir: testState, fs: on}) }, func(cut *crashdisk.Disk, over bool) error {
		st := state{dir: testState, fs: cut}
		there, err := st.exists()
		switch {
		case err != nil:
			return err
		case there:
			return f.open(st)
		case over:
			return errors.New("it is gone")
		}
		if err := f.make(st); err != nil {
			return fmt.Errorf("it cannot be made after the cut: %w", err)
		}
		return f.open(st)
	})
}

// TestPowerCutsInFounding: whatever operation of init, join or recover the power
// fails at, there is nothing, and the same command makes it, or there is all of it.
func TestPowerCutsInFounding(t *testing.T) {
	set := settings{Policy: "2+1", Convergence: "private", Name: "here", Cache: 1 << 30, Distinct: "machine"}
	_, root, k, err := newOwner("private")
	if err != nil {
		t.Fatal(err)
	}
	genesis, err := swarm.NewGenesis(root, "here", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	admission := &swarm.Admission{Genesis: genesis}
	common := func(st state) (*crypt.Keyring, error) {
		if got, err := st.settings(); err != nil || got != set {
			return nil, fmt.Errorf("the settings are %+v, %w", got, err)
		}
		if b, err := whole.Read(st.fs, st.path("swarm"), 1<<20); err != nil || !bytes.Contains(b, genesis) {
			return nil, fmt.Errorf("the swarm's file has %d bytes, %w", len(b), err)
		}
		return crypt.LoadKeyring(st.fs, st.keyring(), nil)
	}
	begin := func(enter func(st state, k *crypt.Keyring) error) func(state) error {
		return func(st state) error {
			if err := errors.Join(st.vacant(""), whole.MkdirAll(st.fs, st.dir)); err != nil {
				return err
			}
			return st.begin(set, nil, k, func() error { return enter(st, k) })
		}
	}
	open := func(st state) error { _, err := common(st); return err }
	t.Run("init", func(t *testing.T) {
		f := founding{open: open, make: begin(func(st state, k *crypt.Keyring) error {
			k.Swarm = genesis
			return swarm.Create(st.fs, st.dir, admission)
		})}
		f.test(t, allWays)
	})
	t.Run("recover", func(t *testing.T) {
		found := published(t, root, k, admission)
		f := founding{
			make: func(st state) error {
				if err := errors.Join(st.vacant(""), whole.MkdirAll(st.fs, st.dir), st.dropSwarm(), swarm.Create(st.fs, st.dir, admission)); err != nil {
					return err
				}
				r := recovery{owner: ownerFlags{convergence: "private"}}
				return r.settle(t.Context(), st, set, nil, root, found)
			},
			open: func(st state) error {
				k, err := common(st)
				if err != nil {
					return err
				}
				return opensAt(t.Context(), st, k)
			},
		}
		f.test(t, 2)
	})
}

// testNode is as much of a node as the records need.
func testNode(st state, k *crypt.Keyring) (*node, error) {
	n := &node{state: st, log: quietLog(), keys: k, device: crypt.DeviceFromSeed(k.DeviceSeed)}
	var err, gerr error
	n.cert, err = crypt.ParseCertificate(k.Certificate)
	n.genesis, gerr = crypt.ParseGenesis(k.Genesis)
	return n, errors.Join(err, gerr)
}

// opensAt says whether the records of a state open and are those of the head.
func opensAt(ctx context.Context, st state, k *crypt.Keyring) error {
	n, err := testNode(st, k)
	if err != nil {
		return err
	}
	if err := st.takeRestored(); err != nil {
		return err
	}
	db, err := meta.Open(ctx, metaConfig(n, nil))
	if err != nil {
		return err
	}
	if n := len(db.Stores()); n != storesOfTest {
		err = fmt.Errorf("the records know %d stores, the head %d", n, storesOfTest)
	}
	return errors.Join(err, db.Close(ctx))
}

// published is a volume with a head, as a recovery finds it.
func published(t *testing.T, root *crypt.Root, k *crypt.Keyring, a *swarm.Admission) *found {
	t.Helper()
	ctx := t.Context()
	n, err := testNode(state{dir: "source", fs: vfs.NewMem()}, k)
	if err != nil {
		t.Fatal(err)
	}
	d := &drive{node: n}
	placer := placement.New(placement.Config{Policy: placement.Policy2x1, Stores: noStores{}, Payloads: payloads{d}, Journal: journal{d}, Memory: 32 << 20})
	defer placer.Close()
	cfg := d.cacheConfig()
	cfg.FS, cfg.OnClosed, cfg.KeepFree, cfg.Reserve, cfg.Limit = n.state.fs, nil, 0, 0, 1<<30
	cfg.Target = func(uint8) int { return 1 << 20 }
	if d.cache, err = cache.Open(cfg); err != nil {
		t.Fatal(err)
	}
	records := metaConfig(n, d.cache)
	records.Reserve = 0
	if d.db, err = meta.Open(ctx, records); err != nil {
		t.Fatal(err)
	}
	d.db.Attach(d.cache, placer.Encode)
	for i := range storesOfTest {
		if _, err := d.db.AddStore(ctx, meta.StoreEntry{Kind: kindPeer, Peer: fmt.Sprint("peer", i), Machine: fmt.Sprint("machine", i)}); err != nil {
			t.Fatal(err)
		}
	}
	head, _, err := d.db.Checkpoint(ctx, meta.CheckpointOptions{Fold: true})
	if err != nil {
		t.Fatal(err)
	}
	b := crypt.Bundle{Owner: root.Owner(), Genesis: k.Genesis, Certificate: k.Certificate, Secrets: k.Secrets, Head: head}
	f := &found{device: crypt.NewDevice(), admission: a, epoch: uint64(time.Now().Unix()) + 1}
	if f.cert, err = certify(root, f.device, f.epoch); err == nil {
		err = f.choose([]crypt.Bundle{b})
	}
	if err = errors.Join(err, d.closeParts(ctx)); err != nil {
		t.Fatal(err)
	}
	return f
}

// storesOfTest is how many stores the head of a recovery knows.
const storesOfTest = 3

// noStores are as many stores as a policy asks for, none of which can be reached.
type noStores struct{}

func (noStores) Stores() (list []placement.StoreInfo) {
	for i := range uint32(storesOfTest) {
		list = append(list, placement.StoreInfo{Number: i + 1, Machine: fmt.Sprint(i)})
	}
	return list
}

func (noStores) Store(uint32) (placement.Store, bool) { return nil, false }

// TestInitAfterRecovery: what a recovery left that was cut off is not taken for
// the records of a volume that is made in its place.
func TestInitAfterRecovery(t *testing.T) {
	_, _, k, err := newOwner("private")
	if err != nil {
		t.Fatal(err)
	}
	st := state{dir: testState, fs: crashdisk.New(nil)}
	err = errors.Join(whole.MkdirAll(st.fs, st.path(restoredDir)), st.vacant(""), st.begin(settings{}, nil, k, func() error { return nil }), st.takeRestored())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.fs.Stat(st.path(recordsDir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("records of a recovery are there: %v", err)
	}
	if err := st.vacant(""); err == nil {
		t.Error("there is room for another volume")
	}
	if err := errors.Join(st.fs.Remove(st.keyring()), st.fs.MkdirAll(st.path(recordsDir+"/overlay"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := st.vacant(""); err == nil {
		t.Error("records without a keyring could be written over")
	}
}

// TestPowerCutsInSettings: after a cut at any operation of a change of the
// settings, or of the keyring, the old ones are there or the new ones; the new
// ones once that was said.
func TestPowerCutsInSettings(t *testing.T) {
	_, _, k, err := newOwner("private")
	if err != nil {
		t.Fatal(err)
	}
	at := func(on vfs.FS) state { return state{dir: testState, fs: on} }
	save := func(st state, give int64) error {
		k := *k
		k.AtRest = crypt.Key{byte(give)}
		return errors.Join(st.saveSettings(settings{Give: give}), crypt.SaveKeyring(st.fs, st.keyring(), nil, &k))
	}
	disk := crashdisk.New(nil)
	if err := errors.Join(whole.MkdirAll(disk, testState), save(at(disk), 1)); err != nil {
		t.Fatal(err)
	}
	cutAll(t, allWays, disk, func(on vfs.FS) error { return save(at(on), 2) }, func(cut *crashdisk.Disk, over bool) error {
		set, err := at(cut).settings()
		if err != nil {
			return err
		}
		k, err := crypt.LoadKeyring(cut, at(cut).keyring(), nil)
		if err != nil {
			return err
		}
		for _, n := range []int64{set.Give, int64(k.AtRest[0])} {
			if n != 2 && (n != 1 || over) {
				return fmt.Errorf("number %d is there", n)
			}
		}
		return nil
	})
}
