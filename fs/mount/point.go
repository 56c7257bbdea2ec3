package mount

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// fsType is what the kernel calls our mounts.
const fsType = "fuse.hammock"

// mounted is one line of /proc/self/mountinfo.
type mounted struct {
	device string // major:minor
	point  string
	fstype string
}

// mounts lists what is mounted where, the newest last.
func mounts() ([]mounted, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	defer f.Close()
	return parseMounts(f)
}

// parseMounts reads the format of /proc/self/mountinfo: number, parent, device,
// root, mount point, options, optional words, a dash, type and more.
func parseMounts(r io.Reader) (list []mounted, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		for i := 6; i+1 < len(words); i++ {
			if words[i] == "-" {
				list = append(list, mounted{words[2], unescape(words[4]), words[i+1]})
				break
			}
		}
	}
	return list, lines.Err()
}

// unescape undoes the octal escapes for space, tab, newline and backslash.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// mountedAt returns what is mounted at a clean absolute path, the topmost.
func mountedAt(list []mounted, path string) (mounted, bool) {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].point == path {
			return list[i], true
		}
	}
	return mounted{}, false
}

// CheckPoint says in a plain sentence why a volume cannot be mounted on dir, and
// returns dir as the kernel will name it. It must exist, be a directory, be
// empty unless nonempty is set, have nothing mounted on it, and hold none of the
// folders keep (the state of the daemon, which would then wait for itself). A
// mount that a daemon left when it died is taken away first.
func CheckPoint(dir string, nonempty bool, keep ...string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("mount point %s: %w", dir, err)
	}
	if err := clearStale(path); err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("mount point %s does not exist; make it first: mkdir %s", dir, dir)
	}
	if err != nil {
		return "", fmt.Errorf("mount point %s cannot be used: %w", dir, err)
	}
	if err := clearStale(real); err != nil { // it was named by a symbolic link
		return "", err
	}
	if info, err := os.Stat(real); err != nil {
		return "", fmt.Errorf("mount point %s cannot be used: %w", dir, err)
	} else if !info.IsDir() {
		return "", fmt.Errorf("mount point %s is not a directory", dir)
	}
	list, err := mounts()
	if err != nil {
		return "", err
	}
	if m, ok := mountedAt(list, real); ok {
		return "", fmt.Errorf("mount point %s has something mounted on it already (%s)", dir, m.fstype)
	}
	for _, k := range keep {
		if inside(k, real) {
			return "", fmt.Errorf("the state folder %s lies inside the mount point %s; choose another place for one of them", k, dir)
		}
	}
	return real, checkEmpty(dir, real, nonempty)
}

func checkEmpty(dir, real string, nonempty bool) error {
	if nonempty {
		return nil
	}
	d, err := os.Open(real)
	if err != nil {
		return fmt.Errorf("mount point %s cannot be read: %w", dir, err)
	}
	defer d.Close()
	names, err := d.Readdirnames(1)
	if len(names) > 0 {
		return fmt.Errorf("mount point %s is not empty (it has %q); choose an empty folder, or hide its content with -o nonempty", dir, names[0])
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("mount point %s cannot be read: %w", dir, err)
	}
	return nil
}

// inside reports whether a path lies in a folder, or is it. Both are made real
// as far as they exist.
func inside(path, folder string) bool {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	rel, err := filepath.Rel(folder, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// Dead says whether there is a mount at path whose daemon is dead. Asking for the
// size of the file system always asks the daemon, while attributes may come from
// what the kernel remembers. Who asks while the kernel finds out that nobody will
// answer is told that he was cut off; later ones, that nobody is there.
func Dead(path string) bool {
	var st syscall.Statfs_t
	err := syscall.Statfs(path, &st)
	return errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.ECANCELED)
}

// clearStale unmounts a volume at path whose daemon is dead. It returns nil if
// there is none.
func clearStale(path string) error {
	list, err := mounts()
	if err != nil {
		return err
	}
	m, ok := mountedAt(list, path)
	if !ok || !strings.HasPrefix(m.fstype, "fuse.") {
		return nil
	}
	if !Dead(path) {
		return nil
	}
	if m.fstype != fsType {
		return fmt.Errorf("mount point %s has a dead FUSE mount on it (%s); remove it first: fusermount3 -u %s", path, m.fstype, path)
	}
	if err := detach(path); err != nil {
		return fmt.Errorf("mount point %s is left over from a daemon that died and cannot be freed: %w", path, err)
	}
	return nil
}
