//go:build !windows

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/hammockfs/hammock/fs/mount"
)

// drainLimit is how long an unmount waits for uploads unless it was told.
const drainLimit = 2 * time.Minute

func mountCommand(at func() state) *cobra.Command {
	var o mountOptions
	var give string
	var foreground bool
	cmd := &cobra.Command{
		Use:   "mount DIR",
		Short: "Mount the volume on DIR, and be a node of the swarm",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st := at()
			var err error
			if o.give, err = giveSize(st, give); err != nil {
				return err
			}
			if o.dir, err = filepath.Abs(args[0]); err != nil {
				return err
			}
			run := func(ctx context.Context) error { return runMount(ctx, st, o) }
			return startOrRun(cmd.Context(), st, foreground, &o.pass, run, "mounted on "+o.dir)
		},
	}
	o.pass.add(cmd)
	cmd.Flags().StringVarP(&o.options, "options", "o", "", "mount options, separated by commas: ro, allow_other, ...")
	cmd.Flags().StringVar(&give, "give", "", "space for others' shards, like 100G (kept for later runs)")
	cmd.Flags().StringArrayVar(&o.listen, "listen", nil, "address to listen at, like /ip4/0.0.0.0/tcp/4001 (may be repeated)")
	cmd.Flags().BoolVar(&foreground, "foreground", false, "stay in the foreground and log to standard error")
	return cmd
}

type mountOptions struct {
	dir     string
	options string
	give    int64
	listen  []string
	pass    passphraseFlags
}

// mounted is a drive that is mounted.
type mounted struct {
	*drive
	dir     string
	server  *mount.Server
	leaving sync.Mutex // one unmount at a time
	left    chan struct{}
	once    sync.Once
}

// runMount runs a node with its volume mounted until it is unmounted.
func runMount(ctx context.Context, st state, o mountOptions) error {
	debug.SetMemoryLimit(memoryLimit)
	opts, err := mount.ParseOptions(o.options)
	if err != nil {
		return err
	}
	if o.dir, err = mount.CheckPoint(o.dir, opts.NonEmpty, st.dir); err != nil {
		return err
	}
	k, err := o.pass.load(st)
	if err != nil {
		return err
	}
	n, err := startNode(ctx, st, k, nodeOptions{listen: o.listen, give: o.give, log: nodeLog()})
	if err != nil {
		return err
	}
	m, err := mountNode(ctx, n, o.dir, opts)
	if err != nil {
		return errors.Join(err, n.close())
	}
	return errors.Join(m.wait(ctx), n.close())
}

func mountNode(ctx context.Context, n *node, dir string, opts mount.Options) (*mounted, error) {
	d, err := openDrive(ctx, n)
	if err != nil {
		return nil, err
	}
	m := &mounted{drive: d, dir: dir, left: make(chan struct{})}
	if m.server, err = mount.Mount(ctx, mount.Config{Dir: dir, Volume: d.volume, Options: opts, State: n.state.dir, Log: n.log,
		SyncPeers: func(ctx context.Context) error { return d.sync(ctx, false, func(syncReport) {}) }}); err != nil {
		return nil, errors.Join(err, d.close(ctx))
	}
	return m, nil
}

// wait answers commands until the folder is unmounted, by a command, a signal
// or from outside.
func (m *mounted) wait(ctx context.Context) error {
	c, err := m.node.answer(m, nil)
	if err != nil {
		return errors.Join(err, m.leave(context.Background(), 0, func(syncReport) {}))
	}
	tellReady(nil)
	m.log.Info("mounted", "dir", m.dir, "addresses", m.node.swarm.Addrs())
	gone := make(chan struct{})
	go func() { defer close(gone); m.server.Wait() }()
	select {
	case <-ctx.Done(): // a signal: what is not on peers stays here
		lctx, cancel := context.WithTimeout(context.Background(), drainLimit)
		err = m.leave(lctx, 0, func(syncReport) {})
		cancel()
	case <-m.left:
	case <-gone:
	}
	if err != nil {
		m.log.Error("unmount", "error", err)
	}
	<-gone
	return errors.Join(err, c.close(), m.drive.close(context.Background()))
}

func (m *mounted) register(mux *http.ServeMux) {
	mux.Handle("POST /sync", handle(m.answerSync))
	mux.Handle("POST /unmount", handle(m.answerUnmount))
	mux.Handle("POST /check", handle(m.answerCheck))
	mux.Handle("POST /cache/drop", handle(func(r *http.Request, _ func(any)) (any, error) { return m.answerDrop(r.Context()) }))
}

// leave waits up to the limit for uploads and unmounts. It returns what is only
// on this machine as an error, once the folder is unmounted.
func (m *mounted) leave(ctx context.Context, limit time.Duration, report func(syncReport)) error {
	m.leaving.Lock()
	defer m.leaving.Unlock()
	if err := m.volume.Sync(ctx); err != nil {
		return fmt.Errorf("save what was written: %w", err)
	}
	var notSafe error
	if limit > 0 {
		dctx, cancel := context.WithTimeout(ctx, limit)
		notSafe = m.sync(dctx, true, report)
		cancel()
	}
	if err := m.server.Unmount(ctx); err != nil {
		return err
	}
	m.once.Do(func() { close(m.left) })
	return notSafe
}
