package rest

import (
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/node"
)

const (
	payloadShape = "Expected a boolean, an array of strings, or an object with an include/exclude field"
	vectorShape  = "Expected a boolean, or an array of strings"
	orderShape   = "Expected a string, or an object with a key, direction and/or start_from"
	keyShape     = "Expected a string or an integer"
)

// shape fails with a text that tells which forms a value may have.
func (s *scanner) shape(text string) {
	at := s.pos
	s.skip() // a syntax error is the better reason
	s.failAt(at, "%s", text)
}

var payloadSelectorFields = fieldSet{names: []string{"include", "exclude"}, strict: true}

// withPayload reads which part of payloads to return.
func (s *scanner) withPayload() (p sextant.PayloadSelector) {
	switch s.peek() {
	case boolean:
		p.All = s.bool()
	case array:
		p.Include = s.pathList()
	case object:
		for name := range payloadSelectorFields.of(s) {
			if name == "include" {
				p.Include = s.pathList()
			} else {
				p.Exclude = s.pathList()
			}
		}
		if s.err == nil && (p.Include == nil) == (p.Exclude == nil) {
			s.fail(payloadShape)
		}
	default:
		s.shape(payloadShape)
	}
	return p
}

func (s *scanner) pathList() []sextant.Path {
	paths := []sextant.Path{}
	for range s.elements {
		if s.peek() != text {
			s.shape(payloadShape)
			break
		}
		paths = append(paths, s.jsonPath())
	}
	return paths
}

// withVector reads which vectors to return.
func (s *scanner) withVector() (v sextant.VectorSelector) {
	switch s.peek() {
	case boolean:
		v.All = s.bool()
	case array:
		v.Names = []string{}
		for range s.elements {
			if s.peek() != text {
				s.shape(vectorShape)
				break
			}
			v.Names = append(v.Names, s.str())
		}
	default:
		s.shape(vectorShape)
	}
	return v
}

var fallbackFields = allOf("target", "fallback")

// choice says which shards a request is about.
type choice struct {
	keys     []node.ShardKey // nil: the request names none
	fallback *node.ShardKey  // in place of the one key
}

func (c choice) equal(d choice) bool {
	sameFallback := c.fallback == nil && d.fallback == nil || c.fallback != nil && d.fallback != nil && *c.fallback == *d.fallback
	return sameFallback && (c.keys == nil) == (d.keys == nil) && slices.Equal(c.keys, d.keys)
}

// shardKeys reads one shard key, a list of them, or a target with a fallback.
func (s *scanner) shardKeys() choice {
	c := choice{keys: []node.ShardKey{}}
	switch s.peek() {
	case array:
		for range s.elements {
			c.keys = append(c.keys, s.shardKey())
		}
	case object:
		for name := range fallbackFields.of(s) {
			if key := s.shardKey(); name == "target" {
				c.keys = []node.ShardKey{key}
			} else {
				c.fallback = &key
			}
		}
	default:
		c.keys = append(c.keys, s.shardKey())
	}
	return c
}

func (s *scanner) shardKey() (k node.ShardKey) {
	switch s.peek() {
	case text:
		k.Word = s.str()
	case numeric:
		k.Number, k.IsNumber = s.uint64(), true
	default:
		s.shape(keyShape)
	}
	return k
}

var orderFields = fieldSet{names: []string{"key", "direction", "start_from"}, required: []string{"key"}}

// orderBy reads a key, or a key with direction and start.
func (s *scanner) orderBy() *sextant.OrderBy {
	o := &sextant.OrderBy{}
	switch s.peek() {
	case text:
		o.Key = s.jsonPath()
	case object:
		for name := range orderFields.of(s) {
			switch name {
			case "key":
				o.Key = s.jsonPath()
			case "direction":
				o.Desc = s.enum("asc", "desc") == "desc"
			case "start_from":
				o.StartFrom = s.orderStart()
			}
		}
	default:
		s.shape(orderShape)
	}
	return o
}

func (s *scanner) orderStart() *sextant.OrderStart {
	if s.peek() == text {
		return &sextant.OrderStart{IsDatetime: true, Int: s.datetime()}
	}
	o := &sextant.OrderStart{}
	if n, ok := scanNumber(s.b, s.pos); ok && n.fitsInt64() {
		o.IsInt, o.Int = true, s.int64()
		o.Float = float64(o.Int)
	} else {
		o.Float = s.float64()
	}
	return o
}
