package rest

import (
	"github.com/sextantdb/sextant"
)

var matchFields = fieldSet{names: []string{"value", "text", "text_any", "phrase", "prefix", "any", "except"}}

// match reads the test of a match condition. Of several forms the first counts.
func (s *scanner) match() (t sextant.FieldTest) {
	s.space()
	start := s.pos
	if s.peek() != object {
		s.noVariant("Match")
		return nil
	}
	for name := range matchFields.of(s) {
		if t != nil {
			s.skip()
			continue
		}
		switch name {
		case "value":
			t = sextant.Match{Value: s.matchValue()}
		case "text":
			t = sextant.MatchText{Text: s.str(), Mode: sextant.TextAll}
		case "text_any":
			t = sextant.MatchText{Text: s.str(), Mode: sextant.TextAny}
		case "phrase":
			t = sextant.MatchText{Text: s.str(), Mode: sextant.TextPhrase}
		case "prefix":
			t = sextant.MatchPrefix{Prefix: s.str()}
		case "any":
			t = s.matchList()
		case "except":
			t = sextant.MatchExcept(s.matchList())
		}
	}
	if t == nil {
		s.failAt(start, "data did not match any variant of untagged enum Match")
	}
	return t
}

// matchValue reads a string, an integer or a bool; floats are no value to match.
func (s *scanner) matchValue() any {
	switch s.peek() {
	case text:
		return s.str()
	case boolean:
		return s.bool()
	case numeric:
		if n, ok := scanNumber(s.b, s.pos); ok && n.fitsInt64() {
			return s.int64()
		}
	}
	s.noVariant("ValueVariants")
	return nil
}

// matchList reads a list of only strings or only integers.
func (s *scanner) matchList() (m sextant.MatchAny) {
	s.space()
	start := s.pos
	if s.peek() != array {
		s.noVariant("AnyVariants")
		return m
	}
	for range s.elements {
		n, isNumber := scanNumber(s.b, s.pos)
		switch kind := s.peek(); {
		case kind == text:
			m.Strings = append(m.Strings, s.str())
		case kind == numeric && isNumber && n.fitsInt64():
			m.Ints = append(m.Ints, s.int64())
		default:
			s.noVariant("AnyVariants")
		}
	}
	if len(m.Strings) > 0 && len(m.Ints) > 0 {
		s.failAt(start, "data did not match any variant of untagged enum AnyVariants")
	}
	return m
}

var (
	geoPointFields = allOf("lon", "lat")
	geoBoxFields   = allOf("top_left", "bottom_right")
	radiusFields   = allOf("center", "radius")
	polygonFields  = fieldSet{names: []string{"exterior", "interiors"}, required: []string{"exterior"}}
	ringFields     = allOf("points")
)

func (s *scanner) geoPoint() (p sextant.GeoPoint) {
	for name := range geoPointFields.of(s) {
		if name == "lon" {
			p.Lon = s.float64()
		} else {
			p.Lat = s.float64()
		}
	}
	if p.Lat < -90 || p.Lat > 90 || p.Lon < -180 || p.Lon > 180 {
		s.fail("Wrong format of GeoPoint payload: expected `lat` = %v within [-90;90] and `lon` = %v within [-180;180]",
			p.Lat, p.Lon)
	}
	return p
}

func (s *scanner) geoBox() (b sextant.GeoBox) {
	for name := range geoBoxFields.of(s) {
		if name == "top_left" {
			b.TopLeft = s.geoPoint()
		} else {
			b.BottomRight = s.geoPoint()
		}
	}
	return b
}

func (s *scanner) geoRadius() (r sextant.GeoRadius) {
	for name := range radiusFields.of(s) {
		if name == "center" {
			r.Center = s.geoPoint()
		} else {
			r.Radius = s.float64()
		}
	}
	return r
}

func (s *scanner) geoPolygon() (p sextant.GeoPolygon) {
	for name := range polygonFields.of(s) {
		if name == "exterior" {
			p.Exterior = s.ring()
			continue
		}
		for range s.elements {
			p.Interiors = append(p.Interiors, s.ring())
		}
	}
	return p
}

// ring reads a closed line.
func (s *scanner) ring() (points []sextant.GeoPoint) {
	for range ringFields.of(s) {
		for range s.elements {
			points = append(points, s.geoPoint())
		}
	}
	switch {
	case s.err != nil:
	case len(points) < 4:
		s.fail("polygon invalid, the size must be at least 4, got %d", len(points))
	case points[0] != points[len(points)-1]:
		s.fail("polygon invalid, the first and the last points should be the same to form a closed line")
	}
	return points
}
