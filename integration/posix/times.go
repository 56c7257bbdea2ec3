//go:build linux

package posix

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// clock is a time of the system, in nanoseconds.
func clock(t *T, id int32) int64 {
	var ts unix.Timespec
	t.must(unix.ClockGettime(id, &ts))
	return ts.Nano()
}

// stamps are the times of an inode; zero if there is none.
type stamps [4]int64

var stampNames = [4]string{"atime", "mtime", "ctime", "btime"}

func stampsOf(name string) (s stamps) {
	var x unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &x) != nil {
		return s
	}
	for i, ts := range []unix.StatxTimestamp{x.Atime, x.Mtime, x.Ctime, x.Btime} {
		s[i] = ts.Sec*1e9 + int64(ts.Nsec)
	}
	return s
}

// tick waits until the clock that files get their times from has moved on, so
// that "now" is later than whatever happened before.
func tick(t *T) int64 {
	before := clock(t, unix.CLOCK_REALTIME)
	for {
		if now := clock(t, unix.CLOCK_REALTIME_COARSE); now > before {
			return now
		}
		time.Sleep(time.Millisecond)
	}
}

// times writes down what do, which has a name, does to the times of inodes.
func (t *T) times(what string, do func(), inodes ...string) {
	before := make([]stamps, len(inodes))
	for i, name := range inodes {
		before[i] = stampsOf(name)
	}
	start := tick(t)
	do()
	end := clock(t, unix.CLOCK_REALTIME)
	for i, name := range inodes {
		after := stampsOf(name)
		if after == (stamps{}) {
			t.note("times of "+show(name)+" after: "+what, "it is gone")
			continue
		}
		var text []string
		for j := range after {
			switch {
			case after[j] == before[i][j]:
				text = append(text, stampNames[j]+" same")
			case after[j] >= start && after[j] <= end:
				text = append(text, stampNames[j]+" now")
			default:
				text = append(text, fmt.Sprintf("%s other", stampNames[j]))
			}
		}
		t.note("times of "+show(name)+" after: "+what, "%s", strings.Join(text, ", "))
	}
}

// utimens sets times; the text of a time is in seconds, "now" or "omit".
func (t *T) utimens(name string, atime, mtime unix.Timespec, flags int) bool {
	call := fmt.Sprintf("utimensat %s %s %s", show(name), spec(atime), spec(mtime))
	if flags != 0 {
		call += fmt.Sprintf(" flags %#x", flags)
	}
	return t.result(call, again(func() error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{atime, mtime}, flags)
	}))
}

func spec(ts unix.Timespec) string {
	switch ts.Nsec {
	case unix.UTIME_NOW:
		return "now"
	case unix.UTIME_OMIT:
		return "omit"
	}
	return fmt.Sprintf("%d.%09d", ts.Sec, ts.Nsec)
}

var (
	now  = unix.Timespec{Nsec: unix.UTIME_NOW}
	omit = unix.Timespec{Nsec: unix.UTIME_OMIT}
)

// showTimes writes down access and modification time to the nanosecond.
func (t *T) showTimes(name string) {
	var st unix.Stat_t
	t.must(unix.Lstat(name, &st))
	t.note("atime and mtime of "+show(name), "%s %s", spec(unix.Timespec(st.Atim)), spec(unix.Timespec(st.Mtim)))
}

var timeCases = []Case{
	{"times/utimens", false, timesSet},
	{"times/range", false, timesRange},
	{"times/owner", true, timesOwner},
	{"times/calls", true, timesOfCalls},
	{"times/parents", true, timesOfParents},
}

func timesSet(t *T) {
	t.file("f", "x")
	t.must(unix.Symlink("f", "s"))
	t.dir("d")
	for _, name := range []string{"f", "d"} {
		t.utimens(name, unix.Timespec{Sec: 1, Nsec: 2}, unix.Timespec{Sec: 3, Nsec: 999_999_999}, 0)
		t.showTimes(name)
		t.times("set the mtime of "+name, func() { t.utimens(name, omit, unix.Timespec{Sec: 1e9}, 0) }, name)
		t.showTimes(name)
		t.times("set the atime of "+name, func() { t.utimens(name, unix.Timespec{Sec: 5}, omit, 0) }, name)
		t.showTimes(name)
		t.times("both now", func() { t.utimens(name, now, now, 0) }, name)
		t.times("atime now", func() { t.utimens(name, now, omit, 0) }, name)
		t.times("mtime now, atime set", func() { t.utimens(name, unix.Timespec{Sec: 7}, now, 0) }, name)
		t.times("omit both", func() { t.utimens(name, omit, omit, 0) }, name)
	}
	t.utimens("s", unix.Timespec{Sec: 10}, unix.Timespec{Sec: 11}, unix.AT_SYMLINK_NOFOLLOW)
	var st unix.Stat_t
	t.must(unix.Lstat("s", &st))
	t.note("mtime of s", "%s", spec(unix.Timespec(st.Mtim)))
	t.utimens("s", unix.Timespec{Sec: 12}, unix.Timespec{Sec: 13}, 0)
	t.showTimes("f")
	t.utimens("f", unix.Timespec{Nsec: 1_000_000_000}, now, 0)
	t.utimens("f", unix.Timespec{Nsec: -1}, now, 0)
	t.utimens("f", now, now, 1<<20)
	t.utimens("none", now, now, 0)
	t.utimens("none", omit, omit, 0)
	t.utimens("f/x", now, now, 0)
	h := t.opened("f", unix.O_RDONLY, 0)
	t.result("futimens <f>", unix.UtimesNanoAt(unix.AT_FDCWD, h.path(), []unix.Timespec{{Sec: 20}, {Sec: 21, Nsec: 5}}, 0))
	t.showTimes("f")
	t.unlink("f")
	t.result("futimens <f> when it is gone", unix.UtimesNanoAt(unix.AT_FDCWD, h.path(), []unix.Timespec{{Sec: 22}, {Sec: 23}}, 0))
	t.must(unix.Fstat(h.fd, &st))
	t.note("its mtime", "%s", spec(unix.Timespec(st.Mtim)))
}

// timesRange goes to the ends of what can be kept.
func timesRange(t *T) {
	t.file("f", "x")
	for _, sec := range []int64{0, -1, -2147483648, -2147483649, 2147483647, 2147483648, 4294967296, 9223372036, 9223372037,
		15032385535, 15032385536, -9223372036, 1 << 40} {
		t.utimens("f", omit, unix.Timespec{Sec: sec, Nsec: 123456789}, 0)
		var st unix.Stat_t
		t.must(unix.Stat("f", &st))
		t.note(fmt.Sprintf("mtime of f set to %d s", sec), "%s", spec(unix.Timespec(st.Mtim)))
	}
}

// timesOwner has others set times.
func timesOwner(t *T) {
	t.must(os.WriteFile("mine", nil, 0o644))
	t.must(os.WriteFile("writable", nil, 0o666))
	t.must(unix.Chmod("writable", 0o666))
	t.must(os.WriteFile("his", nil, 0o444))
	t.must(unix.Chown("his", 1001, 1001))
	t.as(1001, 1001, nil, func() {
		for _, name := range []string{"mine", "writable", "his"} {
			t.utimens(name, now, now, 0)
			t.utimens(name, unix.Timespec{Sec: 1}, unix.Timespec{Sec: 2}, 0)
			t.utimens(name, now, omit, 0)
			t.utimens(name, omit, omit, 0)
			t.open(name, unix.O_RDONLY|unix.O_NOATIME, 0)
		}
	})
}
