package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/hammockfs/hammock/net/swarm"
)

func serveCommand(at func() state) *cobra.Command {
	var pass passphraseFlags
	var give string
	var listen []string
	var foreground bool
	cmd := &cobra.Command{
		Use:   "serve --give SIZE",
		Short: "Run a node that only keeps shards for others",
		Long: "Keeps sealed shards and heads for the other members, within --give, and mounts nothing. It goes on in the\n" +
			"background; `kill $(cat STATE/pid)` ends it in order, and the others go on without it. What it keeps is of no use to\n" +
			"whoever reads this machine's disk.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			size, err := giveSize(at(), give)
			if err != nil {
				return err
			}
			if size <= 0 {
				return errors.New("say with --give how much space this node gives to others, for example --give 100G")
			}
			run := func(ctx context.Context) error { return serve(ctx, at(), &pass, size, listen) }
			return startOrRun(cmd.Context(), at(), foreground, &pass, run, "serving")
		},
	}
	pass.add(cmd)
	cmd.Flags().StringVar(&give, "give", "", "space for others' shards, like 100G (kept for later runs)")
	cmd.Flags().StringArrayVar(&listen, "listen", nil, "address to listen at, like /ip4/0.0.0.0/tcp/4001 (may be repeated)")
	cmd.Flags().BoolVar(&foreground, "foreground", false, "stay in the foreground and log to standard error")
	return cmd
}

// giveSize reads --give; empty means what was given before.
func giveSize(st state, give string) (int64, error) {
	if err := st.need(); err != nil {
		return 0, err
	}
	if give == "" {
		set, err := st.settings()
		return set.Give, err
	}
	n, err := parseSize(give)
	if err != nil {
		return 0, fmt.Errorf("--give: %w", err)
	}
	return n, nil
}

// startOrRun runs a node here, or starts it in the background and returns when
// it is ready. Then it says the word.
func startOrRun(ctx context.Context, st state, foreground bool, pass *passphraseFlags, run func(context.Context) error, word string) error {
	if foreground {
		err := run(ctx)
		if err != nil {
			tellReady(err)
		}
		return err
	}
	if err := st.need(); err != nil {
		return err
	}
	secret, err := pass.check(st)
	if err != nil {
		return err
	}
	if err := runBackground(ctx, st, foregroundArgs(), secret); err != nil {
		return err
	}
	if word == "" {
		return nil
	}
	fmt.Printf("%s; process %s, log %s\n", word, readPID(st), st.path("log"))
	return nil
}

// serve runs a node until it is told to stop.
func serve(ctx context.Context, st state, pass *passphraseFlags, give int64, listen []string) error {
	debug.SetMemoryLimit(memoryLimit)
	lockMemory(nodeLog())
	k, err := pass.load(st)
	if err != nil {
		return err
	}
	n, err := startNode(ctx, st, k, nodeOptions{listen: listen, give: give, log: nodeLog()})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c, err := n.answer(func(c *control) {
		c.handle("/status", func(r *http.Request, _ func(any)) (any, error) { return n.answerStatus(r, nil) })
		c.handleEnd("/stop", func(*http.Request, func(any)) (any, error) { stop(); return ended{}, nil })
	})
	if err != nil {
		return errors.Join(err, c.end(n.close))
	}
	tellReady(nil)
	n.log.Info("serving", "addresses", n.swarm.Addrs(), "gives", showSize(n.set.Give))
	<-ctx.Done()
	n.log.Info("stopping")
	return c.end(n.close)
}

// answer starts to answer commands: those of every node, and those that more
// adds. The control is to be ended, also after an error.
func (n *node) answer(more func(*control)) (*control, error) {
	c := newControl()
	c.handle("/invite", n.answerInvite)
	c.handle("/peers/revoke", n.answerRevoke)
	for path, show := range map[string]http.HandlerFunc{"/": pprof.Index, "/profile": pprof.Profile, "/trace": pprof.Trace} {
		c.mux.Handle("GET /debug/pprof"+path, show) // for whoever looks into what a node spends its time on
	}
	more(c)
	if err := n.state.writePID(); err != nil {
		return c, fmt.Errorf("note the process ID: %w", err)
	}
	if err := n.remember(); err != nil {
		return c, err
	}
	if err := inBackground(); err != nil {
		return c, err
	}
	return c, c.serve(n.state)
}

// remember keeps for later runs how much is given and where this node listens.
func (n *node) remember() error {
	set, err := n.state.settings()
	if err != nil {
		return err
	}
	next := set
	next.Give = n.set.Give
	if port := portOf(n.swarm.Addrs()); port != 0 {
		next.Port = port
	}
	if next == set {
		return nil
	}
	return n.state.saveSettings(next)
}

func (n *node) answerInvite(r *http.Request, _ func(any)) (any, error) {
	valid, err := time.ParseDuration(r.FormValue("valid"))
	if err != nil {
		return nil, err
	}
	allowance, err := parseSize(r.FormValue("allowance"))
	if err != nil {
		return nil, err
	}
	ticket, err := n.swarm.Invite(r.Context(), swarm.Invitation{Name: r.FormValue("name"), Allowance: allowance, Valid: valid})
	if err != nil {
		return nil, fmt.Errorf("make a ticket: %w", err)
	}
	return ticket, nil
}

func readPID(st state) string {
	b, err := os.ReadFile(st.path("pid"))
	if err != nil {
		return "unknown"
	}
	return string(b[:max(0, len(b)-1)])
}
