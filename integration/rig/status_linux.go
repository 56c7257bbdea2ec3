package rig

import (
	"encoding/json"
	"fmt"
	"time"
)

// Status is the part of `hammock status --json` that the tests look at.
type Status struct {
	Addresses []string `json:"addresses"`
	Held      int64    `json:"held"`
	BytesIn   int64    `json:"bytes_in"`
	BytesOut  int64    `json:"bytes_out"`
	Routines  int      `json:"goroutines"`
	Peers     []struct {
		Name      string     `json:"name"`
		Connected bool       `json:"connected"`
		Gives     int64      `json:"gives"`
		Record    PeerRecord `json:"record"`
	} `json:"peers"`
	Volume *struct {
		LocalBytes  int64       `json:"local_only_bytes"`
		Queued      int         `json:"uploads_queued"`
		CacheBytes  int64       `json:"cache_bytes"`
		Fetched     int64       `json:"fetched_bytes"`
		Unpublished int         `json:"unpublished_changes"`
		Stripes     map[int]int `json:"stripes_by_spare"`
		Lost        int         `json:"stripes_unreadable_now"`
		Repair      struct {
			Stripes int `json:"stripes"`
		} `json:"repair"`
	} `json:"volume"`
}

// PeerRecord is what the mounting node has seen of a peer.
type PeerRecord struct {
	Verdict string `json:"verdict"`
	Audits  int    `json:"audits"`
}

// Connected counts the peers that give space and are connected.
func (s *Status) Connected() (n int) {
	for _, p := range s.Peers {
		if p.Connected && p.Gives > 0 {
			n++
		}
	}
	return n
}

// Record is what was seen of the peer of that name.
func (s *Status) Record(name string) PeerRecord {
	for _, p := range s.Peers {
		if p.Name == name {
			return p.Record
		}
	}
	return PeerRecord{}
}

// Whole says whether all is on peers, and each stripe can lose so many more
// shards.
func (s *Status) Whole(spare int) bool {
	if s.Volume.Lost > 0 || s.Volume.LocalBytes > 0 || len(s.Volume.Stripes) == 0 {
		return false
	}
	for n := range s.Volume.Stripes {
		if n < spare {
			return false
		}
	}
	return true
}

// Status asks the node how it is.
func (n *Node) Status() (*Status, error) {
	out, err := n.Run("status", "--json")
	if err != nil {
		return nil, err
	}
	var s Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return nil, fmt.Errorf("%s: status --json: %w", n.Name, err)
	}
	return &s, nil
}

// Await asks for the status until it is as wanted. What changes it is in other
// processes, so there is nothing to wait on but time.
func (n *Node) Await(what string, limit time.Duration, wanted func(*Status) bool) error {
	for late := time.Now().Add(limit); ; time.Sleep(25 * time.Millisecond) {
		s, err := n.Status()
		if err != nil {
			return err
		}
		if wanted(s) {
			return nil
		}
		if time.Now().After(late) {
			text, _ := n.Run("status")
			return fmt.Errorf("%s: not within %v: %s\n%s\nthe end of its log:\n%s", n.Name, limit, what, text, n.Log(2000))
		}
	}
}
