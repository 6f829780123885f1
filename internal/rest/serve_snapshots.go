package rest

import (
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/node"
)

// snapshotInfo is a snapshot as lists show it.
type snapshotInfo struct {
	Name     string  `json:"name"`
	Created  *string `json:"creation_time"`
	Size     int64   `json:"size"`
	Checksum string  `json:"checksum,omitempty"`
}

func showSnapshot(s node.SnapshotInfo) snapshotInfo {
	v := snapshotInfo{Name: s.Name, Size: s.Size, Checksum: s.Checksum}
	if !s.Created.IsZero() {
		v.Created = new(s.Created.UTC().Format("2006-01-02T15:04:05"))
	}
	return v
}

// owner returns the collection whose snapshots the path is about; "" is the whole storage.
func (c *call) owner() string {
	if c.route.segments[0] == "snapshots" {
		return ""
	}
	return c.param(0)
}

// snapshotName returns the last parameter of the path.
func (c *call) snapshotName() string { return c.params[len(c.params)-1] }

func (c *call) createSnapshot() error {
	wait, err := c.flag("wait", true)
	if err != nil {
		return err
	}
	shard, err := c.shard()
	if err != nil {
		return err
	}
	name := c.owner()
	if !wait {
		// What can be refused at once is: the rest is only logged.
		if _, err := c.h.node.ListSnapshots(c.access, name, shard); err != nil {
			return err
		}
		c.h.node.Go("create snapshot of "+name, func(ctx context.Context) error {
			_, err := c.h.node.CreateSnapshot(ctx, c.access, name, shard)
			return err
		})
		return c.accepted()
	}
	info, err := c.h.node.CreateSnapshot(c.r.Context(), c.access, name, shard)
	if err != nil {
		return err
	}
	return c.value(showSnapshot(info))
}

func (c *call) listSnapshots() error {
	shard, err := c.shard()
	if err != nil {
		return err
	}
	list, err := c.h.node.ListSnapshots(c.access, c.owner(), shard)
	if err != nil {
		return err
	}
	shown := []snapshotInfo{}
	for _, s := range list {
		shown = append(shown, showSnapshot(s))
	}
	return c.value(shown)
}

// downloadSnapshot sends a stored snapshot, or the range of it that was asked for.
func (c *call) downloadSnapshot() error {
	shard, err := c.shard()
	if err != nil {
		return err
	}
	f, err := c.h.node.OpenSnapshot(c.access, c.owner(), shard, c.snapshotName())
	if err != nil {
		return err
	}
	defer f.Close()
	c.attachment(f.Name)
	if f.Checksum != "" {
		c.w.Header().Set("ETag", `"`+f.Checksum+`"`)
	}
	c.committed = true
	w := &statusWriter{ResponseWriter: c.w, status: http.StatusOK}
	http.ServeContent(w, c.r, f.Name, f.Created, f)
	c.status = w.status
	return nil
}

func (c *call) attachment(name string) {
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController find the writer below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// streamSnapshot sends a fresh snapshot of a shard that is stored nowhere.
func (c *call) streamSnapshot() error {
	shard, err := c.shard()
	if err != nil {
		return err
	}
	w := &headWriter{c: c}
	defer func() { _ = http.NewResponseController(c.w).SetWriteDeadline(time.Time{}) }() // the connection may serve other requests
	return c.h.node.StreamShardSnapshot(c.r.Context(), c.access, c.owner(), *shard, func(name string) { w.name = name }, w)
}

// deafTime is how long a client may take none of the bytes of a stream: then it is cut off, and what is kept for it goes.
const deafTime = 5 * time.Minute

// headWriter sends the head of the answer when the first byte comes: until then the work may still fail.
type headWriter struct {
	c    *call
	name string
}

func (w *headWriter) Write(b []byte) (int, error) {
	if !w.c.committed {
		w.c.attachment(w.name)
		w.c.status, w.c.committed = http.StatusOK, true
		w.c.w.WriteHeader(http.StatusOK)
	}
	_ = http.NewResponseController(w.c.w).SetWriteDeadline(time.Now().Add(deafTime)) // where there are none, there is no connection to hold
	return w.c.w.Write(b)
}

func (c *call) deleteSnapshot() error {
	wait, err := c.flag("wait", true)
	if err != nil {
		return err
	}
	shard, err := c.shard()
	if err != nil {
		return err
	}
	name, file := c.owner(), c.snapshotName()
	if !wait {
		c.h.node.Go("delete snapshot "+file, func(ctx context.Context) error {
			return c.h.node.DeleteSnapshot(ctx, c.access, name, shard, file)
		})
		return c.accepted()
	}
	return c.truth(true, c.h.node.DeleteSnapshot(c.r.Context(), c.access, name, shard, file))
}

func (c *call) recoverSnapshot() error {
	wait, err := c.flag("wait", true)
	if err != nil {
		return err
	}
	shard, err := c.shard()
	if err != nil {
		return err
	}
	body, err := decode(c, (*scanner).recovery)
	if err != nil {
		return err
	}
	name := c.owner()
	if err := c.h.node.MayRecover(c.access, name); err != nil {
		return err
	}
	if !wait {
		c.h.node.Go("recover "+name, func(ctx context.Context) error {
			return c.h.node.RecoverSnapshot(ctx, c.access, name, shard, body.location, body.options)
		})
		return c.accepted()
	}
	return c.truth(true, c.h.node.RecoverSnapshot(c.r.Context(), c.access, name, shard, body.location, body.options))
}

// uploadSnapshot takes a snapshot in a multipart body of any size. Rights are checked before it is read, and then the
// answer is plain text.
func (c *call) uploadSnapshot() error {
	if err := c.h.node.MayRecover(c.access, c.owner()); err != nil {
		if sextant.KindOf(err) == sextant.Forbidden {
			c.route = &route{method: c.route.method, pattern: c.route.pattern, segments: c.route.segments, plain: true}
		}
		return err
	}
	wait, err := c.flag("wait", true)
	if err != nil {
		return err
	}
	shard, err := c.shard()
	if err != nil {
		return err
	}
	o, err := c.recoverOptions()
	if err != nil {
		return err
	}
	part, err := c.snapshotPart()
	if err != nil {
		return err
	}
	defer part.Close()
	// A body as large as a snapshot takes longer than the server lets requests take.
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{})
	if err := c.h.node.UploadSnapshot(c.r.Context(), c.access, c.owner(), shard, part, o, wait); err != nil {
		return err
	}
	switch {
	case !wait:
		return c.accepted()
	case shard != nil:
		return c.raw("null")
	}
	return c.raw("true")
}

func (c *call) recoverOptions() (o node.RecoverOptions, err error) {
	o.Priority = c.query().Get("priority")
	if o.Priority != "" && !slices.Contains(priorities, o.Priority) {
		return o, badQuery("unknown variant `%s`, expected %s", o.Priority, oneOf(priorities))
	}
	o.Checksum = c.query().Get("checksum")
	if o.Checksum != "" && !isSHA256(o.Checksum) {
		return o, sextant.Errorf(sextant.Invalid,
			"Validation error in query parameters: [checksum: Validation error: invalid_sha256_hash [{}]]")
	}
	return o, nil
}

// snapshotPart finds the file in the multipart body.
func (c *call) snapshotPart() (*multipart.Part, error) {
	bad := func(err error) error {
		return sextant.Errorf(sextant.BadRequest, "Can't read the snapshot from the multipart body: %v", err)
	}
	parts, err := c.r.MultipartReader()
	if err != nil {
		return nil, bad(err)
	}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil, bad(errors.New("field `snapshot` is missing"))
		}
		if err != nil {
			return nil, bad(err)
		}
		if part.FormName() == "snapshot" {
			return part, nil
		}
	}
}
