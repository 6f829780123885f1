// Package crash kills a real server process again and again under parallel load and looks whether an acknowledged write
// was lost.
//
//	go test ./test/crash -rounds 300 -seed 7
package crash

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

var (
	rounds = flag.Int("rounds", 12, "how often the server is killed")
	seed   = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of the load and of the moments of death")
)

const (
	writers   = 8
	idsEach   = 150
	perWriter = 1_000_000 // ids of writer w begin at w*perWriter
)

// state of a point: version counter v of the payload, or absent (0). Writers number their writes upwards.
type state int64

const absent state = 0

// writer owns a range of ids, so that the order of its own requests is the order of their effects.
type writer struct {
	base    uint64
	rng     *rand.Rand
	next    state
	acked   map[uint64]state
	pending map[uint64][]state // outcomes that were never answered, oldest first
	ops     int
}

func (w *writer) run(url string, client *http.Client) {
	for {
		id := w.base + uint64(w.rng.IntN(idsEach))
		w.next++
		outcome := w.next
		wait := w.rng.IntN(2) == 0
		var err error
		switch kind := w.rng.IntN(10); {
		case kind < 6:
			// Several points of the range in one request: each of them all or nothing.
			err = w.upsert(client, url, id, outcome, wait)
		case kind < 8 && w.current(id) != absent && len(w.pending[id]) == 0:
			err = post(client, "POST", fmt.Sprintf("%s/collections/c/points/payload?wait=%t", url, wait),
				fmt.Sprintf(`{"points":[%d],"payload":{"v":%d}}`, id, outcome))
		default:
			outcome = absent
			err = post(client, "POST", fmt.Sprintf("%s/collections/c/points/delete?wait=%t", url, wait), fmt.Sprintf(`{"points":[%d]}`, id))
		}
		if err != nil {
			w.pending[id] = append(w.pending[id], outcome)
			return
		}
		w.acked[id] = outcome
		delete(w.pending, id) // the acknowledged write came after them
		w.ops++
	}
}

func (w *writer) current(id uint64) state { return w.acked[id] }

func (w *writer) upsert(client *http.Client, url string, id uint64, v state, wait bool) error {
	body := fmt.Sprintf(`{"points":[{"id":%d,"vector":[%d,1,2,3],"payload":{"v":%d,"pad":%q}}]}`, id, v, v, padding[:w.rng.IntN(len(padding))])
	return post(client, "PUT", fmt.Sprintf("%s/collections/c/points?wait=%t", url, wait), body)
}

var padding = string(bytes.Repeat([]byte("x"), 2000))

func post(client *http.Client, method, url, body string) error {
	req, err := http.NewRequest(method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return nil
}

type point struct {
	ID      uint64    `json:"id"`
	Vector  []float32 `json:"vector"`
	Payload struct {
		V state `json:"v"`
	} `json:"payload"`
}

func readAll(t *testing.T, url string) map[uint64]point {
	t.Helper()
	resp, err := http.Post(url+"/collections/c/points/scroll", "application/json", bytes.NewReader([]byte(`{"limit":999999999,"with_vector":true}`)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Result struct {
			Points []point `json:"points"`
		} `json:"result"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
	all := map[uint64]point{}
	for _, p := range answer.Result.Points {
		if _, twice := all[p.ID]; twice {
			t.Fatalf("point %d was returned twice", p.ID)
		}
		all[p.ID] = p
	}
	return all
}

// judge compares what the restarted server holds with what was acknowledged, and adopts it as the new truth.
func (w *writer) judge(t *testing.T, found map[uint64]point, round int) {
	t.Helper()
	for id := w.base; id < w.base+idsEach; id++ {
		got := absent
		if p, ok := found[id]; ok {
			got = p.Payload.V
		}
		ok := got == w.acked[id]
		for _, possible := range w.pending[id] {
			ok = ok || got == possible
		}
		if !ok {
			t.Errorf("round %d: point %d is at %d, acknowledged %d, unanswered %v", round, id, got, w.acked[id], w.pending[id])
		}
		w.acked[id] = got
		delete(w.pending, id)
	}
}

func TestNoAcknowledgedWriteIsLostByKill(t *testing.T) {
	t.Logf("seed %d, %d rounds", *seed, *rounds)
	rng := rand.New(rand.NewPCG(*seed, 1))
	crew := make([]*writer, writers)
	for i := range crew {
		crew[i] = &writer{base: uint64(i) * perWriter, rng: rand.New(rand.NewPCG(*seed, uint64(i)+2)), acked: map[uint64]state{}, pending: map[uint64][]state{}}
	}
	// Small log files, so that checkpoints and truncation happen within the rounds.
	o := process.Options{Dir: t.TempDir(), Port: process.FreePort(t), Env: []string{"QDRANT__STORAGE__WAL__WAL_CAPACITY_MB=1", "QDRANT__LOG_LEVEL=WARN"}}
	server := process.Start(t, o)
	if err := post(http.DefaultClient, "PUT", server.URL+"/collections/c", `{"vectors":{"size":4,"distance":"Dot"}}`); err != nil {
		t.Fatal(err)
	}
	if err := post(http.DefaultClient, "PUT", server.URL+"/collections/c/index?wait=true", `{"field_name":"v","field_schema":"integer"}`); err != nil {
		t.Fatal(err)
	}
	var slowest time.Duration
	for round := range *rounds {
		client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: writers}}
		var wg sync.WaitGroup
		for _, w := range crew {
			wg.Go(func() { w.run(server.URL, client) })
		}
		time.Sleep(time.Duration(20+rng.IntN(400)) * time.Millisecond) // the moment of death
		server.Kill()
		wg.Wait()
		client.CloseIdleConnections()
		server = process.Spawn(t, o)
		slowest = max(slowest, server.WaitReady(t, 30*time.Second))
		found := readAll(t, server.URL)
		for _, w := range crew {
			w.judge(t, found, round)
		}
		for id, p := range found {
			if p.Payload.V != 0 && len(p.Vector) != 4 {
				t.Errorf("round %d: point %d has vector %v", round, id, p.Vector)
			}
		}
		if t.Failed() {
			return
		}
	}
	total := 0
	for _, w := range crew {
		total += w.ops
	}
	t.Logf("%d rounds, %d acknowledged writes, 0 lost; slowest start %s", *rounds, total, slowest)
}
