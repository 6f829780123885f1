package rest

import (
	"github.com/sextantdb/sextant"
)

// reading is a decoded read that is no search.
type reading struct {
	scroll   sextant.Scroll
	ids      []sextant.PointID
	exact    bool
	shardKey choice
}

var (
	scrollFields = fieldSet{names: []string{"shard_key", "offset", "limit", "filter", "with_payload", "with_vector", "order_by"},
		aliases: withVectorAlias}
	retrieveFields = fieldSet{names: []string{"shard_key", "ids", "with_payload", "with_vector"}, required: []string{"ids"},
		aliases: withVectorAlias}
	countFields = fieldSet{names: []string{"shard_key", "filter", "exact"}}
)

// scrollRequest reads the body of points/scroll. The payload comes unless it is refused.
func (s *scanner) scrollRequest() (r reading) {
	r.scroll.Limit = 10
	r.scroll.WithPayload.All = true
	s.in("scroll_request")
	defer s.out()
	for name := range scrollFields.of(s) {
		switch name {
		case "offset":
			r.scroll.Offset = new(s.pointID())
		case "limit":
			r.scroll.Limit = int(s.atLeast(name, uint64(s.count()), 1))
		case "order_by":
			r.scroll.OrderBy = s.orderBy()
		default:
			s.readPart(name, &r)
		}
	}
	if r.scroll.OrderBy != nil && r.scroll.Offset != nil {
		s.refuse(sextant.Errorf(sextant.WrongInput, "Cannot use an `offset` when using `order_by`. "+
			"The alternative for paging is to use `order_by.start_from` and a filter to exclude the IDs that you've already seen "+
			"for the `order_by.start_from` value"))
	}
	return r
}

func (s *scanner) readPart(name string, r *reading) {
	switch name {
	case "filter":
		s.in(name)
		r.scroll.Filter = s.filter()
		s.out()
	case "with_payload":
		r.scroll.WithPayload = s.withPayload()
	case "with_vector":
		r.scroll.WithVector = s.withVector()
	case "shard_key":
		r.shardKey = s.shardKeys()
	}
}

// retrieveRequest reads the body of POST points. Without being asked for, no payload comes.
func (s *scanner) retrieveRequest() (r reading) {
	for name := range retrieveFields.of(s) {
		if name == "ids" {
			r.ids = s.pointIDs()
		} else {
			s.readPart(name, &r)
		}
	}
	return r
}

func (s *scanner) countRequest() (r reading) {
	r.exact = true
	s.in("count_request")
	defer s.out()
	for name := range countFields.of(s) {
		if name == "exact" {
			r.exact = s.bool()
		} else {
			s.readPart(name, &r)
		}
	}
	return r
}
