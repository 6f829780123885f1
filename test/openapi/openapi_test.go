package openapi

import "testing"

// The checker must see the mistakes it is there for.
func TestMistakesAreSeen(t *testing.T) {
	s, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		schema, body string
		fine         bool
	}{
		{"Record", `{"id":1,"payload":{"a":1},"vector":[0.1]}`, true},
		{"Record", `{"id":1,"payload":null}`, true},
		{"Record", `{"payload":{}}`, false},
		{"Record", `{"id":-1}`, false},
		{"Record", `{"id":"936da01f-9abd-4d9d-80c7-02af85c822a8"}`, true},
		{"Record", `{"id":"x"}`, false},
		{"Record", `{"id":1,"surprise":1}`, false},
		{"ScoredPoint", `{"id":1,"version":3,"score":0.5,"vector":{"a":{"indices":[1],"values":[1]}}}`, true},
		{"ScoredPoint", `{"id":1,"score":0.5}`, false},
		{"UpdateResult", `{"operation_id":1,"status":"completed"}`, true},
		{"UpdateResult", `{"operation_id":1,"status":"done"}`, false},
		{"OptimizersStatus", `{"error":"x","more":1}`, false},
		{"VectorParams", `{"size":0,"distance":"Dot"}`, false},
		{"SnapshotDescription", `{"name":"a","creation_time":"2022-08-04T10:49:10Z","size":1}`, false},
	} {
		if err := s.Schema(c.schema, []byte(c.body)); (err == nil) != c.fine {
			t.Errorf("%s %s: %v", c.schema, c.body, err)
		}
	}
	if len(s.Operations()) != 69 {
		t.Errorf("%d operations", len(s.Operations()))
	}
}
