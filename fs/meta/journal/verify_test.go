package journal

import (
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestVerify damages a journal that is in use, and wants each damage told.
func TestVerify(t *testing.T) {
	const frame = 1000 + frameOverhead
	for name, x := range map[string]struct {
		damage func(t *testing.T, mem *vfs.MemFS)
		want   LSN // the first record that is missing
	}{
		"nothing":                   {func(*testing.T, *vfs.MemFS) {}, 0},
		"in a full segment":         {func(t *testing.T, mem *vfs.MemFS) { flip(t, mem, fileName(0), frameStart+3*frame+100) }, 4},
		"at the end of the newest":  {func(t *testing.T, mem *vfs.MemFS) { flip(t, mem, fileName(2), frameStart+5*frame+100) }, 30},
		"in the head of a segment":  {func(t *testing.T, mem *vfs.MemFS) { flip(t, mem, fileName(1), 70) }, 13},
		"a length beyond the file":  {func(t *testing.T, mem *vfs.MemFS) { flip(t, mem, fileName(0), frameStart+3) }, 1},
		"behind all that was said":  {func(t *testing.T, mem *vfs.MemFS) { flip(t, mem, fileName(2), frameStart+6*frame+100) }, 0},
		"between header and frames": {func(t *testing.T, mem *vfs.MemFS) { flip(t, mem, fileName(0), headerSize+5) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			j, _ := reopen(t, config(mem), 0)
			for range 30 {
				_, err := j.Append(make([]byte, 1000))
				must(t, err)
			}
			x.damage(t, mem)
			var found []error
			n, err := j.Verify(context.Background(), func(err error) { found = append(found, err) })
			must(t, err)
			var d *DamageError
			switch {
			case x.want == 0 && (len(found) > 0 || n != 30):
				t.Errorf("%d records, %v", n, found)
			case x.want > 0 && (len(found) != 1 || !errors.As(found[0], &d) || d.LSN != x.want):
				t.Errorf("found %v", found)
			}
			must(t, j.Close())
		})
	}
}

// TestVerifyWhileUsed wants nothing told of segments that are released and written over meanwhile.
func TestVerifyWhileUsed(t *testing.T) {
	j, _ := reopen(t, config(vfs.NewCrashableMem()), 0)
	done := make(chan error)
	go func() {
		for range 3000 {
			lsn, err := j.Append(make([]byte, 700))
			if err == nil {
				err = j.Release(lsn - min(lsn, 20))
			}
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for i := 0; ; i++ {
		_, err := j.Verify(context.Background(), func(err error) { t.Error(err) })
		must(t, err)
		select {
		case err := <-done:
			must(t, errors.Join(err, j.Close()))
			return
		default:
		}
	}
}
