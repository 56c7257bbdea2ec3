package mount

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/volume"
)

const (
	maxWrite      = 1 << 20  // bytes of one request
	maxBackground = 64       // requests of readahead and the like at a time
	maxInflight   = 64 << 20 // bytes of writes that are being served
	readaheadKiB  = 4096     // 2.2 GB/s at the kernel's 128 KiB, 4.0 GB/s at this
)

// Config says what to mount where. Dir and Volume are needed.
type Config struct {
	Dir     string
	Volume  *volume.Volume
	Options Options
	// AllowOther and ReadOnly are added to the options.
	AllowOther, ReadOnly bool
	// State is a folder of the daemon that must not lie inside Dir; "" if none.
	State string
	// SyncPeers is what fsync waits for, after it has synced here, under the
	// option sync=peers.
	SyncPeers func(context.Context) error
	// Limit is how long a request waits for data that is not here; 30 s if zero.
	Limit time.Duration
	Log   *slog.Logger
}

// Server is one mount and what serves it.
type Server struct {
	fuse.RawFileSystem // answers what is not implemented: ENOSYS

	volume  *volume.Volume
	peers   func(context.Context) error
	log     *slog.Logger
	dir     string
	files   files
	gives   bool          // the bytes of small files, before they are asked for
	limit   time.Duration // of a request's wait for stores
	crowd   crowd
	late    lateness
	fuse    *fuse.Server
	front   fuse.RawFileSystem // what serves requests: see face
	options *fuse.MountOptions
	queues  *queued         // through which requests come; nil if they come through the device
	ctx     context.Context // of requests; ends when the last has been served
	stop    context.CancelFunc
	taking  chan error // result of the attempt to unmount that is under way; nil: none; guarded by takeMu
	takeMu  sync.Mutex
	served  chan struct{}
}

// Mount mounts the volume and serves it until it is unmounted, by Unmount or by
// somebody else. It returns when the mount answers. ctx is for Mount alone.
// Errors are sentences for the user.
func Mount(ctx context.Context, cfg Config) (*Server, error) {
	o := cfg.Options
	o.AllowOther = o.AllowOther || cfg.AllowOther
	o.ReadOnly = o.ReadOnly || cfg.ReadOnly
	root := os.Geteuid() == 0
	if err := o.check(root); err != nil {
		return nil, err
	}
	s, err := newServer(ctx, &cfg, &o)
	if err != nil {
		return nil, err
	}
	if err := s.begin(&o, root); err != nil {
		s.stop()
		return nil, err
	}
	closeOnExec()
	go s.serve()
	if err := awaitMount(s.fuse); err != nil {
		return nil, errors.Join(fmt.Errorf("mount %s: the kernel does not answer: %w", cfg.Dir, err), s.Unmount(ctx))
	}
	s.raiseReadahead()
	return s, nil
}

// begin attaches the server, and finds out how requests will come.
func (s *Server) begin(o *Options, root bool) (err error) {
	devices.Lock()
	defer devices.Unlock()
	if s.queues, err = wantQueues(o, s.log); err != nil {
		return err
	}
	s.fuse, err = s.attach(o, root)
	s.queues.asked(err == nil)
	if err != nil {
		return err
	}
	if s.queues, err = s.queues.attached(s.fuse); err != nil {
		return fmt.Errorf("mount %s: %w", s.dir, errors.Join(err, detach(s.dir)))
	}
	return nil
}

// devices is held by whoever opens the device or looks for those that are open.
var devices sync.Mutex

func newServer(ctx context.Context, cfg *Config, o *Options) (*Server, error) {
	if o.SyncPeers && cfg.SyncPeers == nil {
		return nil, errors.New("the mount option sync=peers needs a volume with peers")
	}
	if err := checkDevice("/dev/fuse"); err != nil {
		return nil, err
	}
	var keep []string
	if cfg.State != "" {
		keep = append(keep, cfg.State)
	}
	dir, err := CheckPoint(cfg.Dir, o.NonEmpty, keep...)
	if err != nil {
		return nil, err
	}
	return unmounted(ctx, cfg, o, dir), nil
}

// unmounted is a server that answers requests and is not attached to anything.
func unmounted(ctx context.Context, cfg *Config, o *Options, dir string) *Server {
	s := &Server{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		volume:        cfg.Volume, log: cfg.Log, dir: dir,
		crowd: crowd{limit: crowdLimit},
		files: newFiles(), gives: !o.Atime && !o.Writeback, limit: cmp.Or(cfg.Limit, waitLimit), served: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if o.SyncPeers {
		s.peers = cfg.SyncPeers
	}
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

// closeOnExec keeps the device out of programs that the daemon starts: one that
// outlived it would keep the mount from failing, and callers hanging.
func closeOnExec() {
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == "/dev/fuse" {
			if fd, err := strconv.Atoi(filepath.Base(link)); err == nil {
				syscall.CloseOnExec(fd)
			}
		}
	}
}

// String implements fuse.RawFileSystem.
func (s *Server) String() string { return "hammock" }

// checkDevice says in a sentence why FUSE cannot be used here.
func checkDevice(path string) error {
	devices.Lock()
	defer devices.Unlock()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("%s is missing: this system has no FUSE (load it with \"modprobe fuse\"; a container needs \"--device %s --cap-add SYS_ADMIN\")", path, path)
	case errors.Is(err, fs.ErrPermission):
		if _, err := helper(); err == nil {
			return nil // it opens the device with its own rights
		}
		return fmt.Errorf("%s may not be opened by this user; it should be readable and writable for all (chmod 666 %s)", path, path)
	case err != nil:
		return fmt.Errorf("%s cannot be opened: %w", path, err)
	}
	return f.Close()
}

// attach mounts: root by itself, everybody else, and root where it may not,
// with the help of fusermount3.
func (s *Server) attach(o *Options, root bool) (*fuse.Server, error) {
	opts := s.mountOptions(o)
	s.options = opts
	if s.front == nil { // a test may have its own
		s.front = s.face(o)
	}
	var direct error
	if root {
		opts.DirectMountStrict, opts.DirectMountFlags = true, o.flags()
		var server *fuse.Server
		if server, direct = fuse.NewServer(s.front, s.dir, opts); direct == nil {
			return server, nil
		}
		_ = clearStale(s.dir) // if it was mounted and then did not answer
		opts.DirectMountStrict = false
	}
	if _, err := helper(); err != nil {
		if direct != nil {
			return nil, fmt.Errorf("mount %s: %w", s.dir, direct)
		}
		return nil, err
	}
	opts.Options = append(opts.Options, o.words()...)
	server, err := fuse.NewServer(s.front, s.dir, opts)
	if err != nil {
		_ = clearStale(s.dir)
		return nil, fmt.Errorf("mount %s: %s (what the helper itself says about it is on standard error, or in the log)",
			s.dir, strings.TrimSpace(errors.Join(direct, err).Error()))
	}
	return server, nil
}

// face is the server with what the options put before it; without them it is
// the server itself.
func (s *Server) face(o *Options) fuse.RawFileSystem {
	var face fuse.RawFileSystem = s
	if len(o.UIDs)+len(o.GIDs) > 0 {
		face = &idMapped{Server: s, uids: o.UIDs, gids: o.GIDs}
	}
	if o.ReadOnly {
		return readOnly{face}
	}
	if o.Atime {
		face = &accessed{RawFileSystem: face, server: s, dirs: !o.NoDirAtime}
	}
	if o.Sync || o.DirSync {
		face = &synced{RawFileSystem: face, server: s, all: o.Sync}
	}
	return face
}

// helper finds the program that mounts for users who are not root.
func helper() (string, error) {
	for _, name := range []string{"fusermount3", "fusermount", "/bin/fusermount3", "/bin/fusermount"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("fusermount3 is not installed; without it only root can mount (it comes with the package fuse3)")
}

// mountOptions leaves it to the kernel to empty files that are opened to be emptied
// (no CAP_ATOMIC_O_TRUNC): only then does it look first whether that is a program
// which runs. Who asks for the attributes of what he has opened, as most programs
// do, waits for as many requests: the answer that it is empty has them.
func (s *Server) mountOptions(o *Options) *fuse.MountOptions {
	extra := uint64(fuse.CAP_DONT_MASK|fuse.CAP_ASYNC_DIO|kernelCapabilities) | s.queues.capability()
	if o.Writeback {
		extra |= fuse.CAP_WRITEBACK_CACHE
	}
	return &fuse.MountOptions{
		AllowOther: o.AllowOther, Options: []string{"default_permissions"},
		Name: "hammock", FsName: cmp.Or(o.Source, "hammock"),
		MaxWrite: maxWrite, MaxBackground: maxBackground, MaxInflightRequestBytes: maxInflight,
		DisableSplice: true, ExplicitDataCacheControl: true, EnableAcl: true,
		EnableSymlinkCaching: !o.Atime || o.ReadOnly,
		IDMappedMount:        o.IDMapped,
		ExtraCapabilities:    extra,
		Logger:               slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		PanicHandler:         s.panicked,
	}
}

// panicked answers a request whose handling failed on a mistake of ours.
func (s *Server) panicked(v any) fuse.Status {
	s.log.Error("a request hit a bug", "panic", v, "stack", string(debug.Stack()))
	return fuse.EIO
}

// serve answers requests until the mount is gone, then closes what is still
// open: the kernel does not tell when it is unmounted right after a close.
func (s *Server) serve() {
	defer close(s.served)
	if s.queues != nil {
		s.serveQueues()
	}
	s.fuse.Serve() // of the queues, the end only
	for _, f := range s.files.drain() {
		s.status(f.Release(s.ctx), "release", f.Ino())
	}
	s.stop()
}

// Dir is the mount point as the kernel names it.
func (s *Server) Dir() string { return s.dir }

// Wait returns when the mount is gone and everything that was asked through it
// has been done.
func (s *Server) Wait() { <-s.served }

// Done is closed when Wait returns.
func (s *Server) Done() <-chan struct{} { return s.served }

// ErrElsewhere says that a folder is unmounted for us, and not for others.
var ErrElsewhere = errors.New("another mount namespace, of a container perhaps, still has it")

// Unmount takes the mount away and returns when it is gone. While programs use
// it, it tries again until ctx ends; the error then names some of them. It wraps
// ErrElsewhere if the mount is gone here and lives on in a copy.
func (s *Server) Unmount(ctx context.Context) error {
	for {
		err := s.take(ctx)
		if err == nil {
			s.Wait()
			return nil
		}
		again := time.NewTimer(200 * time.Millisecond)
		select {
		case <-s.served: // by somebody else
			again.Stop()
			return nil
		case <-ctx.Done():
			again.Stop()
			return s.stays(err)
		case <-again.C:
		}
	}
}

// take is one attempt. The library's own waits until the kernel asks for nothing
// any more, however long a copy of the mount lives: so it is made beside its
// caller, and ends with the mount.
func (s *Server) take(ctx context.Context) error {
	s.takeMu.Lock()
	if s.taking == nil {
		s.taking = make(chan error, 1)
		go func(done chan<- error) { done <- s.fuse.Unmount() }(s.taking)
	}
	done := s.taking
	s.takeMu.Unlock()
	select {
	case err := <-done:
		s.takeMu.Lock()
		s.taking = nil
		s.takeMu.Unlock()
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stays says why there is still a mount.
func (s *Server) stays(err error) error {
	if list, merr := mounts(); merr == nil {
		if m, ok := mountedAt(list, s.dir); !ok || m.fstype != fsType {
			return fmt.Errorf("%s is unmounted here, but %w; the volume is served until that has let go of it", s.dir, ErrElsewhere)
		}
	}
	if users := usersOf(s.dir); len(users) > 0 {
		return fmt.Errorf("%s is still in use by %s", s.dir, strings.Join(users, ", "))
	}
	return fmt.Errorf("unmount %s: %w", s.dir, err)
}

// Detach takes the mount out of sight at once. Programs that use it go on, and
// Wait returns when the last has ended.
func (s *Server) Detach() error { return detach(s.dir) }

func detach(dir string) error {
	err := detachDirectly(dir)
	if err == nil {
		return nil
	}
	bin, herr := helper()
	if herr != nil {
		return fmt.Errorf("detach %s: %w", dir, err)
	}
	if out, err := exec.Command(bin, "-u", "-z", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("detach %s: %s", dir, strings.TrimSpace(string(out)))
	}
	return nil
}

// usersOf names up to eight processes that have their folder or an open file
// below dir, as far as we may look at them. It reads links of /proc only, and
// does not touch the mount.
func usersOf(dir string) (users []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	open, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	seen := map[string]bool{}
	for _, link := range append(links, open...) {
		target, err := os.Readlink(link)
		if err != nil || target != dir && !strings.HasPrefix(target, dir+"/") {
			continue
		}
		pid := strings.Split(link, "/")[2]
		if seen[pid] || len(users) == 8 {
			continue
		}
		seen[pid] = true
		name, _ := os.ReadFile("/proc/" + pid + "/comm")
		users = append(users, fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), pid))
	}
	return users
}

// raiseReadahead lets the kernel read further ahead, where it may be asked to.
func (s *Server) raiseReadahead() {
	list, err := mounts()
	if err != nil {
		return
	}
	m, ok := mountedAt(list, s.dir)
	if !ok || m.fstype != fsType {
		return
	}
	path := "/sys/class/bdi/" + m.device + "/read_ahead_kb"
	if err := os.WriteFile(path, fmt.Appendf(nil, "%d", readaheadKiB), 0o644); err != nil {
		s.log.Debug("readahead stays as it is", "err", err)
	}
}
