package replica

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/wal"
)

// chaosPoints are all points that the shard may have, by their id.
type chaosPoints [4]chaosPoint

type chaosPoint struct {
	seq     uint32 // of the entry that last changed it
	vec     uint16
	payload uint16 // filters match even ones
	there   bool
}

// What an effect does to a point; an entry's body is a list of effects, four bytes each: point, what, value.
const (
	chaosUpsert byte = iota
	chaosSetPayload
	chaosDelete
)

func chaosEffect(b []byte, id int, what byte, value uint16) []byte {
	return append(b, byte(id), what, byte(value), byte(value>>8))
}

var errNoPoint = errors.New("no point with this id")

// apply does an entry. Its error, which the user sees, is part of the outcome: every replica has the same.
func (p *chaosPoints) apply(r *wal.Record) (err error) {
	for b := r.Body; r.Kind == wal.Effects && len(b) >= 4; b = b[4:] {
		q, value := &p[b[0]], uint16(b[2])|uint16(b[3])<<8
		switch b[1] {
		case chaosUpsert:
			*q = chaosPoint{seq: uint32(r.Seq), vec: value, there: true}
		case chaosSetPayload:
			if !q.there {
				err = errNoPoint
				continue
			}
			q.payload, q.seq = value, uint32(r.Seq)
		case chaosDelete:
			*q = chaosPoint{}
		}
	}
	return err
}

// resolve makes the effects of an update by filter.
func (p *chaosPoints) resolve(value uint16) []byte {
	body := []byte{}
	for i := range p {
		if p[i].there && p[i].payload%2 == 0 {
			body = chaosEffect(body, i, chaosSetPayload, value)
		}
	}
	return body
}

func (p *chaosPoints) digest() []byte {
	b := make([]byte, 0, 8*len(p))
	for i := range p {
		if q := &p[i]; q.there {
			b = append(b, byte(i), byte(q.seq), byte(q.seq>>8), byte(q.seq>>16), byte(q.vec), byte(q.vec>>8), byte(q.payload), byte(q.payload>>8))
		}
	}
	return b
}

// chaosDisk is the store of one generation of a replica. The first block survives a crash.
type chaosDisk struct {
	base        order.Pos
	first       order.Seq // of the oldest record that is kept
	log         []wal.Record
	history     order.History
	used        order.Term
	checkpoint  chaosPoints
	checked     order.Seq   // what the checkpoint contains
	born        int         // the topology by which it was made
	id, attempt uint64      // of the transfer that filled it
	notes       []order.Pos // commits (Seq) told behind the record of seq Term, not synced yet

	points  chaosPoints
	applied order.Seq
	commit  order.Seq
	digest  []byte    // a cached one; nil: made anew
	pinned  order.Seq // the log is needed from here on; 0: by nobody
	full    bool      // each append fails
}

func (d *chaosDisk) last() order.Pos {
	seq := d.first - 1 + order.Seq(len(d.log))
	return d.at(seq)
}

func (d *chaosDisk) at(seq order.Seq) order.Pos {
	if seq == d.base.Seq {
		return d.base
	}
	term, _ := d.history.TermAt(seq)
	return order.Pos{Seq: seq, Term: term}
}

func (d *chaosDisk) record(seq order.Seq) *wal.Record {
	if seq < d.first || seq > d.last().Seq {
		return nil
	}
	return &d.log[seq-d.first]
}

func (d *chaosDisk) stands() order.Stands {
	last := d.last()
	return order.Stands{Base: d.base, Applied: d.at(d.applied), Last: last, Durable: last.Seq, Commit: d.commit, History: d.history, UsedTerm: d.used}
}

// append makes records durable, as a shard's store does it, or only the first few of them, as a crash or a full disk may.
// cut says whether what conflicts is cut by then.
func (d *chaosDisk) append(after order.Pos, records []wal.Record, few int, cut bool) error {
	if last := d.last(); after.Seq > last.Seq || after.Seq < d.base.Seq || d.at(after.Seq) != after {
		return fmt.Errorf("the log, up to %s, has no entry %s", last, after)
	}
	for len(records) > 0 && records[0].Seq <= d.last().Seq {
		if d.at(records[0].Seq).Term != records[0].Term {
			if !cut {
				return nil
			}
			if err := d.cut(records[0].Seq - 1); err != nil {
				return err
			}
			break
		}
		records = records[1:]
		few--
	}
	if few <= 0 && len(records) > 0 {
		return nil
	}
	for i := range records[:min(len(records), few)] {
		r := records[i]
		if r.Seq != d.last().Seq+1 || r.Term < d.history.Last() {
			return fmt.Errorf("record %d@%d does not follow %s", r.Seq, r.Term, d.last())
		}
		r.Commit = min(d.commit, r.Seq)
		d.history = d.history.Extend(order.Pos{Seq: r.Seq, Term: r.Term})
		d.log = append(d.log, r)
	}
	d.syncNotes(len(d.notes))
	return nil
}

func (d *chaosDisk) cut(after order.Seq) error {
	if after < d.commit {
		return fmt.Errorf("a cut behind %d, and %d is committed", after, d.commit)
	}
	if after < d.checked || after < d.first-1 {
		return fmt.Errorf("a cut behind %d, the checkpoint has %d, the log begins at %d", after, d.checked, d.first)
	}
	d.syncNotes(len(d.notes))
	d.log = slices.Clip(d.log[:after+1-d.first])
	d.history = d.history.Cut(after)
	return nil
}

// note tells the commit behind the last record; only the next fsync makes it durable.
func (d *chaosDisk) note() {
	if last := d.last().Seq; last >= d.first {
		d.notes = append(d.notes, order.Pos{Seq: min(d.commit, last), Term: order.Term(last)})
	}
}

func (d *chaosDisk) syncNotes(n int) {
	for _, note := range d.notes[:n] {
		if r := d.record(order.Seq(note.Term)); r != nil {
			r.Commit = max(r.Commit, note.Seq)
		}
	}
	d.notes = nil
}

// apply applies the log up to a commit.
func (d *chaosDisk) apply(commit order.Seq, each func(r *wal.Record, err error)) error {
	for d.applied < commit {
		r := d.record(d.applied + 1)
		if r == nil {
			return fmt.Errorf("entry %d is to be applied, the log holds %d to %s", d.applied+1, d.first, d.last())
		}
		err := d.points.apply(r)
		d.applied++
		each(r, err)
	}
	return nil
}

// read returns what the log has from one entry through another.
func (d *chaosDisk) read(from, through order.Seq) ([]wal.Record, error) {
	if from < d.first {
		return nil, fmt.Errorf("the log begins at %d", d.first)
	}
	through = min(through, d.last().Seq)
	if from > through {
		return nil, nil
	}
	return slices.Clone(d.log[from-d.first : through+1-d.first]), nil
}

// check writes a checkpoint; trim also drops the log up to it, as far as nobody has pinned it.
func (d *chaosDisk) check(trim bool) {
	d.checkpoint, d.checked = d.points, d.applied
	if !trim {
		return
	}
	from := d.checked + 1
	if d.pinned != 0 {
		from = min(from, d.pinned)
	}
	if from > d.first {
		d.log = slices.Clone(d.log[from-d.first:])
		d.first = from
	}
}

// crash forgets what does not survive. Of the notes the first few do.
func (d *chaosDisk) crash(notes int) {
	d.syncNotes(min(notes, len(d.notes)))
	d.points, d.applied, d.commit, d.pinned, d.full = d.checkpoint, d.checked, 0, 0, false
	d.commit = d.checked
	for i := range d.log {
		d.commit = max(d.commit, d.log[i].Commit)
	}
}
