//go:build linux

package posix

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Environment variables that make a program that calls Main one of ours: what
// it is to do, and the folder.
const (
	EnvDo  = "HAMMOCK_POSIX"
	EnvDir = "HAMMOCK_POSIX_DIR"
	// EnvOnly selects cases by a part of their name.
	EnvOnly = "HAMMOCK_POSIX_ONLY"
)

// What EnvDo may say.
const (
	DoCases = "cases" // run all cases in the folder; transcripts go to standard output
	DoLook  = "look"  // describe everything in the folder
	doPeer  = "peer"  // obey a case of another process
)

// Main does what the environment asks for and returns the exit status. asked is
// false if the environment does not mean us.
func Main() (status int, asked bool) {
	var err error
	switch os.Getenv(EnvDo) {
	case "":
		return 0, false
	case DoCases:
		err = runCases(os.Getenv(EnvDir))
	case DoLook:
		err = look(os.Getenv(EnvDir), os.Stdout)
	case doPeer:
		err = bePeer()
	default:
		err = fmt.Errorf("unknown %s", EnvDo)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

// runCases runs the cases, each in a folder below dir. Before each it says on
// standard error which it is, for whoever has to end it.
func runCases(dir string) error {
	signal.Ignore(unix.SIGXFSZ, unix.SIGPIPE)
	unix.Umask(0o022)
	root := os.Geteuid() == 0
	if root {
		if err := bind(dir); err != nil {
			return err
		}
	}
	out := json.NewEncoder(os.Stdout)
	for _, c := range Cases() {
		if c.Root && !root || !strings.Contains(c.Name, os.Getenv(EnvOnly)) {
			continue
		}
		fmt.Fprintln(os.Stderr, "case", c.Name)
		own := filepath.Join(dir, strings.ReplaceAll(c.Name, "/", "-"))
		if err := os.Mkdir(own, 0o755); err != nil {
			return err
		}
		if err := os.Chdir(own); err != nil {
			return err
		}
		tr := c.run()
		if err := os.Chdir("/"); err != nil {
			return err
		}
		if err := out.Encode(tr); err != nil {
			return err
		}
	}
	return nil
}

// bind puts the folder on itself without access times. The process has a
// namespace of mounts of its own.
func bind(dir string) error {
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", dir, err)
	}
	if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("bind %s without access times: %w", dir, err)
	}
	return nil
}
