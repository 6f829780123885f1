package telemetry

import (
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/config"
	"github.com/sextantdb/sextant/internal/node"
)

func state() State {
	s := State{ID: "936da01f-9abd-4d9d-80c7-02af85c822a8", Version: "1.19.0", Settings: config.Default(), Global: true}
	for _, name := range []string{"a", `b"\` + "\n"} {
		s.Collections = append(s.Collections, node.CollectionReport{Name: name, SnapshotsCreated: 2, Config: sextant.DefaultConfig(), Shards: []node.ShardReport{
			{State: "Active", Replicas: map[uint64]string{1: "Active"}, Info: node.ShardInfo{Points: 3, Vectors: map[string]uint64{"": 3, "x": 2}, LastSeq: 9}},
			{ID: 1, State: "Dead", Replicas: map[uint64]string{1: "Dead"}, Error: "file x", Info: node.ShardInfo{Points: 4, HiddenByIndexedOnly: map[string]uint64{"": 1}}},
		}})
	}
	return s
}

// The exposition format: every family is announced once, and its samples follow at once.
func TestMetricsAreWellFormed(t *testing.T) {
	r := NewRecorder()
	r.Observe(Request{"POST", "/x", "a", 200, 3 * time.Millisecond})
	r.Observe(Request{"POST", "/x", "a", 400, time.Minute})
	prefix := "my_"
	s := state()
	s.Settings.Service.MetricsPrefix = &prefix
	for _, o := range []MetricsOptions{{}, {PerCollection: true}, {Anonymize: true}} {
		text := Metrics(s, r, o)
		line := regexp.MustCompile(`^(my_[a-z_]+)(\{([a-z]+="([^"\\\n]|\\.)*",?)+\})? [-+0-9.e]+$`)
		seen, family, kind := map[string]bool{}, "", ""
		samples := 1
		for _, l := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
			if name, ok := strings.CutPrefix(l, "# HELP "); ok {
				family, _, _ = strings.Cut(name, " ")
				if seen[family] || samples == 0 {
					t.Errorf("%s: doubled, or the family before is empty", family)
				}
				seen[family], samples = true, 0
				continue
			}
			if name, ok := strings.CutPrefix(l, "# TYPE "); ok {
				if !strings.HasPrefix(name, family+" ") {
					t.Errorf("%q after the help of %s", l, family)
				}
				kind = strings.TrimPrefix(name, family+" ")
				continue
			}
			samples++
			m := line.FindStringSubmatch(l)
			if m == nil || m[1] != family && (kind != "histogram" || !strings.HasPrefix(m[1], family)) {
				t.Errorf("%q in family %s", l, family)
			}
		}
		if strings.Contains(text, `id="a"`) == o.Anonymize {
			t.Errorf("%+v shows names", o)
		}
	}
	text := Metrics(s, r, MetricsOptions{})
	for _, want := range []string{
		`my_collection_points{id="a"} 7`, `my_collections_vector_total 10`, `my_collection_dead_replicas{id="a"} 1`, `my_collection_vectors{collection="a",vector="x"} 2`,
		`my_collection_active_replicas_min 0`, `my_collection_active_replicas_max 1`, `my_snapshot_created_total{id="a"} 2`,
		`my_rest_responses_duration_seconds_bucket{method="POST",endpoint="/x",status="200",le="0.001"} 0`,
		`my_rest_responses_duration_seconds_bucket{method="POST",endpoint="/x",status="200",le="0.005"} 1`,
		`my_rest_responses_max_duration_seconds{method="POST",endpoint="/x",status="400"} 60`, `my_sextant_shard_quarantined{id="a",shard="1"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, `_duration_seconds_bucket{method="POST",endpoint="/x",status="400"`) {
		t.Error("a histogram of failures")
	}
}

func TestLevelsOfDetail(t *testing.T) {
	keys := func(level int) string {
		b, err := json.Marshal(Report(state(), NewRecorder(), ReportOptions{Level: level}))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for level, want := range map[int][2]string{ // what is there from this level on
		1: {`"collections":[`, `"memory"`}, 2: {`"init_time_ms"`, `"hnsw_config"`}, 3: {`"replicate_states"`, `"update_queue"`}, 4: {`"segments":[`, `"segments":[`},
	} {
		for _, key := range want {
			if strings.Contains(keys(level-1), key) || !strings.Contains(keys(level), key) {
				t.Errorf("%s does not begin at level %d", key, level)
			}
		}
	}
}

// Any number of requests may be counted at a time, and names made up by clients do not fill the memory.
func TestRecorderCountsEverything(t *testing.T) {
	r := NewRecorder()
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 1000 {
				r.Observe(Request{"GET", "/x", string(rune('a' + worker)), 200 + i%2, time.Duration(i)})
			}
		})
	}
	all.Wait()
	keys, values := r.sorted(false)
	if len(keys) != 2 || values[keys[0]].count.Load()+values[keys[1]].count.Load() != 8000 {
		t.Errorf("%v", keys)
	}
	if d := values[keys[1]].durations(); d.Count != 4000 || d.Max != 0 || values[keys[1]].least.Load() != 1 {
		t.Errorf("%+v", d)
	}
	for i := range maxSeries + 10 {
		r.Observe(Request{"GET", "/x", string(rune(i + 1000)), 200, 1})
		r.Observe(Request{"GET", "/x", string(rune(i + 1000)), 404, 1})
	}
	if len(r.series) > maxSeries+2 {
		t.Errorf("%d series", len(r.series))
	}
}
