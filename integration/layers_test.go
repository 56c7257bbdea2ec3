package integration

import (
	"go/build"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/hammockfs/hammock/"

// layers says which of the project's own packages each package may import in
// code that is not a test. Nobody else may import anything of ours.
var layers = map[string][]string{
	"chunker":             {},
	"whole":               {},
	"crypt":               {"whole"},
	"room":                {},
	"placement":           {"crypt"},
	"placement/storetest": {"crypt", "placement"},
	"placement/depot":     {"crypt", "room"},
	"net/swarm":           {"crypt", "room", "whole"},
	"net/wire":            {"crypt", "net/swarm"},
	"net/memnet":          {"crypt", "net/wire"},
	"fs/cache":            {"crypt", "room"},
	"fs/meta/journal":     {"crypt", "room"},
	"fs/meta/atrest":      {"crypt"},
	"fs/meta/tree":        {"crypt"},
	"fs/meta":             {"crypt", "room", "fs/meta/journal", "fs/meta/atrest", "fs/meta/tree"},
	"fs/volume/acl":       {},
	"fs/volume":           {"crypt", "chunker", "fs/meta", "fs/cache", "fs/volume/acl"},
	"fs/check":            {"crypt", "fs/meta", "fs/volume"},
	"fs/mount/uring":      {},
	"fs/mount":            {"crypt", "fs/volume", "fs/volume/acl", "fs/mount/uring"},
	"cmd/hammock": {"chunker", "crypt", "room", "whole", "placement", "placement/depot", "net/swarm", "net/wire",
		"fs/cache", "fs/meta", "fs/volume", "fs/mount", "fs/check"},
	"integration/swarmsim":  {"crypt", "placement"},
	"integration":           {},
	"integration/crashdisk": {},
	"integration/liar":      {"crypt", "net/swarm", "net/wire", "placement/depot"},
	"integration/hostile":   {},
	"integration/model":     {"fs/volume"},
	"integration/posix":     {},
	"integration/netbench":  {},
	"integration/powercuts": {},
	"integration/rig":       {},
	"integration/scale":     {},
	"integration/storm":     {},
}

// doors says who may import a module of somebody else's that enters the
// project by one door only. A key matches itself and what lies below it.
var doors = map[string][]string{
	"github.com/hanwen/go-fuse/v2":             {"fs/mount"},
	"github.com/libp2p":                        {"net/swarm", "net/wire", "net/memnet"},
	"github.com/multiformats":                  {"net/swarm", "net/wire", "net/memnet"},
	"github.com/cockroachdb/pebble/v2":         {"fs/meta", "placement/depot"},
	"github.com/klauspost/reedsolomon":         {"placement"},
	"github.com/zeebo/blake3":                  {"crypt"},
	"lukechampine.com/blake3":                  {"crypt"},
	"golang.org/x/crypto":                      {"crypt"},
	"github.com/tyler-smith/go-bip39":          {"crypt"},
	"github.com/fxamacker/cbor/v2":             {"crypt"},
	"github.com/spf13/cobra":                   {"cmd/hammock"},
	"github.com/schollz/progressbar/v3":        {"cmd/hammock"},
	"github.com/mdp/qrterminal/v3":             {"cmd/hammock"},
	"github.com/cockroachdb/pebble/v2/vfs":     nil, // open to whoever touches files
	"github.com/cockroachdb/pebble/v2/bloom":   {"fs/meta", "placement/depot"},
	"github.com/cockroachdb/pebble/v2/sstable": {"fs/meta", "placement/depot"},
}

// corridors are folders without Go files of their own, so that fs and net in
// code always mean the standard library's.
var corridors = []string{"fs", "net", "cmd"}

// TestLayers reads the imports of every package in-process, for a test that
// runs the go command would be answered from the test cache.
func TestLayers(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
			return filepath.SkipDir
		}
		if path != root && exists(filepath.Join(path, "go.mod")) {
			return filepath.SkipDir // a module of its own
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if checkPackage(t, path, filepath.ToSlash(rel)) {
			seen++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < len(layers)-2 {
		t.Errorf("only %d packages were found where %d are declared: is the walk broken?", seen, len(layers))
	}
}

func exists(path string) bool {
	matches, _ := filepath.Glob(path)
	return len(matches) > 0
}

func checkPackage(t *testing.T, dir, rel string) bool {
	pkg, err := build.ImportDir(dir, build.IgnoreVendor)
	if _, none := err.(*build.NoGoError); none && pkg.IgnoredGoFiles == nil {
		return false
	}
	if err != nil {
		if _, none := err.(*build.NoGoError); none {
			return false
		}
		t.Errorf("%s: %v", rel, err)
		return false
	}
	if slices.Contains(corridors, rel) {
		t.Errorf("%s is a corridor and must have no Go files of its own", rel)
	}
	if len(pkg.GoFiles) == 0 { // tests only
		return true
	}
	allowed, declared := layers[rel]
	if !declared {
		t.Errorf("%s is not declared in layers: say what it may import", rel)
		return true
	}
	for _, imp := range pkg.Imports {
		checkImport(t, rel, imp, allowed)
	}
	if pkg.Doc == "" {
		t.Errorf("%s has no package comment", rel)
	}
	return true
}

func checkImport(t *testing.T, rel, imp string, allowed []string) {
	if own, ok := strings.CutPrefix(imp, module); ok {
		if !slices.Contains(allowed, own) {
			t.Errorf("%s must not import %s", rel, own)
		}
		return
	}
	door, longest := []string(nil), ""
	for key, who := range doors {
		if (imp == key || strings.HasPrefix(imp, key+"/")) && len(key) > len(longest) {
			door, longest = who, key
		}
	}
	if longest == "" || door == nil {
		return
	}
	for _, who := range door {
		if rel == who || who == "fs/meta" && strings.HasPrefix(rel, "fs/meta/") {
			return
		}
	}
	t.Errorf("%s must not import %s: its door is %v", rel, imp, door)
}
