package integration

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// postgres is a database cluster in the folder, run by a user who is not root.
type postgres struct {
	t    *testing.T
	bin  string // where Debian has the programs that only the server's user needs
	data string
	as   runner
}

// runPostgres loads a database, has it worked upon, and shows after a restart, a
// crash of the server and a crash of the folder that it is whole.
func runPostgres(t *testing.T, w *world, dir string) {
	p := newPostgres(t, dir)
	p.command("initdb", "-D", p.data, "-A", "trust", "-U", "keeper", "--data-checksums", "--no-instructions")
	conf := "listen_addresses = ''\nunix_socket_directories = '" + dir + "'\nshared_buffers = 32MB\ncheckpoint_timeout = 30s\n"
	p.as.must(t, "sh", "-c", `printf '%s' "$1" >>"$2"`, "sh", conf, filepath.Join(p.data, "postgresql.conf"))
	p.start()
	t.Cleanup(func() { _, _ = p.as.run(filepath.Join(p.bin, "pg_ctl"), "stop", "-D", p.data, "-m", "immediate") })
	p.command("pgbench", "-i", "-q", "-s", "5", "postgres")
	p.work(20 * time.Second)
	before := p.dump()
	p.command("pg_ctl", "stop", "-D", p.data, "-m", "fast")
	p.command("pg_checksums", "--check", "-D", p.data)
	p.start()
	if p.dump() != before {
		t.Error("after a restart the dump is another one")
	}
	p.work(5 * time.Second)
	p.command("pg_ctl", "stop", "-D", p.data, "-m", "immediate") // a crash: what is next replays its log
	p.start()
	p.check()
	p.crash(w)
	p.check()
	p.command("psql", "-q", "-c", "vacuum full", "-c", "reindex database postgres", "postgres")
	p.check()
	p.command("pg_ctl", "stop", "-D", p.data, "-m", "fast")
	p.command("pg_checksums", "--check", "-D", p.data)
}

func newPostgres(t *testing.T, dir string) *postgres {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		missing(t, "postgresql is not installed")
	}
	p := &postgres{t: t, bin: found[len(found)-1], data: filepath.Join(dir, "data"), as: runner{dir: dir, env: []string{"PGHOST=" + dir, "PGUSER=keeper"}}}
	if os.Getuid() != 0 {
		return p
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err == nil {
		err = os.Chown(dir, uid, uid)
	}
	// The test's own folders are closed to others.
	for up := filepath.Dir(dir); err == nil && up != os.TempDir() && up != "/"; up = filepath.Dir(up) {
		err = os.Chmod(up, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.as.uid = uint32(uid)
	return p
}

func (p *postgres) command(name string, args ...string) string {
	p.t.Helper()
	return p.as.must(p.t, filepath.Join(p.bin, name), args...)
}

func (p *postgres) start() {
	p.t.Helper()
	log := filepath.Join(filepath.Dir(p.data), "log")
	if out, err := p.as.run(filepath.Join(p.bin, "pg_ctl"), "start", "-w", "-t", "120", "-D", p.data, "-l", log); err != nil {
		p.t.Fatalf("start the database: %v\n%s\n%s", err, out, mustRead(p.t, log))
	}
}

// work has four clients move money for a while, and checks that none got lost.
func (p *postgres) work(d time.Duration) {
	p.t.Helper()
	out := p.command("pgbench", "-n", "-c", "4", "-j", "2", "-T", strconv.Itoa(int(d.Seconds())), "postgres")
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "tps") || strings.HasPrefix(line, "number of failed") {
			p.t.Log(strings.TrimSpace(line))
		}
	}
	p.check()
}

// check compares the four sums that every transaction keeps equal, and has
// amcheck prove tables and indexes.
func (p *postgres) check() {
	p.t.Helper()
	sums := strings.TrimSpace(p.command("psql", "-q", "-A", "-t", "-c",
		`select count(distinct s) from (select sum(abalance) s from pgbench_accounts union all select sum(bbalance) from pgbench_branches
		union all select sum(tbalance) from pgbench_tellers union all select coalesce(sum(delta), 0) from pgbench_history) sums`, "postgres"))
	if sums != "1" {
		p.t.Errorf("the four sums have %s values, and they must be equal", sums)
	}
	p.command("pg_amcheck", "--install-missing", "--heapallindexed", "postgres")
}

// dump is the database as text, without the random words of a dump's frame.
func (p *postgres) dump() string {
	p.t.Helper()
	var text strings.Builder
	for line := range strings.Lines(p.command("pg_dump", "postgres")) {
		if !strings.HasPrefix(line, "\\restrict") && !strings.HasPrefix(line, "\\unrestrict") {
			text.WriteString(line)
		}
	}
	return text.String()
}

// crash kills the daemon of the folder under a working server, and starts both
// again. What the server was told is committed must be there.
func (p *postgres) crash(w *world) {
	p.t.Helper()
	history := func() int {
		p.t.Helper()
		n, err := strconv.Atoi(strings.TrimSpace(p.command("psql", "-q", "-A", "-t", "-c", "select count(*) from pgbench_history", "postgres")))
		if err != nil {
			p.t.Fatal(err)
		}
		return n
	}
	before := history()
	clients := p.as.start(p.t, filepath.Join(p.bin, "pgbench"), "-n", "-c", "4", "-T", "300", "postgres")
	deadline := time.Now().Add(time.Minute)
	for history() < before+200 {
		if time.Now().After(deadline) {
			p.t.Fatal("no transactions within a minute")
		}
		time.Sleep(50 * time.Millisecond)
	}
	least := history()
	server := p.server()
	w.kill()
	clients.kill()
	p.quit(server)
	w.detach()
	w.mountAgain()
	p.start()
	if got := history(); got < least {
		p.t.Errorf("%d transactions are there, and %d had been seen committed", got, least)
	}
}

// server is the process ID of the database server.
func (p *postgres) server() int {
	p.t.Helper()
	first, _, _ := strings.Cut(string(mustRead(p.t, filepath.Join(p.data, "postmaster.pid"))), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		p.t.Fatal(err)
	}
	return pid
}

// quit ends a server whose folder is gone, and waits until nothing is left of
// it: a new one asks whether there is still a process of that number.
func (p *postgres) quit(server int) {
	p.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for err := unix.Kill(server, unix.SIGQUIT); !errors.Is(err, unix.ESRCH); err = unix.Kill(server, 0) {
		if err != nil || time.Now().After(deadline) {
			p.t.Fatalf("the database server does not end: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
