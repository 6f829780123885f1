package search

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"
)

var (
	seed  = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of random tests")
	maxID = flag.Int("ids", 300, "bound of the ids in random tests, so that updates meet points again")
	turns = flag.Int("turns", 12, "how often the random test changes and compares everything")
)

// saga plays random updates to a collection and to a model of it.
type saga struct {
	client
	generator
	points map[any]*model
	index  map[string]string
	trail  []string // the last updates
}

const lot = "/collections/lot/points"

func TestRandom(t *testing.T) {
	t.Parallel()
	t.Logf("-seed %d", *seed)
	c, server := start(t)
	s := &saga{c, generator{rand.New(rand.NewPCG(*seed, 0))}, map[any]*model{}, map[string]string{}, nil}
	s.do("PUT", "/collections/lot", fmt.Sprintf(`{"vectors":{"a":{"size":%d,"distance":"Dot"},"m":{"size":2,"distance":"Euclid","multivector_config":{"comparator":"max_sim"}}},
		"sparse_vectors":{"s":{}},"wal_config":{"wal_capacity_mb":1},"shard_number":%d,
		"optimizers_config":{"indexing_threshold":1,"default_segment_number":2,"vacuum_min_vector_number":100},"hnsw_config":{"full_scan_threshold":10}}`, denseDim, of(s.generator, 1, 1, 3)), nil)
	for turn := range *turns {
		s.reindex()
		for range 3 + s.IntN(12) {
			s.update()
		}
		what := of(s.generator, "written", "sealed", "green", "crashed")
		switch what {
		case "sealed":
			s.seal("lot")
		case "green":
			s.green("lot", 0)
		case "crashed":
			server = restart(&s.client, server)
		}
		s.compare(fmt.Sprintf("turn %d, %s", turn, what))
		if t.Failed() {
			t.Fatalf("last updates:\n%s", strings.Join(s.trail, "\n"))
		}
	}
	restart(&s.client, server)
	s.compare("at the end")
}

// reindex makes and drops field indexes, fitting and unfitting ones.
func (s *saga) reindex() {
	fitting := map[string][]string{"k": {"keyword"}, "n": {"integer", "float"}, "i": {"integer", "float"}, "d": {"datetime"}, "g": {"geo"}, "u": {"uuid", "keyword"},
		"b": {"bool"}, "l[].x": {"integer"}, "o.x": {"integer", "float"}, "l[].y": {"keyword"}, "o.y": {"keyword"}, "l[].l[].x": {"integer"}, "l[0].x": {"integer"}}
	for _, field := range slices.Sorted(maps.Keys(fitting)) {
		switch n := s.IntN(10); {
		case n < 3:
			schema := of(s.generator, fitting[field]...)
			if s.chance(20) {
				schema = of(s.generator, "keyword", "integer", "float", "geo", "bool", "datetime")
			}
			s.client.index("lot", field, fmt.Sprintf("%q", schema))
			s.saga("index " + field + " " + schema)
			s.index[field] = schema
		case n < 4:
			s.do("DELETE", "/collections/lot/index/"+strings.NewReplacer("[", "%5B", "]", "%5D").Replace(field)+"?wait=true", "", nil)
			s.saga("drop index " + field)
			delete(s.index, field)
		}
	}
}

func (s *saga) saga(line string) {
	s.trail = append(s.trail, line)
	s.trail = s.trail[max(0, len(s.trail)-60):]
}

// send makes an update; the answer says that it is done.
func (s *saga) change(method, path string, body object) {
	s.t.Helper()
	s.saga(method + " " + path + " " + text(body))
	s.do(method, lot+path+"?wait=true", text(body), nil)
}

// some draws points that exist: as a list of ids or as a filter, written into the body of an update.
func (s *saga) some(body object) (list []*model) {
	if len(s.points) == 0 || s.chance(40) {
		f := s.filter(0)
		body["filter"] = f
		return s.matching(f)
	}
	ids := []any{}
	all := s.all()
	for range 1 + s.IntN(20) {
		p := of(s.generator, all...)
		ids, list = append(ids, p.id), append(list, p)
	}
	body["points"] = ids
	return list
}

// all lists the points by id.
func (s *saga) all() (list []*model) {
	for _, p := range s.points {
		list = append(list, p)
	}
	sort.Slice(list, func(i, j int) bool { return before(list[i].id, list[j].id) })
	return list
}

// before orders ids: numbers, then UUIDs.
func before(a, b any) bool {
	x, isNumber := a.(json.Number)
	y, other := b.(json.Number)
	if isNumber != other {
		return isNumber
	}
	if isNumber {
		return len(x) < len(y) || len(x) == len(y) && x < y
	}
	return a.(string) < b.(string)
}

func (s *saga) matching(f object) (list []*model) {
	for _, p := range s.all() {
		if p.matches(f) {
			list = append(list, p)
		}
	}
	return list
}

func clone[T any](v T) T { return parse(text(v)).(T) }

func (s *saga) update() {
	body := object{}
	switch n := s.IntN(20); {
	case n < 8:
		var points []any
		filter := object(nil)
		mode := "upsert"
		if s.chance(30) {
			mode = of(s.generator, "upsert", "insert_only", "update_only")
			if s.chance(60) {
				filter = s.filter(0)
				body["update_filter"] = filter
			}
			body["update_mode"] = mode
		}
		after := maps.Clone(s.points)
		for range 1 + s.IntN(max(40, *maxID/8)) {
			p := &model{s.id(), s.payload(), s.vectors()}
			points = append(points, object{"id": p.id, "vector": p.vectors, "payload": clone(p.payload)})
			old := s.points[p.id]
			switch {
			case old == nil && mode == "update_only", old != nil && mode == "insert_only", old != nil && filter != nil && !old.matches(filter):
			default:
				after[p.id] = p
			}
		}
		if filter == nil && mode == "upsert" || !doubled(points) {
			body["points"] = points
			s.change("PUT", "", body)
			s.points = after
		}
	case n < 10:
		patch := s.payload()
		for key := range patch {
			if s.chance(15) {
				patch[key] = nil
			}
		}
		list := s.some(body)
		body["payload"] = patch
		s.change("POST", "/payload", body)
		for _, p := range list {
			for key, v := range clone(patch) {
				if p.payload[key] = v; v == nil {
					delete(p.payload, key)
				}
			}
		}
	case n < 11:
		list := s.some(body)
		body["payload"], body["key"] = object{"x": s.integer(), "z": s.word()}, "o"
		s.change("POST", "/payload", body)
		for _, p := range list {
			o, ok := p.payload["o"].(object)
			if !ok {
				o = object{}
				p.payload["o"] = o
			}
			maps.Copy(o, body["payload"].(object))
		}
	case n < 12:
		list := s.some(body)
		body["payload"] = s.payload()
		s.change("PUT", "/payload", body)
		for _, p := range list {
			p.payload = clone(body["payload"].(object))
		}
	case n < 14:
		list := s.some(body)
		body["keys"] = []any{of(s.generator, "k", "n", "i", "d"), "o.x", "l[].x"}
		s.change("POST", "/payload/delete", body)
		for _, p := range list {
			delete(p.payload, body["keys"].([]any)[0].(string))
			for _, v := range append(walk(p.payload, "o"), walk(p.payload, "l[]")...) {
				if o, ok := v.(object); ok {
					delete(o, "x")
				}
			}
		}
	case n < 15:
		list := s.some(body)
		s.change("POST", "/payload/clear", body)
		for _, p := range list {
			p.payload = object{}
		}
	case n < 17:
		gone := s.some(body)
		if _, ok := body["filter"]; ok && len(gone) > len(s.points)/2 {
			return // not everything again and again
		}
		s.change("POST", "/delete", body)
		for _, p := range gone {
			delete(s.points, p.id)
		}
	case n < 19:
		var points []any
		for range 1 + s.IntN(10) {
			if all := s.all(); len(all) > 0 {
				p := of(s.generator, all...)
				v := s.vectors()
				if len(v) == 0 {
					continue
				}
				maps.Copy(p.vectors, v)
				points = append(points, object{"id": p.id, "vector": v})
			}
		}
		if len(points) > 0 {
			s.change("PUT", "/vectors", object{"points": points})
		}
	default:
		name := of(s.generator, "a", "m", "s")
		list := s.some(body)
		body["vector"] = []any{name}
		s.change("POST", "/vectors/delete", body)
		for _, p := range list {
			delete(p.vectors, name)
		}
	}
}

// doubled reports whether an id comes twice; which of two counts under a condition is nobody's promise.
func doubled(points []any) bool {
	seen := map[any]bool{}
	for _, p := range points {
		id := p.(object)["id"]
		if seen[id] {
			return true
		}
		seen[id] = true
	}
	return false
}

// compare asks for everything, and for what random filters find, in all ways.
func (s *saga) compare(when string) {
	s.t.Helper()
	s.everything(when)
	const filters = 30
	var list []object
	var bodies []string
	asked := s.dense(denseDim)
	sparse := object{"indices": []any{json.Number("0"), json.Number("4000")}, "values": []any{json.Number("1"), json.Number("-0.5")}}
	rows := []any{s.dense(2), s.dense(2)}
	for range filters {
		f := s.filter(0)
		list = append(list, f)
		one := func(part string) {
			bodies = append(bodies, fmt.Sprintf(`{"filter":%s,"limit":1000000,%s}`, text(f), part))
		}
		one(`"query":null`)
		one(`"using":"a","query":` + text(asked))
		one(`"using":"a","params":{"exact":true},"query":` + text(asked))
		one(`"using":"s","query":` + text(sparse))
		one(`"using":"m","query":` + text(rows))
	}
	lists := s.queries("lot", bodies)
	for i, f := range list {
		want := s.matching(f)
		report := func(what, got, want string) {
			s.t.Helper()
			if got != want {
				s.t.Errorf("%s: %s of %s\n got %s\nwant %s\nindexes %v", when, what, text(f), got, want, s.index)
			}
		}
		var names []string
		for _, p := range want {
			names = append(names, text(p.id))
		}
		report("list", ids(lists[5*i]), strings.Join(names, " "))
		report("nearest", s.faults(lists[5*i+1], want, "a", func(v any) (float64, bool) { return dot(v.([]any), asked), true }), "")
		report("exact", s.faults(lists[5*i+2], want, "a", func(v any) (float64, bool) { return dot(v.([]any), asked), true }), "")
		report("sparse", s.faults(lists[5*i+3], want, "s", func(v any) (float64, bool) { return common(v.(object), sparse) }), "")
		report("multi", s.faults(lists[5*i+4], want, "m", func(v any) (float64, bool) { return -furthest(v.([]any), rows), true }), "")
		if i%3 == 0 {
			report("count", fmt.Sprint(s.count("lot", text(f))), fmt.Sprint(len(want)))
			var paged []record
			for offset := ""; ; {
				page := s.scroll("lot", fmt.Sprintf(`{"filter":%s,"limit":37%s}`, text(f), offset))
				paged = append(paged, page.Points...)
				if page.Next == "null" || len(page.Points) == 0 {
					break
				}
				offset = `,"offset":` + string(page.Next)
			}
			report("scroll", ids(paged), strings.Join(names, " "))
		}
	}
}

// everything compares all points with all that is stored of them.
func (s *saga) everything(when string) {
	s.t.Helper()
	got := s.scroll("lot", `{"limit":999999999,"with_vector":true}`).Points
	want := s.all()
	if len(got) != len(want) {
		s.t.Errorf("%s: %d points, want %d: %s", when, len(got), len(want), ids(got))
		return
	}
	for i, p := range want {
		if string(got[i].ID) != text(p.id) {
			s.t.Errorf("%s: point %s, want %s", when, got[i].ID, text(p.id))
			return
		}
		if have := parse(string(got[i].Payload)); !reflect.DeepEqual(have, any(p.payload)) {
			s.t.Errorf("%s: payload of %s\n got %s\nwant %s", when, text(p.id), got[i].Payload, text(p.payload))
		}
		if !near(parse(string(got[i].Vector)), any(p.vectors)) {
			s.t.Errorf("%s: vectors of %s\n got %s\nwant %s", when, text(p.id), got[i].Vector, text(p.vectors))
		}
	}
}

// faults says how a result differs from the points that match, have the vector and have a score, best first.
func (s *saga) faults(got []record, matching []*model, name string, score func(any) (float64, bool)) string {
	type scored struct {
		id    string
		score float64
	}
	var want []scored
	for _, p := range matching {
		if v := p.vectors[name]; v != nil {
			if f, ok := score(v); ok {
				want = append(want, scored{text(p.id), f})
			}
		}
	}
	var found []string
	for _, w := range want {
		found = append(found, w.id)
	}
	sort.Strings(found)
	if a, b := sorted(got), strings.Join(found, " "); a != b {
		return fmt.Sprintf("found %s, want %s", a, b)
	}
	sort.SliceStable(want, func(i, j int) bool { return want[i].score > want[j].score })
	for i, r := range got {
		if math.Abs(r.Score-math.Abs(want[i].score)) > 1e-4 && math.Abs(r.Score-want[i].score) > 1e-4 {
			return fmt.Sprintf("place %d: %s with %g, want %s with %g", i, r.ID, r.Score, want[i].id, want[i].score)
		}
	}
	return ""
}

func dot(a, b []any) (sum float64) {
	for i := range a {
		sum += float(a[i]) * float(b[i])
	}
	return sum
}

// common is the score of a sparse vector, if it shares an index with the query.
func common(v, query object) (sum float64, ok bool) {
	for i, index := range v["indices"].([]any) {
		if at := slices.Index(query["indices"].([]any), index); at >= 0 {
			sum, ok = sum+float(v["values"].([]any)[i])*float(query["values"].([]any)[at]), true
		}
	}
	return sum, ok
}

// furthest is the Euclidean distance of a multivector.
func furthest(rows, query []any) float64 {
	var sum float64
	for _, q := range query {
		least := math.Inf(1)
		for _, r := range rows {
			var d float64
			for i, x := range r.([]any) {
				y := float(q.([]any)[i]) - float(x)
				d += y * y
			}
			least = min(least, d)
		}
		sum += least
	}
	return math.Sqrt(sum)
}
