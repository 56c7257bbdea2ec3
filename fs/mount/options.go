package mount

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Options are what mount -o says.
type Options struct {
	ReadOnly   bool
	AllowOther bool // other users may enter, as permissions allow
	NonEmpty   bool // the mount point may hold files, which are hidden then
	SyncPeers  bool // fsync waits until enough peers have the data
	Writeback  bool // the kernel collects small writes (its writeback cache)
	// Uring says whether requests come through io_uring.
	Uring Uring
	// Suid and Dev allow set-ID programs and device files; both need root.
	Suid, Dev bool
	NoExec    bool
	// Atime has reads note the time of access, by the rule of relatime; see
	// accessed. NoDirAtime leaves directories out.
	Atime, NoDirAtime bool
	// Sync makes every change survive a power cut before it returns, DirSync
	// those of directories.
	Sync, DirSync bool
	// UIDs and GIDs translate owners between the volume and this machine.
	UIDs, GIDs IDMap
	// IDMapped lets root bind the mount elsewhere with the kernel's own
	// translation (mount_setattr). Most requests then do not say who asks, so it
	// is not so by itself.
	IDMapped bool
	// Source is what lists of mounts call it; "hammock" if empty.
	Source string
}

// Uring says whether requests come through io_uring instead of the device.
type Uring int

// Requests come through io_uring where it can be had, nowhere, or the mount fails.
const (
	UringAuto Uring = iota
	UringOff
	UringOn
)

// ErrUnknownOption is the error of ParseOptions for a word that it does not
// know; it names the word.
var ErrUnknownOption = errors.New("unknown mount option")

// ParseOptions parses a list as of mount -o, such as "ro,allow_other". Several
// lists may be joined by commas; later words win over earlier ones. What
// /etc/fstab has for others (defaults, nofail, _netdev, x-...) is passed over;
// anything unknown is an error that names it.
func ParseOptions(list string) (Options, error) {
	var o Options
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			if err := o.set(word); err != nil {
				return Options{}, err
			}
		}
	}
	return o, nil
}

// switches are the options without a value: the field, and what to make of it.
// Time of access is noted by one rule only, so atime, which leaves the choice to
// the kernel elsewhere, is relatime here as it is there.
var switches = map[string]struct {
	field func(*Options) *bool
	value bool
}{
	"ro":            {func(o *Options) *bool { return &o.ReadOnly }, true},
	"rw":            {func(o *Options) *bool { return &o.ReadOnly }, false},
	"allow_other":   {func(o *Options) *bool { return &o.AllowOther }, true},
	"nonempty":      {func(o *Options) *bool { return &o.NonEmpty }, true},
	"writeback":     {func(o *Options) *bool { return &o.Writeback }, true},
	"suid":          {func(o *Options) *bool { return &o.Suid }, true},
	"nosuid":        {func(o *Options) *bool { return &o.Suid }, false},
	"dev":           {func(o *Options) *bool { return &o.Dev }, true},
	"nodev":         {func(o *Options) *bool { return &o.Dev }, false},
	"noexec":        {func(o *Options) *bool { return &o.NoExec }, true},
	"exec":          {func(o *Options) *bool { return &o.NoExec }, false},
	"noatime":       {func(o *Options) *bool { return &o.Atime }, false},
	"atime":         {func(o *Options) *bool { return &o.Atime }, true},
	"relatime":      {func(o *Options) *bool { return &o.Atime }, true},
	"norelatime":    {func(o *Options) *bool { return &o.Atime }, false},
	"nostrictatime": {},
	"nodiratime":    {func(o *Options) *bool { return &o.NoDirAtime }, true},
	"diratime":      {func(o *Options) *bool { return &o.NoDirAtime }, false},
	"sync":          {func(o *Options) *bool { return &o.Sync }, true},
	"async":         {func(o *Options) *bool { return &o.Sync }, false},
	"dirsync":       {func(o *Options) *bool { return &o.DirSync }, true},
	"idmapped":      {func(o *Options) *bool { return &o.IDMapped }, true},
	"sync=peers":    {func(o *Options) *bool { return &o.SyncPeers }, true},
	"sync=local":    {func(o *Options) *bool { return &o.SyncPeers }, false},
}

// passed are words for others (mount(8), systemd), and what is always so.
var passed = words("defaults auto noauto user users nouser owner group nofail _netdev silent loud " +
	"lazytime nolazytime nomand noiversion acl user_xattr default_permissions")

// passedPrefixes begin words for others that carry a value.
var passedPrefixes = []string{"x-", "X-", "comment=", "user="}

// refused are words that are known and cannot be had; the value says why.
var refused = map[string]string{
	"remount":     "options cannot be changed while it is mounted: unmount it and mount it again",
	"allow_root":  "the kernel cannot admit root alone; allow_other admits all users, as permissions allow",
	"strictatime": "reads that the kernel answers from its memory are not seen; relatime is what can be had",
	"mand":        "Linux has no mandatory locks any more",
	"noacl":       "access control lists cannot be switched off",
}

// valued are the options with a value of their own.
var valued = map[string]func(o *Options, value string) error{
	"fsname": func(o *Options, value string) error { o.Source = value; return nil },
	"uidmap": func(o *Options, value string) (err error) { o.UIDs, err = parseIDMap(value); return err },
	"uring":  func(o *Options, value string) (err error) { o.Uring, err = parseUring(value); return err },
	"gidmap": func(o *Options, value string) (err error) { o.GIDs, err = parseIDMap(value); return err },
}

func parseUring(value string) (Uring, error) {
	for u, word := range []string{UringAuto: "auto", UringOff: "off", UringOn: "on"} {
		if value == word {
			return Uring(u), nil
		}
	}
	return 0, fmt.Errorf("%q is not auto, on or off", value)
}

func words(list string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(list) {
		set[w] = true
	}
	return set
}

func (o *Options) set(word string) error {
	if s, ok := switches[word]; ok {
		if s.field != nil {
			*s.field(o) = s.value
		}
		return nil
	}
	if passed[word] {
		return nil
	}
	for _, prefix := range passedPrefixes {
		if strings.HasPrefix(word, prefix) {
			return nil
		}
	}
	if why, ok := refused[word]; ok {
		return fmt.Errorf("the mount option %s cannot be had: %s", word, why)
	}
	name, value, _ := strings.Cut(word, "=")
	if set := valued[name]; set != nil {
		if err := set(o, value); err != nil {
			return fmt.Errorf("mount option %s: %w", name, err)
		}
		return nil
	}
	return fmt.Errorf("%w %q", ErrUnknownOption, word)
}

// check refuses what this user may not have.
func (o *Options) check(root bool) error {
	if root {
		return nil
	}
	if o.Suid || o.Dev {
		return fmt.Errorf("the mount options suid and dev need root")
	}
	if o.AllowOther && !userAllowOther("/etc/fuse.conf") {
		return fmt.Errorf("the mount option allow_other needs root, or a line \"user_allow_other\" in /etc/fuse.conf")
	}
	return nil
}

// userAllowOther reports whether fusermount3 lets users admit other users.
func userAllowOther(conf string) bool {
	b, err := os.ReadFile(conf)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if strings.TrimSpace(line) == "user_allow_other" {
			return true
		}
	}
	return false
}

// words are the options for fusermount3, as flags are those for mount(2). That
// the kernel itself notes no times of access is said either way: it never does
// for FUSE.
func (o *Options) words() (words []string) {
	for _, f := range []struct {
		set  bool
		word string
	}{
		{o.ReadOnly, "ro"}, {!o.Suid, "nosuid"}, {!o.Dev, "nodev"},
		{o.NoExec, "noexec"}, {!o.Atime, "noatime"}, {o.NoDirAtime, "nodiratime"},
		{o.Sync, "sync"}, {o.DirSync, "dirsync"},
	} {
		if f.set {
			words = append(words, f.word)
		}
	}
	return words
}
