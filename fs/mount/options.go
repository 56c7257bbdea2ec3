package mount

import (
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
	// Suid and Dev allow set-ID programs and device files; both need root.
	Suid, Dev bool
	NoExec    bool
	NoAtime   bool
	Sync      bool // every write(2) is an fsync too
}

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
var switches = map[string]struct {
	field func(*Options) *bool
	value bool
}{
	"ro":                  {func(o *Options) *bool { return &o.ReadOnly }, true},
	"rw":                  {func(o *Options) *bool { return &o.ReadOnly }, false},
	"allow_other":         {func(o *Options) *bool { return &o.AllowOther }, true},
	"nonempty":            {func(o *Options) *bool { return &o.NonEmpty }, true},
	"writeback":           {func(o *Options) *bool { return &o.Writeback }, true},
	"suid":                {func(o *Options) *bool { return &o.Suid }, true},
	"nosuid":              {func(o *Options) *bool { return &o.Suid }, false},
	"dev":                 {func(o *Options) *bool { return &o.Dev }, true},
	"nodev":               {func(o *Options) *bool { return &o.Dev }, false},
	"noexec":              {func(o *Options) *bool { return &o.NoExec }, true},
	"exec":                {func(o *Options) *bool { return &o.NoExec }, false},
	"noatime":             {func(o *Options) *bool { return &o.NoAtime }, true},
	"atime":               {func(o *Options) *bool { return &o.NoAtime }, false},
	"relatime":            {func(o *Options) *bool { return &o.NoAtime }, false},
	"sync":                {func(o *Options) *bool { return &o.Sync }, true},
	"async":               {func(o *Options) *bool { return &o.Sync }, false},
	"sync=peers":          {func(o *Options) *bool { return &o.SyncPeers }, true},
	"sync=local":          {func(o *Options) *bool { return &o.SyncPeers }, false},
	"defaults":            {},
	"auto":                {},
	"noauto":              {},
	"user":                {},
	"users":               {},
	"nouser":              {},
	"owner":               {},
	"nofail":              {},
	"_netdev":             {},
	"default_permissions": {}, // always so
}

func (o *Options) set(word string) error {
	if strings.HasPrefix(word, "x-") {
		return nil
	}
	s, ok := switches[word]
	if !ok {
		return fmt.Errorf("unknown mount option %q", word)
	}
	if s.field != nil {
		*s.field(o) = s.value
	}
	return nil
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

// words are the options for fusermount3, as flags are those for mount(2).
func (o *Options) words() (words []string) {
	for _, f := range []struct {
		set  bool
		word string
	}{
		{o.ReadOnly, "ro"}, {!o.Suid, "nosuid"}, {!o.Dev, "nodev"},
		{o.NoExec, "noexec"}, {o.NoAtime, "noatime"}, {o.Sync, "sync"},
	} {
		if f.set {
			words = append(words, f.word)
		}
	}
	return words
}
