package mount

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// mountAndStay is the environment variable that makes this test binary a daemon
// that mounts until it is killed.
const mountAndStay = "HAMMOCK_TEST_MOUNT_AND_STAY"

// TestKilledWhileMounting kills daemons at the moment at which their mount
// stands, before they have done anything else. All of them die, and the next
// can mount.
func TestKilledWhileMounting(t *testing.T) {
	if dir := os.Getenv(mountAndStay); dir != "" {
		_, err := Mount(context.Background(), Config{Dir: dir, Volume: newVolume(t)})
		must(t, err)
		select {}
	}
	needFUSE(t)
	keepSwitch(t)
	dir := filepath.Join(t.TempDir(), "mnt")
	must(t, os.Mkdir(dir, 0o755))
	t.Cleanup(func() { _ = detach(dir) })
	const kills = 6
	for i := range kills {
		killAtMount(t, dir)
		wantDead(t, dir)
		if i < kills-1 {
			must(t, detach(dir))
		}
	}
	s, err := Mount(context.Background(), Config{Dir: dir, Volume: newVolume(t)})
	must(t, err)
	shell(t, dir, `echo x > "$D/f"; cat "$D/f"`)
	unmount(t, s)
}

func killAtMount(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), outsideLimit)
	defer cancel()
	daemon := outside(ctx, os.Args[0], "-test.run=^TestKilledWhileMounting$")
	daemon.Env = append(os.Environ(), mountAndStay+"="+dir, "TMPDIR="+t.TempDir())
	must(t, daemon.Start())
	for late := time.Now().Add(outsideLimit / 2); !isMounted(t, dir); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(late) {
			t.Error("the daemon does not mount")
			break
		}
	}
	_ = daemon.Process.Kill()
	reap(t, daemon, dir)
}

// wantDead wants the folder of a daemon that died to say so.
func wantDead(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.ReadDir(dir); !errors.Is(err, syscall.ENOTCONN) && !errors.Is(err, syscall.ECONNABORTED) && !errors.Is(err, syscall.ECANCELED) {
		t.Error("a folder without a daemon:", err)
	}
	if !Dead(dir) {
		t.Error("a folder without a daemon is not taken for one")
	}
}

func isMounted(t *testing.T, dir string) bool {
	t.Helper()
	list, err := mounts()
	must(t, err)
	_, ok := mountedAt(list, dir)
	return ok
}
