package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
)

// MANIFEST is the whole state of a generation at one seq: its files, and everything that is in no file. It is one line
//
//	sextant-manifest <format version> <bytes of JSON> <crc32c in hex>\n
//
// followed by JSON, and is only ever replaced. The checksum covers the line up to the checksum, then the JSON; the line
// stays as it is in later formats, so that an unknown format is told from damage. Only what the manifest names exists;
// other files of the generation are left over from something that did not end and are removed at open.
const (
	manifestFile    = "MANIFEST"
	manifestWord    = "sextant-manifest"
	manifestVersion = 1
)

// manifest is the content of MANIFEST.
type manifest struct {
	UUID string `json:"uuid"` // of the shard: a new one for a shard of the same name made anew
	// Base is the place behind which the generation's log began.
	Base order.Pos `json:"base"`
	// At is the entry that the files contain as the last one, History the reigns up to there.
	At      order.Pos     `json:"at"`
	History order.History `json:"history"`
	// ActiveThrough is what was applied when this replica stopped being active, while it is not.
	ActiveThrough *order.Seq `json:"active_through,omitempty"`
	// Requests are the newest request ids up to At.
	Requests []pastRequest `json:"requests,omitempty"`
	// Evicted tells which requests may be forgotten.
	Evicted []eviction `json:"evicted,omitempty"`
	// Transfer is what built the generation.
	Transfer *Attempt `json:"transfer,omitempty"`
	// Restored is the id of the restore that brought the generation, as its caller named it; 0: none.
	Restored uint64 `json:"restored,omitempty"`
	Digest   []byte `json:"digest"`

	Schema   segment.Schema            `json:"schema"`
	Segments []segmentEntry            `json:"segments"`
	Config   *sextant.CollectionConfig `json:"config,omitempty"`
}

// segmentEntry is one sealed segment with the rows of it that are dead at At.
type segmentEntry struct {
	segment.Meta
	Tombs *segment.FileRef `json:"tombstones,omitempty"` // nil: none is dead
}

// Attempt names one attempt of a transfer.
type Attempt struct {
	Transfer uint64 `json:"id"`
	Attempt  uint64 `json:"attempt"`
}

func (m *manifest) encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	b, err := encodeSummed(manifestWord, manifestVersion, m)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return b, nil
}

// encodeSummed writes v as JSON behind a line with its length and checksum.
func encodeSummed(word string, version int, v any) ([]byte, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // parameters of an index come back byte for byte
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return summed(word, version, body.Bytes()), nil
}

// summed puts a line with length and checksum before a body.
func summed(word string, version int, body []byte) []byte {
	head := fmt.Sprintf("%s %d %d ", word, version, len(body))
	sum := crc32.Update(crc32.Checksum([]byte(head), castagnoli), castagnoli, body)
	return append(fmt.Appendf(nil, "%s%08x\n", head, sum), body...)
}

// decodeSummed is the inverse of encodeSummed. at is where the JSON begins.
func decodeSummed(name, word string, known int, b []byte, v any) (at int64, err error) {
	body, at, err := openSummed(name, word, known, b)
	if err != nil {
		return at, err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return at, corrupt(name, at+dec.InputOffset(), "%v", err)
	}
	return at, nil
}

// openSummed is the inverse of summed. at is where the body begins.
func openSummed(name, word string, known int, b []byte) (body []byte, at int64, err error) {
	line, body, found := bytes.Cut(b, []byte("\n"))
	at = int64(len(line) + 1)
	head := line[:bytes.LastIndexByte(line, ' ')+1]
	var version, size int
	if _, err := fmt.Sscanf(string(head), word+" %d %d ", &version, &size); !found || err != nil {
		return nil, at, corrupt(name, 0, "its first line cannot be read")
	}
	sum := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, body)
	if len(body) != size || string(line[len(head):]) != fmt.Sprintf("%08x", sum) {
		return nil, at, corrupt(name, 0, "its checksum is wrong")
	}
	if version != known {
		return nil, at, sextant.Errorf(sextant.Internal, "%s is of the unknown format version %d: a newer version wrote it", name, version)
	}
	return body, at, nil
}

// errDoubt is the error of a write after which the new manifest may be the one on disk, now or after a crash: neither its
// files nor those of the old one may be removed.
var errDoubt = errors.New("the manifest may have been replaced")

// write makes m what the generation is. The names of the files that it names become durable before it does.
func (m *manifest) write(fsys vfs.FS, dir string) error {
	b, err := m.encode()
	if err != nil {
		return err
	}
	if err := fsys.SyncDir(dir); err != nil {
		return err
	}
	name := path.Join(dir, manifestFile)
	if err := vfs.WriteAtomic(fsys, name, b); err != nil {
		if now, readErr := vfs.ReadFile(fsys, name); readErr != nil || bytes.Equal(now, b) {
			err = fmt.Errorf("%w: %w", errDoubt, err)
		}
		return err
	}
	return nil
}

func decodeManifest(name string, b []byte) (*manifest, error) {
	m := &manifest{}
	at, err := decodeSummed(name, manifestWord, manifestVersion, b, m)
	if err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, corrupt(name, at, "%v", err)
	}
	return m, nil
}

func readManifest(fsys vfs.FS, dir string) (*manifest, error) {
	name := path.Join(dir, manifestFile)
	b, err := vfs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, corrupt(name, 0, "it is missing")
	} else if err != nil {
		return nil, err
	}
	return decodeManifest(name, b)
}

// check says what in m cannot be. It runs before writing and after reading.
func (m *manifest) check() error {
	if m.UUID == "" {
		return errors.New("the shard has no uuid")
	}
	if err := m.History.Check(); err != nil {
		return err
	}
	if term, known := m.History.TermAt(m.At.Seq); !known || term != m.At.Term {
		return fmt.Errorf("the history does not know %s", m.At)
	}
	if n := len(m.History); n > 0 && m.History[n-1].First > m.At.Seq {
		return fmt.Errorf("the history goes on behind %s", m.At)
	}
	if m.Base.Seq > m.At.Seq {
		return fmt.Errorf("the log begins at %s, behind the checkpoint at %s", m.Base, m.At)
	}
	if term, known := m.History.TermAt(m.Base.Seq); known && term != m.Base.Term {
		return fmt.Errorf("the history does not know the base %s", m.Base)
	}
	segments, files := map[string]bool{}, map[string]bool{}
	for i := range m.Segments {
		s := &m.Segments[i]
		if s.UUID == "" || segments[s.UUID] || s.Rows == 0 {
			return fmt.Errorf("segment %q is empty or named twice", s.UUID)
		}
		segments[s.UUID] = true
	}
	for _, f := range m.files() {
		if !plainName(f.Name) || files[f.Name] || f.Bytes < 0 {
			return fmt.Errorf("file %q has a bad name or is named twice", f.Name)
		}
		files[f.Name] = true
	}
	return nil
}

// plainName says whether a file of a generation may be called so: nothing that leads elsewhere, hides, or has a meaning
// of its own.
func plainName(name string) bool {
	if name == "" || len(name) > 200 || name[0] == '.' || name == manifestFile || name == logDir || path.Ext(name) == ".tmp" {
		return false
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// files lists all files that the manifest names, in their order.
func (m *manifest) files() []segment.FileRef {
	var all []segment.FileRef
	for i := range m.Segments {
		all = append(all, m.Segments[i].Files...)
		if t := m.Segments[i].Tombs; t != nil {
			all = append(all, *t)
		}
	}
	return all
}

// leftovers lists what stands in a generation and is not named by the manifest.
func (m *manifest) leftovers(fsys vfs.FS, dir string) (names []string, err error) {
	known := map[string]bool{manifestFile: true, logDir: true}
	for _, f := range m.files() {
		known[f.Name] = true
	}
	infos, err := fsys.List(dir)
	for _, info := range infos {
		if !known[info.Name] {
			names = append(names, info.Name)
		}
	}
	return names, err
}

// removeLeftovers removes the files of a generation that the manifest does not name.
func (m *manifest) removeLeftovers(fsys vfs.FS, dir string) error {
	names, err := m.leftovers(fsys, dir)
	if len(names) > 0 && err == nil {
		err = fsys.SyncDir(dir) // MANIFEST comes first: a power failure must not bring back the one that named them
	}
	for i := 0; i < len(names) && err == nil; i++ {
		err = fsys.RemoveAll(path.Join(dir, names[i]))
	}
	return err
}
