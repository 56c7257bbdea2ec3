package model

import (
	"flag"
	"os"
	"strconv"
	"testing"
)

// defaultChecks is rapid's own number of runs.
const defaultChecks = "100"

// setChecks sets the number of rapid's runs for one test.
func setChecks(t *testing.T, n int) {
	f := flag.Lookup("rapid.checks")
	if f == nil || f.Value.String() != defaultChecks {
		return // somebody wants another number
	}
	if os.Getenv("HAMMOCK_SOAK") != "" {
		n *= 200
	}
	must(t, f.Value.Set(strconv.Itoa(n)))
	t.Cleanup(func() { _ = f.Value.Set(defaultChecks) })
}
