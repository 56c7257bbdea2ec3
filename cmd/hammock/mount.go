//go:build !windows

package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/hammockfs/hammock/fs/mount"
)

func mountCommand(at func() state) *cobra.Command {
	var o mountOptions
	var give string
	var foreground, quiet bool
	cmd := &cobra.Command{
		Use:   "mount DIR",
		Short: "Mount the volume on DIR, and be a node of the swarm",
		Long: "Mounts the volume of this state on DIR, an empty folder, and goes on in the background until `hammock unmount DIR`;\n" +
			"it returns when the folder can be used. The process ID is in STATE/pid, its log in STATE/log. While it runs, this\n" +
			"machine is a member of the swarm, and keeps shards for others within --give.\n\n" +
			"Options for -o: ro, allow_other, nonempty, suid, dev, noexec, relatime (noatime unless said), sync, dirsync,\n" +
			"sync=peers (fsync returns when peers have the data), writeback, uidmap and gidmap (VOLUME:LOCAL:COUNT, several\n" +
			"joined by /), idmapped, uring=off (requests come through the device). Words of /etc/fstab that are for others are passed over.",
		Args: exactly(1, "DIR"),
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
			word := "mounted on " + o.dir
			if quiet {
				word = ""
			}
			return startOrRun(cmd.Context(), st, foreground, &o.pass, run, word)
		},
	}
	o.pass.add(cmd)
	cmd.Flags().StringVarP(&o.options, "options", "o", "", "mount options, separated by commas")
	cmd.Flags().StringVar(&give, "give", "", "space for others' shards, like 100G (kept for later runs)")
	cmd.Flags().StringArrayVar(&o.listen, "listen", nil, "address to listen at, like /ip4/0.0.0.0/tcp/4001 (may be repeated)")
	cmd.Flags().BoolVar(&foreground, "foreground", false, "stay in the foreground and log to standard error")
	cmd.Flags().StringVar(&o.source, "source", "", "what lists of mounts call it")
	cmd.Flags().BoolVar(&quiet, "quiet", false, "do not say that it is mounted")
	_ = errors.Join(cmd.Flags().MarkHidden("source"), cmd.Flags().MarkHidden("quiet")) // for mount(8)
	return cmd
}

type mountOptions struct {
	dir     string
	source  string
	options string
	give    int64
	listen  []string
	pass    passphraseFlags
}

// mounted is a drive that is mounted.
type mounted struct {
	*drive
	dir     string // as the kernel names it
	server  *mount.Server
	leaving chan struct{} // holds a token while somebody unmounts; see leave.go

	mu       sync.Mutex
	cutDrain context.CancelCauseFunc // ends the drain under way; nil when there is none; guarded by mu
}

// runMount runs a node with its volume mounted until it is unmounted.
func runMount(ctx context.Context, st state, o mountOptions) error {
	debug.SetMemoryLimit(memoryLimit)
	lockMemory(nodeLog())
	opts, err := mount.ParseOptions(o.options)
	if err != nil {
		return err
	}
	opts.Source = cmp.Or(opts.Source, o.source)
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
		return errors.Join(err, within(closeLimit, n.close))
	}
	return m.wait(ctx)
}

func mountNode(ctx context.Context, n *node, dir string, opts mount.Options) (*mounted, error) {
	d, err := openDrive(ctx, n)
	if err != nil {
		return nil, err
	}
	m := &mounted{drive: d, dir: dir, leaving: make(chan struct{}, 1)}
	m.server, err = mount.Mount(ctx, mount.Config{Dir: dir, Volume: d.volume, Options: opts, State: n.state.dir, Limit: n.set.readTimeout(), Log: n.log,
		SyncPeers: func(ctx context.Context) error { return d.sync(ctx, false, silent) }})
	if err != nil {
		return nil, errors.Join(err, within(closeLimit, func() error { return d.close(context.WithoutCancel(ctx)) }))
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + waiting)
	return m, nil
}

// waiting is for how many threads that wait for requests of the kernel, or for the disk, the scheduler of Go has room
// beside those that compute. For such a thread counts as one that runs: where there are no more places than cores, its
// monitor takes the place away from it each 20 µs and wakes others to look for work, which took a quarter of the
// processor time of a request; and a request that arrives while all places compute waits for up to 10 ms, although the
// kernel would let it run at once. The number is changed after the mount, whose library makes as many readers as there
// are places then. What counts cores must do so before.
const waiting = 4

// wait answers commands until the folder is unmounted, by a command, a signal
// or from outside, and closes the node.
func (m *mounted) wait(ctx context.Context) error {
	c, err := m.node.answer(m.register)
	if err != nil {
		return errors.Join(err, m.leaveNow(), c.end(m.close))
	}
	tellReady(nil)
	m.log.Info("mounted", "dir", m.dir, "addresses", m.node.swarm.Addrs())
	select {
	case <-ctx.Done():
		err = m.leaveNow()
	case <-m.server.Done():
		// A command that unmounted may still wait for peers; a signal ends that.
		defer context.AfterFunc(ctx, m.hurry)()
	}
	_ = m.turn(context.Background(), time.Hour) // nobody unmounts any more
	m.log.Info("unmounted", "dir", m.dir)
	return errors.Join(err, c.end(m.close))
}

// close closes drive and node. While programs still use the volume, which a
// signal took from them, the drive stays open until the process ends.
func (m *mounted) close() error {
	if !m.isLeft() {
		return errors.Join(m.volume.Sync(context.Background()), m.node.close())
	}
	return errors.Join(m.drive.close(context.Background()), m.node.close())
}

// register adds the commands of a mounted volume.
func (m *mounted) register(c *control) {
	c.handle("/status", func(r *http.Request, _ func(any)) (any, error) { return m.node.answerStatus(r, m) })
	c.handle("/sync", m.answerSync)
	c.handleEnd("/unmount", m.answerUnmount)
	c.handle("/check", m.answerCheck)
	c.handle("/repair", m.answerRepair)
	c.handle("/peers/judge", m.answerJudge)
	c.handle("/cache/drop", func(r *http.Request, _ func(any)) (any, error) { return m.answerDrop(r.Context()) })
}
