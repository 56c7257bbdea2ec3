// Package uring takes the requests of a FUSE connection from the kernel through
// io_uring instead of read(2) and write(2) of /dev/fuse, where Linux can (6.14 and
// later) and its administrator lets it (the parameter enable_uring of the module
// fuse). Its protocol is described in Documentation/filesystems/fuse-io-uring.rst
// and include/uapi/linux/fuse.h of Linux.
//
// Why. Each processor has a queue of its own, and whoever makes a request is served
// by a thread that is bound to his processor: to wake it takes no interrupt of
// another processor, which is dearer than most requests are. And the answer to a
// request and the wait for the next one are one system call.
//
// How. A queue has entries. An entry is one request at a time: memory that the
// kernel puts it into and finds its answer in, an io_uring with room for one
// command, and a thread. The command, having been served, stands for "here is the
// answer, and I wait for the next". The kernel gives the next request to the entry
// that has been idle for the shortest time, so that one thread does everything if
// that is enough, and others are there for when it has to wait.
//
// What the kernel asks before the first entry of each queue is there, forgotten
// inodes, and interrupts still come through the device, and so do
// notifications to the kernel. That is its user's part.
package uring
