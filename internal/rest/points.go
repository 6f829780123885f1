package rest

import (
	"errors"
	"strings"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/document"
)

// change is a decoded update request: usually one update, two when vectors are deleted by filter and by id.
type change struct {
	updates  []sextant.Update
	shardKey choice
}

// payload reads a JSON object and keeps it as compact bytes.
func (s *scanner) payload() sextant.Payload {
	if s.peek() != object {
		s.expected("a map")
		return nil
	}
	return s.document()
}

// document keeps any value as compact bytes.
func (s *scanner) document() []byte {
	s.space()
	start := s.pos
	end := extent(s.b, start)
	raw := s.b[start:end]
	if cap(s.payloads)-len(s.payloads) < len(raw) {
		s.payloads = make([]byte, 0, max(len(raw), min(len(s.b)-start, 64<<10)))
	}
	from := len(s.payloads)
	out, err := document.Compact(s.payloads, raw)
	if err != nil {
		s.skip() // knows the position in the whole body
		var e *sextant.Error
		if errors.As(err, &e) {
			reason, _, _ := strings.Cut(e.Text, " at line ")
			s.failAt(start, "%s", reason)
		}
		return nil
	}
	s.payloads, s.pos = out, end
	return out[from:len(out):len(out)]
}

// extent returns where the array or object at start ends if it is well-formed, or any later position if it is not.
func extent(b []byte, start int) int {
	depth := 0
	for i := start; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(b)
}

var upsertFields = fieldSet{names: []string{"points", "batch", "shard_key", "update_filter", "update_mode"}}

func (s *scanner) upsert() (c change) {
	var u sextant.Upsert
	given := false
	var batched []sextant.Point
	batch := false
	for name := range upsertFields.of(s) {
		switch name {
		case "points":
			given = true
			u.Points = s.points(&pointFields)
		case "batch":
			batch = true
			s.in("batch")
			batched = s.batch()
			s.out()
		case "shard_key":
			c.shardKey = s.shardKeys()
		case "update_filter":
			s.in(name)
			u.Filter = s.filter()
			s.out()
		case "update_mode":
			switch s.enum("upsert", "insert_only", "update_only") {
			case "insert_only":
				u.Mode = sextant.ModeInsertOnly
			case "update_only":
				u.Mode = sextant.ModeUpdateOnly
			}
		}
	}
	switch {
	case batch:
		u.Points = batched
	case !given:
		s.fail("Invalid PointInsertOperations format")
	}
	if s.err == nil && len(u.Points) == 0 {
		s.refuseEmpty()
	}
	c.updates = []sextant.Update{u}
	return c
}

func (s *scanner) refuseEmpty() {
	s.refuse(sextant.Errorf(sextant.BadRequest, "Empty update request"))
}

var (
	vectorAlias = map[string]string{"vectors": "vector"}
	pointFields = fieldSet{names: []string{"id", "vector", "payload"}, required: []string{"id", "vector"},
		aliases: vectorAlias}
	pointVectorFields = fieldSet{names: []string{"id", "vector"}, required: []string{"id", "vector"}, aliases: vectorAlias}
)

func (s *scanner) points(fields *fieldSet) []sextant.Point {
	points := make([]sextant.Point, 0, min(64, (len(s.b)-s.pos)/32))
	s.in("points")
	for i := range s.elements {
		s.item(i)
		var p sextant.Point
		for name := range fields.of(s) {
			switch name {
			case "id":
				p.ID = s.pointID()
			case "vector":
				s.in(name)
				p.Vectors = s.vectorStruct()
				s.out()
			case "payload":
				p.Payload = s.payload()
			}
		}
		if s.err != nil {
			break
		}
		if fields == &pointVectorFields && len(p.Vectors) == 0 {
			s.violated("vector", "must specify vectors to update for point")
		}
		points = append(points, p)
	}
	s.out()
	return points
}

var batchFields = fieldSet{names: []string{"ids", "vectors", "payloads"}, required: []string{"ids", "vectors"}}

// column is one vector name of a batch.
type column struct {
	name    string
	vectors []sextant.Vector
}

func (s *scanner) batch() []sextant.Point {
	var ids []sextant.PointID
	var columns []column
	var payloads []sextant.Payload
	havePayloads := false
	for name := range batchFields.of(s) {
		switch name {
		case "ids":
			ids = s.pointIDs()
		case "vectors":
			s.in(name)
			columns = s.columns()
			s.out()
		case "payloads":
			havePayloads = true
			for range s.elements {
				if s.peek() == null {
					s.skip()
					payloads = append(payloads, nil)
				} else {
					payloads = append(payloads, s.payload())
				}
			}
		}
	}
	if s.err != nil {
		return nil
	}
	for _, c := range columns {
		if len(c.vectors) != len(ids) {
			s.violated("", "number of ids and vectors must be equal (%d != %d)", len(ids), len(c.vectors))
			return nil
		}
	}
	if havePayloads && len(payloads) != len(ids) {
		s.violated("", "number of ids and payloads must be equal (%d != %d)", len(ids), len(payloads))
		return nil
	}
	points := make([]sextant.Point, len(ids))
	named := make([]sextant.NamedVector, len(ids)*len(columns))
	for i, id := range ids {
		points[i].ID = id
		points[i].Vectors = named[i*len(columns) : (i+1)*len(columns) : (i+1)*len(columns)]
		for j, c := range columns {
			points[i].Vectors[j] = sextant.NamedVector{Name: c.name, Vector: c.vectors[i]}
		}
		if havePayloads {
			points[i].Payload = payloads[i]
		}
	}
	return points
}

// columns reads the vectors of a batch: a list for the unnamed one, or an object of lists by name.
func (s *scanner) columns() []column {
	const union = "BatchVectorStruct"
	switch s.peek() {
	case array:
		c := column{vectors: s.column()}
		for _, v := range c.vectors {
			if v.Kind == sextant.Sparse && s.later == nil {
				s.fail("data did not match any variant of untagged enum %s", union)
			}
		}
		return []column{c}
	case object:
		var columns []column
		for key := range s.members {
			c := column{name: string(key)}
			s.in("?")
			c.vectors = s.column()
			s.out()
			columns = append(columns, c)
		}
		return columns
	}
	s.noVariant(union)
	return nil
}

func (s *scanner) column() []sextant.Vector {
	var vectors []sextant.Vector
	for i := range s.elements {
		s.item(i)
		vectors = append(vectors, s.vector("Vector"))
	}
	return vectors
}
