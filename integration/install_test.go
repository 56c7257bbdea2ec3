package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestInstall installs the program and mounts with mount(8), which finds the
// helper in /sbin: in mount namespaces where that folder is another one.
func TestInstall(t *testing.T) {
	needMount(t, "make", "install", "mount", "umount", "unshare", "nsenter")
	needRoot(t)
	w := newVolume(t, "solo")
	base := filepath.Dir(w.State)
	root := filepath.Join(base, "root")
	install(t, w.Bin, root, "install")
	for _, name := range []string{"mount.hammock", "mount.fuse.hammock"} {
		if to, err := os.Readlink(filepath.Join(root, "sbin", name)); err != nil || to != "/usr/local/bin/hammock" {
			t.Errorf("%s leads to %q, %v", name, to, err)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "usr/local/bin/hammock")); err != nil {
		t.Error(err)
	}
	t.Cleanup(w.kill)
	t.Run("mount", func(t *testing.T) { inNamespace(t, w, helperScript) })
	t.Run("table", func(t *testing.T) { inNamespace(t, w, tableScript) })
	t.Run("another namespace", func(t *testing.T) { inNamespace(t, w, elsewhereScript) })
	install(t, w.Bin, root, "uninstall")
	for _, name := range []string{"sbin/mount.hammock", "sbin/mount.fuse.hammock", "usr/local/bin/hammock"} {
		if _, err := os.Lstat(filepath.Join(root, name)); err == nil {
			t.Errorf("%s is left", name)
		}
	}
}

func install(t *testing.T, bin, root, target string) {
	t.Helper()
	if out, err := exec.Command("make", "-C", "..", target, "BIN="+bin, "DESTDIR="+root).CombinedOutput(); err != nil {
		t.Fatalf("make %s: %v\n%s", target, err, out)
	}
}

// prologue gives the script a /sbin with all that is there and the helpers, and
// what it needs to say what it expects.
const prologue = `
set -eu
cd "$BASE"
mkdir -p real sbin mnt
mount --bind /sbin real
for f in real/*; do
	ln -sfn "$BASE/$f" sbin/
done
ln -sfn "$BIN" sbin/mount.hammock
ln -sfn "$BIN" sbin/mount.fuse.hammock
mount --bind sbin /sbin
fail() { echo "FAIL: $*"; exit 9; }
# expect STATUS COMMAND: it ends so.
expect() {
	want=$1; shift; got=0
	"$@" >said 2>&1 || got=$?
	[ "$got" = "$want" ] || { cat said; fail "exit status $got, not $want: $*"; }
}
said() { grep -q "$1" said || { cat said; fail "it did not say: $1"; }; }
shown() { grep -q "^$STATE $BASE/mnt fuse.hammock .*$1" /proc/self/mounts || { cat /proc/self/mounts; fail "not shown: $1"; }; }
free() { ! grep -q " $BASE/mnt fuse" /proc/self/mounts || fail "still mounted"; }
`

// helperScript is mount(8) by hand. A mount right after an umount waits for the
// process of the first.
const helperScript = `
expect 0 mount -t fuse.hammock "$STATE" mnt
[ ! -s said ] || { cat said; fail "it should say nothing"; }
shown rw,noatime
echo kept >mnt/file
expect 32 mount -t fuse.hammock "$STATE" mnt
said "already"
expect 0 umount mnt
free
expect 0 mount -t hammock "$STATE" mnt -o ro,noexec,nofail,_netdev,x-systemd.automount,comment=mine,nodev
shown ro,nodev,noexec,noatime
[ "$(cat mnt/file)" = kept ] || fail "lost"
! { echo lost >mnt/file; } 2>/dev/null || fail "written through ro"
expect 1 mount mnt -t fuse.hammock -o remount,rw
said "options cannot be changed while it is mounted"
expect 0 umount "$BASE/mnt"
expect 1 mount -t fuse.hammock "$STATE" mnt -o nonsense
said 'unknown mount option "nonsense"'
expect 0 mount -s -t fuse.hammock "$STATE" mnt -o nonsense,give=1G
expect 0 umount mnt
expect 32 mount -t fuse.hammock "$STATE" nowhere
expect 32 mount -t fuse.hammock "$BASE/nostate" mnt
said "no volume in $BASE/nostate yet"
expect 1 sbin/mount.hammock "$STATE"
said "SOURCE DIR"
expect 0 mount -f -t fuse.hammock "$STATE" mnt
free
`

// tableScript has a line in a table of its own, and a keyring with a passphrase.
const tableScript = `
echo secret >pass
HAMMOCK_PASSPHRASE_FILE= "$BIN" init --loopback --policy solo --passphrase-file pass --state locked >/dev/null
cat >fstab <<EOF
$STATE $BASE/mnt fuse.hammock relatime,allow_other,fsname=$STATE,nofail,x-systemd.device-timeout=0,user 0 0
$BASE/locked $BASE/mnt3 fuse.hammock passphrase_file=$BASE/pass,dirsync 0 0
$BASE/locked $BASE/mnt4 fuse.hammock noauto 0 0
EOF
mkdir -p mnt2 mnt3 mnt4
expect 0 mount -T fstab "$BASE/mnt"
shown rw,nosuid,nodev,noexec,relatime
shown allow_other
expect 0 mount -T fstab -a
grep -q " $BASE/mnt3 fuse.hammock .*dirsync" /proc/self/mounts || fail "mount -a did not mount it"
[ "$(grep -c " $BASE/mnt fuse.hammock " /proc/self/mounts)" = 1 ] || fail "mount -a mounted again what was mounted"
expect 0 umount "$BASE/mnt"
expect 0 umount "$BASE/mnt3"
free
expect 32 mount -T fstab "$BASE/mnt4" </dev/null
said "there is no terminal to ask for the passphrase"
said "passphrase_file=FILE"
# The default state is in the home of the user. mount(8) would take HOME away.
HOME="$BASE/home"; export HOME; unset XDG_DATA_HOME
"$BIN" init --loopback --policy solo --no-passphrase >/dev/null 2>&1
expect 0 sbin/mount.hammock none "$BASE/mnt2" -o rw
[ -e "$BASE/home/.local/share/hammock/pid" ] || fail "not the default state"
expect 0 umount "$BASE/mnt2"
`

// elsewhereScript mounts into the namespace of another process.
const elsewhereScript = `
unshare -m sh -c 'exec sleep 60' &
other=$!
n=0
while [ "$(readlink "/proc/$other/ns/mnt")" = "$(readlink /proc/self/ns/mnt)" ]; do
	n=$((n+1)); [ $n -lt 1000 ] || fail "no namespace"; sleep 0.02
done
expect 0 sbin/mount.hammock "$STATE" "$BASE/mnt" -N "$other" -o ro
free
grep -q "^$STATE $BASE/mnt fuse.hammock ro" "/proc/$other/mounts" || fail "not mounted there"
expect 0 nsenter --mount="/proc/$other/ns/mnt" umount "$BASE/mnt"
kill "$other"
`

// inNamespace runs a script in a mount namespace of its own, and ends what it
// leaves.
func inNamespace(t *testing.T, w *world, script string) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "-m", "sh", "-c", prologue+script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	base := filepath.Dir(w.State)
	cmd.Env = append(os.Environ(), "BASE="+base, "STATE="+w.State, "BIN="+w.Bin, "HAMMOCK_PASSPHRASE_FILE=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s\n%s", err, out, w.lastLog())
	}
	for _, state := range []string{w.State, filepath.Join(base, "locked"), filepath.Join(base, "home/.local/share/hammock")} {
		newNode(t, w.Bin, state).kill()
	}
}
