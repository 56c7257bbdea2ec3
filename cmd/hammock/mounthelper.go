//go:build !windows

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/hammockfs/hammock/fs/mount"
)

// mount(8) mounts what the kernel alone cannot by a program of the name
// mount.TYPE, which is this one under another name: `mount -t fuse.hammock
// STATE DIR -o OPTIONS` and lines of /etc/fstab become `hammock mount`.

// Exit statuses that mount(8) knows.
const (
	helperUsage  = 1
	helperSystem = 2
	helperFailed = 32
)

// helperCall is what mount(8) says: SOURCE DIR [-sfnv] [-N NAMESPACE] [-t TYPE]
// [-o OPTIONS].
type helperCall struct {
	source, dir string
	options     []string // each a word
	namespace   string   // to mount in; "" is ours
	fake        bool     // look at everything, do nothing
	sloppy      bool     // pass over unknown options
	verbose     bool
}

// calledAsHelper says whether the program was called by the name of a helper.
func calledAsHelper(name string) bool {
	switch filepath.Base(name) {
	case "mount.hammock", "mount.fuse.hammock":
		return true
	}
	return false
}

// runHelper does what mount(8) asks for and returns the exit status.
func runHelper(ctx context.Context, name string, args []string) int {
	err := helpMount(ctx, name, args)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, filepath.Base(name)+": "+err.Error())
	status := new(exitError)
	switch {
	case errors.As(err, status) && (status.status == helperUsage || status.status == helperSystem):
		return status.status
	default:
		return helperFailed
	}
}

func helpMount(ctx context.Context, name string, args []string) error {
	call, err := parseHelperCall(args)
	if err != nil {
		return exitError{err, helperUsage}
	}
	if call.namespace != "" {
		return enterNamespace(name, call.namespace, args)
	}
	line, err := call.commandLine()
	if err != nil {
		return exitError{err, helperUsage}
	}
	if call.verbose {
		fmt.Fprintln(os.Stderr, filepath.Base(name)+": hammock "+strings.Join(line, " "))
	}
	if call.fake {
		return nil
	}
	os.Args = append([]string{"hammock"}, line...) // which the process in the background gets, too
	err = rootCommand().ExecuteContext(ctx)
	if errors.Is(err, errNotStarted) {
		return exitError{err, helperSystem}
	}
	if err != nil {
		return exitError{err, helperFailed}
	}
	return nil
}

func parseHelperCall(args []string) (c helperCall, err error) {
	var names []string
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			names = append(names, arg)
			continue
		}
		if args, err = c.flags(arg[1:], args); err != nil {
			return c, err
		}
	}
	if len(names) != 2 {
		return c, errors.New("it is SOURCE DIR [-sfnv] [-N NAMESPACE] [-t TYPE] [-o OPTIONS]; SOURCE is the state folder, or none for that of the user who mounts")
	}
	c.source = names[0]
	c.dir, err = filepath.Abs(names[1])
	return c, err
}

// flags reads one argument with flags and returns the arguments after it and
// its value. A value may stand in the same argument.
func (c *helperCall) flags(letters string, rest []string) ([]string, error) {
	for i, letter := range letters {
		switch letter {
		case 's':
			c.sloppy = true
		case 'f':
			c.fake = true
		case 'v':
			c.verbose = true
		case 'n': // there is no mtab to leave alone
		case 'o', 't', 'N':
			value := letters[i+1:]
			if value == "" {
				if len(rest) == 0 {
					return nil, fmt.Errorf("-%c needs a value", letter)
				}
				value, rest = rest[0], rest[1:]
			}
			c.value(letter, value)
			return rest, nil
		default:
			return nil, fmt.Errorf("unknown flag -%c", letter)
		}
	}
	return rest, nil
}

func (c *helperCall) value(letter rune, value string) {
	switch letter {
	case 'o':
		c.options = append(c.options, strings.Split(value, ",")...)
	case 'N':
		c.namespace = value
	}
}

// commandLine is what to say to hammock. Options for the program itself become
// its flags.
func (c *helperCall) commandLine() (_ []string, err error) {
	line := []string{"mount", c.dir, "--quiet", "--source", c.source}
	if c.source != "" && c.source != "none" && c.source != "hammock" {
		line = append(line, "--state", c.source)
	}
	var words []string
	if os.Geteuid() == 0 {
		// mount(8) says only what differs from what is usual, which for root these are.
		words = append(words, "suid", "dev")
	}
	for _, word := range c.options {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "passphrase_file", "give", "listen":
			if value == "" {
				return nil, fmt.Errorf("the mount option %s needs a value", name)
			}
			if name == "passphrase_file" {
				if value, err = filepath.Abs(value); err != nil {
					return nil, err
				}
			}
			line = append(line, "--"+strings.ReplaceAll(name, "_", "-"), value)
			continue
		}
		switch _, err := mount.ParseOptions(word); {
		case errors.Is(err, mount.ErrUnknownOption) && c.sloppy:
		case err != nil:
			return nil, err
		default:
			words = append(words, word)
		}
	}
	return append(line, "--options", strings.Join(words, ",")), nil
}

// enterNamespace starts the helper again in another mount namespace: the path of
// one, or the number of a process in it. A program with threads cannot change
// over by itself.
func enterNamespace(name, namespace string, args []string) error {
	if pid, err := strconv.Atoi(namespace); err == nil {
		namespace = fmt.Sprintf("/proc/%d/ns/mnt", pid)
	}
	self, err := exec.LookPath(name)
	if err != nil {
		return exitError{err, helperSystem}
	}
	enter, err := exec.LookPath("nsenter")
	if err != nil {
		return exitError{fmt.Errorf("the flag -N needs nsenter: %w", err), helperSystem}
	}
	line := []string{enter, "--mount=" + namespace, "--", self}
	err = syscall.Exec(enter, append(line, withoutNamespace(args)...), os.Environ())
	return exitError{fmt.Errorf("enter the mount namespace %s: %w", namespace, err), helperSystem}
}

// withoutNamespace leaves the flag -N and its value out.
func withoutNamespace(args []string) []string {
	for i, arg := range args {
		at := strings.IndexByte(arg, 'N')
		if !strings.HasPrefix(arg, "-") || at < 0 || strings.ContainsAny(arg[:at], "ot") {
			continue
		}
		rest := args[i+1:]
		if at == len(arg)-1 && len(rest) > 0 {
			rest = rest[1:]
		}
		if at > 1 {
			rest = append([]string{arg[:at]}, rest...)
		}
		return slices.Concat(args[:i], rest)
	}
	return args
}
