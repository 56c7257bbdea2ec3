package integration

import (
	"testing"
)

// fioVerify has fio put a checksum into every block and look for it afterwards.
var fioVerify = []string{"--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--verify_state_save=0", "--output-format=terse", "--thread"}

// runFio has fio write at random, in several sizes, and verify it.
func runFio(t *testing.T, _ *world, dir string) {
	for _, job := range [][]string{
		{"--name=small", "--rw=randwrite", "--bs=512-20k", "--bs_unaligned=1", "--size=8M", "--fsync=64"},
		{"--name=blocks", "--rw=randwrite", "--bs=4k", "--size=16M", "--numjobs=2", "--fdatasync=128"},
		{"--name=large", "--rw=write", "--bs=1M", "--size=48M", "--end_fsync=1"},
		{"--name=mixed", "--rw=randrw", "--bs=16k", "--size=16M"},
	} {
		program(t, dir, "fio", append(append(job, "--directory="+dir, "--ioengine=psync"), fioVerify...)...)
	}
}

// runFioEngines has fio write in each way that Linux knows, through the page
// cache and past it.
func runFioEngines(t *testing.T, _ *world, dir string) {
	for _, job := range []struct {
		engine string
		more   []string
	}{
		{"sync", nil}, {"vsync", nil}, {"pvsync2", nil}, {"mmap", nil}, {"splice", nil}, {"posixaio", nil},
		{"psync", []string{"--direct=1"}},
		{"libaio", []string{"--direct=1", "--iodepth=16"}},
		{"io_uring", []string{"--direct=1", "--iodepth=16"}},
		{"io_uring", []string{"--iodepth=16", "--fsync=32"}},
	} {
		args := append([]string{"--name=" + job.engine, "--directory=" + dir, "--ioengine=" + job.engine, "--rw=randrw", "--bs=4k-16k", "--size=3M"}, job.more...)
		out, err := runner{dir: dir}.run("fio", append(args, fioVerify...)...)
		if err != nil {
			t.Errorf("fio %v: %v\n%s", args, err, out)
		}
	}
}
