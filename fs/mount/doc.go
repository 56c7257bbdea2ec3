// Package mount shows a volume as a folder: it translates what the kernel asks
// through FUSE into calls of fs/volume, and errors into errno.
//
// The model. A FUSE node ID is an inode number of the volume, which is never
// used twice, so there is no table of nodes and the generation is always zero.
// Nothing is kept here but the table of open files. Directories have no handles
// at all: a listing goes on from the cookie of the last entry, which belongs to
// its name for good.
//
// One writer knows of all changes, so the kernel is told to believe for a long
// time whatever it has learnt, names that do not exist included, to keep pages
// of files that are opened again, and never to drop them on its own.
//
// Permissions are the kernel's business (default_permissions), access control
// lists included, which it reads as attributes and remembers, absent ones too
// (but not those of the top directory, which it knows before it knows us). The
// umask is applied by the volume, once, and not by the kernel: where a directory
// hands down a list it does not count. What the kernel leaves to us is to take
// set-ID bits and capabilities from files that are changed.
//
// Requests come through io_uring where that can be had (see package uring and
// queues_linux.go), else through the device, and are served by the same code.
//
// What mount options ask for beyond that stands in layers before the server, each
// a fuse.RawFileSystem of its own: see face.
//
// Traps.
//
//   - FUSE sends an interrupt for every signal of the caller, and the runtime of
//     Go sends its own programs signals all the time. Only a caller that is being
//     killed gives up, and only while it waits for data: a write, a flush or a
//     rename is always carried through. See request.
//   - Pages that a mapping has dirtied may arrive after the last FLUSH; hence
//     RELEASE commits too.
//   - The kernel asks where holes are without sending what mappings have written
//     into them. See Lseek.
//   - The daemon never touches the mount it serves: a call that it waits for in
//     its own kernel request would never end. What is to be known of the mount
//     comes from /proc/self/mountinfo.
package mount
