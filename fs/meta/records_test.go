package meta

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/crypt"
)

// TestRecordsAppended: a record is appended to what is there, is what it is alone, and says what it was made of.
func TestRecordsAppended(t *testing.T) {
	edges := []uint64{0, 1, 23, 24, 1<<8 - 1, 1 << 8, 1<<16 - 1, 1 << 16, 1<<32 - 1, 1 << 32, 1<<63 - 1}
	number := rapid.OneOf(rapid.SampledFrom(edges), rapid.Uint64())
	small := rapid.Map(number, func(n uint64) uint32 { return uint32(n) })
	signed := rapid.OneOf(rapid.Int64(), rapid.Map(number, func(n uint64) int64 { return int64(n) }),
		rapid.Map(number, func(n uint64) int64 { return -int64(n) }))
	rapid.Check(t, func(t *rapid.T) {
		i := Inode{Ino: 5, Mode: small.Draw(t, "mode"), UID: small.Draw(t, "uid"), GID: small.Draw(t, "gid"),
			Nlink: small.Draw(t, "nlink"), Rdev: small.Draw(t, "rdev"), Size: number.Draw(t, "size"),
			Blocks: number.Draw(t, "blocks"), Atime: signed.Draw(t, "atime"), Mtime: signed.Draw(t, "mtime"),
			Ctime: signed.Draw(t, "ctime"), Btime: signed.Draw(t, "btime"), Parent: number.Draw(t, "parent"),
			Flags: small.Draw(t, "flags")}
		i.Target = string(bytes.Repeat([]byte{'x'}, rapid.SampledFrom([]int{0, 1, 23, 24, 255, 256, MaxTarget}).Draw(t, "target")))
		want, err := crypt.EncodeCBOR(&inodeValue{i.Mode, i.UID, i.GID, i.Nlink, i.Rdev, i.Size, i.Blocks, i.Atime, i.Mtime,
			i.Ctime, i.Btime, i.Parent, []byte(i.Target), i.Flags})
		if err != nil {
			t.Fatal(err)
		}
		got, err := appendInode([]byte("before"), &i)
		if err != nil || string(got) != "before"+string(want) {
			t.Fatalf("%+v: %x, %v, want %x", i, got, err, want)
		}
		if back, err := ParseInode(5, want); err != nil || back != i {
			t.Fatalf("%+v became %+v, %v", i, back, err)
		}
		e := Dirent{Ino: number.Draw(t, "ino"), Type: uint8(small.Draw(t, "type"))}
		if want, err = crypt.EncodeCBOR(&e); err != nil {
			t.Fatal(err)
		}
		if got, err = appendDirent([]byte("before"), &e); err != nil || string(got) != "before"+string(want) {
			t.Fatalf("%+v: %x, want %x, %v", e, got, want, err)
		}
	})
}
