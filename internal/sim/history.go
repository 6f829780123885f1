package sim

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// kind is what an operation does to a point.
type kind uint8

const (
	upsert   kind = iota // the whole point
	set                  // one field of its payload
	setBy                // the same, of the points that have a tag
	remove               // the point
	removeBy             // the points that have a tag
	read
)

func (k kind) String() string {
	return [...]string{"upsert", "set", "set by tag", "delete", "delete by tag", "read"}[k]
}

// outcome is what the client was told.
type outcome uint8

const (
	unknown outcome = iota // nothing, or that nobody knows
	done
	refused // that it was not done, and will not be
)

// content is a point as a register: its payload, whose first field is also in its vector.
type content struct {
	There bool
	V, W  uint64 // by upsert, and by set since
	Tag   string
}

// operation is one operation as its client has seen it. Call and Return are moments of a logical clock.
type operation struct {
	Client       int
	Kind         kind
	Key          uint64   // of the point
	Keys         []uint64 // of setBy and removeBy: the points that can ever have the tag
	V            uint64   // what is written
	Tag          string
	Wait         bool
	How          string // of a read: "", all, linearizable
	Found        content
	Outcome      outcome
	Missing      bool // of set: it was answered that there is no such point
	Sure         bool // of set: it was answered by somebody who had applied it
	Call, Return int64
	Node         int
	Text         string // of the error
}

func (o operation) String() string {
	what := fmt.Sprintf("%6d…%-6d client %d, node %d: %s %d", o.Call, o.Return, o.Client, o.Node, o.Kind, o.Key)
	switch o.Kind {
	case upsert:
		what += fmt.Sprintf(" v=%d tag=%s", o.V, o.Tag)
	case set:
		what += fmt.Sprintf(" w=%d", o.V)
	case setBy, removeBy:
		what += fmt.Sprintf(" w=%d tag=%s", o.V, o.Tag)
	case read:
		what += fmt.Sprintf(" %s %+v", o.How, o.Found)
	}
	if o.Missing {
		what += " there is none"
	}
	return what + [...]string{" unknown ", " done", " refused "}[o.Outcome] + o.Text
}

// history is what clients have done and heard.
type history struct {
	w *World

	mu      sync.Mutex
	clock   int64
	all     []operation
	value   uint64
	groups  []*group // in use
	made    int
	first   int    // the first group of the present collection
	uuid    string // of that collection
	width   int    // how many groups are in use
	running int
	over    bool
}

// group is some points with tags of their own. One of which too many outcomes are unknown is not used any more: the judge
// would need too long.
type group struct {
	uuid    string // of its collection
	keys    []uint64
	tags    []string
	unknown map[uint64]int // by key; 0: of its tags
}

const (
	groupKeys    = 3
	unknownLimit = 7
)

func (h *history) init(w *World) { h.w, h.width = w, 5 }

// renew begins with fresh points, in a new collection; "": there is none.
func (h *history) renew(uuid string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.uuid, h.groups, h.first = uuid, nil, h.made+1
	if uuid == "" {
		return
	}
	for range h.width {
		h.groups = append(h.groups, h.group())
	}
}

func (h *history) group() *group {
	h.made++
	g := &group{uuid: h.uuid, unknown: map[uint64]int{}}
	for i := range groupKeys {
		g.keys = append(g.keys, uint64(h.made*10+i))
	}
	g.tags = []string{fmt.Sprint("a", h.made), fmt.Sprint("b", h.made)}
	return g
}

// pick returns the points of a place, nil if there is no collection, and a value that nobody has.
func (h *history) pick(place int) (*group, uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.value++
	if len(h.groups) == 0 {
		return nil, h.value
	}
	return h.groups[place%len(h.groups)], h.value
}

func (h *history) tick() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	return h.clock
}

// note keeps what became of an operation.
func (h *history) note(o operation, of *group) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	o.Return = h.clock
	h.all = append(h.all, o)
	if of == nil || o.Outcome != unknown || o.Kind == read {
		return
	}
	of.unknown[o.Key]++
	most := 0
	for _, n := range of.unknown {
		most = max(most, n)
	}
	if i := slices.Index(h.groups, of); i >= 0 && of.unknown[0]+most >= unknownLimit {
		h.groups[i] = h.group()
	}
}

func (h *history) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
}

func (h *history) resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = false
}

func (h *history) stopping() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over
}

func (h *history) idle() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.running == 0
}

// keys are all points that were ever written to the present collection.
func (h *history) keys() []uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	var keys []uint64
	for i := h.first; i <= h.made; i++ {
		for k := range groupKeys {
			keys = append(keys, uint64(i*10+k))
		}
	}
	return keys
}

// input is an operation as one point sees it.
type input struct {
	kind kind
	v    uint64
	tag  string
}

// register is a point for the judge: porcupine asks whether the operations on it can have happened one after the other.
var register = porcupine.Model{
	Init: func() any { return content{} },
	Step: func(state, in, out any) (bool, any) {
		now, do := state.(content), in.(input)
		switch do.kind {
		case upsert:
			return true, content{There: true, V: do.v, Tag: do.tag}
		case set:
			if there, sure := out.(bool); sure && there != now.There {
				return false, now
			}
			if now.There {
				now.W = do.v
			}
		case setBy:
			if now.There && now.Tag == do.tag {
				now.W = do.v
			}
		case remove:
			now = content{}
		case removeBy:
			if now.Tag == do.tag {
				now = content{}
			}
		case read:
			return now == out.(content), now
		}
		return true, now
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprint(in, out) },
}

// Judge looks at what clients have heard: every point must be a register over the writes that were acknowledged or whose outcome
// nobody knows and the linearizable reads; and over these writes and the reads of all replicas, which may miss a write that was
// acknowledged before it was applied, until a later one is known to be applied. No read finds what nobody wrote, or what was
// refused. unsure counts points that took too long.
func Judge(all []operation, within time.Duration) (unsure int, err error) {
	byKey := map[uint64][]operation{}
	for _, o := range all {
		for _, k := range o.points() {
			byKey[k] = append(byKey[k], o)
		}
	}
	for _, key := range sortedKeys(byKey) {
		list := byKey[key]
		if err := invented(key, list); err != nil {
			return unsure, err
		}
		for _, how := range []string{"linearizable", "all"} {
			switch porcupine.CheckOperationsTimeout(register, operations(list, how), within) {
			case porcupine.Illegal:
				return unsure, fmt.Errorf("point %d: no order of its operations explains what was read (%s):\n%s", key, how, listing(list))
			case porcupine.Unknown:
				unsure++
			}
		}
	}
	return unsure, nil
}

// operations are the writes of a point and its reads of one consistency.
func operations(list []operation, how string) (out []porcupine.Operation) {
	var sure []operation // writes that were applied everywhere when they returned
	for _, o := range list {
		if o.Kind != read && o.Sure {
			sure = append(sure, o)
		}
	}
	slices.SortFunc(sure, func(a, b operation) int { return cmp.Compare(a.Call, b.Call) })
	seen := int64(math.MaxInt64) // what was called at or behind sure[i] returned no earlier
	applied := make([]int64, len(sure))
	for i := len(sure) - 1; i >= 0; i-- {
		seen = min(seen, sure[i].Return)
		applied[i] = seen
	}
	for _, o := range list {
		switch {
		case o.Kind == read && (o.How != how || o.Outcome != done || how == "all" && !o.Found.There), o.Outcome == refused:
			continue // says nothing here
		}
		end := o.Return
		switch {
		case o.Outcome == unknown:
			end = math.MaxInt64 // it may happen later, or at the end, where nobody sees it
		case how == "all" && o.Kind != read && !o.Sure:
			end = math.MaxInt64
			if i := sort.Search(len(sure), func(i int) bool { return sure[i].Call > o.Return }); i < len(sure) {
				end = applied[i]
			}
		}
		var result any = o.Found
		if o.Kind == set && o.Outcome == done && (o.Missing || o.Sure) {
			result = !o.Missing
		}
		out = append(out, porcupine.Operation{ClientId: o.Client, Input: input{o.Kind, o.V, o.Tag}, Call: o.Call, Output: result, Return: end})
	}
	return out
}

func (o operation) points() []uint64 {
	if o.Kind == setBy || o.Kind == removeBy {
		return o.Keys
	}
	return []uint64{o.Key}
}

// invented looks for a read of something that nobody wrote, had not written yet, or was told to be refused.
func invented(key uint64, list []operation) error {
	for _, r := range list {
		if r.Kind != read || r.Outcome != done || !r.Found.There {
			continue
		}
		wrote := func(v uint64, kinds ...kind) bool {
			return slices.ContainsFunc(list, func(o operation) bool {
				return o.V == v && slices.Contains(kinds, o.Kind) && o.Call < r.Return && o.Outcome != refused
			})
		}
		if !wrote(r.Found.V, upsert) || r.Found.W != 0 && !wrote(r.Found.W, set, setBy) {
			return fmt.Errorf("point %d: a read found what was never written, or was refused:\n%s\n%s", key, r, listing(list))
		}
	}
	return nil
}

func listing(list []operation) string {
	slices.SortFunc(list, func(a, b operation) int { return cmp.Compare(a.Call, b.Call) })
	var b strings.Builder
	for _, o := range list {
		fmt.Fprintln(&b, o)
	}
	return b.String()
}

func sortedKeys[V any](m map[uint64]V) []uint64 {
	keys := make([]uint64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
