// Package check proves what can be stated of a volume's records, and mends what has one right answer.
//
// The model. One pass reads every record in the order of its key, as of one moment, and keeps numbers only: 40 bytes for
// an inode, 32 for a name, 24 for a run of bytes in a stripe; about 100 bytes for a file of one name and one piece. What
// concerns one file is judged while its records pass by; what concerns several (links, parents, circles, stripes that
// bytes are in) is judged afterwards, from sorted lists. Bytes are read, and peers asked, one stripe after another, and
// nothing is kept open meanwhile.
//
// A finding is of a Rule, and either a problem or a note: what is untidy and harms nothing. Some come with the one thing
// to do about them. To mend is to do all of these and to look again, until nothing more can be done: so no repair has to
// think of what another one changes. What has no right answer goes to the directory lost+found (see lostfound.go).
//
// The traps.
//
//   - Programs may write meanwhile. Names change in one batch, so the pass always sees them whole; a file's bytes may be
//     recorded in several, so a file that looks wrong is looked at again under Config.Settled.
//   - What is read later (a stripe's record, marks) may be newer than the pass. Stripes never go away, so what a record
//     of the pass cites can be asked for at any time.
//   - A file whose bytes are gone keeps saying so. Its extents stay, and reading them is an error; zeros would be a lie.
package check

import (
	"context"
	"fmt"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta"
)

// Rule names what is proved. docs/OPERATIONS.md has a table of them.
type Rule string

// The rules.
const (
	Journal   Rule = "journal"   // every record that is not released opens, and none is missing
	Overlay   Rule = "overlay"   // every local entry is authentic, decodes, and is of a generation that counts
	Tree      Rule = "tree"      // every node opens, its keys lie where its parents say, and are as many
	Form      Rule = "record"    // a record decodes
	Owner     Rule = "owner"     // a record belongs to an inode that is there, of a type that has such records
	Inode     Rule = "inode"     // type, size and target of an inode can be
	Name      Rule = "name"      // a name can be one, is found under its hash, and means an inode of its type
	Links     Rule = "links"     // an inode says how often it is named
	Unnamed   Rule = "unnamed"   // an inode has a name, or is open
	Orphan    Rule = "orphan"    // what is noted as open and unnamed is there and has no name
	Directory Rule = "directory" // a directory has one name, is reached from the root, and knows what it is in
	Size      Rule = "size"      // nothing is recorded behind a file's end
	Declared  Rule = "declared"  // an inode says which kinds of records it has
	Blocks    Rule = "blocks"    // an inode says how many blocks its bytes take
	Bytes     Rule = "bytes"     // bytes lie in a stripe that is here or on peers, within it, and not over others
	Record    Rule = "stripe"    // a stripe's record makes sense
	Mark      Rule = "mark"      // a note of a stripe that is not on peers yet is of one
	Number    Rule = "number"    // no number can be given out again
	Index     Rule = "index"     // the dedup index leads to bytes that are there
	Shard     Rule = "shard"     // peers hold the shards that they are said to
	Data      Rule = "data"      // all bytes open under their keys
	Needed    Rule = "needed"    // every stripe has something in it that is needed
)

// Stripe is what is known of a stripe beside the records of files.
type Stripe struct {
	Placed  bool     // which says that it is on peers
	Payload int      // of the record, in bytes
	Here    int      // bytes on this machine if all of it is here, else -1
	Bad     []string // what is wrong with the record
}

// there says whether its bytes are anywhere.
func (s *Stripe) there() bool { return s.Placed || s.Here >= 0 }

// Shards is what peers said of the shards of a stripe.
type Shards struct {
	Need, Good int
	Missing    int      // are known to be nowhere yet
	Away       int      // cannot be asked now
	Lost       []string // a sentence for each that is not where it should be
}

// Config says what to check, and how.
type Config struct {
	DB *meta.DB
	// Stripe says what is known of a stripe. record is nil if it has none.
	Stripe func(number uint64, record []byte) Stripe

	// Verify reads and opens all bytes of a chunk, wherever they are; nil: no bytes are read. rotten says that the local
	// bytes were wrong and are mended. An error for which Unreachable is true says nothing about the bytes.
	Verify      func(ctx context.Context, r *crypt.Ref) (rotten bool, err error)
	Unreachable func(error) bool

	// Shards asks every peer that should hold a shard of a stripe; nil: none is asked.
	Shards func(ctx context.Context, stripe uint64, record []byte) (Shards, error)
	// Heal sees to a stripe whose shards are not where they should be.
	Heal func(ctx context.Context, stripe uint64) error

	// Settled calls fn while nothing of an inode is being recorded; nil: nobody uses the volume. If it is set, only what
	// no user of the volume can notice is mended.
	Settled func(ctx context.Context, ino uint64, fn func() error) error

	Fix      bool
	Now      func() time.Time
	Say      func(*Finding)               // every finding, as it is judged
	Progress func(what string, n, of int) // of is 0 where it is not known; may be nil
}

// Finding is one thing that does not fit.
type Finding struct {
	Rule Rule
	Text string
	Path string // of the file that it concerns, where that is known
	Note bool   // harms nothing

	ino  uint64 // of the file that it concerns, 0: none
	fix  repair // nil: nothing can be done
	live bool   // fix may run while the volume is used
}

// Report is what was counted and found.
type Report struct {
	Inodes, Dirs, Entries, Extents, Stripes int
	Live, Payload                           int64 // bytes of sealed data that files refer to, and in all stripes with any
	Unneeded                                int   // stripes that nothing needs
	Read                                    int64 // bytes that were opened
	Shards, Missing, Away                   int   // that peers proved to hold; that wait for a peer; that could not be asked for

	Problems int // found
	Notes    int
	Left     int // problems that are still there
	Blocked  int // of them, those that could be mended if the volume were not in use
	Fixed    int // findings that were mended, notes included
}

// rounds is how often a volume is looked at in one run at most: each time but the last something is mended.
const rounds = 12

// Run checks a volume. The error says why it could not go on; what is wrong with the volume is in the report.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string, int, int) {}
	}
	c := &checker{Config: cfg, said: map[string]bool{}}
	err := c.run(ctx)
	c.report.Left = c.left
	return c.report, err
}

// checker is one run.
type checker struct {
	Config
	report Report
	said   map[string]bool // findings of earlier rounds
	left   int             // problems of this round, and those of what is looked at once
	lines  []string        // of the report: what was done, where that has to be known
	used   bool            // something went to lost+found
}

func (c *checker) run(ctx context.Context) error {
	if err := c.stores(ctx); err != nil {
		return err
	}
	once := c.left
	for round := 1; ; round++ {
		c.left = once
		p := newPass(c)
		if err := p.run(ctx); err != nil {
			return err
		}
		c.report.Blocked = 0
		if round == 1 {
			p.count(&c.report)
		}
		did, _, err := c.mend(ctx, p.findings)
		if err != nil {
			return err
		}
		if did == 0 || round == rounds {
			if err := c.bytesAndPeers(ctx, p); err != nil {
				return err
			}
			return c.finish(ctx)
		}
	}
}

// bytesAndPeers does what takes long, once the records are in order.
func (c *checker) bytesAndPeers(ctx context.Context, p *pass) error {
	for _, look := range []func(context.Context) error{p.readAll, p.askPeers} {
		p.findings = nil
		if err := look(ctx); err != nil {
			return err
		}
		_, solved, err := c.mend(ctx, p.findings)
		if err != nil {
			return err
		}
		c.left -= solved
	}
	return nil
}

// found judges: it tells a finding, and counts it once however often it is seen again.
func (c *checker) found(f *Finding) {
	if !f.Note {
		c.left++
	}
	key := string(f.Rule) + f.Text
	if c.said[key] {
		return
	}
	if len(c.said) < maxFindings {
		c.said[key] = true
	}
	if f.Note {
		c.report.Notes++
	} else {
		c.report.Problems++
	}
	if c.Say != nil {
		c.Say(f)
	}
}

// outcome is what a repair came to.
type outcome int

const (
	left   outcome = iota // nothing was changed
	moved                 // something was, and the finding is still true
	mended                // it is true no more
)

// repair does the one right thing about a finding.
type repair func(ctx context.Context) (outcome, error)

// mend does what the findings say is to be done. did is how often something was changed, solved how many problems that
// took away.
func (c *checker) mend(ctx context.Context, list []*Finding) (did, solved int, err error) {
	if !c.Fix {
		return 0, 0, nil
	}
	for _, f := range list {
		if f.fix == nil {
			continue
		}
		if c.Settled != nil && !f.live {
			if !f.Note {
				c.report.Blocked++
			}
			continue
		}
		if err := ctx.Err(); err != nil {
			return did, solved, err
		}
		o, err := f.fix(ctx)
		if err != nil {
			return did, solved, fmt.Errorf("mend %q: %w", f.Text, err)
		}
		if o != left {
			did++
		}
		if o == mended {
			c.report.Fixed++
			if !f.Note {
				solved++
			}
		}
	}
	return did, solved, nil
}
