package rest

import (
	"github.com/sextantdb/sextant"
)

// indexRequest is the decoded body of PUT index.
type indexRequest struct {
	key  sextant.Path
	spec *sextant.FieldSpec // nil: not given
}

var (
	indexFields = fieldSet{names: []string{"field_name", "field_schema"}, required: []string{"field_name"},
		aliases: map[string]string{"field_type": "field_schema"}}
	fieldTypes = func() (names []string) {
		for _, t := range sextant.FieldTypes() {
			names = append(names, string(t))
		}
		return names
	}()
)

func (s *scanner) createIndex() (r indexRequest) {
	for name := range indexFields.of(s) {
		if name == "field_name" {
			r.key = s.jsonPath()
			continue
		}
		s.in(name)
		r.spec = s.fieldSchema()
		s.out()
	}
	if r.spec == nil {
		s.refuse(sextant.Errorf(sextant.BadRequest, "Can't auto-detect field type, please specify `field_schema` in the request"))
	}
	return r
}

// fieldSchema reads a type, or an object of a type and its parameters. The object is kept as it was given, to be shown.
func (s *scanner) fieldSchema() *sextant.FieldSpec {
	f := &sextant.FieldSpec{}
	switch s.peek() {
	case text:
		f.Type = sextant.FieldType(s.enum(fieldTypes...))
		f.Lookup = f.Type == sextant.IntegerField
		f.Range = f.Lookup
		if f.Type == sextant.TextField {
			f.Text = &sextant.TextSpec{Tokenizer: "word"}
		}
		return f
	case object:
		at, depth := s.pos, s.depth
		s.schemaParams(f)
		if s.err != nil {
			return f
		}
		s.pos, s.depth = at, depth
		f.Params = s.document()
		return f
	}
	s.noVariant("PayloadFieldSchema")
	return f
}

var (
	schemaFields = fieldSet{names: []string{"type", "on_disk", "memory", "enable_hnsw", "is_tenant", "prefix", "lookup", "range",
		"is_principal", "tokenizer", "min_token_len", "max_token_len", "lowercase", "ascii_folding", "phrase_matching",
		"stopwords", "stemmer"}, required: []string{"type"}}
	// which types know which parameters, beside those that all know
	schemaOf = map[string][]sextant.FieldType{
		"is_tenant":    {sextant.KeywordField, sextant.UUIDField},
		"prefix":       {sextant.KeywordField},
		"lookup":       {sextant.IntegerField},
		"range":        {sextant.IntegerField},
		"is_principal": {sextant.IntegerField, sextant.FloatField, sextant.DatetimeField},
	}
)

// schemaParams reads the parameters into f. A parameter of another type is passed over, as any unknown key.
func (s *scanner) schemaParams(f *sextant.FieldSpec) {
	f.Type = sextant.FieldType(s.schemaType())
	t := &sextant.TextSpec{Tokenizer: "word"}
	var lookup, ranges *bool
	for name := range schemaFields.of(s) {
		switch {
		case name == "type":
			s.enum(fieldTypes...)
		case name == "on_disk":
			s.bool()
		case name == "enable_hnsw":
			f.NoHNSW = !s.bool()
		case name == "memory":
			s.memory(name, "")
		case f.Type == sextant.TextField:
			s.textParam(t, name)
		case !contains(schemaOf[name], f.Type):
			s.skip()
		case name == "is_tenant":
			f.IsTenant = s.bool()
		case name == "lookup":
			lookup = new(s.bool())
		case name == "range":
			ranges = new(s.bool())
		default: // accepted hints
			s.bool()
		}
	}
	switch f.Type {
	case sextant.TextField:
		f.Text = t
	case sextant.IntegerField:
		f.Lookup, f.Range = capabilities(lookup, ranges)
		if !f.Lookup && !f.Range && s.err == nil {
			s.violated("", "the 'lookup' and 'range' capabilities can't be both disabled")
		}
	}
}

func contains(types []sextant.FieldType, t sextant.FieldType) bool {
	for _, other := range types {
		if other == t {
			return true
		}
	}
	return false
}

// capabilities says what an integer index may do: what is not mentioned is on, unless only the other was asked for.
func capabilities(lookup, ranges *bool) (mayLookup, mayRange bool) {
	switch {
	case lookup == nil && ranges == nil:
		return true, true
	case lookup == nil:
		return !*ranges, *ranges
	case ranges == nil:
		return *lookup, !*lookup
	}
	return *lookup, *ranges
}

// schemaType looks ahead for the type, which decides what the other keys mean.
func (s *scanner) schemaType() (name string) {
	at, depth := s.pos, s.depth
	for key := range s.members {
		if string(key) == "type" {
			name = s.enum(fieldTypes...)
			break
		}
		s.skip()
	}
	if s.err == nil {
		s.pos, s.depth = at, depth
	}
	return name
}

var (
	stopFields = fieldSet{names: []string{"languages", "custom"}}
	stemFields = fieldSet{names: []string{"type", "language"}, required: []string{"type"}}
	languages  = []string{"arabic", "azerbaijani", "basque", "bengali", "catalan", "chinese", "danish", "dutch", "english",
		"finnish", "french", "german", "greek", "hebrew", "hinglish", "hungarian", "indonesian", "italian", "japanese", "kazakh",
		"nepali", "norwegian", "portuguese", "romanian", "russian", "slovene", "spanish", "swedish", "tajik", "turkish"}
	stemLanguages = []string{"arabic", "armenian", "danish", "dutch", "english", "finnish", "french", "german", "greek",
		"hungarian", "italian", "norwegian", "portuguese", "romanian", "russian", "spanish", "swedish", "tamil", "turkish"}
)

func (s *scanner) textParam(t *sextant.TextSpec, name string) {
	switch name {
	case "tokenizer":
		t.Tokenizer = s.enum("prefix", "whitespace", "word", "multilingual")
	case "min_token_len":
		t.MinTokenLen = s.count()
	case "max_token_len":
		t.MaxTokenLen = s.count()
	case "lowercase":
		t.KeepCase = !s.bool()
	case "ascii_folding":
		t.ASCIIFolding = s.bool()
	case "phrase_matching":
		t.Phrase = s.bool()
	case "stopwords":
		s.stopwords(t)
	case "stemmer":
		s.stemmer(t)
	default:
		s.skip()
	}
}

func (s *scanner) stopwords(t *sextant.TextSpec) {
	switch s.peek() {
	case text:
		t.StopLanguages = []string{s.enum(languages...)}
	case object:
		for name := range stopFields.of(s) {
			if name == "custom" {
				t.StopCustom = s.strings()
				continue
			}
			for range s.elements {
				t.StopLanguages = append(t.StopLanguages, s.enum(languages...))
			}
		}
	default:
		s.noVariant("StopwordsInterface")
	}
}

func (s *scanner) stemmer(t *sextant.TextSpec) {
	s.space()
	start, kind := s.pos, ""
	for name := range stemFields.of(s) {
		if name == "type" {
			kind = s.enum("snowball", "none")
		} else {
			t.Stemmer = s.enum(stemLanguages...)
		}
	}
	switch {
	case kind == "none":
		t.Stemmer = ""
	case t.Stemmer == "":
		s.failAt(start, "missing field `language`")
	}
}
