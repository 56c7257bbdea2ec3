package placement

import "sync/atomic"

// Stats is what a Placer has done since it was made, and what it still has to do.
type Stats struct {
	Queued       int   // stripes that wait for their upload, or are being uploaded
	QueuedBytes  int64 // of them, as far as it is known
	Placed       int64 // stripes
	PlacedBytes  int64 // of payload
	PutBytes     int64 // of shards that stores took, repairs included
	Failed       int64 // tries that failed
	Overtaken    int64 // puts that were too slow
	FetchedBytes int64 // that came from stores for reads and repairs
	Hedged       int64 // reads that were late and overtaken
	Decoded      int64 // reads that had to compute data shards from others
	Repairs      int   // stripes that wait for repair
	RepairBytes  int64 // of shards to rebuild for them, as far as it is known
	RepairRate   int64 // bytes a second, the limit; negative: none
	Audits       int64 // that were answered
	AuditsBad    int64 // of them, that a store failed
	Healed       int64 // shards rebuilt
	Deleted      int64 // shards that stores need not keep any more, and were told so
	LastError    error // the newest failure of an upload or a repair; nil if there was none
}

type counters struct {
	placed, placedBytes, putBytes, failed, overtaken atomic.Int64
	fetched, hedged, decoded, healed                 atomic.Int64
	audits, auditsBad, deleted                       atomic.Int64
}

// Stats gives the figures of now.
func (p *Placer) Stats() Stats {
	c := &p.stats
	s := Stats{
		Placed: c.placed.Load(), PlacedBytes: c.placedBytes.Load(), PutBytes: c.putBytes.Load(),
		Failed: c.failed.Load(), Overtaken: c.overtaken.Load(), FetchedBytes: c.fetched.Load(),
		Hedged: c.hedged.Load(), Decoded: c.decoded.Load(), Healed: c.healed.Load(), Audits: c.audits.Load(), AuditsBad: c.auditsBad.Load(), Deleted: c.deleted.Load(),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Queued, s.QueuedBytes, s.Repairs = len(p.queue.items), p.queue.bytes, len(p.queue.repairs)
	s.RepairBytes, s.RepairRate = p.queue.repairBytes(), p.cfg.RepairRate
	s.LastError = p.lastErr
	return s
}
