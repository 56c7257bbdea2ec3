//go:build linux

package posix

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Case is one subject, done in an empty folder of its own.
type Case struct {
	Name string // theme/subject
	Root bool   // only root can do it
	Run  func(*T)
}

// Cases are all cases, in the order in which they run.
func Cases() []Case {
	return slices.Concat(nameCases, pathCases, openCases, timeCases, readWriteCases, truncateCases, linkCases, renameCases,
		directoryCases, attributeCases, permissionCases, mmapCases, specialCases, execCases, mountCases, xattrCases,
		aclCases, tmpfileCases, inotifyCases, lockCases, spaceCases, copyCases, handleCases)
}

// Step is a call and what came of it.
type Step struct{ Call, Result string }

// Transcript is what a case wrote down.
type Transcript struct {
	Case  string
	Steps []Step
}

// T is one run of a case.
type T struct {
	steps []Step
	who   string // before each call, while somebody else makes it
	fds   []int
	undo  []func()
}

// failure is a panic that ends a case: what it needs before its first step
// cannot be had.
type failure struct{ error }

// run runs a case in the working directory.
func (c *Case) run() (tr Transcript) {
	t := &T{}
	defer func() {
		if v := recover(); v != nil {
			f, ok := v.(failure)
			if !ok {
				panic(v)
			}
			t.note("the case", "failed: %v", f.error)
		}
		t.end()
		tr = Transcript{c.Name, t.steps}
	}()
	c.Run(t)
	return
}

// end closes and undoes what the case has left.
func (t *T) end() {
	for _, f := range slices.Backward(t.undo) {
		f()
	}
	for _, fd := range t.fds {
		_ = unix.Close(fd)
	}
}

// later has something done when the case has ended, last things first.
func (t *T) later(f func()) { t.undo = append(t.undo, f) }

// note writes a step down.
func (t *T) note(call, format string, args ...any) {
	t.steps = append(t.steps, Step{t.who + call, fmt.Sprintf(format, args...)})
}

// result writes down how a call ended and reports whether it succeeded.
func (t *T) result(call string, err error) bool {
	t.note(call, "%s", outcome(err))
	return err == nil
}

// must is for what is no step but needed for the next.
func (t *T) must(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// outcome is "ok" or the name of an errno.
func outcome(err error) string {
	var no syscall.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &no) && unix.ErrnoName(no) == "ENOTSUP":
		return "EOPNOTSUPP"
	case errors.As(err, &no):
		return unix.ErrnoName(no)
	}
	return err.Error()
}

// again repeats a call that a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// show is a name as it appears in a call.
func show(name string) string {
	switch {
	case len(name) > 60:
		return fmt.Sprintf("%q..(%d)", name[:8], len(name))
	case name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Sprintf("%q", name)
	}
	return name
}

// brief is data as it appears in a result.
func brief(p []byte) string {
	if len(p) > 64 {
		return fmt.Sprintf("%d bytes, sum %s", len(p), sum(p))
	}
	return fmt.Sprintf("%q", p)
}
