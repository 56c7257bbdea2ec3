package mount

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/mount/uring"
)

const enableUring = "/sys/module/fuse/parameters/enable_uring"

// needQueues skips where the kernel has no FUSE over io_uring, and leaves its
// switch as it was.
func needQueues(t testing.TB) {
	t.Helper()
	needRoot(t)
	needFUSE(t)
	restore, err := uring.Allow()
	if _, none := os.Stat(enableUring); err != nil && none == nil && os.Getenv("CI") != "" {
		t.Fatal("this kernel has queues, and they cannot be used: ", err)
	}
	if err != nil {
		t.Skip(err)
	}
	restore()
	keepSwitch(t)
}

// keepSwitch leaves the kernel's switch as it was after a test that kills a
// daemon which is just mounting.
func keepSwitch(t testing.TB) {
	t.Helper()
	if was, err := os.ReadFile(enableUring); err == nil {
		t.Cleanup(func() { _ = os.WriteFile(enableUring, bytes.TrimSpace(was), 0) })
	}
}

// TestQueues holds that requests come through queues where that can be had,
// whatever the kernel's switch says, and that the switch stays as it was.
func TestQueues(t *testing.T) {
	needQueues(t)
	for _, c := range []struct {
		enabled string
		option  Uring
		want    bool
	}{{"N", UringAuto, true}, {"Y", UringAuto, true}, {"N", UringOn, true}, {"Y", UringOff, false}, {"N", UringOff, false}} {
		must(t, os.WriteFile(enableUring, []byte(c.enabled), 0))
		s, err := Mount(context.Background(), Config{Dir: t.TempDir(), Volume: newVolume(t), Options: Options{Uring: c.option}})
		must(t, err)
		if (s.queues != nil) != c.want {
			t.Errorf("%+v: queues %v", c, s.queues)
		}
		if now, err := os.ReadFile(enableUring); err != nil || string(bytes.TrimSpace(now)) != c.enabled {
			t.Errorf("%+v: the switch is %s, %v", c, now, err)
		}
		shell(t, s.Dir(), `echo x > "$D/f"; test "$(cat "$D/f")" = x`)
		unmount(t, s)
	}
}

// stuck is a file system whose files cannot be opened: who tries waits until he is
// interrupted.
type stuck struct {
	*empty
	opens, ended chan struct{}
}

func (s *stuck) Open(cancel <-chan struct{}, _ *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
	s.opens <- struct{}{}
	<-cancel
	s.ended <- struct{}{}
	return fuse.EINTR
}

// TestInterrupts holds that a request that waits hears of the end of its program,
// whichever way requests come: interrupts always come through the device.
func TestInterrupts(t *testing.T) {
	needQueues(t)
	for _, way := range []Uring{UringOn, UringOff} {
		f := &stuck{newEmpty(), make(chan struct{}), make(chan struct{})}
		dir := mountFront(t, f, unmounted(t.Context(), &Config{}, &Options{}, t.TempDir()), &Options{Uring: way})
		shell(t, dir, `printf x > "$D/f"`)
		for range 20 {
			reader := outside(t.Context(), "cat", filepath.Join(dir, "f"))
			must(t, reader.Start())
			within(t, "a request", f.opens)
			must(t, reader.Process.Signal(syscall.SIGKILL))
			within(t, "an interrupt", f.ended)
			_ = reader.Wait()
		}
	}
}

func within(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(outsideLimit):
		t.Fatal("did not come: ", what)
	}
}
