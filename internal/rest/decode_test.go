package rest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/node"
)

func dense(v ...float32) sextant.Vector { return sextant.Vector{Kind: sextant.Dense, Values: v} }

func named(name string, v sextant.Vector) sextant.NamedVector {
	return sextant.NamedVector{Name: name, Vector: v}
}

func path(s string) sextant.Path { return sextant.MustPath(s) }

// same decodes a body and compares the whole value.
func same[T any](t *testing.T, body string, f func(*scanner) T, want T) {
	t.Helper()
	got, err := decoded(body, f)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s\n got %+v %v\nwant %+v", body, got, err, want)
	}
}

func TestVectorFormsOfPoints(t *testing.T) {
	ids := []sextant.PointID{sextant.NumID(18446744073709551615)}
	point := func(vectors ...sextant.NamedVector) change {
		return change{updates: []sextant.Update{sextant.Upsert{Points: []sextant.Point{{ID: ids[0], Vectors: vectors}}}}}
	}
	multi := sextant.Vector{Kind: sextant.Multi, Rows: 2, Values: []float32{1, 2, 3, 4}}
	sparse := sextant.Vector{Kind: sextant.Sparse, Indices: []uint32{1, 7}, Values: []float32{0.5, 0.25}}
	for vector, want := range map[string]change{
		`[0.1, -2e-1 ,3]`: point(named("", dense(0.1, -0.2, 3))),
		`[[1,2],[3,4]]`:   point(named("", multi)),
		`{}`:              point(),
		`{"":[1]}`:        point(named("", dense(1))),
		`{"a":[1],"m":[[1,2],[3,4]],"s":{"indices":[7,1],"values":[0.25,0.5]}}`: point(named("a", dense(1)), named("m", multi), named("s", sparse)),
		`{"a":[1],"a":[2]}`:                  point(named("a", dense(2))),
		`{"text":[1],"model":[2]}`:           point(named("text", dense(1)), named("model", dense(2))),
		`{"s":{"values":[],"indices":[]}}`:   point(named("s", sextant.Vector{Kind: sextant.Sparse})),
		`{"\u00e9\n":[1]}`:                   point(named("é\n", dense(1))),
		`{"indices":[1,2],"values":[0.5,1]}`: point(named("indices", dense(1, 2)), named("values", dense(0.5, 1))),
	} {
		same(t, `{"points":[{"id":18446744073709551615,"vector":`+vector+`}]}`, (*scanner).upsert, want)
		same(t, `{"points":[{"vectors":`+vector+`,"payload":null,"id":18446744073709551615}],"shard_key":null,"unknown":[{}]}`, (*scanner).upsert, want)
	}
}

func TestUpsertForms(t *testing.T) {
	uuid, _ := sextant.ParseUUID("936da01f-9abd-4d9d-80c7-02af85c822a8")
	upsert := func(u sextant.Upsert) change { return change{updates: []sextant.Update{u}} }
	same(t, `{"points":[{"id":"936DA01F9ABD4D9D80C702AF85C822A8","vector":[1],"payload":{ "b" : 1.0 , "a":[1, 2], "b":"\u0041"}}],
		"update_mode":"insert_only","update_filter":{"must":{"has_id":[1]}}}`, (*scanner).upsert, upsert(sextant.Upsert{
		Mode:   sextant.ModeInsertOnly,
		Filter: &sextant.Filter{Must: []sextant.Condition{sextant.HasID{IDs: []sextant.PointID{sextant.NumID(1)}}}},
		Points: []sextant.Point{{ID: uuid, Vectors: []sextant.NamedVector{named("", dense(1))}, Payload: sextant.Payload(`{"b":"A","a":[1,2]}`)}},
	}))
	two := []sextant.Point{
		{ID: sextant.NumID(1), Vectors: []sextant.NamedVector{named("", dense(1, 2))}, Payload: sextant.Payload(`{"a":1}`)},
		{ID: sextant.NumID(2), Vectors: []sextant.NamedVector{named("", dense(3, 4))}},
	}
	same(t, `{"batch":{"payloads":[{"a":1},null],"vectors":[[1,2],[3,4]],"ids":[1,2]}}`, (*scanner).upsert, upsert(sextant.Upsert{Points: two}))
	two[0].Vectors[0].Name, two[1].Vectors[0].Name = "a", "a"
	two[0].Payload = nil
	same(t, `{"batch":{"ids":[1,2],"vectors":{"a":[[1,2],[3,4]]}}}`, (*scanner).upsert, upsert(sextant.Upsert{Points: two}))
}

func TestOtherUpdates(t *testing.T) {
	one := sextant.Selector{IDs: []sextant.PointID{sextant.NumID(1)}}
	all := sextant.Selector{Filter: &sextant.Filter{}}
	is := func(us ...sextant.Update) change { return change{updates: us} }
	same(t, `{"points":[1]}`, (*scanner).deletePoints, is(sextant.DeletePoints{Selector: one}))
	same(t, `{"filter":{}}`, (*scanner).deletePoints, is(sextant.DeletePoints{Selector: all}))
	same(t, `{"filter":{},"points":[1]}`, (*scanner).clearPayload, is(sextant.ClearPayload{Selector: one}))
	same(t, `{"payload":{"a":null},"points":[1],"key":"x[].y"}`, (*scanner).setPayload,
		is(sextant.SetPayload{Selector: one, Payload: sextant.Payload(`{"a":null}`), Key: path("x[].y")}))
	same(t, `{"payload":{},"filter":{},"key":"x"}`, (*scanner).overwritePayload, is(sextant.OverwritePayload{Selector: all, Payload: sextant.Payload(`{}`)}))
	same(t, `{"keys":["a","b.c"],"points":[1]}`, (*scanner).deletePayload,
		is(sextant.DeletePayload{Selector: one, Keys: []sextant.Path{path("a"), path("b.c")}}))
	same(t, `{"points":[{"id":1,"vector":{"a":[1]}}]}`, (*scanner).updateVectors,
		is(sextant.UpdateVectors{Points: []sextant.Point{{ID: sextant.NumID(1), Vectors: []sextant.NamedVector{named("a", dense(1))}}}}))
	same(t, `{"points":[1],"vector":["a"],"filter":{}}`, (*scanner).deleteVectors,
		is(sextant.DeleteVectors{Selector: all, Names: []string{"a"}}, sextant.DeleteVectors{Selector: one, Names: []string{"a"}}))
	same(t, `{"operations":[{"delete":{"points":[1]}},{"clear_payload":{"filter":{},"shard_key":["k",5]}}]}`, (*scanner).updateBatch, []change{
		is(sextant.DeletePoints{Selector: one}),
		{[]sextant.Update{sextant.ClearPayload{Selector: all}}, choice{keys: []node.ShardKey{{Word: "k"}, {Number: 5, IsNumber: true}}}},
	})
	same(t, `{"operations":[]}`, (*scanner).updateBatch, nil)
	same(t, `{"points":[1],"shard_key":{"fallback":5,"target":"k"}}`, (*scanner).deletePoints,
		change{[]sextant.Update{sextant.DeletePoints{Selector: one}}, choice{[]node.ShardKey{{Word: "k"}}, &node.ShardKey{Number: 5, IsNumber: true}}})
}

func TestFilters(t *testing.T) {
	field := func(test sextant.FieldTest) sextant.Condition {
		return sextant.Field{Key: path("k"), Test: test}
	}
	must := func(c ...sextant.Condition) *sextant.Filter { return &sextant.Filter{Must: c} }
	place := sextant.GeoPoint{Lon: 1, Lat: 2}
	id := sextant.NumID(1)
	for condition, want := range map[string]sextant.Condition{
		`{"key":"k","match":{"value":"a"}}`:                                                              field(sextant.Match{Value: "a"}),
		`{"match":{"value":-5},"key":"k"}`:                                                               field(sextant.Match{Value: int64(-5)}),
		`{"key":"k","match":{"value":true}}`:                                                             field(sextant.Match{Value: true}),
		`{"key":"k","match":{"any":["a","b"]}}`:                                                          field(sextant.MatchAny{Strings: []string{"a", "b"}}),
		`{"key":"k","match":{"any":[1]}}`:                                                                field(sextant.MatchAny{Ints: []int64{1}}),
		`{"key":"k","match":{"any":[]}}`:                                                                 field(sextant.MatchAny{}),
		`{"key":"k","match":{"except":["a"]}}`:                                                           field(sextant.MatchExcept{Strings: []string{"a"}}),
		`{"key":"k","match":{"text":"a b"}}`:                                                             field(sextant.MatchText{Text: "a b"}),
		`{"key":"k","match":{"text_any":"a b"}}`:                                                         field(sextant.MatchText{Text: "a b", Mode: sextant.TextAny}),
		`{"key":"k","match":{"phrase":"a b"}}`:                                                           field(sextant.MatchText{Text: "a b", Mode: sextant.TextPhrase}),
		`{"key":"k","match":{"prefix":"a"}}`:                                                             field(sextant.MatchPrefix{Prefix: "a"}),
		`{"key":"k","match":null,"range":{"gt":1.5,"lt":null}}`:                                          field(sextant.Range{Gt: new(1.5)}),
		`{"key":"k","range":{}}`:                                                                         field(sextant.Range{}),
		`{"key":"k","range":{"gte":"1970-01-01T00:00:01Z","lte":"1970-01-02"}}`:                          field(sextant.DatetimeRange{Gte: new(int64(1e6)), Lte: new(int64(86400e6))}),
		`{"key":"k","values_count":{"gt":1,"gte":2,"lt":3,"lte":4}}`:                                     field(sextant.ValuesCount{Gt: new(uint64(1)), Gte: new(uint64(2)), Lt: new(uint64(3)), Lte: new(uint64(4))}),
		`{"key":"k","is_empty":false}`:                                                                   field(sextant.FieldIsEmpty{}),
		`{"is_null":true,"key":"k"}`:                                                                     field(sextant.FieldIsNull{Want: true}),
		`{"key":"k","geo_radius":{"center":{"lon":1,"lat":2},"radius":3}}`:                               field(sextant.GeoRadius{Center: place, Radius: 3}),
		`{"key":"k","geo_bounding_box":{"top_left":{"lon":1,"lat":2},"bottom_right":{"lon":1,"lat":2}}}`: field(sextant.GeoBox{TopLeft: place, BottomRight: place}),
		`{"key":"k","geo_polygon":{"exterior":{"points":[{"lon":1,"lat":2},{"lon":1,"lat":2},{"lon":1,"lat":2},{"lon":1,"lat":2}]}}}`: field(sextant.GeoPolygon{
			Exterior: []sextant.GeoPoint{place, place, place, place},
		}),
		`{"is_empty":{"key":"k"}}`:                 sextant.IsEmpty{Key: path("k")},
		`{"is_null":{"key":"k"}}`:                  sextant.IsNull{Key: path("k")},
		`{"has_id":[1]}`:                           sextant.HasID{IDs: []sextant.PointID{id}},
		`{"has_vector":""}`:                        sextant.HasVector{},
		`{"slice":{"total":3,"index":2}}`:          sextant.Slice{Total: 3, Index: 2},
		`{"nested":{"key":"a","filter":{}}}`:       sextant.Nested{Key: path("a[]"), Filter: &sextant.Filter{}},
		`{"nested":{"key":"a[].b[]","filter":{}}}`: sextant.Nested{Key: path("a[].b[]"), Filter: &sextant.Filter{}},
		`{}`:                                    &sextant.Filter{},
		`{"must":null,"should":{"has_id":[1]}}`: &sextant.Filter{Should: []sextant.Condition{sextant.HasID{IDs: []sextant.PointID{id}}}},
		`{"min_should":{"conditions":[{}],"min_count":1}}`:   &sextant.Filter{MinShould: &sextant.MinShould{Conditions: []sextant.Condition{&sextant.Filter{}}, MinCount: 1}},
		`{"must_not":[{"must":{"has_id":[1]}}]}`:             &sextant.Filter{MustNot: []sextant.Condition{must(sextant.HasID{IDs: []sextant.PointID{id}})}},
		`{"key":"k","range":{"gt":1},"match":{"value":"a"}}`: &sextant.Filter{Should: []sextant.Condition{field(sextant.Range{Gt: new(1.0)}), field(sextant.Match{Value: "a"})}},
	} {
		same(t, `{"must":`+condition+`}`, (*scanner).filter, must(want))
		same(t, `{"must":[`+condition+`,{"has_id":[1]}]}`, (*scanner).filter, must(want, sextant.HasID{IDs: []sextant.PointID{id}}))
	}
}

func TestQueries(t *testing.T) {
	vector := func(v sextant.Vector) *sextant.VectorInput { return &sextant.VectorInput{Vector: &v} }
	uuid, _ := sextant.ParseUUID("936da01f-9abd-4d9d-80c7-02af85c822a8")
	query := func(n *sextant.VectorInput) search { return search{query: sextant.Query{Nearest: n, Limit: 10}} }
	sparse := sextant.Vector{Kind: sextant.Sparse, Indices: []uint32{1, 2}, Values: []float32{4, 3}}
	for body, want := range map[string]search{
		`{}`:              query(nil),
		`{"query":null}`:  query(nil),
		`{"prefetch":[]}`: query(nil),
		`{"query":[1,2]}`: query(vector(dense(1, 2))),
		`{"query":7}`:     query(&sextant.VectorInput{ID: new(sextant.NumID(7))}),
		`{"query":{"nearest":"936da01f-9abd-4d9d-80c7-02af85c822a8"}}`: query(&sextant.VectorInput{ID: &uuid}),
		`{"query":{"nearest":[1],"mmr":null}}`:                         query(vector(dense(1))),
		`{"query":{"indices":[2,1],"values":[3,4]}}`:                   query(vector(sparse)),
		`{"query":[[1],[2]]}`:                                          query(vector(sextant.Vector{Kind: sextant.Multi, Rows: 2, Values: []float32{1, 2}})),
	} {
		same(t, body, (*scanner).queryRequest, want)
	}
	same(t, `{"query":[1],"using":"a","filter":{},"limit":3,"offset":4,"score_threshold":0.5,"with_payload":["a.b"],"with_vectors":["x"],
		"lookup_from":{"collection":"c","vector":"v"},"shard_key":"k","params":{"hnsw_ef":9,"exact":true,"indexed_only":true,
		"quantization":{"ignore":true,"rescore":false,"oversampling":2},"acorn":{"enable":true,"max_selectivity":0.5},"idf":{"corpus":{}}}}`,
		(*scanner).queryRequest, search{shardKey: choice{keys: []node.ShardKey{{Word: "k"}}}, query: sextant.Query{
			Nearest: vector(dense(1)), Using: "a", Filter: &sextant.Filter{}, Limit: 3, Offset: 4, ScoreThreshold: new(float32(0.5)),
			WithPayload: sextant.PayloadSelector{Include: []sextant.Path{path("a.b")}}, WithVector: sextant.VectorSelector{Names: []string{"x"}},
			LookupFrom: &sextant.LookupFrom{Collection: "c", Vector: new("v")},
			Params: sextant.SearchParams{EF: 9, Exact: true, IndexedOnly: true, IgnoreQuant: true, Rescore: new(false), Oversampling: 2,
				ACORN: true, ACORNMax: new(0.5), IDFCorpus: &sextant.Filter{}, IDFCorpusFlag: true},
		}})
	legacy := query(vector(dense(1)))
	legacy.query.Limit, legacy.query.Using = 2, "a"
	same(t, `{"vector":{"name":"a","vector":[1]},"top":2}`, (*scanner).legacySearch, legacy)
	legacy.query.Nearest = vector(sparse)
	same(t, `{"vector":{"vector":{"indices":[1,2],"values":[4,3]},"name":"a"},"limit":2}`, (*scanner).legacySearch, legacy)
	same(t, `{"searches":[{"query":7,"limit":999999999},{}]}`, func(s *scanner) []search { return s.searchBatch(s.queryRequest) }, []search{
		{query: sextant.Query{Nearest: &sextant.VectorInput{ID: new(sextant.NumID(7))}, Limit: 999999999}}, query(nil),
	})
}

func TestReads(t *testing.T) {
	same(t, `{}`, (*scanner).scrollRequest, reading{scroll: sextant.Scroll{Limit: 10, WithPayload: sextant.PayloadSelector{All: true}}})
	same(t, `{"limit":1,"offset":3,"with_payload":{"exclude":["a"]},"with_vector":true}`, (*scanner).scrollRequest, reading{scroll: sextant.Scroll{
		Limit: 1, Offset: new(sextant.NumID(3)), WithPayload: sextant.PayloadSelector{Exclude: []sextant.Path{path("a")}},
		WithVector: sextant.VectorSelector{All: true},
	}})
	order := func(o sextant.OrderBy) reading {
		return reading{scroll: sextant.Scroll{Limit: 10, WithPayload: sextant.PayloadSelector{All: true}, OrderBy: &o}}
	}
	same(t, `{"order_by":"a"}`, (*scanner).scrollRequest, order(sextant.OrderBy{Key: path("a")}))
	same(t, `{"order_by":{"key":"a","direction":"desc","start_from":5}}`, (*scanner).scrollRequest,
		order(sextant.OrderBy{Key: path("a"), Desc: true, StartFrom: &sextant.OrderStart{IsInt: true, Int: 5, Float: 5}}))
	same(t, `{"order_by":{"key":"a","start_from":5.5}}`, (*scanner).scrollRequest,
		order(sextant.OrderBy{Key: path("a"), StartFrom: &sextant.OrderStart{Float: 5.5}}))
	same(t, `{"order_by":{"key":"a","start_from":"1970-01-01T00:00:01Z"}}`, (*scanner).scrollRequest,
		order(sextant.OrderBy{Key: path("a"), StartFrom: &sextant.OrderStart{IsDatetime: true, Int: 1e6}}))
	same(t, `{"ids":[2,1,2]}`, (*scanner).retrieveRequest, reading{ids: []sextant.PointID{sextant.NumID(2), sextant.NumID(1), sextant.NumID(2)}})
	same(t, `{}`, (*scanner).countRequest, reading{exact: true})
	same(t, `{"exact":false,"filter":{"must":[]}}`, (*scanner).countRequest, reading{scroll: sextant.Scroll{Filter: &sextant.Filter{}}})
}

func TestIndexSchemas(t *testing.T) {
	spec := func(schema string, want sextant.FieldSpec) {
		t.Helper()
		same(t, `{"field_name":"a","field_schema":`+schema+`}`, (*scanner).createIndex, indexRequest{path("a"), &want})
		same(t, `{"field_type":`+schema+`,"field_name":"a"}`, (*scanner).createIndex, indexRequest{path("a"), &want})
	}
	spec(`"keyword"`, sextant.FieldSpec{Type: "keyword"})
	spec(`"integer"`, sextant.FieldSpec{Type: "integer", Lookup: true, Range: true})
	spec(`"text"`, sextant.FieldSpec{Type: "text", Text: &sextant.TextSpec{Tokenizer: "word"}})
	spec(`{"type":"integer"}`, sextant.FieldSpec{Type: "integer", Lookup: true, Range: true, Params: json.RawMessage(`{"type":"integer"}`)})
	spec(`{"range":true,"type":"integer"}`, sextant.FieldSpec{Type: "integer", Range: true, Params: json.RawMessage(`{"range":true,"type":"integer"}`)})
	spec(`{"type":"keyword", "is_tenant":true,"on_disk":true,"enable_hnsw":false}`, sextant.FieldSpec{Type: "keyword", IsTenant: true, NoHNSW: true,
		Params: json.RawMessage(`{"type":"keyword","is_tenant":true,"on_disk":true,"enable_hnsw":false}`)})
	text := `{"type":"text","tokenizer":"multilingual","min_token_len":2,"max_token_len":9,"lowercase":false,"ascii_folding":true,"phrase_matching":true,"stopwords":{"languages":["german"],"custom":["x"]},"stemmer":{"type":"snowball","language":"english"}}`
	spec(text, sextant.FieldSpec{Type: "text", Params: json.RawMessage(text), Text: &sextant.TextSpec{Tokenizer: "multilingual", MinTokenLen: 2,
		MaxTokenLen: 9, KeepCase: true, ASCIIFolding: true, Phrase: true, StopLanguages: []string{"german"}, StopCustom: []string{"x"}, Stemmer: "english"}})
}

// What a collection is made of comes out of the decoder as encoding/json would read it into the same types.
func TestSettingsAreReadWhole(t *testing.T) {
	create := `{"vectors":{"a":{"size":4,"distance":"Dot","hnsw_config":{"m":8,"ef_construct":4,"full_scan_threshold":10,"max_indexing_threads":1,
		"on_disk":true,"memory":"pinned","payload_m":3,"inline_storage":true},"quantization_config":{"scalar":{"type":"int8","quantile":0.5,"always_ram":true}},
		"on_disk":true,"memory":"cold","datatype":"float16","multivector_config":{"comparator":"max_sim"}}},
		"sparse_vectors":{"s":{"index":{"full_scan_threshold":5,"on_disk":true,"memory":"cold","datatype":"uint8"},"modifier":"idf"},"t":{}},
		"shard_number":2,"sharding_method":"auto","replication_factor":3,"write_consistency_factor":4,"on_disk_payload":false,
		"payload":{"memory":"cached"},"wal_config":{"wal_capacity_mb":1,"wal_segments_ahead":2,"wal_retain_closed":3},
		"hnsw_config":{"m":0},"quantization_config":{"binary":{"encoding":"two_bits","query_encoding":"scalar4bits"}},
		"optimizers_config":{"deleted_threshold":0.5,"vacuum_min_vector_number":100,"default_segment_number":1,"max_segment_size":2,"memmap_threshold":3,
		"indexing_threshold":4,"flush_interval_sec":5,"prevent_unoptimized":true},
		"strict_mode_config":{"enabled":true,"max_query_limit":1,"max_timeout":2,"unindexed_filtering_retrieve":false,"unindexed_filtering_update":true,
		"search_max_hnsw_ef":3,"search_allow_exact":false,"search_max_oversampling":1.5,"upsert_max_batchsize":4,"search_max_batchsize":5,
		"max_collection_vector_size_bytes":6,"read_rate_limit":7,"write_rate_limit":8,"max_collection_payload_size_bytes":9,"max_points_count":10,
		"filter_max_conditions":11,"condition_max_size":12,"multivector_config":{"a":{"max_vectors":13}},"sparse_config":{"s":{"max_length":14}},
		"max_payload_index_count":15,"max_resident_memory_percent":16},"metadata":{"a":[1,null]}}`
	oracle(t, create, (*scanner).createCollection)
	oracle(t, strings.NewReplacer("optimizers_config", "optimizer_config", "quantization_config", "quantization").Replace(create), func(s *scanner) node.CreateCollection {
		got := s.createCollection()
		return got
	}, create)
	oracle(t, `{}`, (*scanner).createCollection)
	oracle(t, `{"vectors":{"":{"hnsw_config":{"m":1},"on_disk":true,"memory":"cached","quantization_config":"Disabled"}},"sparse_vectors":{"s":{"modifier":"none"}},
		"params":{"replication_factor":1,"write_consistency_factor":2,"read_fan_out_factor":0,"read_fan_out_delay_ms":4,"on_disk_payload":true,"payload":{"memory":"cold"}},
		"optimizers_config":{},"hnsw_config":{},"quantization_config":{"product":{"compression":"x16","memory":"pinned"}},"metadata":{"a":null}}`, (*scanner).patchCollection)
	oracle(t, `{"quantization_config":{"turbo":{"bits":"bits1_5","always_ram":false}},"optimizers_config":null}`, (*scanner).patchCollection)

	c, err := decoded(`{"vectors":{"size":4,"distance":"Cosine"},"optimizers_config":{"max_optimization_threads":"auto","indexing_threshold_kb":7}}`, (*scanner).createCollection)
	if err != nil || !c.Vectors.Single || c.Vectors.Map[""].Size != 4 || !c.Optimizers.MaxOptimizationThreads.Auto || *c.Optimizers.IndexingThreshold != 7 {
		t.Errorf("%+v %v", c, err)
	}
	if c, err = decoded(`{"vectors":{}}`, (*scanner).createCollection); err != nil || c.Vectors.Single || len(c.Vectors.Map) != 0 {
		t.Errorf("%+v %v", c, err)
	}
}

// oracle compares what the decoder reads with what encoding/json reads from the same text, or from another.
func oracle[T any](t *testing.T, body string, f func(*scanner) T, same ...string) {
	t.Helper()
	var want T
	if err := json.Unmarshal([]byte(append(same, body)[0]), &want); err != nil {
		t.Fatal(err)
	}
	got, err := decoded(body, f)
	show := func(v any) string { b, err := json.Marshal(v); return fmt.Sprintf("%s %v", b, err) }
	if err != nil || show(got) != show(want) {
		t.Errorf("%s\n got %s %v\nwant %s", body, show(got), err, show(want))
	}
}

func TestBodiesOfAliasesAndVectorNames(t *testing.T) {
	same(t, `{"actions":[{"create_alias":{"collection_name":"c","alias_name":"a"}},{"rename_alias":{"old_alias_name":"a","new_alias_name":"b"}},{"delete_alias":{"alias_name":"b"}}]}`,
		(*scanner).aliasActions, []node.AliasAction{{Kind: node.CreateAlias, Collection: "c", Alias: "a"}, {Kind: node.RenameAlias, Alias: "a", NewAlias: "b"},
			{Kind: node.DeleteAlias, Alias: "b"}})
	same(t, `{"dense":{"size":4,"distance":"Dot","datatype":"uint8"}}`, (*scanner).vectorSchema,
		node.VectorSchema{Dense: &sextant.VectorParams{Size: 4, Distance: sextant.Dot, Datatype: new(sextant.Uint8)}})
	same(t, `{"sparse":{"modifier":"idf"}}`, (*scanner).vectorSchema, node.VectorSchema{Sparse: &sextant.SparseParams{Modifier: new("idf")}})
	same(t, `{"location":"http://x","priority":"no_sync","api_key":"k","wait":false}`, (*scanner).recovery,
		recovery{"http://x", node.RecoverOptions{Priority: "no_sync", APIKey: "k"}})
}
