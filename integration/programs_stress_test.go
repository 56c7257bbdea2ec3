package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// stressors are those that `make test` runs, all at once.
var stressors = []string{"chmod", "chown", "copy-file", "dentry", "dir", "fcntl", "fstat", "getdent", "hdd", "lockf", "open", "rename", "touch", "utime"}

// runStress has stressors of several kinds work beside one another for a few
// seconds, and verify what they see.
func runStress(t *testing.T, _ *world, dir string) {
	done, err := stress(dir, 1, 3*time.Second, stressors...)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stressors {
		if done[name] == 0 {
			t.Errorf("the stressor %s did nothing", name)
		}
	}
}

// stress runs stressors in a folder, so many of each, and returns how much each
// has done, in a unit of its own.
func stress(dir string, each int, d time.Duration, names ...string) (done map[string]float64, err error) {
	args := []string{"--timeout", strconv.Itoa(int(d.Seconds())), "--verify", "--temp-path", dir, "--metrics-brief", "--no-rand-seed"}
	for _, name := range names {
		args = append(args, "--"+name, strconv.Itoa(each))
	}
	out, err := runner{dir: dir, limit: d + 3*time.Minute}.run("stress-ng", args...)
	if err != nil {
		return nil, fmt.Errorf("stress-ng %s: %w\n%s", strings.Join(names, " "), err, out)
	}
	return stressDone(out, names), nil
}

// stressDone reads the column "bogo ops" of stress-ng's table.
func stressDone(out string, names []string) map[string]float64 {
	done := map[string]float64{}
	for line := range strings.Lines(out) {
		for i, word := range strings.Fields(line) {
			if fields := strings.Fields(line)[i:]; len(fields) > 2 && slices.Contains(names, word) {
				if n, err := strconv.ParseFloat(fields[1], 64); err == nil {
					done[word] += n
				}
			}
		}
	}
	return done
}

// leftOut are the stressors of what FUSE does not have, and those that change
// more than their folder.
var leftOut = map[string]string{
	"fiemap":     "FUSE has no FS_IOC_FIEMAP",
	"bind-mount": "mounts what is not ours",
	"binderfs":   "mounts what is not ours",
	"procfs":     "works in /proc",
}

// runStressClass runs every stressor of the class filesystem by itself. One
// that fails, or does nothing, counts if it does better on ext4.
func runStressClass(t *testing.T, _ *world, dir string) {
	out, _ := runner{dir: dir}.run("stress-ng", "--class", "filesystem?") // it prints them and fails
	_, list, ok := strings.Cut(out, "stressors:")
	if !ok {
		t.Fatalf("stress-ng names no stressors:\n%s", out)
	}
	for _, name := range strings.Fields(list) {
		t.Run(name, func(t *testing.T) {
			if why := leftOut[name]; why != "" {
				t.Skip(why)
			}
			work := filepath.Join(dir, name)
			if err := os.Mkdir(work, 0o777); err != nil {
				t.Fatal(err)
			}
			done, err := stress(work, 2, 10*time.Second, name)
			if err == nil && done[name] > 0 {
				t.Logf("%v done", done[name])
				return
			}
			native, errNative := stress(ext4Folder(t), 2, 10*time.Second, name)
			if errNative != nil || native[name] == 0 {
				t.Skipf("it does no better on ext4: %v", errNative)
			}
			t.Errorf("%v done, %v on ext4: %v", done[name], native[name], err)
		})
	}
}
