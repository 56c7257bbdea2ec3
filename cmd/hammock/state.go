package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/whole"
)

// state is the folder of one node: its keys, journal, index, cache and depot.
type state struct {
	dir string
	fs  vfs.FS // what keys, settings, swarm and records are written to; nil: the disk. For tests
}

func (s state) disk() vfs.FS {
	if s.fs == nil {
		return vfs.Default
	}
	return s.fs
}

func (s state) path(name string) string { return filepath.Join(s.dir, name) }

func (s state) keyring() string { return s.path("keyring") }

// defaultState is the XDG data folder's hammock.
func defaultState() string {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "hammock")
	}
	home, err := os.UserHomeDir()
	if err != nil { // services have no HOME
		u, uerr := user.Current()
		if uerr != nil || u.HomeDir == "" {
			return "hammock-state"
		}
		home = u.HomeDir
	}
	return filepath.Join(home, ".local", "share", "hammock")
}

// create makes the folder, for its owner's eyes only whatever the umask. One that
// is there is closed to others, unless it looks like one that is for others.
func (s state) create() error {
	info, err := os.Stat(s.dir)
	if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&wide != 0 {
		if entries, err := os.ReadDir(s.dir); err != nil || len(entries) > 0 {
			return errors.Join(err, fmt.Errorf("%s is open to others (mode %04o) and holds other things already: the state needs a folder of its own, which is closed to others",
				s.dir, info.Mode().Perm()))
		}
	}
	if err := whole.MkdirAll(s.fs, s.dir); err != nil {
		return fmt.Errorf("make the state folder: %w", err)
	}
	if err := os.Chmod(s.dir, 0o700); err != nil {
		return fmt.Errorf("close the state folder to others: %w", err)
	}
	return nil
}

// exists says whether the state has an owner.
func (s state) exists() (bool, error) {
	_, err := s.disk().Stat(s.keyring())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look into the state folder: %w", err)
	}
	return true, nil
}

// vacant refuses a state in which there is something already, and says what to do
// instead.
func (s state) vacant(instead string) error {
	ok, err := s.exists()
	if err != nil {
		return err
	}
	if ok {
		return fmt.Errorf("there is a volume in %s already; nothing was changed. %s", s.dir, instead)
	}
	records, err := s.disk().List(s.path(recordsDir))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(records) == 0 { // an empty folder may be the place of another disk
		return nil
	}
	return errors.Join(err, fmt.Errorf("in %s are the records of a volume whose keyring is missing: put that back; nothing was changed. %s", s.dir, instead))
}

// need refuses a state that has no owner yet.
func (s state) need() error {
	ok, err := s.exists()
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("there is no volume in %s yet: `hammock init` makes one, `hammock join TICKET` enters a swarm, "+
			"`hammock recover` brings one back from its 24 words", s.dir)
	}
	return nil
}

// lock makes this process the only one that has the state open, and closes the
// folder to others.
func (s state) lock() (io.Closer, error) {
	if err := s.close(); err != nil {
		return nil, err
	}
	l, err := vfs.Default.Lock(s.path("lock"))
	if real := new(fs.PathError); errors.As(err, &real) {
		return nil, fmt.Errorf("open the state folder: %w", err)
	}
	if err != nil {
		return nil, heldError{fmt.Errorf("another hammock process%s has %s open: end it first (`hammock unmount`), or give this one a --state of its own",
			s.holder(), s.dir)}
	}
	return l, nil
}

// heldError says that another process has a state open.
type heldError struct{ error }

// lockSoon is lock for a node. One that umount(8) has just taken the folder from
// is still closing, and has taken its socket away, or will in a moment. The next
// one waits for it.
func (s state) lockSoon(ctx context.Context) (io.Closer, error) {
	moment, closed := time.Now().Add(time.Second), time.Now().Add(closeLimit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		l, err := s.lock()
		if !errors.As(err, new(heldError)) || time.Now().After(closed) {
			return l, err
		}
		if _, serr := os.Stat(s.path("socket")); serr == nil && time.Now().After(moment) {
			return nil, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (s state) holder() string {
	b, err := os.ReadFile(s.path("pid"))
	if err != nil {
		return ""
	}
	return " (" + strings.TrimSpace(string(b)) + ")"
}

// writePID notes the process that has the state open.
func (s state) writePID() error {
	return os.WriteFile(s.path("pid"), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600)
}

// settings are what init and join decide and later commands use. They hold no
// secrets.
type settings struct {
	Policy      string  `json:"policy"`
	Convergence string  `json:"convergence"` // private, group, public
	Name        string  `json:"name"`        // of this machine, as others see it
	Give        int64   `json:"give"`        // bytes for others' shards
	Cache       int64   `json:"cache"`       // bytes for the local cache
	Distinct    string  `json:"distinct"`    // machine, site, owner
	Site        string  `json:"site"`
	Port        int     `json:"port,omitempty"` // that this node listened at last
	NoMDNS      bool    `json:"no_mdns,omitempty"`
	Loopback    bool    `json:"loopback,omitempty"`     // a demo: peers on this machine only
	AuditEvery  string  `json:"audit_every,omitempty"`  // how often each peer is asked for a random piece, like 5m
	AwayDays    float64 `json:"away_days,omitempty"`    // after which a peer that is away counts as lost; 3
	RepairRate  int64   `json:"repair_rate,omitempty"`  // bytes a second that repairs may move; negative: no limit
	ReadTimeout string  `json:"read_timeout,omitempty"` // how long a read waits for peers, like 30s
}

// readTimeout is how long a read waits for peers.
func (s settings) readTimeout() time.Duration {
	if d, err := time.ParseDuration(s.ReadTimeout); err == nil && d > 0 {
		return d
	}
	return waitTimeout
}

// maxSettings bounds the file of the settings, in bytes.
const maxSettings = 1 << 20

func (s state) settings() (settings, error) {
	var set settings
	b, err := whole.Read(s.fs, s.path("settings.json"), maxSettings)
	if err != nil {
		return set, fmt.Errorf("read the settings: %w", err)
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return set, fmt.Errorf("read the settings in %s: %w", s.path("settings.json"), err)
	}
	if d, err := time.ParseDuration(set.ReadTimeout); set.ReadTimeout != "" && (err != nil || d <= 0) {
		return set, fmt.Errorf("read the settings in %s: read_timeout is %q; say for example 30s", s.path("settings.json"), set.ReadTimeout)
	}
	return set, nil
}

func (s state) saveSettings(set settings) error {
	b, err := json.MarshalIndent(set, "", "  ")
	if err != nil {
		return err
	}
	return whole.Write(s.fs, s.path("settings.json"), append(b, '\n'))
}
