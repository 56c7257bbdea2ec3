package model

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/chunker"
	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/cache"
	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/mount"
	"github.com/hammockfs/hammock/fs/volume"
)

// tb is a testing.TB or a rapid.T.
type tb interface {
	Fatal(args ...any)
	Helper()
}

func must(t tb, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

// numbers lets the cache be opened before the metadata that number its stripes.
type numbers struct{ db *meta.DB }

func (n *numbers) NextStripe() (uint64, error) { return n.db.NextStripe() }
func (n *numbers) FindChunk(id crypt.ID) (crypt.Ref, bool) {
	return n.db.FindChunk(id)
}
func (n *numbers) AddChunk(id crypt.ID, r *crypt.Ref) error { return n.db.AddChunk(id, r) }

// host is a volume with its parts, on a file system that outlives them.
type host struct {
	fs    vfs.FS // a crashable memory file system unless it is the disk
	dir   string
	keys  [3]crypt.Key
	dev   *crypt.Device
	cache *cache.Cache
	db    *meta.DB
	v     *volume.Volume
}

func newHost(fs vfs.FS, dir string) *host {
	return &host{fs: fs, dir: dir, keys: [3]crypt.Key{crypt.NewKey(), crypt.NewKey(), crypt.NewKey()}, dev: crypt.NewDevice()}
}

func (h *host) open() error {
	nums := &numbers{}
	c, err := cache.Open(cache.Config{
		FS: h.fs, Dir: h.fs.PathJoin(h.dir, "cache"), Sealer: crypt.NewSealer(h.keys[0], crypt.SuiteAES), Numbers: nums, Index: nums,
		Limit: 8 << 30, Memory: 4 << 20, Target: func(uint8) int { return 1 << 20 },
	})
	if err != nil {
		return err
	}
	h.cache = c
	h.db, err = meta.Open(ctx, meta.Config{
		FS: h.fs, Dir: h.fs.PathJoin(h.dir, "meta"), AtRest: h.keys[1], NameKey: h.keys[2], Device: h.dev,
		Volume: crypt.Sum([]byte("volume")), Epoch: crypt.Epoch{Number: 1, Secret: h.keys[0]}, Chunks: c,
		Encode: func(context.Context, uint64) ([]byte, error) { return []byte{1}, nil }, Memory: 8 << 20, Journal: 4 << 20,
		SyncStripes: func(ctx context.Context) error { return c.Sync(ctx) }, ValidRef: c.Valid,
	})
	if err != nil {
		return errors.Join(err, c.Close(ctx))
	}
	nums.db = h.db
	table, err := chunker.NewTable([32]byte{1}, chunker.Default)
	if err != nil {
		return err
	}
	h.v, err = volume.Open(ctx, volume.Config{DB: h.db, Cache: c, Table: table, Dirty: 16 << 20, Inodes: 8, Age: time.Hour})
	return err
}

func (h *host) close() error {
	return errors.Join(h.v.Close(ctx), h.db.Close(ctx), h.cache.Close(ctx))
}

// kill goes on with what the file system would hold if the process had died at
// this moment.
func (h *host) kill(t tb, seed uint64) {
	fs := h.fs.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(seed, 1))})
	must(t, h.close()) // so that its goroutines end; its files are not looked at any more
	h.fs = fs
	must(t, h.open())
}

func (h *host) checkpoint(t tb, fold bool) {
	must(t, h.v.WriteBack(ctx, 0))
	_, _, err := h.db.Checkpoint(ctx, meta.CheckpointOptions{Fold: fold})
	must(t, err)
}

// xattrs says whether a folder of the native filesystem takes the attributes of
// the scenario.
func xattrs(t *testing.T) bool {
	dir := t.TempDir()
	err := syscall.Setxattr(dir, "user.a", []byte("x"), 0)
	if err != nil {
		t.Log("the native folder has no extended attributes, so they are not compared:", err)
	}
	return err == nil
}

// dirLinks says whether the native filesystem counts subdirectories as links.
func dirLinks(t *testing.T) bool {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
	st, err := Folder{dir}.Lstat("")
	must(t, err)
	return st.Nlink == 3
}

// truth makes an empty folder for one run of the property.
func truth(t tb, parent string) Folder {
	dir, err := os.MkdirTemp(parent, "truth")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	return Folder{dir}
}

// checks lets a property run n times, unless the command line says otherwise.
func checks(t *testing.T, n int, property func(*rapid.T)) {
	t.Helper()
	setChecks(t, n)
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	rapid.Check(t, property)
}

// TestCore compares the volume with the native filesystem, through restarts,
// kills, checkpoints and dropped caches.
func TestCore(t *testing.T) {
	links, attrs, parent := dirLinks(t), xattrs(t), t.TempDir()
	checks(t, 15, func(t *rapid.T) {
		h := newHost(vfs.NewCrashableMem(), "state")
		must(t, h.open())
		folder := truth(t, parent)
		m := &Machine{Test: Core{h.v}, Truth: folder, DirLinks: links, Xattrs: attrs}
		defer func() {
			m.Crash()
			must(t, h.close())
			must(t, os.RemoveAll(folder.Dir))
		}()
		actions := m.Actions()
		actions["restart"] = func(t *rapid.T) {
			m.CloseAll(t)
			m.Note("restart")
			must(t, h.close())
			must(t, h.open())
			m.Test = Core{h.v}
		}
		actions["kill"] = func(t *rapid.T) {
			m.SyncAll(t)
			m.Note("kill")
			m.Crash()
			h.kill(t, rapid.Uint64().Draw(t, "seed"))
			m.Test = Core{h.v}
		}
		actions["checkpoint"] = func(t *rapid.T) {
			fold := rapid.Bool().Draw(t, "fold")
			m.Note("checkpoint, fold %v", fold)
			h.checkpoint(t, fold)
		}
		actions["drop caches"] = func(t *rapid.T) {
			m.Note("drop caches")
			_, err := h.cache.Drop(ctx)
			must(t, err)
		}
		actions["compare"] = m.Compare
		t.Repeat(actions)
		m.CloseAll(t)
		m.Compare(t)
	})
}

// TestMount compares a mount of the kernel's with the native filesystem.
func TestMount(t *testing.T) {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	links, attrs, parent := dirLinks(t), xattrs(t), t.TempDir()
	checks(t, 8, func(t *rapid.T) {
		h := newHost(vfs.NewCrashableMem(), "state")
		must(t, h.open())
		dir, err := os.MkdirTemp(parent, "mount")
		must(t, err)
		folder := truth(t, parent)
		m := &Machine{Test: Folder{dir}, Truth: folder, DirLinks: links, Xattrs: attrs}
		server := attach(t, h, dir)
		defer func() {
			for _, f := range m.handles {
				_ = f.test.Close()
			}
			m.Crash()
			detach(t, server)
			must(t, h.close())
			must(t, os.RemoveAll(folder.Dir))
		}()
		actions := m.Actions()
		actions["remount"] = func(t *rapid.T) {
			m.CloseAll(t)
			m.Note("remount")
			detach(t, server)
			must(t, h.close())
			must(t, h.open())
			server = attach(t, h, dir)
		}
		actions["kill"] = func(t *rapid.T) {
			m.SyncAll(t)
			m.Note("kill")
			for _, f := range m.handles {
				_ = f.test.Close()
			}
			m.Crash()
			detach(t, server)
			h.kill(t, rapid.Uint64().Draw(t, "seed"))
			server = attach(t, h, dir)
		}
		actions["checkpoint"] = func(t *rapid.T) {
			fold := rapid.Bool().Draw(t, "fold")
			m.Note("checkpoint, fold %v", fold)
			h.checkpoint(t, fold)
		}
		actions["compare"] = m.Compare
		t.Repeat(actions)
		m.CloseAll(t)
		m.Compare(t)
	})
}

func attach(t tb, h *host, dir string) *mount.Server {
	s, err := mount.Mount(ctx, mount.Config{Dir: dir, Volume: h.v})
	must(t, err)
	return s
}

func detach(t tb, s *mount.Server) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	must(t, s.Unmount(ctx))
}
