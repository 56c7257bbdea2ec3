package liar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/swarm"
	"github.com/hammockfs/hammock/net/wire"
	"github.com/hammockfs/hammock/placement/depot"
)

// Environment variables that make a program that calls Main a peer that lies.
const (
	EnvMode  = "HAMMOCK_LIAR"       // the Mode
	EnvState = "HAMMOCK_LIAR_STATE" // the state of a peer that is not running
	EnvDelay = "HAMMOCK_LIAR_DELAY" // of Slow
	EnvAt    = "HAMMOCK_LIAR_AT"    // the address to listen at, if not any of the loopback network
)

// Modes are all ways to lie.
var Modes = []Mode{Audits, Stale, Nothing, Slow, Wrong}

// gives is what it says that it gives.
const gives = 20 << 30

// Main runs the peer until a signal ends it, and returns the exit status. asked
// is false if the environment does not mean us.
func Main() (status int, asked bool) {
	mode := Mode(os.Getenv(EnvMode))
	if mode == "" {
		return 0, false
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, mode, os.Getenv(EnvState)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

func run(ctx context.Context, mode Mode, state string) (err error) {
	delay, err := time.ParseDuration(os.Getenv(EnvDelay))
	if mode == Slow && err != nil {
		return fmt.Errorf("%s: %w", EnvDelay, err)
	}
	keys, err := crypt.LoadKeyring(nil, filepath.Join(state, "keyring"), nil)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	kept, err := depot.Open(depot.Config{FS: vfs.Default, Dir: filepath.Join(state, "depot"), Capacity: gives, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	s, err := newStore(kept, mode, delay)
	if err != nil {
		return err
	}
	at := os.Getenv(EnvAt)
	if at == "" {
		at = "/ip4/127.0.0.1/tcp/0"
	}
	machine := keys.Machine.String()[:32]
	host, err := swarm.Open(ctx, swarm.Config{State: state, Device: crypt.DeviceFromSeed(keys.DeviceSeed), Certificate: keys.Certificate,
		Name: filepath.Base(state), Machine: machine, Gives: gives, Free: func() int64 { return gives },
		Listen: []string{at}, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	server := wire.NewServer(wire.ServerConfig{Swarm: host.ID(), Depot: s, Keeper: kept, Errors: wireError, Log: log,
		Info: func(context.Context, crypt.OwnerKey) (wire.Info, error) {
			return wire.Info{Free: gives, Machine: machine, Name: filepath.Base(state), Gives: true}, nil
		}})
	defer func() { err = errors.Join(err, server.Close()) }()
	server.Register(wire.OverSwarm(host))
	return serve(ctx, state)
}

// serve says that it is ready and waits for its end.
func serve(ctx context.Context, state string) error {
	pid := filepath.Join(state, "pid")
	if err := os.WriteFile(pid, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return err
	}
	defer os.Remove(pid)
	fmt.Println(Ready)
	<-ctx.Done()
	return nil
}

// Ready is the line that it writes to standard output when it serves.
const Ready = "it lies"

// Env is the environment of a peer that lies on a state.
func Env(mode Mode, state string, delay time.Duration) []string {
	keep := os.Environ()[:0:0]
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, EnvMode) {
			keep = append(keep, v)
		}
	}
	return append(keep, EnvMode+"="+string(mode), EnvState+"="+state, EnvDelay+"="+delay.String())
}
