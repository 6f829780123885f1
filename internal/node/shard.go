package node

import (
	"context"
	"io"
	"sync"
	"sync/atomic"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/collection"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/topology"
)

// shard is what a node needs of a shard on this machine.
type shard interface {
	collection.Shard
	// Schema returns the vector names and payload indexes that the shard has now.
	Schema() sextant.Schema
	// Configure takes over changed settings; it does not wait for the work that they cause.
	Configure(c sextant.CollectionConfig) error
	// Snapshot writes the state at one entry that is not older than the call.
	Snapshot(ctx context.Context, w io.Writer) error
	// AwaitField returns when the index of a payload field is built everywhere, or dropped.
	AwaitField(ctx context.Context, key string) error
	Close() error
}

// opener makes shards out of directories.
type opener interface {
	create(dir, uuid string, schema sextant.Schema, c sextant.CollectionConfig) (shard, error)
	open(dir string, c sextant.CollectionConfig) (shard, error)
	// restore replaces the data of a shard by those of a snapshot, all or nothing. Afterwards put has been called with
	// whatever serves the directory now.
	restore(ctx context.Context, to restoration, r io.Reader) error
	close() error
}

// restoration is a shard whose data are to be replaced.
type restoration struct {
	dir      string
	settings sextant.CollectionConfig
	vectors  map[string]sextant.VectorSpec // that the snapshot must have
	was      shard                         // what serves the directory before; a stub if nothing does
	put      func(now shard, err error)
}

// slot is the place of one shard of one collection on this node: the directory stays, what serves it may change.
type slot struct {
	id   topology.ShardID
	uuid string // of the shard, as the topology names it
	dir  string

	schema    task.Gate     // held by who logs changes of the schema, as the primary of a cluster
	restoring task.Gate     // of a cluster: held for the whole of a restore; exchange may be taken under it
	exchange  task.Gate     // held while the data are replaced, and at the end: one at a time
	prepared  atomic.Uint64 // the restore that may wait in the directory for its word; 0: none does
	sent      struct {
		bytes, entries atomic.Uint64 // to the receivers of transfers, since the start of the process
	}
	mu      sync.Mutex // guards all below
	now     shard
	err     error // why now is a stub
	loading bool  // a snapshot is being restored
	leaves  bool  // it is on its way out: nothing may be put into it any more
	left    context.Context
	end     context.CancelFunc
}

func (s *slot) current() shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *slot) put(now shard, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.err = now, err
}

func (s *slot) state() (err error, loading bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err, s.loading
}

// leave notes that the slot is on its way out.
func (s *slot) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaves = true
	if s.end != nil {
		s.end()
	}
}

// life is a context that ends when the slot is on its way out.
func (s *slot) life() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == nil {
		s.left, s.end = context.WithCancel(context.Background())
	}
	if s.leaves {
		s.end()
	}
	return s.left
}

// shows reports whether a stub stands in the slot.
func (s *slot) shows(what *stub) bool { return s.current() == shard(what) }

func (s *slot) leaving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaves
}

func (s *slot) setLoading(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loading = on
}

// close ends the shard; later calls answer that it is gone.
func (s *slot) close() error {
	s.exchange.Lock()
	defer s.exchange.Unlock()
	was := s.current()
	s.put(gone, sextant.Errorf(sextant.Unavailable, "the shard is closed"))
	return was.Close()
}

// stub stands where a shard cannot be served: everything is answered by an error.
type stub struct {
	why func(action string) error
	// patient lets schema changes pass: they are done when the shard is served again.
	patient bool
	health  collection.Health
}

var gone = &stub{why: func(string) error { return sextant.Errorf(sextant.Unavailable, "the shard is closed") }}

func (s *stub) Update(_ context.Context, u sextant.Update, _ sextant.Wait) (sextant.Receipt, error) {
	switch u.(type) {
	case sextant.CreateField, sextant.DropField, sextant.CreateVector, sextant.DropVector:
		if s.patient {
			return sextant.Receipt{}, nil
		}
	}
	return sextant.Receipt{}, s.why("update")
}

func (s *stub) Query(context.Context, sextant.Query) ([]sextant.ScoredPoint, error) {
	return nil, s.why("search")
}

func (s *stub) Scroll(context.Context, sextant.Scroll) ([]sextant.Record, *sextant.PointID, error) {
	return nil, nil, s.why("scroll")
}

func (s *stub) Retrieve(context.Context, []sextant.PointID, sextant.PayloadSelector, sextant.VectorSelector) ([]sextant.Record, error) {
	return nil, s.why("retrieve")
}

func (s *stub) Count(context.Context, *sextant.Filter, bool) (uint64, error) {
	return 0, s.why("count")
}
func (s *stub) Optimizations() collection.Optimizations   { return collection.Optimizations{} }
func (s *stub) Memory() collection.Memory                 { return collection.Memory{} }
func (s *stub) Schema() sextant.Schema                    { return sextant.Schema{} }
func (s *stub) Configure(sextant.CollectionConfig) error  { return nil }
func (s *stub) Snapshot(context.Context, io.Writer) error { return s.why("snapshot") }
func (s *stub) AwaitField(context.Context, string) error  { return nil }
func (s *stub) Close() error                              { return nil }

func (s *stub) Info() collection.ShardInfo {
	info := collection.ShardInfo{Health: s.health}
	if s.health == collection.Red {
		info.OptimizerError = s.why("load").Error()
	}
	return info
}

// quarantined stands for a shard whose files cannot be used.
func quarantined(err error) *stub {
	return &stub{health: collection.Red, why: func(action string) error {
		return sextant.Errorf(sextant.Internal, "Failed to %s, the shard could not be loaded: %w", action, err)
	}}
}

// recovering stands for all shards of a node in recovery mode.
func recovering(text string) *stub {
	return &stub{patient: true, why: func(action string) error {
		return sextant.Errorf(sextant.Internal, "Failed to %s,  %s", action, text)
	}}
}
