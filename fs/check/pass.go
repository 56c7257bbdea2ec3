package check

import (
	"context"
	"fmt"

	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
)

// maxFindings bounds the findings of one pass that are kept for mending; what is beyond is found by the next.
const maxFindings = 50_000

// node is what a pass remembers of an inode.
type node struct {
	ino, parent    uint64
	nlink          uint32
	names, subdirs uint32 // counted
	mode           uint16 // its type, >> 12
	flags          uint8
}

// Bits of node.flags.
const (
	isHere   = 1 << iota // the inode has its own record
	isOrphan             // noted as open without a name
	isUnsure             // its own record does not decode
	hasNames             // it has directory entries
	hasData              // it has windows or pages
	reached              // from the root, if it is a directory
	adrift               // not
)

func (n *node) is(flag uint8) bool { return n.flags&flag != 0 }
func (n *node) isDir() bool        { return n.mode == typeDir }

// Types of inodes, as mode >> 12.
const (
	typeFIFO   = 1
	typeChar   = 2
	typeDir    = 4
	typeBlock  = 6
	typeReg    = 8
	typeLink   = 10
	typeSocket = 12
)

// entry is what a pass remembers of a name.
type entry struct {
	child, dir, cookie uint64
	typ                uint8
}

// use is a run of sealed bytes that something refers to.
type use struct {
	stripe, ino uint64 // ino 0: metadata
	off, len    uint32
}

// pass looks at all records once.
type pass struct {
	*checker
	nodes    list[node]  // by ino
	names    list[entry] // by child, once sorted
	uses     list[use]   // by stripe and offset, once sorted
	orphans  []uint64
	suspects []uint64 // inodes to look at again under Settled
	file     *file    // whose records pass by
	numbers  meta.Numbers
	needed   []uint64 // stripes with something in them that is needed, ascending
	records  int
	extents  int
	live     int64
	payload  int64
	unneeded int
	read     int64
	findings []*Finding
	stuck    bool // the records could not all be read
}

func newPass(c *checker) *pass { return &pass{checker: c} }

// problem notes that something does not fit. fix may be nil.
func (p *pass) problem(rule Rule, ino uint64, fix repair, format string, args ...any) *Finding {
	return p.keep(&Finding{Rule: rule, Text: fmt.Sprintf(format, args...), ino: ino, fix: fix})
}

func (p *pass) note(rule Rule, ino uint64, fix repair, format string, args ...any) *Finding {
	return p.keep(&Finding{Rule: rule, Text: fmt.Sprintf(format, args...), Note: true, ino: ino, fix: fix})
}

func (p *pass) keep(f *Finding) *Finding {
	if len(p.findings) < maxFindings {
		p.findings = append(p.findings, f)
	} else {
		p.found(f) // it is told without the path of its file, and mended by another pass
	}
	return f
}

// run reads everything and judges.
func (p *pass) run(ctx context.Context) error {
	if err := p.metadata(ctx); err != nil {
		return err
	}
	if err := p.survey(ctx); err != nil {
		return err
	}
	p.numbers = p.DB.Numbers()
	if p.stuck {
		p.tell(ctx)
		return nil
	}
	if err := p.again(ctx); err != nil {
		return err
	}
	p.judgeNames()
	for _, judge := range []func(context.Context) error{p.judgeStripes, p.judgeRecords, p.judgeIndex, p.judgeMarks} {
		if err := judge(ctx); err != nil {
			return err
		}
	}
	p.judgeNumbers()
	p.tell(ctx)
	return nil
}

// survey reads the records of all inodes.
func (p *pass) survey(ctx context.Context) error {
	err := p.DB.Survey(ctx, func(r *meta.Record) error {
		if p.records++; p.records%10_000 == 0 {
			p.Progress("records", p.records, 0)
		}
		p.record(r)
		return nil
	})
	p.leave()
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if p.Unreachable != nil && p.Unreachable(err) {
		return fmt.Errorf("read the records: %w", err)
	}
	p.stuck = true
	p.problem(Tree, 0, nil, "the records behind inode %d cannot be read, and nothing that depends on them was checked: %v", p.last(), err)
	return nil
}

// last is the inode whose records came last.
func (p *pass) last() uint64 {
	if n := p.nodes.len(); n > 0 {
		return p.nodes.at(n - 1).ino
	}
	return 0
}

// record takes one record of the survey.
func (p *pass) record(r *meta.Record) {
	if r.Outside != nil {
		p.uses.add(use{r.Outside.Stripe, 0, r.Outside.Offset, uint32(r.Outside.SealedLen())})
	}
	switch {
	case r.Ino == 0 && r.Kind == meta.KindOrphan && r.Bad == nil:
		p.orphans = append(p.orphans, r.Number)
		return
	case r.Ino == 0:
		p.problem(Form, 0, nil, "a record cannot be read: %v", r.Bad)
		return
	}
	if p.file == nil || p.file.ino != r.Ino {
		p.leave()
		p.enter(r)
	}
	p.file.record(r)
	if r.Bad != nil {
		p.problem(Form, r.Ino, p.fixForm(r), "a record of inode %d cannot be read: %v", r.Ino, r.Bad)
		return
	}
	n := p.nodes.at(p.nodes.len() - 1)
	switch r.Kind {
	case meta.KindDirent:
		n.flags |= hasNames
		p.name(r)
	case meta.KindWindow:
		n.flags |= hasData
		p.window(r)
	case meta.KindPage:
		n.flags |= hasData
		p.read += int64(len(r.Data))
	}
}

// enter begins an inode, whose own record comes first if it has one.
func (p *pass) enter(r *meta.Record) {
	n := node{ino: r.Ino}
	switch {
	case r.Kind == meta.KindInode && r.Bad == nil:
		n.flags, n.parent, n.nlink, n.mode = isHere, r.Inode.Parent, r.Inode.Nlink, uint16(r.Inode.Mode>>12)
	case r.Kind == meta.KindInode:
		n.flags = isUnsure
	}
	p.nodes.add(n)
	p.file = newFile(r.Ino)
}

// leave judges the inode whose records have all been seen.
func (p *pass) leave() {
	f := p.file
	if p.file = nil; f == nil {
		return
	}
	if f.judge(); p.Settled != nil && len(f.findings) > 0 {
		p.suspects = append(p.suspects, f.ino)
		return
	}
	p.take(f)
}

// take makes what was judged of a file findings of the pass.
func (p *pass) take(f *file) {
	for _, x := range f.findings {
		add := p.problem
		if x.note {
			add = p.note
		}
		add(x.rule, f.ino, p.fixFile(f.ino, x), "inode %d %s", f.ino, x.text)
	}
}

// again looks once more at the files that somebody may have been recording, while nobody is.
func (p *pass) again(ctx context.Context) error {
	for _, ino := range p.suspects {
		f := newFile(ino)
		err := p.Settled(ctx, ino, func() error {
			return p.DB.SurveyInode(ctx, ino, func(r *meta.Record) error { f.record(r); return nil })
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			p.problem(Form, ino, nil, "inode %d cannot be looked at: %v", ino, err)
			continue
		}
		f.judge()
		p.take(f)
	}
	return nil
}

// name takes a directory entry.
func (p *pass) name(r *meta.Record) {
	e := entry{r.Dirent.Ino, r.Ino, r.Dirent.Cookie, r.Dirent.Type}
	p.names.add(e)
	at := place{r.Ino, r.Dirent.Cookie, r.Dirent.Name}
	switch {
	case !volume.ValidName(r.Dirent.Name):
		p.problem(Name, 0, p.fixName(at, r.Dirent), "directory %d has the name %q, which cannot be one", r.Ino, r.Dirent.Name)
	case p.DB.Cookie(r.Dirent.Name) != r.Dirent.Cookie:
		p.problem(Name, 0, p.fixName(at, r.Dirent), "the name %q in directory %d is not where it is looked for", r.Dirent.Name, r.Ino)
	}
}

// window takes a window's extents.
func (p *pass) window(r *meta.Record) {
	p.extents += len(r.Extents)
	for i := range r.Extents {
		ref := &r.Extents[i].Ref
		if i > 0 && ref.Stripe == r.Extents[i-1].Ref.Stripe && ref.Offset == r.Extents[i-1].Ref.Offset {
			continue
		}
		p.uses.add(use{ref.Stripe, r.Ino, ref.Offset, uint32(ref.SealedLen())})
	}
}

// find returns what is known of an inode; nil if it has no record.
func (p *pass) find(ino uint64) *node {
	i := p.nodes.search(func(n *node) bool { return n.ino >= ino })
	if i == p.nodes.len() || p.nodes.at(i).ino != ino {
		return nil
	}
	return p.nodes.at(i)
}

// count fills in what a report says beside findings.
func (p *pass) count(r *Report) {
	r.Entries, r.Extents, r.Stripes = p.names.len(), p.extents, len(p.needed)
	r.Live, r.Payload, r.Unneeded = p.live, p.payload, p.unneeded
	for i := range p.nodes.len() {
		if n := p.nodes.at(i); n.is(isHere) {
			r.Inodes++
			if n.isDir() {
				r.Dirs++
			}
		}
	}
}

// tell tells the findings, with the paths of the files that they concern.
func (p *pass) tell(ctx context.Context) {
	p.report.Read = p.read
	for i, f := range p.findings {
		if f.ino != 0 && i < maxPaths {
			f.Path = p.path(ctx, f.ino)
		}
		p.found(f)
	}
}

// maxPaths is how many findings of a pass name their file: it takes a few reads for each.
const maxPaths = 1000
