// Package netbench measures the way to peers and back with the real binary: six
// peers, each a process of its own, on the loopback network, at 4+2. Beside each
// figure stands what the same machine does natively in the same run, and the
// ratio of the two is what counts.
//
// It has benchmarks only, which `go test ./...` does not run; `make bench` does.
// docs/PERFORMANCE.md says what the figures mean and what bounds them.
//
//	HAMMOCK_BENCH_DIR    where everything lies, on a file system that is not
//	                     full; the temporary folder if it is not given
//	HAMMOCK_BENCH_MIB    size of the large file, 1024 if it is not given
//	HAMMOCK_BENCH_FILES  files in the volume that is recovered, 1000000 if it is not given
//	HAMMOCK_BENCH_TREE   the tree of small files; the Go distribution's src folder if
//	                     it is not given
//	HAMMOCK_BINARY       another binary to measure than this source's
package netbench
