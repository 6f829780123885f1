// Package recovery tells stories of replicas that are brought back: real processes, a client that polls, and at the end of each
// story every peer tells the same, byte by byte.
//
//	go test ./test/recovery          the stories
//	go test ./test/recovery -whole   and every pairing of who dies, when, and in which transfer
package recovery

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

var (
	whole = flag.Bool("whole", false, "tell the stories of lost peers in every pairing")
	seed  = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of what is written")
)

// Settings of peers.
const (
	noIncoming = "QDRANT__STORAGE__PERFORMANCE__INCOMING_SHARD_TRANSFERS_LIMIT=0"
	noOutgoing = "QDRANT__STORAGE__PERFORMANCE__OUTGOING_SHARD_TRANSFERS_LIMIT=0"
	slowStream = "QDRANT_STAGING_SHARD_TRANSFER_DELAY_SEC=0.4" // before every 100 points
	longProof  = "QDRANT__CLUSTER__TRANSFER_PROBATION_MS=2500"
)

const (
	delta  = "wal_delta"
	stream = "stream_records"
	files  = "snapshot"
)

// How often the clients look who have to see a thing: what lasts shorter is not seen.
const (
	look  = 20 * time.Millisecond
	often = 100 * time.Millisecond
	slow  = 500 * time.Millisecond
)

// cluster is what stories happen in, one after another or beside each other.
type cluster struct {
	*process.Cluster
	ids []uint64
}

// form starts peers. Without limits replicas come back by themselves.
func form(t *testing.T, n int, env ...string) *cluster {
	t.Helper()
	c := &cluster{Cluster: (&process.Cluster{Env: append([]string{"QDRANT__LOG_LEVEL=WARN"}, env...)}).Form(t, n)}
	for i := range n {
		c.ids = append(c.ids, c.View(i).Peer)
	}
	return c
}

// tale is one collection and what happens to it.
type tale struct {
	*cluster
	t      *testing.T
	name   string
	shards int
	gone   []int      // peers that are no members any more
	shouts bool       // there may have been alarms
	mu     sync.Mutex // guards rng
	rng    *rand.Rand
}

var tales atomic.Uint64

// begin makes a collection, with vectors of two kinds as clients have them, and waits until everybody sees all of it Active.
func (c *cluster) begin(t *testing.T, shards, factor int) *tale {
	t.Helper()
	n := tales.Add(1)
	s := &tale{cluster: c, t: t, name: fmt.Sprintf("tale%d", n), shards: shards, rng: rand.New(rand.NewPCG(*seed, n))}
	t.Logf("seed %d", *seed)
	s.create(factor)
	return s
}

func (s *tale) create(factor int) {
	s.t.Helper()
	s.Must(s.t, 0, "PUT", "/collections/"+s.name+"?timeout=60", map[string]any{"vectors": map[string]any{"size": 4, "distance": "Dot"},
		"sparse_vectors": map[string]any{"sparse-text": map[string]any{}}, "shard_number": s.shards, "replication_factor": factor}, nil)
	for i := range s.N() {
		s.until(look, "all replicas are active", func() bool { n, _ := s.Count(i, s.name, "Active"); return n == s.shards*factor })
	}
}

// until polls as often as a client does.
func (s *tale) until(every time.Duration, what string, ok func() bool) {
	s.t.Helper()
	for limit := time.Now().Add(process.Patience); !ok(); <-time.After(every) {
		if time.Now().After(limit) {
			s.t.Fatalf("not within %v: %s\n%s", process.Patience, what, s.picture())
		}
	}
}

// picture is what every peer says of the collection.
func (s *tale) picture() string {
	var b strings.Builder
	for i := range s.N() {
		v, err := s.Setup(i, s.name)
		fmt.Fprintf(&b, "peer %d: %+v %v\n  %+v\n", i, v, err, s.Shards(i, s.name))
	}
	return b.String()
}

// points makes points with ids from, …, from+n-1.
func (s *tale) points(from, n int) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]any, n)
	for k := range list {
		dense := make([]float32, 4)
		for d := range dense {
			dense[d] = s.rng.Float32()
		}
		indices, values := make([]int, 20), make([]float32, 20)
		for d := range indices {
			indices[d], values[d] = d*50+s.rng.IntN(50), s.rng.Float32()
		}
		list[k] = map[string]any{"id": from + k, "vector": map[string]any{"": dense, "sparse-text": map[string]any{"indices": indices, "values": values}},
			"payload": map[string]any{"city": []string{"London", "Paris", "Rome", "Kyiv"}[s.rng.IntN(4)]}}
	}
	return map[string]any{"points": list}
}

// upsert writes points through a peer, some per request.
func (s *tale) upsert(peer, from, n, batch int) {
	s.t.Helper()
	for k := 0; k < n; k += batch {
		s.Must(s.t, peer, "PUT", "/collections/"+s.name+"/points?wait=true&ordering=weak", s.points(from+k, min(batch, n-k)), nil)
	}
}

// uploader writes three points twice a second through a peer, until it is ended. It does not care for answers.
type uploader struct {
	end chan struct{}
	run sync.WaitGroup
}

func (s *tale) upload(peer, from int) *uploader {
	u := &uploader{end: make(chan struct{})}
	u.run.Go(func() {
		for ; ; from += 3 {
			_, _ = s.Call(peer, "PUT", "/collections/"+s.name+"/points?wait=true&ordering=weak", s.points(from, 3), nil)
			select {
			case <-u.end:
				return
			case <-time.After(slow):
			}
		}
	})
	s.t.Cleanup(u.stop)
	return u
}

func (u *uploader) stop() {
	select {
	case <-u.end:
	default:
		close(u.end)
	}
	u.run.Wait()
}

// fields are the body of an operation.
type fields = map[string]any

// ask sends an operation to a peer and returns how it was answered: 200 and no text, or a status and what was wrong.
func (s *tale) ask(peer int, operation string, body fields) (status int, text string) {
	s.t.Helper()
	return s.post(peer, "/collections/"+s.name+"/cluster?timeout=30", fields{operation: body})
}

func (s *tale) post(peer int, path string, body any) (status int, text string) {
	s.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.Post(s.Peer(peer).URL+path, "application/json", bytes.NewReader(b))
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ = io.ReadAll(resp.Body)
	var envelope struct{ Status struct{ Error string } }
	_ = json.Unmarshal(b, &envelope)
	return resp.StatusCode, envelope.Status.Error
}

// must is ask that fails the test.
func (s *tale) must(peer int, operation string, body fields) {
	s.t.Helper()
	if status, text := s.ask(peer, operation, body); status != http.StatusOK {
		s.t.Fatalf("%s %v at peer %d: %d %s\n%s", operation, body, peer, status, text, s.picture())
	}
}

// between names the transfer of the first shard between two peers.
func (s *tale) between(from, to int) fields {
	return fields{"shard_id": 0, "from_peer_id": s.ids[from], "to_peer_id": s.ids[to]}
}

func (s *tale) by(from, to int, method string) fields {
	f := s.between(from, to)
	f["method"] = method
	return f
}

// replicate asks the sender to bring the first shard to another peer.
func (s *tale) replicate(from, to int, method string) {
	s.t.Helper()
	s.must(from, "replicate_shard", s.by(from, to, method))
}

// moving lists the transfers that a peer knows; ok is false when it does not answer.
func (s *tale) moving(peer int) (list []process.Moving, ok bool) {
	v, err := s.Setup(peer, s.name)
	return v.Moving, err == nil
}

// count waits until a peer lists so many transfers.
func (s *tale) count(peer, n int) {
	s.t.Helper()
	s.until(look, fmt.Sprintf("peer %d lists %d transfers", peer, n), func() bool { list, ok := s.moving(peer); return ok && len(list) == n })
}

// method waits until a peer lists a transfer by a method, looking twice a second.
func (s *tale) method(peer int, method string) {
	s.t.Helper()
	s.until(slow, "a transfer by "+method, func() bool {
		list, _ := s.moving(peer)
		for _, m := range list {
			if m.Method == method {
				return true
			}
		}
		return false
	})
}

var comment = regexp.MustCompile(`^(proxifying|creating snapshot|transferring|recovering|flushing queue|waiting consensus|finalizing) \(\d+\.\d\ds\) \| Transferring records \((\d+)/(\d+)\), started \d+s ago, ETA: (-|\d+\.\d\ds)`)

// progress waits until a transfer has something to do, in numbers, looking every 0.1 s.
func (s *tale) progress(peer int, done, total int) {
	s.t.Helper()
	s.until(often, fmt.Sprintf("progress of %d or a total of %d", done, total), func() bool {
		list, _ := s.moving(peer)
		for _, m := range list {
			if t, n, ok := s.numbers(m); ok && (done >= 0 && t >= done || n >= total) {
				return true
			}
		}
		return false
	})
}

// numbers reads a comment, which must be one if it is there.
func (s *tale) numbers(m process.Moving) (done, total int, ok bool) {
	s.t.Helper()
	if m.Comment == "" {
		return 0, 0, false
	}
	part := comment.FindStringSubmatch(m.Comment)
	if part == nil {
		s.t.Fatalf("no comment of a transfer: %q", m.Comment)
	}
	done, _ = strconv.Atoi(part[2])
	total, _ = strconv.Atoi(part[3])
	if done > total {
		s.t.Errorf("more is done than there is: %q", m.Comment)
	}
	return done, total, true
}

// state is how a peer sees the replica of the first shard on another one; "" if it sees none, or does not answer.
func (s *tale) state(peer, who int) string {
	v, err := s.Setup(peer, s.name)
	if err != nil {
		return ""
	}
	for _, r := range append(v.Local, v.Remote...) {
		if r.Shard == 0 && r.Peer == s.ids[who] {
			return r.State
		}
	}
	return ""
}

// becomes waits until peers see a replica in a state.
func (s *tale) becomes(who int, state string, seen ...int) {
	s.t.Helper()
	for _, i := range seen {
		s.until(look, fmt.Sprintf("peer %d sees that of peer %d is %q", i, who, state), func() bool {
			_, err := s.Setup(i, s.name)
			return err == nil && s.state(i, who) == state
		})
	}
}

// shard is the first shard as a peer sees it; nil when it sees none.
func (s *tale) shard(peer int) *process.Shard {
	for _, shard := range s.Shards(peer, s.name) {
		if shard.ID == 0 {
			return &shard
		}
	}
	return nil
}

// primary is who orders the writes of the first shard, as a peer sees it.
func (s *tale) primary(peer int) int { return s.Primary(s.t, peer, s.name) }

// admitted waits until the receiver of the first shard counts for every write.
func (s *tale) admitted(peer, receiver int) {
	s.t.Helper()
	s.until(look, "the receiver is admitted", func() bool {
		shard := s.shard(peer)
		return shard != nil && slices.ContainsFunc(shard.Replicas, func(r process.Replica) bool { return r.Peer == s.ids[receiver] && r.InSync })
	})
}

// sent is what transfers of the collection have sent: entries and bytes, as the counters of all peers that answer have it.
func (s *tale) sent() (entries, bytes int) {
	s.t.Helper()
	for i := range s.N() {
		resp, err := http.Get(s.Peer(i).URL + "/metrics")
		if err != nil {
			continue
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		for name, into := range map[string]*int{"entries": &entries, "bytes": &bytes} {
			for _, m := range regexp.MustCompile(`(?m)^sextant_transfer_sent_`+name+`_total{collection="`+s.name+`",.*} (\S+)$`).FindAllStringSubmatch(string(b), -1) {
				v, _ := strconv.ParseFloat(m[1], 64)
				*into += int(v)
			}
		}
	}
	return entries, bytes
}

// hosts checks how many replicas a peer has.
func (s *tale) hosts(peer, n int) {
	s.t.Helper()
	v, err := s.Setup(peer, s.name)
	if err != nil || len(v.Local) != n {
		s.t.Errorf("peer %d should have %d replicas: %+v %v", peer, n, v.Local, err)
	}
}

// strand leaves a peer with a replica that misses some entries: it is taken out of the in-sync set by a transfer that is aborted,
// then something is written.
func (s *tale) strand(from, to, entries int) {
	s.t.Helper()
	s.replicate(from, to, delta)
	s.must(from, "abort_transfer", s.between(from, to))
	s.becomes(to, "Dead", from, to)
	s.upsert(from, 1_000_000, entries, 1)
}

// heal brings back what is Dead, by hand.
func (s *tale) heal() {
	s.t.Helper()
	s.until(often, "all replicas are brought back", func() bool {
		well := true
		for _, shard := range s.Shards(0, s.name) {
			from := -1
			for _, r := range shard.Replicas {
				if r.State == "Active" && (from < 0 || r.Primary) {
					from = s.Number(r.Peer)
				}
			}
			for _, r := range shard.Replicas {
				well = well && r.State == "Active"
				if r.State == "Dead" && from >= 0 {
					s.ask(from, "replicate_shard", fields{"shard_id": shard.ID, "from_peer_id": s.ids[from], "to_peer_id": r.Peer, "method": delta})
				}
			}
		}
		list, ok := s.moving(0)
		return ok && well && len(list) == 0 && len(s.Shards(0, s.name)) > 0
	})
}

// end checks how a story must end: no transfer is listed anywhere, every replica is Active and in sync for all, holds the same
// entries, and never was an alarm; and all peers tell the same, of which there are so many points (-1: any number).
func (s *tale) end(points int) {
	s.t.Helper()
	all := slices.DeleteFunc(s.Others(-1), func(i int) bool { return slices.Contains(s.gone, i) })
	s.until(look, "no transfers, all replicas active", func() bool {
		for _, i := range all {
			list, ok := s.moving(i)
			n, replicas := s.Count(i, s.name, "Active")
			if !ok || len(list) > 0 || replicas == 0 || n != replicas {
				return false
			}
		}
		return true
	})
	var first []byte
	s.until(look, "all peers tell the same", func() bool {
		first = nil
		for _, i := range all {
			got, err := s.Scroll(i, s.name)
			if err != nil || first != nil && !bytes.Equal(first, got) {
				return false
			}
			first = got
		}
		return true
	})
	var content struct {
		Points []json.RawMessage
		Next   any `json:"next_page_offset"`
	}
	if err := json.Unmarshal(first, &content); err != nil || content.Next != nil || points >= 0 && len(content.Points) != points {
		s.t.Errorf("%d points, there should be %d: %v %v", len(content.Points), points, content.Next, err)
	}
	for _, i := range all {
		s.until(look, "all replicas hold the same entries", func() bool {
			shards := s.Shards(i, s.name)
			for _, shard := range shards {
				for _, r := range shard.Replicas {
					if !r.InSync || r.Applied != r.Last || r.Last != shard.Replicas[0].Last || r.Alarms > 0 && !s.shouts {
						return false
					}
				}
			}
			return len(shards) == s.shards
		})
	}
	s.Alive(s.t)
}

// stop ends a collection, so that a cluster can tell another story.
func (s *tale) drop() {
	s.t.Helper()
	s.Must(s.t, 0, "DELETE", "/collections/"+s.name+"?timeout=60", nil, nil)
}

// seal has a peer put all that it has into files.
func (s *tale) seal(peer int) {
	s.t.Helper()
	s.Must(s.t, peer, "POST", "/collections/"+s.name+"/snapshots?wait=true", nil, nil)
}

// directories are those of a shard on a peer's disk, of any collection.
func (s *tale) directories(peer int, shard string) []string {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(s.Peer(peer).Dir, "storage", "collections", "*", shard))
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

// flip changes one bit in the middle of a file.
func (s *tale) flip(path string) {
	s.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		s.t.Fatalf("%s: %d bytes, %v", path, len(b), err)
	}
	b[len(b)/2] ^= 4
	if err := os.WriteFile(path, b, 0o600); err != nil {
		s.t.Fatal(err)
	}
}
