//go:build linux

package main

import (
	"context"
	"slices"
	"strings"
	"testing"
)

func TestHelperNames(t *testing.T) {
	for name, want := range map[string]bool{"/sbin/mount.hammock": true, "mount.fuse.hammock": true, "hammock": false, "/usr/bin/mount": false, "mount.hammock/x": false} {
		if calledAsHelper(name) != want {
			t.Error(name)
		}
	}
}

func TestHelperCalls(t *testing.T) {
	const quiet = "mount /mnt --quiet --source "
	for args, want := range map[string]string{
		"/var/lib/h /mnt -o rw": quiet + "/var/lib/h --state /var/lib/h --options rw",
		"none /mnt":             quiet + "none --options ",
		"hammock /mnt -n -t fuse.hammock -o ro,noexec -o nofail": quiet + "hammock --options ro,noexec,nofail",
		"-sn /s /mnt -o rw,nonsense,sync":                        quiet + "/s --state /s --options rw,sync",
		"/s /mnt -vnorelatime":                                   quiet + "/s --state /s --options relatime",
		"/s /mnt -o passphrase_file=/etc/p,ro,give=5G,listen=/ip4/0.0.0.0/tcp/1,listen=/ip4/0.0.0.0/tcp/2,uidmap=1:2/3:4": quiet +
			"/s --state /s --passphrase-file /etc/p --give 5G --listen /ip4/0.0.0.0/tcp/1 --listen /ip4/0.0.0.0/tcp/2 --options ro,uidmap=1:2/3:4",
	} {
		c, err := parseHelperCall(strings.Split(args, " "))
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		line, err := c.commandLine()
		got := strings.Replace(strings.Join(line, " "), "--options suid,dev", "--options ", 1) // said as root
		if got = strings.Replace(got, "--options ,", "--options ", 1); err != nil || got != want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", args, err, got, want)
		}
	}
}

func TestHelperUsage(t *testing.T) {
	for _, args := range []string{"", "/s", "/s /mnt more", "/s /mnt -o", "/s /mnt -x", "/s /mnt -o nonsense", "/s /mnt -o remount,ro", "/s /mnt -o give="} {
		if status := runHelper(context.Background(), "mount.hammock", strings.Fields(args)); status != helperUsage {
			t.Errorf("%q: exit status %d", args, status)
		}
	}
	if status := runHelper(context.Background(), "mount.hammock", []string{"none", "/nowhere", "-f", "-o", "ro"}); status != 0 {
		t.Errorf("fake: exit status %d", status)
	}
}

func TestHelperWithoutNamespace(t *testing.T) {
	for args, want := range map[string]string{
		"/s /mnt -N 12 -o ro": "/s /mnt -o ro",
		"/s /mnt -N12 -n":     "/s /mnt -n",
		"/s /mnt -vN /ns":     "/s /mnt -v",
		"/s /mnt -oName":      "/s /mnt -oName",
		"/s /mnt -n":          "/s /mnt -n",
	} {
		if got := withoutNamespace(strings.Fields(args)); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: %v", args, got)
		}
	}
}
