package placement

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// Reasons for which a store was not asked.
var (
	errOffline = errors.New("it is offline")
	errSilent  = errors.New("it does not answer")
	errHere    = errors.New("it is on this machine")
)

// ErrTooFew says that fewer stores are known than the policy needs: nothing that this machine does alone will help.
var ErrTooFew = errors.New("too few stores are known")

// StoreFailure is one store and why it does not count.
type StoreFailure struct {
	Number uint32
	Name   string // as users know it; may be empty
	Reason error
}

// A QuorumError says that stripes could not be placed, or one not be read, and names each store and its reason.
type QuorumError struct {
	What    string // what was being done: "place stripe 81", "place 12 stripes"
	Need    int    // stores, or shards, that it takes
	Got     int    // that there were
	Of      string // what is counted: "different machines"
	Stores  []StoreFailure
	Because error // ErrTooFew, or the end of a context; may be nil
}

// Error is one line: what, how many of how many, then each store with its reason.
func (e *QuorumError) Error() string {
	var b strings.Builder
	b.WriteString(e.What)
	if e.Need > 0 {
		fmt.Fprintf(&b, ": %d of the %d %s needed", e.Got, e.Need, e.Of)
	}
	if e.Because != nil {
		fmt.Fprintf(&b, ": %v", e.Because)
	}
	for i, s := range e.Stores {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		fmt.Fprintf(&b, "%s%s: %v", sep, s.name(), s.Reason)
	}
	return b.String()
}

// Unwrap gives the reasons of all stores, so that errors.Is(err, ErrFull) finds one that is full.
func (e *QuorumError) Unwrap() []error {
	var out []error
	if e.Because != nil {
		out = append(out, e.Because)
	}
	for _, s := range e.Stores {
		out = append(out, s.Reason)
	}
	return out
}

func (s *StoreFailure) name() string {
	if s.Name != "" {
		return s.Name
	}
	return fmt.Sprintf("store %d", s.Number)
}

// failures lists the reasons by store, in the order of their numbers, with their names.
func failures(reasons map[uint32]error, infos []StoreInfo) []StoreFailure {
	names := map[uint32]string{}
	for i := range infos {
		names[infos[i].Number] = infos[i].Name
	}
	out := make([]StoreFailure, 0, len(reasons))
	for n, err := range reasons {
		out = append(out, StoreFailure{Number: n, Name: names[n], Reason: err})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Number < out[j].Number })
	return out
}
