package collection

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/topology"
)

// limits is what strict mode knows besides the settings: how fast requests came, and how much is stored.
type limits struct {
	mu          sync.Mutex // guards all below
	read, write uint64     // tokens per minute and shard; 0: no limit
	reads       map[topology.ShardID]*bucket
	writes      map[topology.ShardID]*bucket
	usage       usage
	measured    time.Time
	asked       int // how often usage was good enough since then
}

// usage is what a collection holds, as of a moment ago.
type usage struct{ points, vectorBytes, payloadBytes uint64 }

// A usage is measured again when it is older than usageAge, or was asked for usageUses times: whoever writes fast shall be
// stopped not long after the limit, too.
const (
	usageAge  = 200 * time.Millisecond
	usageUses = 8
)

// bucket is a token bucket that begins full.
type bucket struct {
	tokens float64
	at     time.Time
}

// configure takes over the rates of a strict mode; buckets begin anew only when a rate changes.
func (l *limits) configure(m *sextant.StrictModeConfig) {
	var read, write uint64
	if m != nil && m.Enabled != nil && *m.Enabled {
		if m.ReadRateLimit != nil {
			read = *m.ReadRateLimit
		}
		if m.WriteRateLimit != nil {
			write = *m.WriteRateLimit
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if read != l.read {
		l.read, l.reads = read, map[topology.ShardID]*bucket{}
	}
	if write != l.write {
		l.write, l.writes = write, map[topology.ShardID]*bucket{}
	}
}

// limited reports whether reads or writes have a rate at all.
func (l *limits) limited(write bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return write && l.write > 0 || !write && l.read > 0
}

// take pays what each shard has to do, or nothing and says when it could be paid.
func (l *limits) take(write bool, now time.Time, costs map[topology.ShardID]int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	capacity, buckets, word := l.read, l.reads, "Read"
	if write {
		capacity, buckets, word = l.write, l.writes, "Write"
	}
	if capacity == 0 {
		return nil
	}
	for shard, cost := range costs {
		b := buckets[shard]
		if b == nil {
			b = &bucket{tokens: float64(capacity), at: now}
			buckets[shard] = b
		}
		perSecond := float64(capacity) / 60
		b.tokens = min(float64(capacity), b.tokens+now.Sub(b.at).Seconds()*perSecond)
		b.at = now
		if uint64(cost) > capacity {
			return sextant.Errorf(sextant.RateLimited, "%s rate limit exceeded, request larger than rate limiter capacity, please try to split your request", word)
		}
		if missing := float64(cost) - b.tokens; missing > 1e-9 {
			wait := math.Ceil(missing / perSecond)
			text := fmt.Sprintf("%s rate limit exceeded: Operation requires %d tokens but only %.1f were available. Retry after %.0fs",
				word, cost, math.Floor(b.tokens*10)/10, wait)
			return &sextant.Error{Kind: sextant.RateLimited, Text: text, RetryAfter: time.Duration(wait) * time.Second}
		}
	}
	for shard, cost := range costs {
		buckets[shard].tokens -= float64(cost)
	}
	return nil
}

// used returns what is stored, measured not long ago.
func (c *Collection) used(v *View) usage {
	l := &c.limits
	l.mu.Lock()
	l.asked++
	fresh, u := l.asked <= usageUses && time.Since(l.measured) < usageAge, l.usage
	l.mu.Unlock()
	if fresh {
		return u
	}
	u = usage{}
	for _, s := range v.Shards {
		info := s.Info()
		u.points += info.Points
		u.vectorBytes += info.VectorBytes
		u.payloadBytes += info.PayloadBytes
	}
	l.mu.Lock()
	l.usage, l.measured, l.asked = u, time.Now(), 0
	l.mu.Unlock()
	return u
}

func (c *Collection) payRead(v *View, r Read, cost int) error {
	if r.Internal || !c.limits.limited(false) {
		return nil
	}
	shards, err := v.forRead(r)
	if err != nil {
		return err
	}
	costs := map[topology.ShardID]int{}
	for _, s := range shards {
		costs[s] = cost
	}
	return c.limits.take(false, time.Now(), costs)
}

// payWrite pays for the points that each part changes; those of a filter are estimated.
func (c *Collection) payWrite(ctx context.Context, v *View, parts []part) error {
	if !c.limits.limited(true) {
		return nil
	}
	costs := map[topology.ShardID]int{}
	for _, p := range parts {
		cost := pointCount(p.update)
		if s, ok := selector(p.update); ok && s.IDs == nil && v.Shards[p.shard] != nil {
			n, err := v.Shards[p.shard].Count(ctx, s.Filter, false)
			if err != nil {
				return err
			}
			cost = int(n)
		}
		costs[p.shard] += max(cost, 1)
	}
	return c.limits.take(true, time.Now(), costs)
}

func (c *Collection) strictQueries(v *View, qs []sextant.Query, r Read) error {
	if r.Internal {
		return nil
	}
	s, on := v.strict()
	if !on {
		return nil
	}
	if len(qs) > 1 {
		if err := atMost(uint64(len(qs)), s.SearchMaxBatchsize, "search batch size"); err != nil {
			return err
		}
	}
	cost := 0
	for _, q := range qs {
		if err := s.query(q); err != nil {
			return err
		}
		cost += queryCost(q)
	}
	if err := s.timeout(r.Timeout); err != nil {
		return err
	}
	return c.payRead(v, r, cost)
}

// queryCost is one per vector compared and one per condition.
func queryCost(q sextant.Query) int {
	cost := 1
	if q.Nearest != nil && q.Nearest.Vector != nil && q.Nearest.Vector.Kind == sextant.Multi {
		cost = max(q.Nearest.Vector.Rows, 1)
	}
	return cost + CountConditions(q.Filter)
}

func (c *Collection) strictScroll(v *View, q sextant.Scroll, r Read) error {
	s, on := v.strict()
	if !on || r.Internal {
		return nil
	}
	if err := atMost(uint64(max(q.Limit, 0)), s.MaxQueryLimit, "limit"); err != nil {
		return err
	}
	if err := s.filter(q.Filter, s.UnindexedFilteringRetrieve); err != nil {
		return err
	}
	if err := s.timeout(r.Timeout); err != nil {
		return err
	}
	return c.payRead(v, r, 1+CountConditions(q.Filter))
}

func (c *Collection) strictCount(v *View, f *sextant.Filter, exact bool, r Read) error {
	s, on := v.strict()
	if !on || r.Internal {
		return nil
	}
	if err := s.filter(f, s.UnindexedFilteringRetrieve); err != nil {
		return err
	}
	if err := s.exact(exact); err != nil {
		return err
	}
	if err := s.timeout(r.Timeout); err != nil {
		return err
	}
	return c.payRead(v, r, 1+CountConditions(f))
}

func (c *Collection) strictRetrieve(ids []sextant.PointID, r Read) error {
	v := c.view.Load()
	s, on := v.strict()
	if !on || r.Internal {
		return nil
	}
	if err := s.timeout(r.Timeout); err != nil {
		return err
	}
	return c.payRead(v, r, len(ids))
}

// strictUpdate judges an update; its rate is paid when it is sent.
func (c *Collection) strictUpdate(v *View, u sextant.Update, w Write) error {
	s, on := v.strict()
	if !on {
		return nil
	}
	if err := s.update(u); err != nil {
		return err
	}
	if grows(u) && (s.MaxPointsCount != nil || s.MaxCollectionVectorSize != nil || s.MaxCollectionPayloadSize != nil) {
		if err := s.storage(u, c.used(v)); err != nil {
			return err
		}
	}
	if sel, ok := selector(u); ok && sel.IDs == nil {
		if err := s.filter(sel.Filter, s.UnindexedFilteringUpdate); err != nil {
			return err
		}
	}
	if percent := s.MaxResidentMemoryPercent; percent != nil && consumes(u) && v.Resident != nil {
		if at := v.Resident(); at >= 0 && uint64(at) >= *percent {
			return refuse("Reduce memory usage (e.g. delete points or drop collections), or raise `max_resident_memory_percent` in the strict mode config.",
				"Resident memory usage is at %d%% of total memory, exceeding the configured limit of %d%%", at, *percent)
		}
	}
	if w.Timeout != nil {
		return s.timeout(*w.Timeout)
	}
	return nil
}

// update judges the points of an update.
func (s strict) update(u sextant.Update) error {
	var points []sextant.Point
	switch u := u.(type) {
	case sextant.Upsert:
		points = u.Points
		if err := atMost(uint64(len(points)), s.UpsertMaxBatchsize, "upsert limit"); err != nil {
			return err
		}
	case sextant.UpdateVectors:
		points = u.Points
		if err := atMost(uint64(len(points)), s.UpsertMaxBatchsize, "update limit"); err != nil {
			return err
		}
	}
	if len(s.Multivector) == 0 && len(s.Sparse) == 0 {
		return nil
	}
	for i := range points {
		for _, v := range points[i].Vectors {
			if limit := s.Multivector[v.Name].MaxVectors; limit != nil && v.Kind == sextant.Multi && uint64(v.Rows) > *limit {
				return refuse("", "Multivector '%s' has a limit of %d vectors, but %d were provided!", v.Name, *limit, v.Rows)
			}
			if limit := s.Sparse[v.Name].MaxLength; limit != nil && v.Kind == sextant.Sparse && uint64(len(v.Indices)) > *limit {
				return refuse("", "Sparse vector '%s' has a limit of %d indices, but %d were provided!", v.Name, *limit, len(v.Indices))
			}
		}
	}
	return nil
}

// storage judges an update by what is stored already.
func (s strict) storage(u sextant.Update, have usage) error {
	_, payloadOnly := u.(sextant.SetPayload)
	if limit := s.MaxPointsCount; limit != nil && !payloadOnly && have.points >= *limit {
		return refuse("", "Max points count limit of %d reached!", *limit)
	}
	if limit := s.MaxCollectionVectorSize; limit != nil && !payloadOnly && have.vectorBytes >= *limit {
		return refuse("", "Max vector storage size limit of %sMB reached!", megabytes(*limit))
	}
	if limit := s.MaxCollectionPayloadSize; limit != nil && have.payloadBytes >= *limit {
		return refuse("", "Max payload storage size limit of %sMB reached!", megabytes(*limit))
	}
	return nil
}

func megabytes(n uint64) string { return strconv.FormatFloat(float64(n)/(1<<20), 'f', -1, 64) }

// grows reports whether an update may add to what is stored and counted; consumes, whether it may need memory.
func grows(u sextant.Update) bool {
	switch u.(type) {
	case sextant.Upsert, sextant.UpdateVectors, sextant.SetPayload:
		return true
	}
	return false
}

func consumes(u sextant.Update) bool {
	_, overwrite := u.(sextant.OverwritePayload)
	return overwrite || grows(u)
}
