package rest

import (
	"math"

	"github.com/sextantdb/sextant"
)

const (
	queryShape = "Expected some form of vector, id, or a type of query"
	maxInt     = 1 << 40 // counts of a request are cut to this, far above anything that is stored
)

// search is a decoded read: its queries and the shards it is about.
type search struct {
	query    sextant.Query
	shardKey choice
}

var (
	withVectorAlias = map[string]string{"with_vectors": "with_vector"}
	queryFields     = fieldSet{names: []string{"shard_key", "prefetch", "query", "using", "filter", "params", "score_threshold",
		"limit", "offset", "with_vector", "with_payload", "lookup_from"}, aliases: withVectorAlias}
	batchQueryFields = allOf("searches")
)

// count reads an unsigned integer that is used as an int.
func (s *scanner) count() int { return int(min(s.uint64(), maxInt)) }

// queryRequest reads the body of points/query.
func (s *scanner) queryRequest() (r search) {
	r.query.Limit = 10
	s.in("internal")
	defer s.out()
	threshold, given, prefetch := false, false, false
	for name := range queryFields.of(s) {
		s.in(name)
		switch name {
		case "query":
			given = true
			r.query.Nearest = s.queryValue()
		case "prefetch":
			s.oneOrMore(func(int) { prefetch = true; s.skip() })
		case "score_threshold":
			threshold = true
			r.query.ScoreThreshold = new(s.float32())
		default:
			s.searchPart(name, &r)
		}
		s.out()
	}
	switch {
	case prefetch && !given:
		s.refuse(sextant.Errorf(sextant.BadRequest,
			"A query is needed to merge the prefetches. Can't have prefetches without defining a query."))
	case prefetch:
		s.lacks("a query with prefetch")
	case threshold && !given:
		s.refuse(sextant.Errorf(sextant.BadRequest,
			"A query is needed to use the score_threshold. Can't have score_threshold without defining a query."))
	}
	return r
}

// searchPart reads a key that all reads by score share.
func (s *scanner) searchPart(name string, r *search) {
	q := &r.query
	switch name {
	case "using":
		q.Using = s.str()
	case "filter":
		q.Filter = s.filter()
	case "params":
		q.Params = s.searchParams()
	case "score_threshold":
		q.ScoreThreshold = new(s.float32())
	case "limit":
		q.Limit = int(s.atLeast("", uint64(s.count()), 1))
	case "offset":
		q.Offset = s.count()
	case "with_payload":
		q.WithPayload = s.withPayload()
	case "with_vector":
		q.WithVector = s.withVector()
	case "lookup_from":
		q.LookupFrom = s.lookupFrom()
	case "shard_key":
		r.shardKey = s.shardKeys()
	}
}

// searchBatch reads a list of requests below "searches".
func (s *scanner) searchBatch(one func() search) (list []search) {
	list = []search{}
	for range batchQueryFields.of(s) {
		s.in("searches")
		for i := range s.elements {
			s.item(i)
			list = append(list, one())
		}
		s.out()
	}
	return list
}

var queryKinds = []string{"nearest", "recommend", "discover", "context", "order_by", "fusion", "rrf", "formula", "sample",
	"relevance_feedback"}

// queryValue reads a vector, an id, or one of the kinds of query.
func (s *scanner) queryValue() *sextant.VectorInput {
	if s.peek() != object {
		return s.vectorInput()
	}
	kind := s.firstKey(queryKinds)
	switch kind {
	case "":
		return s.vectorInput()
	case "nearest":
		return s.nearest()
	}
	s.skip()
	s.lacks("query of kind %q", kind)
	return nil
}

// firstKey looks ahead for the first of some keys in the next value, an object.
func (s *scanner) firstKey(keys []string) (found string) {
	at, depth := s.pos, s.depth
	for key := range s.members {
		for _, k := range keys {
			if k == string(key) {
				found = k
			}
		}
		if found != "" {
			break
		}
		s.skip()
	}
	if s.err == nil {
		s.pos, s.depth = at, depth
	}
	return found
}

var nearestFields = fieldSet{names: []string{"nearest", "mmr"}, required: []string{"nearest"}}

func (s *scanner) nearest() (v *sextant.VectorInput) {
	for name := range nearestFields.of(s) {
		if name == "nearest" {
			s.in(name)
			v = s.vectorInput()
			s.out()
		} else {
			s.skip()
			s.lacks("query of kind %q", "mmr")
		}
	}
	return v
}

// vectorInput reads a vector or the id of a point that has it.
func (s *scanner) vectorInput() *sextant.VectorInput {
	switch s.peek() {
	case numeric, text:
		id := s.pointID()
		s.explain(queryShape)
		return &sextant.VectorInput{ID: &id}
	case array, object:
		v := s.vector("VectorInput")
		s.explain(queryShape)
		return &sextant.VectorInput{Vector: &v}
	}
	s.shape(queryShape)
	return nil
}

// explain puts what was expected before the detail of an error that has just happened.
func (s *scanner) explain(expected string) {
	const place = "Format error in JSON body: "
	if s.err != nil {
		s.err = sextant.Errorf(sextant.Malformed, "%s%s: %s", place, expected, s.err.Error()[len(place):])
	}
}

var lookupFields = fieldSet{names: []string{"collection", "vector", "shard_key"}, required: []string{"collection"}}

func (s *scanner) lookupFrom() *sextant.LookupFrom {
	l := &sextant.LookupFrom{}
	for name := range lookupFields.of(s) {
		switch name {
		case "collection":
			l.Collection = s.str()
		case "vector":
			l.Vector = new(s.str())
		case "shard_key":
			s.shardKeys()
			s.lacks("a shard key in lookup_from")
		}
	}
	return l
}

var (
	paramsFields = fieldSet{names: []string{"hnsw_ef", "exact", "quantization", "indexed_only", "acorn", "idf"}}
	quantFields  = fieldSet{names: []string{"ignore", "rescore", "oversampling"}}
	acornFields  = fieldSet{names: []string{"enable", "max_selectivity"}}
	idfFields    = allOf("corpus")
)

func (s *scanner) searchParams() (p sextant.SearchParams) {
	for name := range paramsFields.of(s) {
		switch name {
		case "hnsw_ef":
			p.EF = int(s.atLeast(name, uint64(s.count()), 1))
		case "exact":
			p.Exact = s.bool()
		case "indexed_only":
			p.IndexedOnly = s.bool()
		case "quantization":
			s.in(name)
			for name := range quantFields.of(s) {
				switch name {
				case "ignore":
					p.IgnoreQuant = s.bool()
				case "rescore":
					p.Rescore = new(s.bool())
				case "oversampling":
					p.Oversampling = s.between(name, s.float64(), 1, math.Inf(1))
				}
			}
			s.out()
		case "acorn":
			s.in(name)
			for name := range acornFields.of(s) {
				if name == "enable" {
					p.ACORN = s.bool()
				} else {
					p.ACORNMax = new(s.between(name, s.float64(), 0, 1))
				}
			}
			s.out()
		case "idf":
			p.IDFCorpusFlag = true
			if s.peek() == text {
				s.enum("global")
				break
			}
			s.in(name)
			for range idfFields.of(s) {
				s.in("corpus")
				p.IDFCorpus = s.filter()
				s.out()
			}
			s.out()
		}
	}
	return p
}

var (
	searchFields = fieldSet{names: []string{"vector", "limit", "offset", "filter", "params", "score_threshold", "with_payload",
		"with_vector", "shard_key"}, required: []string{"vector", "limit"},
		aliases: map[string]string{"with_vectors": "with_vector", "top": "limit"}}
	namedFields = allOf("name", "vector")
)

// legacySearch reads the body of points/search, the older form of a query by vector.
func (s *scanner) legacySearch() (r search) {
	s.in("search_request")
	defer s.out()
	for name := range searchFields.of(s) {
		s.in(name)
		if name == "vector" {
			v := s.namedVector(&r.query.Using)
			r.query.Nearest = &sextant.VectorInput{Vector: &v}
		} else {
			s.searchPart(name, &r)
		}
		s.out()
	}
	return r
}

// namedVector reads a vector, or an object of a name and a vector.
func (s *scanner) namedVector(using *string) (v sextant.Vector) {
	const union = "NamedVectorStruct"
	switch s.peek() {
	case array:
		return s.vector(union)
	case object:
		for name := range namedFields.of(s) {
			if name == "name" {
				*using = s.str()
			} else {
				v = s.vector(union)
			}
		}
		return v
	}
	s.noVariant(union)
	return v
}
