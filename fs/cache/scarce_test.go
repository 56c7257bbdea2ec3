package cache

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
)

// descriptors is a file system that has so many descriptors for stripes and no
// more.
type descriptors struct {
	vfs.FS
	left   atomic.Int64
	denied atomic.Int64
}

func (d *descriptors) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	if d.left.Add(-1) < 0 {
		d.left.Add(1)
		d.denied.Add(1)
		return nil, syscall.EMFILE
	}
	f, err := d.FS.OpenReadWrite(name, c, o...)
	if err != nil {
		d.left.Add(1)
		return nil, err
	}
	return &descriptor{File: f, of: d}, nil
}

type descriptor struct {
	vfs.File
	of *descriptors
}

func (d *descriptor) Close() error {
	d.of.left.Add(1)
	return d.File.Close()
}

// newScarce is a rig with stripes that hold one chunk each, and their chunks.
func newScarce(t *testing.T, left int64) (*rig, *descriptors, []crypt.Ref, [][]byte) {
	d := &descriptors{}
	d.left.Store(left)
	r := newRig(t, func(c *Config) {
		d.FS, c.FS = c.FS, d
		c.Target = func(uint8) int { return 1 }
	})
	var refs []crypt.Ref
	var texts [][]byte
	for i := range lag - 4 { // none is synced behind
		texts = append(texts, random(uint64(i), 20_000))
		refs = append(refs, r.put(ClassData, texts[i]))
	}
	return r, d, refs, texts
}

// TestFewDescriptors has many stripes in use and few descriptors for them: idle
// files are closed for others, and bytes are never taken for damaged because no
// file could be opened.
func TestFewDescriptors(t *testing.T) {
	r, d, refs, texts := newScarce(t, 6)
	var readers sync.WaitGroup
	for n := range 4 {
		readers.Go(func() {
			for i := range refs {
				at := (i*7 + n*11) % len(refs)
				if b, err := r.Get(ctx, &refs[at], nil); err != nil || string(b) != string(texts[at]) {
					t.Errorf("chunk %d: %v", at, err)
				}
				if ok, err := r.Valid(&refs[at]); !ok || err != nil {
					t.Errorf("chunk %d is not valid: %v", at, err)
				}
			}
		})
	}
	readers.Wait()
	if d.denied.Load() == 0 {
		t.Error("there were descriptors enough")
	}
	if n := r.Usage().Rot; n != 0 {
		t.Errorf("%d stripes are taken for damaged", n)
	}
}

// TestNoDescriptor takes all descriptors away, from readers and from a look at
// what a power cut may have torn. That is no damage; and it passes.
func TestNoDescriptor(t *testing.T) {
	r, d, refs, texts := newScarce(t, 6)
	for r.handles.shed() {
	}
	d.left.Add(-6)
	r.handles.patience = 0
	if _, err := r.Get(ctx, &refs[3], nil); !errors.Is(err, syscall.EMFILE) || errors.Is(err, ErrRot) {
		t.Errorf("a read without descriptors: %v", err)
	}
	if ok, err := r.Valid(&refs[4]); ok || !errors.Is(err, syscall.EMFILE) {
		t.Errorf("valid without descriptors: %v, %v", ok, err)
	}
	if n := r.Usage().Rot; n != 0 {
		t.Errorf("%d stripes are taken for damaged", n)
	}
	r.handles.patience = time.Minute
	back := time.AfterFunc(20*time.Millisecond, func() { d.left.Add(6) })
	defer back.Stop()
	for i := range refs { // the first waits
		r.want(refs[i], texts[i])
	}
}
