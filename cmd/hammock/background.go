package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// A command that goes on in the background starts itself again with
// --foreground in a session of its own. The child gets two pipes: on one it
// tells when it is ready or why not, from the other it reads the passphrase if
// one was asked for on the terminal.
const (
	readyEnv      = "HAMMOCK_READY_FD"
	passphraseEnv = "HAMMOCK_PASSPHRASE_FD"
)

// errNotStarted says that the system could not start a process.
var errNotStarted = errors.New("start the background process")

// runBackground starts this program again with args and waits until it is
// ready.
func runBackground(ctx context.Context, st state, args []string, pass []byte) error {
	if runtime.GOOS == "windows" {
		return errors.New("this system cannot start a node in the background: say --foreground, or make it a service")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	logFile, err := os.OpenFile(st.path("log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer logFile.Close()
	ready, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	secret, give, err := os.Pipe()
	if err != nil {
		return errors.Join(err, tell.Close())
	}
	cmd := exec.Command(self, args...)
	cmd.Args[0] = "hammock" // whatever the file is called: a name can have a meaning, see calledAsHelper
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.ExtraFiles = []*os.File{tell, secret}
	cmd.Env = append(os.Environ(), readyEnv+"=3")
	if pass != nil {
		cmd.Env = append(cmd.Env, passphraseEnv+"=4")
	}
	cmd.SysProcAttr = ownSession()
	err = startUnhurried(cmd)
	tell.Close()
	secret.Close()
	if err != nil {
		return errors.Join(fmt.Errorf("%w: %w", errNotStarted, err), give.Close())
	}
	_, werr := give.Write(pass)
	if err := errors.Join(werr, give.Close()); err != nil && pass != nil {
		return fmt.Errorf("hand the passphrase to the background process: %w", err)
	}
	return awaitReady(ctx, st, cmd, ready)
}

// awaitReady waits for the child's word. A child that is not ready when the
// user gives up is ended.
func awaitReady(ctx context.Context, st state, cmd *exec.Cmd, ready *os.File) error {
	word := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(io.LimitReader(ready, 64<<10))
		word <- string(b)
	}()
	select {
	case w := <-word:
		if w == "ready\n" {
			return cmd.Process.Release()
		}
		err := cmd.Wait()
		if w = strings.TrimSpace(w); w != "" {
			return exitError{errors.New(w), max(1, cmd.ProcessState.ExitCode())}
		}
		return fmt.Errorf("the background process ended before it was ready (%v); %s says why", err, st.path("log"))
	case <-ctx.Done():
		end(cmd)
		return errors.New("interrupted before it was ready; nothing was lost")
	}
}

// endLimit is how long a process that is not wanted any more may take to end.
const endLimit = 30 * time.Second

func end(cmd *exec.Cmd) {
	if cmd.Process.Signal(syscall.SIGTERM) != nil {
		_ = cmd.Process.Kill()
	}
	late := time.AfterFunc(endLimit, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	_ = cmd.Wait()
}

// tellReady tells the process that started this one that it is ready, or why
// it will not be.
func tellReady(err error) {
	if os.Getenv(readyEnv) == "" {
		return
	}
	f := os.NewFile(3, "ready")
	if f == nil {
		return
	}
	if err != nil {
		fmt.Fprintln(f, err.Error())
	} else {
		fmt.Fprintln(f, "ready")
	}
	f.Close()
	os.Unsetenv(readyEnv)
}

// inBackground frees the folder that a background process was started in.
func inBackground() error {
	if os.Getenv(readyEnv) == "" {
		return nil
	}
	return os.Chdir("/")
}

// passedSecret is the passphrase that the starting process asked for.
func passedSecret() ([]byte, bool, error) {
	if os.Getenv(passphraseEnv) == "" {
		return nil, false, nil
	}
	f := os.NewFile(4, "passphrase")
	if f == nil {
		return nil, false, errors.New("the passphrase was not handed over")
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(bufio.NewReader(f), 64<<10))
	return b, true, err
}

// nodeLog is where a node logs: standard error, which for a background process
// is STATE/log.
func nodeLog() *slog.Logger { return slog.New(newCalmLog(slog.NewTextHandler(os.Stderr, nil))) }

// foregroundArgs is this command's own line with --foreground.
func foregroundArgs() []string {
	return append(append([]string{}, os.Args[1:]...), "--foreground")
}

// quietLog is for a node that runs within a command: only what went wrong.
func quietLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}
