package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/hammockfs/hammock/placement"
)

// nodeStatus is how a node and its volume are doing.
type nodeStatus struct {
	Name      string        `json:"name"`
	Owner     string        `json:"owner"`
	Device    string        `json:"device"`
	Swarm     string        `json:"swarm"`
	Addresses []string      `json:"addresses"`
	Gives     int64         `json:"gives"`
	Held      int64         `json:"held"`   // bytes kept for others, as charged to each
	Stored    int64         `json:"stored"` // bytes that this takes on the disk: equal shards are kept once
	Shards    int           `json:"shards_held"`
	Members   []string      `json:"members"`
	Peers     []peerStatus  `json:"peers"`
	BytesIn   int64         `json:"bytes_in"`
	BytesOut  int64         `json:"bytes_out"`
	Routines  int           `json:"goroutines"` // what runs at once in the process: at rest always about as much
	Volume    *volumeStatus `json:"volume,omitempty"`
}

type peerStatus struct {
	ID        string      `json:"id"`
	Name      string      `json:"name"`
	Connected bool        `json:"connected"`
	Gives     int64       `json:"gives"`
	Free      int64       `json:"free"`
	Record    *peerRecord `json:"record,omitempty"` // what the volume has seen of it
}

// volumeStatus is how the data is doing: promise 7.
type volumeStatus struct {
	ID           string      `json:"id"`
	Mount        string      `json:"mount"`
	Policy       string      `json:"policy"`
	Code         string      `json:"code,omitempty"`
	Files        uint64      `json:"records_in_tree"`
	Head         uint64      `json:"head"`
	Unpublished  int         `json:"unpublished_changes"`
	LocalBytes   int64       `json:"local_only_bytes"`
	LocalStripes int         `json:"local_only_stripes"`
	Queued       int         `json:"uploads_queued"`
	QueuedBytes  int64       `json:"uploads_queued_bytes"`
	Stripes      map[int]int `json:"stripes_by_spare"` // how many more losses -> stripes
	Lost         int         `json:"stripes_unreadable_now"`
	Repair       repairState `json:"repair"`
	CacheBytes   int64       `json:"cache_bytes"`
	CacheLimit   int64       `json:"cache_limit"`
	Fetched      int64       `json:"fetched_bytes"`
	LastError    string      `json:"last_error,omitempty"`
	Keepers      string      `json:"keepers,omitempty"`
}

func statusCommand(at func() state) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status [PATH]",
		Short: "How the volume is doing, or one file of it",
		Long: "Says what is on this machine only, what is safe on peers and how many more of them may be lost, who is connected,\n" +
			"and what trouble there is. With PATH it says so of one file.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{}
			if len(args) == 1 {
				path, err := realPath(args[0])
				if err != nil {
					return err
				}
				q.Set("path", path)
			}
			var raw json.RawMessage
			if err := at().ask(cmd.Context(), "/status", q, nil, &raw); err != nil {
				return err
			}
			if asJSON {
				_, err := fmt.Println(string(raw))
				return err
			}
			if q.Has("path") {
				return printFile(raw)
			}
			return printStatus(raw)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// realPath names a file as it lies under the mount point.
func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

func (n *node) answerStatus(r *http.Request, m *mounted) (any, error) {
	if path := r.FormValue("path"); path != "" {
		if m == nil {
			return nil, fmt.Errorf("this node has no volume mounted")
		}
		return m.fileStatus(r.Context(), m.mountPoint(), path)
	}
	self := n.swarm.Self()
	u := n.depot.Usage()
	s := nodeStatus{Name: n.set.Name, Owner: n.cert.Owner.String(), Device: self.ID, Swarm: n.swarm.ID().String(),
		Addresses: n.swarm.Addrs(), Gives: n.set.Give, Held: u.Used, Stored: u.Stored, Shards: u.Shards, Members: []string{}, Peers: []peerStatus{}}
	s.BytesIn, s.BytesOut = n.swarm.Counters()
	s.Routines = runtime.NumGoroutine()
	for _, m := range n.swarm.Members() {
		s.Members = append(s.Members, m.Name)
	}
	for _, p := range n.swarm.Peers() {
		s.Peers = append(s.Peers, peerStatus{ID: p.ID, Name: p.Name, Connected: p.Connected, Gives: p.Gives, Free: p.Free})
	}
	if m != nil {
		v, err := m.status(r.Context(), m.mountPoint())
		if err != nil {
			return nil, err
		}
		s.Volume = v
		m.addRecords(s.Peers)
	}
	return s, nil
}

func printStatus(raw json.RawMessage) error {
	var s nodeStatus
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "node\t%s\n", s.Name)
	fmt.Fprintf(w, "keeps for others\t%s of %s, %d shards\n", showSize(s.Held), showSize(s.Gives), s.Shards)
	connected := 0
	for _, p := range s.Peers {
		if p.Connected {
			connected++
		}
	}
	fmt.Fprintf(w, "peers\t%d of %d connected\n", connected, len(s.Peers))
	for _, p := range s.Peers {
		state := "away"
		if p.Connected {
			state = "connected"
		}
		fmt.Fprintf(w, "\t%s\t%s\tgives %s, %s free%s\n", p.Name, state, showSize(p.Gives), showSize(p.Free), p.Record.text())
	}
	if s.Volume != nil {
		printVolume(w, s.Volume)
	}
	return w.Flush()
}

func printVolume(w *tabwriter.Writer, v *volumeStatus) {
	fmt.Fprintf(w, "mounted on\t%s\n", v.Mount)
	fmt.Fprintf(w, "policy\t%s %s\n", v.Policy, v.Code)
	fmt.Fprintf(w, "only on this machine\t%s in %d stripes, %s\n", showSize(v.LocalBytes), v.LocalStripes, unpublished(v.Unpublished))
	fmt.Fprintf(w, "waiting for upload\t%s in %d stripes\n", showSize(v.QueuedBytes), v.Queued)
	for _, spare := range sortedKeys(v.Stripes) {
		fmt.Fprintf(w, "on peers\t%d stripes that can lose %d more\n", v.Stripes[spare], spare)
	}
	if v.Lost > 0 {
		fmt.Fprintf(w, "cannot be read now\t%d stripes: too many of their peers are away\n", v.Lost)
	}
	if v.Repair.Stripes > 0 {
		fmt.Fprintf(w, "to repair\t%s\n", v.Repair.text())
	}
	fmt.Fprintf(w, "cache\t%s of %s\n", showSize(v.CacheBytes), showSize(v.CacheLimit))
	fmt.Fprintf(w, "head\t%d, %s\n", v.Head, v.Keepers)
	if v.LastError != "" && v.Queued > 0 {
		fmt.Fprintf(w, "last trouble\t%s\n", v.LastError)
	}
}

// unpublished says how many changes no head has yet; after a start it is not
// known how many.
func unpublished(changes int) string {
	if changes < 0 {
		return "with changes that are not published"
	}
	return fmt.Sprintf("%d changes not published", changes)
}

// spareOf says how many more of its stores a placed stripe can lose; negative
// if it cannot be read just now.
func (d *drive) spareOf(record []byte, online map[uint32]bool) int {
	return d.placer.Health(record, func(store uint32) bool { return online[store] })
}

func (d *drive) online() map[uint32]bool {
	m := map[uint32]bool{}
	for _, s := range d.placer.Standings() {
		m[s.Number] = s.Online && s.Verdict != placement.VerdictLiar && s.Verdict != placement.VerdictLost
	}
	return m
}
