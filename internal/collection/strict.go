package collection

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sextantdb/sextant"
)

// strict is a strict mode that is on. Its methods are pure: they judge a request by the settings alone.
type strict struct {
	sextant.StrictModeConfig
	view *View
}

func (v *View) strict() (strict, bool) {
	if m := v.Config.StrictMode; m != nil && m.Enabled != nil && *m.Enabled {
		return strict{*m, v}, true
	}
	return strict{}, false
}

// refuse makes the error of strict mode: what was wrong, and what to do instead.
func refuse(help, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if help != "" {
		text += ". Help: " + help
	}
	return &sextant.Error{Kind: sextant.BadRequest, Text: text}
}

// atMost is the rule of all plain limits.
func atMost(got uint64, limit *uint64, what string) error {
	if limit == nil || got <= *limit {
		return nil
	}
	return refuse("Reduce the \""+what+"\" parameter to or below "+strconv.FormatUint(*limit, 10)+".",
		"Limit exceeded %d > %d for %q", got, *limit, what)
}

func (s strict) timeout(d time.Duration) error {
	return atMost(uint64(d/time.Second), s.MaxTimeout, "timeout")
}

func (s strict) exact(exact bool) error {
	if exact && s.SearchAllowExact != nil && !*s.SearchAllowExact {
		return refuse("Set exact=false.", "Exact search disabled!")
	}
	return nil
}

func (s strict) query(q sextant.Query) error {
	if err := s.vectorIndex(q); err != nil {
		return err
	}
	if err := atMost(uint64(max(q.Limit, 0)), s.MaxQueryLimit, "limit"); err != nil {
		return err
	}
	if err := s.filter(q.Filter, s.UnindexedFilteringRetrieve); err != nil {
		return err
	}
	if err := s.filter(q.Params.IDFCorpus, s.UnindexedFilteringRetrieve); err != nil {
		return err
	}
	if err := s.exact(q.Params.Exact); err != nil {
		return err
	}
	if err := atMost(uint64(max(q.Params.EF, 0)), s.SearchMaxHNSWEf, "hnsw_ef"); err != nil {
		return err
	}
	if limit := s.SearchMaxOversampling; limit != nil && q.Params.Oversampling > *limit {
		most := strconv.FormatFloat(*limit, 'f', -1, 64)
		return refuse("Reduce the \"oversampling\" parameter to or below "+most+".", "Limit exceeded %s > %s for %q",
			strconv.FormatFloat(q.Params.Oversampling, 'f', -1, 64), most, "oversampling")
	}
	return nil
}

// vectorIndex refuses a search that no graph can answer, where exhaustive searches are not allowed.
func (s strict) vectorIndex(q sextant.Query) error {
	params, dense := s.view.Config.Params.Vectors.Map[q.Using]
	if q.Nearest == nil || !dense || s.SearchAllowExact == nil || *s.SearchAllowExact {
		return nil
	}
	hnsw := s.view.Config.HNSW.Apply(params.HNSW)
	if hnsw.M != 0 {
		return nil
	}
	on := ""
	if q.Using != "" {
		on = " on '" + q.Using + "'"
	}
	if !s.byTenant(q.Filter) {
		return refuse("Use tenant-specific filter, enable global vector indexing or enable strict mode `search_allow_exact` option",
			"Request is forbidden%s because global vector indexing is disabled (hnsw_config.m = 0)", on)
	}
	if hnsw.PayloadM == nil || *hnsw.PayloadM == 0 {
		return refuse("Enable vector indexing, use a prefetch query with indexed vectors or enable strict mode `search_allow_exact` option",
			"Request is forbidden%s because vector indexing is disabled (hnsw_config.m = 0 and hnsw_config.payload_m = 0)", on)
	}
	return nil
}

// byTenant reports whether a filter demands one value of a tenant field.
func (s strict) byTenant(f *sextant.Filter) bool {
	if f == nil {
		return false
	}
	return slices.ContainsFunc(f.Must, func(c sextant.Condition) bool {
		switch c := c.(type) {
		case *sextant.Filter:
			return s.byTenant(c)
		case sextant.Field:
			_, isMatch := c.Test.(sextant.Match)
			return isMatch && s.view.Fields[c.Key.String()].IsTenant
		}
		return false
	})
}

// filter checks the size of a filter, and when unindexed is false that indexes exist for it.
func (s strict) filter(f *sextant.Filter, unindexed *bool) error {
	if f.IsEmpty() {
		return nil
	}
	count, err := uint64(0), error(nil)
	note := func(e error) {
		if err == nil {
			err = e
		}
	}
	walk(f, nil, func(c sextant.Condition, prefix []sextant.PathStep) {
		count++
		if n, ok := conditionSize(c); ok && s.ConditionMaxSize != nil && uint64(n) > *s.ConditionMaxSize {
			note(refuse("Reduce the size of your condition.", "Condition size limit reached (%d > %d)", n, *s.ConditionMaxSize))
		}
	})
	if s.FilterMaxConditions != nil && count > *s.FilterMaxConditions {
		return refuse("Reduce the amount of conditions of your filter.", "Filter condition limit reached (%d > %d)", count, *s.FilterMaxConditions)
	}
	if err != nil || unindexed == nil || *unindexed {
		return err
	}
	walk(f, nil, func(c sextant.Condition, prefix []sextant.PathStep) {
		key, test, ok := conditionKey(c)
		if !ok {
			return
		}
		full := sextant.Path{Steps: slices.Concat(prefix, key.Steps)}
		spec, indexed := s.view.Fields[full.String()]
		types, fits := needs(test)
		if len(types) == 0 || indexed && fits(spec) {
			return
		}
		note(refuse("Create an index for this key or use a different filter.",
			"Index required but not found for %q of one of the following types: [%s]", full.String(), strings.Join(types, ", ")))
	})
	return err
}

// walk shows every condition that is not a filter itself, with the path of the nested objects that it is in.
func walk(f *sextant.Filter, prefix []sextant.PathStep, yield func(c sextant.Condition, prefix []sextant.PathStep)) {
	if f == nil {
		return
	}
	lists := [][]sextant.Condition{f.Must, f.Should, f.MustNot}
	if f.MinShould != nil {
		lists = append(lists, f.MinShould.Conditions)
	}
	for _, list := range lists {
		for _, c := range list {
			switch c := c.(type) {
			case *sextant.Filter:
				walk(c, prefix, yield)
			case sextant.Nested:
				walk(c.Filter, slices.Concat(prefix, c.Key.Steps), yield)
			default:
				yield(c, prefix)
			}
		}
	}
}

// CountConditions returns the number of conditions of a filter, those inside others included.
func CountConditions(f *sextant.Filter) (n int) {
	walk(f, nil, func(sextant.Condition, []sextant.PathStep) { n++ })
	return n
}

// conditionSize returns the number of items that a condition lists.
func conditionSize(c sextant.Condition) (int, bool) {
	switch c := c.(type) {
	case sextant.HasID:
		return len(c.IDs), true
	case sextant.Field:
		switch t := c.Test.(type) {
		case sextant.MatchAny:
			return len(t.Strings) + len(t.Ints), true
		case sextant.MatchExcept:
			return len(t.Strings) + len(t.Ints), true
		}
	}
	return 0, false
}

// conditionKey returns the field of a condition; the tests for emptiness have two forms.
func conditionKey(c sextant.Condition) (sextant.Path, sextant.FieldTest, bool) {
	switch c := c.(type) {
	case sextant.Field:
		return c.Key, c.Test, true
	case sextant.IsEmpty:
		return c.Key, sextant.FieldIsEmpty{Want: true}, true
	case sextant.IsNull:
		return c.Key, sextant.FieldIsNull{Want: true}, true
	}
	return sextant.Path{}, nil, false
}

// needs returns the types of index that can answer a test, sorted, and whether one of such a type really can. No types:
// the test needs no index.
func needs(t sextant.FieldTest) (types []string, fits func(sextant.FieldSpec) bool) {
	is := func(ok func(sextant.FieldSpec) bool, types ...sextant.FieldType) ([]string, func(sextant.FieldSpec) bool) {
		words := make([]string, len(types))
		for i, t := range types {
			words[i] = string(t)
		}
		slices.Sort(words)
		return words, func(s sextant.FieldSpec) bool { return slices.Contains(types, s.Type) && ok(s) }
	}
	anyOf := func(sextant.FieldSpec) bool { return true }
	lookup := func(s sextant.FieldSpec) bool { return s.Type != sextant.IntegerField || s.Lookup }
	ranged := func(s sextant.FieldSpec) bool { return s.Type != sextant.IntegerField || s.Range }
	words := func(all []string) ([]string, func(sextant.FieldSpec) bool) {
		for _, s := range all {
			if _, ok := sextant.ParseUUID(s); !ok {
				return is(anyOf, sextant.KeywordField)
			}
		}
		return is(anyOf, sextant.KeywordField, sextant.UUIDField)
	}
	list := func(strings []string, ints []int64) ([]string, func(sextant.FieldSpec) bool) {
		switch {
		case len(strings) > 0:
			return words(strings)
		case len(ints) > 0:
			return is(lookup, sextant.IntegerField)
		}
		return nil, nil
	}
	switch t := t.(type) {
	case sextant.Match:
		switch value := t.Value.(type) {
		case string:
			return words([]string{value})
		case bool:
			return is(anyOf, sextant.BoolField)
		}
		return is(lookup, sextant.IntegerField)
	case sextant.MatchAny:
		return list(t.Strings, t.Ints)
	case sextant.MatchExcept:
		return list(t.Strings, t.Ints)
	case sextant.MatchText:
		phrase := t.Mode == sextant.TextPhrase
		return is(func(s sextant.FieldSpec) bool { return !phrase || s.Text != nil && s.Text.Phrase }, sextant.TextField)
	case sextant.MatchPrefix:
		return is(func(s sextant.FieldSpec) bool { return strings.Contains(compactJSON(s.Params), `"prefix":true`) }, sextant.KeywordField)
	case sextant.Range:
		return is(ranged, sextant.IntegerField, sextant.FloatField)
	case sextant.DatetimeRange:
		return is(anyOf, sextant.DatetimeField)
	case sextant.GeoRadius, sextant.GeoBox, sextant.GeoPolygon:
		return is(anyOf, sextant.GeoField)
	}
	return is(anyOf, sextant.FieldTypes()...)
}

// compactJSON drops the white space of an object that users gave.
func compactJSON(raw []byte) string { return strings.Join(strings.Fields(string(raw)), "") }

// CheckNewIndex refuses one index too many.
func (c *Collection) CheckNewIndex(key sextant.Path) error {
	v := c.view.Load()
	s, on := v.strict()
	if !on || s.MaxPayloadIndexCount == nil {
		return nil
	}
	if _, ok := v.Fields[key.String()]; !ok && uint64(len(v.Fields)) >= *s.MaxPayloadIndexCount {
		return refuse("Please delete an existing index before creating a new one.",
			"Collection already has the maximum number of payload indices (%d)", *s.MaxPayloadIndexCount)
	}
	return nil
}
