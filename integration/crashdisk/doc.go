// Package crashdisk is a disk in memory for tests, whose power can be cut and
// whose operations can be made to fail.
//
// The model. A Disk is a vfs.FS. It remembers, for each file, what the last sync
// made safe and every write since; and for each folder the names that were safe
// and every change of a name since. Cut makes the disk that a power cut leaves:
// what was synced, and of the rest whatever the lot says. Kill makes the one that
// the death of the process leaves: everything, and yet nothing more is safe than
// was.
//
// Of what was not synced a cut keeps, in sectors of 512 bytes, any version that
// the sector has had since (or, at times, the beginning of a newer one and the
// end of an older), independently of the sectors beside it and of other files.
// The length of a file is one that it had, and what was never written before it
// reads as zeros or as noise. A change of a name is kept or not, whatever became
// of those before it. The other kind of cut, an ordered one, keeps all that was
// done until some moment and tears the write of that moment: so do file systems
// with a journal of data and names.
//
// The traps. A file is safe when it was synced, its name when the folder was.
// A write within one sector is never torn: who writes no more relies on the disk.
// Create takes an existing name away and makes a new file, as vfs.Default does; a
// cut may keep the first and not the second. A rename is one change. After a sync
// that failed what was written before can be read, and no sync will ever make it
// safe, as with most kernels.
package crashdisk
