package swarm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/whole"
)

const (
	stateFile  = "swarm"
	stateMagic = "hammock swarm 1\n"
	maxState   = 32 << 20
	maxTickets = 1024
)

// state is everything that a node remembers of its swarm, one CBOR value between
// a magic line and the BLAKE3 hash of what precedes it. Nothing in it needs to be
// believed: records and cards are checked again when it is read.
type state struct {
	Genesis []byte         `cbor:"1,keyasint"`
	Records [][]byte       `cbor:"2,keyasint,omitempty"`
	Cards   [][]byte       `cbor:"3,keyasint,omitempty"`
	Tickets []issuedTicket `cbor:"4,keyasint,omitempty"`
	Seq     uint64         `cbor:"5,keyasint,omitempty"` // of this device's last card
}

// issuedTicket is what the issuer remembers of a ticket: not the token.
type issuedTicket struct {
	Hash      crypt.ID       `cbor:"1,keyasint"` // of the token
	Expiry    int64          `cbor:"2,keyasint"` // unix seconds
	Name      string         `cbor:"3,keyasint,omitempty"`
	Allowance int64          `cbor:"4,keyasint,omitempty"`
	Until     int64          `cbor:"5,keyasint,omitempty"` // expiry of the membership, unix seconds
	Used      bool           `cbor:"6,keyasint,omitempty"`
	By        crypt.OwnerKey `cbor:"7,keyasint"`
}

func encodeState(st *state) ([]byte, error) {
	body, err := crypt.EncodeCBOR(st)
	if err != nil {
		return nil, fmt.Errorf("encode the swarm file: %w", err)
	}
	b := append([]byte(stateMagic), body...)
	sum := crypt.Sum(b)
	return append(b, sum[:]...), nil
}

func decodeState(b []byte) (*state, error) {
	sumLen := len(crypt.ID{})
	if len(b) < len(stateMagic)+sumLen || !bytes.HasPrefix(b, []byte(stateMagic)) {
		return nil, fmt.Errorf("%w: it is not a swarm file of this version", ErrDamaged)
	}
	body, sum := b[:len(b)-sumLen], b[len(b)-sumLen:]
	if want := crypt.Sum(body); !bytes.Equal(want[:], sum) {
		return nil, fmt.Errorf("%w: its checksum is wrong", ErrDamaged)
	}
	st := new(state)
	if err := crypt.DecodeCBOR(body[len(stateMagic):], st); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if len(st.Tickets) > maxTickets {
		return nil, fmt.Errorf("%w: it lists %d tickets", ErrDamaged, len(st.Tickets))
	}
	return st, nil
}

func orDefault(fsys vfs.FS) vfs.FS {
	if fsys == nil {
		return vfs.Default
	}
	return fsys
}

// readState reads the swarm file of a state folder; ErrNoSwarm if there is none.
func readState(fsys vfs.FS, dir string) (*state, error) {
	path := fsys.PathJoin(dir, stateFile)
	f, err := fsys.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoSwarm, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open the swarm file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return nil, fmt.Errorf("read the swarm file %s: %w", path, err)
	}
	if len(b) > maxState {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrDamaged, path, maxState)
	}
	st, err := decodeState(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return st, nil
}

// writeState replaces the swarm file: when it returns, the new one survives a
// power cut.
func writeState(fsys vfs.FS, dir string, b []byte) error {
	if err := whole.Write(fsys, fsys.PathJoin(dir, stateFile), b); err != nil {
		return fmt.Errorf("replace the swarm file: %w", err)
	}
	return nil
}

// Exists says whether a state folder belongs to a swarm. A nil fsys is the disk.
func Exists(fsys vfs.FS, dir string) (bool, error) {
	fsys = orDefault(fsys)
	_, err := fsys.Stat(fsys.PathJoin(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Create makes a state folder belong to a swarm: a new one (an admission of just
// a genesis) or one that admitted this device. ErrExists if it does already. A
// nil fsys is the disk.
func Create(fsys vfs.FS, dir string, a *Admission) error {
	fsys = orDefault(fsys)
	if there, err := Exists(fsys, dir); err != nil {
		return fmt.Errorf("look for a swarm file: %w", err)
	} else if there {
		return fmt.Errorf("%w: %s", ErrExists, dir)
	}
	if _, err := parseGenesis(a.Genesis); err != nil {
		return err
	}
	b, err := encodeState(&state{Genesis: a.Genesis, Records: a.Records, Cards: a.Cards})
	if err != nil {
		return err
	}
	if err := whole.MkdirAll(fsys, dir); err != nil {
		return fmt.Errorf("make the state folder: %w", err)
	}
	return writeState(fsys, dir, b)
}
