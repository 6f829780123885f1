package codec

import (
	"math"
	"reflect"
	"testing"

	"github.com/sextantdb/sextant"
)

var reads = []Read{
	{Query: &sextant.Query{Nearest: &sextant.VectorInput{Vector: &sextant.Vector{Values: []float32{0.1, -3e-40, 7}}}, Using: "v", Limit: 3, Offset: 1,
		Filter:      &sextant.Filter{Must: []sextant.Condition{sextant.Field{Key: sextant.MustPath("a.b[]"), Test: sextant.Match{Value: "x"}}}},
		WithPayload: sextant.PayloadSelector{Include: []sextant.Path{sextant.MustPath(`"odd key".z`)}}, WithVector: sextant.VectorSelector{Names: []string{}}}},
	{Query: &sextant.Query{Nearest: &sextant.VectorInput{Vector: &sextant.Vector{Kind: sextant.Sparse, Indices: []uint32{1, 9}, Values: []float32{1, 2}}},
		Params: sextant.SearchParams{IDFCorpus: &sextant.Filter{}, IDFCorpusFlag: true, Rescore: new(false)}, ScoreThreshold: new(float32(0.25)), Limit: 1}},
	{Scroll: &sextant.Scroll{Offset: &sextant.PointID{Hi: 1 << 63, Lo: 1<<64 - 1, IsUUID: true}, Limit: 1 << 40, OrderBy: &sextant.OrderBy{Key: sextant.MustPath("t"), Desc: true,
		StartFrom: &sextant.OrderStart{Int: 1<<63 - 1, IsInt: true}}, WithVector: sextant.VectorSelector{All: true}}},
	{Query: &sextant.Query{Nearest: &sextant.VectorInput{Vector: &sextant.Vector{Kind: sextant.Multi, Rows: 2, Values: []float32{float32(math.Inf(1)), float32(math.Copysign(0, -1)), 1, 2}}},
		ScoreThreshold: new(float32(math.Inf(-1))), Limit: 1}},
	{Query: &sextant.Query{Nearest: &sextant.VectorInput{ID: &sextant.PointID{Lo: 1<<64 - 1}}, Limit: 1}},
	{Retrieve: &Retrieve{IDs: []sextant.PointID{sextant.NumID(1<<64 - 1)}, Payload: sextant.PayloadSelector{All: true}}},
	{Count: &Count{Exact: true}},
}

var answers = []Answer{
	{},
	{Count: 1 << 60},
	{Points: []sextant.ScoredPoint{{Score: 0.1, Record: sextant.Record{ID: sextant.NumID(4), Version: 9, Payload: sextant.Payload(`{"a":1}`),
		Vectors: []sextant.NamedVector{{Name: "", Vector: sextant.Vector{Values: []float32{1, 2}}}, {Name: "m", Vector: sextant.Vector{Kind: sextant.Multi, Rows: 2, Values: []float32{1, 2, 3, 4}}},
			{Name: "s", Vector: sextant.Vector{Kind: sextant.Sparse, Indices: []uint32{3}, Values: []float32{5}}}}}}, {Record: sextant.Record{Payload: sextant.Payload{}, Vectors: []sextant.NamedVector{}}}}},
	{Records: []sextant.Record{{ID: sextant.PointID{Hi: 1, Lo: 2, IsUUID: true}, OrderValue: &sextant.OrderValue{Int: -5}}, {OrderValue: &sextant.OrderValue{IsFloat: true, Float: 2.5}}},
		Next: &sextant.PointID{Lo: 77}},
}

func TestReadsAndAnswersKeepEverything(t *testing.T) {
	for _, r := range reads {
		got, err := ReadRead(AppendRead(nil, r))
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("got %+v (%v), want %+v", got, err, r)
		}
	}
	for _, a := range answers {
		got, err := ReadAnswer(AppendAnswer(nil, a))
		if err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("got %+v (%v), want %+v", got, err, a)
		}
	}
}

func FuzzReads(f *testing.F) {
	for _, r := range reads {
		f.Add(AppendRead(nil, r))
	}
	for _, a := range answers {
		f.Add(AppendAnswer(nil, a))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = ReadRead(b)
		if a, err := ReadAnswer(b); err == nil {
			if again, err := ReadAnswer(AppendAnswer(nil, a)); err != nil || len(again.Points) != len(a.Points) || len(again.Records) != len(a.Records) {
				t.Errorf("%+v became %+v (%v)", a, again, err)
			}
		}
	})
}
