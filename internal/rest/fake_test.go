package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/config"
	"github.com/sextantdb/sextant/internal/node"
)

// fake stands for a node: it remembers what it was asked and answers what the test wants.
type fake struct {
	clusters // what is not below is not asked for
	settings config.Config
	err      error // of every operation
	key      string

	updates  []sextant.Update
	write    node.WriteOptions
	queries  []sextant.Query
	read     node.ReadOptions
	scrolled sextant.Scroll
	created  node.CreateCollection
	patched  node.PatchCollection
	actions  []node.AliasAction
	spec     sextant.FieldSpec
	schema   node.VectorSchema
	recover  node.RecoverOptions
	uploaded string
	ran      []string // background work

	points   []sextant.ScoredPoint
	records  []sextant.Record
	next     *sextant.PointID
	info     node.CollectionInfo
	cluster  node.CollectionCluster
	peers    node.ClusterInfo
	builds   node.Optimizations
	report   []node.CollectionReport
	snapshot string // content
}

func (f *fake) Settings() config.Config           { return f.settings }
func (f *fake) Version() (version, commit string) { return "1.19.0", strings.Repeat("a", 40) }
func (f *fake) ID() string                        { return "936da01f-9abd-4d9d-80c7-02af85c822a8" }
func (f *fake) PeerID() uint64                    { return 7 }
func (f *fake) Started() time.Time                { return time.Unix(1e9, 0) }
func (f *fake) AwaitReady(context.Context) bool   { return f.err == nil }
func (f *fake) Recovery() string                  { return "" }
func (f *fake) AuthEnabled() bool                 { return f.key != "" }

func (f *fake) Authenticate(_ context.Context, apiKey, bearer string) (auth.Access, error) {
	switch {
	case apiKey == "" && bearer == "":
		return auth.Access{}, sextant.Errorf(sextant.Unauthenticated, "Must provide an API key or an Authorization bearer token")
	case apiKey == f.key || bearer == "Bearer "+f.key:
		return auth.All(), nil
	case apiKey == "reader":
		return auth.ReadOnly(), nil
	case apiKey == "expired":
		return auth.Access{}, sextant.Errorf(sextant.Forbidden, "ExpiredSignature")
	}
	return auth.Access{}, sextant.Errorf(sextant.Unauthenticated, "Invalid API key or JWT")
}

func (f *fake) Go(what string, work func(context.Context) error) {
	f.ran = append(f.ran, what)
	_ = work(context.Background())
}
func (f *fake) Collections(auth.Access) []node.CollectionReport { return f.report }

func (f *fake) CreateCollection(_ context.Context, _ auth.Access, _ string, c node.CreateCollection, _ time.Duration) error {
	f.created = c
	return f.err
}

func (f *fake) PatchCollection(_ context.Context, _ auth.Access, _ string, p node.PatchCollection, _ time.Duration) error {
	f.patched = p
	return f.err
}

func (f *fake) DeleteCollection(_ context.Context, _ auth.Access, name string, _ time.Duration) (bool, error) {
	return name != "missing", f.err
}
func (f *fake) ListCollections(auth.Access) []string { return []string{"a", "b"} }
func (f *fake) CollectionExists(_ auth.Access, name string) (bool, error) {
	return name != "missing", f.err
}

func (f *fake) CollectionInfo(context.Context, auth.Access, string) (node.CollectionInfo, error) {
	return f.info, f.err
}

func (f *fake) UpdateAliases(_ context.Context, _ auth.Access, actions []node.AliasAction, _ time.Duration) error {
	f.actions = actions
	return f.err
}

func (f *fake) Aliases(auth.Access, string) ([]node.Alias, error) {
	return []node.Alias{{Alias: "x", Collection: "a"}}, f.err
}

func (f *fake) CreateIndex(_ context.Context, _ auth.Access, _ string, _ sextant.Path, spec sextant.FieldSpec, o node.WriteOptions) (sextant.Receipt, error) {
	f.spec, f.write = spec, o
	return sextant.Receipt{Seq: 1}, f.err
}

func (f *fake) DropIndex(context.Context, auth.Access, string, sextant.Path, node.WriteOptions) (sextant.Receipt, error) {
	return sextant.Receipt{Seq: 1, Status: sextant.Completed}, f.err
}

func (f *fake) CreateVector(_ context.Context, _ auth.Access, _, _ string, v node.VectorSchema, _ node.WriteOptions) (sextant.Receipt, error) {
	f.schema = v
	return sextant.Receipt{Seq: 1, Status: sextant.Completed}, f.err
}

func (f *fake) DropVector(context.Context, auth.Access, string, string, node.WriteOptions) (sextant.Receipt, error) {
	return sextant.Receipt{Seq: 1, Status: sextant.WaitTimeout}, f.err
}

func (f *fake) CollectionCluster(auth.Access, string) (node.CollectionCluster, error) {
	return f.cluster, f.err
}

func (f *fake) ChangeCluster(auth.Access, string) error {
	return sextant.Errorf(sextant.Standalone, "Qdrant is running in standalone mode")
}

func (f *fake) Cluster(auth.Access) (node.ClusterInfo, error) { return f.peers, nil }
func (f *fake) Reshard(a auth.Access, _ string, _ node.Resharding) error {
	return f.ChangeCluster(a, "")
}
func (f *fake) ReplicatePoints(_ context.Context, a auth.Access, _ string, _, _ node.ShardKey, _ *sextant.Filter, _ time.Duration) error {
	return f.ChangeCluster(a, "")
}
func (f *fake) RecoverConsensus(a auth.Access) error         { return f.ChangeCluster(a, "") }
func (f *fake) MetadataKeys(a auth.Access) ([]string, error) { return nil, f.ChangeCluster(a, "") }
func (f *fake) Metadata(a auth.Access, _ string) (json.RawMessage, error) {
	return nil, f.ChangeCluster(a, "")
}

func (f *fake) ShardKeys(auth.Access, string) ([]node.ShardKey, bool, error) {
	return nil, false, f.err
}

func (f *fake) Optimizations(auth.Access, string, int) (node.Optimizations, error) {
	return f.builds, f.err
}
func (f *fake) Memory(auth.Access, string) (node.Memory, error) { return node.Memory{}, f.err }

func (f *fake) Update(_ context.Context, _ auth.Access, _ string, u sextant.Update, o node.WriteOptions) (sextant.Receipt, error) {
	f.updates, f.write = append(f.updates, u), o
	return sextant.Receipt{Seq: uint64(len(f.updates)), Status: sextant.Completed}, f.err
}

func (f *fake) UpdateBatch(_ context.Context, _ auth.Access, _ string, us []sextant.Update, o node.WriteOptions) (list []sextant.Receipt, err error) {
	f.updates, f.write = append(f.updates, us...), o
	for i := range us {
		list = append(list, sextant.Receipt{Seq: uint64(i), Status: sextant.Completed})
	}
	return list, f.err
}

func (f *fake) Query(_ context.Context, _ auth.Access, _ string, qs []sextant.Query, o node.ReadOptions) (lists [][]sextant.ScoredPoint, err error) {
	f.queries, f.read = qs, o
	for range qs {
		lists = append(lists, f.points)
	}
	return lists, f.err
}

func (f *fake) Scroll(_ context.Context, _ auth.Access, _ string, s sextant.Scroll, o node.ReadOptions) ([]sextant.Record, *sextant.PointID, error) {
	f.scrolled, f.read = s, o
	return f.records, f.next, f.err
}

func (f *fake) Retrieve(_ context.Context, _ auth.Access, _ string, ids []sextant.PointID, p sextant.PayloadSelector,
	v sextant.VectorSelector, o node.ReadOptions,
) (list []sextant.Record, err error) {
	f.scrolled, f.read = sextant.Scroll{WithPayload: p, WithVector: v}, o
	for _, id := range ids {
		for _, r := range f.records {
			if r.ID == id {
				list = append(list, r)
			}
		}
	}
	return list, f.err
}

func (f *fake) Count(_ context.Context, _ auth.Access, _ string, filter *sextant.Filter, _ bool, o node.ReadOptions) (uint64, error) {
	f.scrolled, f.read = sextant.Scroll{Filter: filter}, o
	return 5, f.err
}

var storedAt = time.Date(2022, 8, 4, 10, 49, 10, 0, time.UTC)

func (f *fake) info1() node.SnapshotInfo {
	return node.SnapshotInfo{Name: "s.snapshot", Created: storedAt, Size: int64(len(f.snapshot)), Checksum: strings.Repeat("0", 64)}
}

func (f *fake) CreateSnapshot(context.Context, auth.Access, string, *uint32) (node.SnapshotInfo, error) {
	return f.info1(), f.err
}

func (f *fake) ListSnapshots(auth.Access, string, *uint32) ([]node.SnapshotInfo, error) {
	return []node.SnapshotInfo{f.info1()}, f.err
}

func (f *fake) OpenSnapshot(_ auth.Access, _ string, _ *uint32, name string) (*node.SnapshotFile, error) {
	if name != "s.snapshot" {
		return nil, sextant.Errorf(sextant.NotFound, "Snapshot %s not found", name)
	}
	return &node.SnapshotFile{SnapshotInfo: f.info1(), ReadSeeker: strings.NewReader(f.snapshot), Closer: io.NopCloser(nil)}, f.err
}

func (f *fake) DeleteSnapshot(context.Context, auth.Access, string, *uint32, string) error {
	return f.err
}

func (f *fake) RecoverSnapshot(_ context.Context, _ auth.Access, _ string, _ *uint32, _ string, o node.RecoverOptions) error {
	f.recover = o
	return f.err
}

func (f *fake) MayRecover(a auth.Access, _ string) error { return errors.Join(a.GlobalManage()) }

func (f *fake) UploadSnapshot(_ context.Context, _ auth.Access, _ string, _ *uint32, r io.Reader, o node.RecoverOptions, _ bool) error {
	b, err := io.ReadAll(r)
	f.uploaded, f.recover = string(b), o
	return errors.Join(f.err, err)
}

func (f *fake) StreamShardSnapshot(_ context.Context, _ auth.Access, _ string, _ uint32, name func(string), w io.Writer) error {
	if f.err != nil {
		return f.err
	}
	name("s.snapshot")
	_, err := io.WriteString(w, f.snapshot)
	return err
}

// newFake returns a fake and its handler.
func newFake() (*fake, *Handler) {
	f := &fake{settings: config.Default(), snapshot: "0123456789"}
	return f, newHandler(f, Options{})
}

// do sends one request and returns the answer. Heads come as name, value, name, value, …
func do(t *testing.T, h http.Handler, method, path, body string, head ...string) (status int, answer string, header http.Header) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String(), w.Header()
}

// decoded reads a body and returns its error, or nil.
func decoded[T any](body string, f func(*scanner) T) (T, error) {
	s := &scanner{b: bytes.Clone([]byte(body))}
	v := f(s)
	err := s.finish()
	clear(s.b) // nothing may still refer to the body
	return v, err
}
