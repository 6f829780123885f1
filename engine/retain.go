package engine

import (
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/wal"
)

// What logs keep beyond their checkpoints is bounded for each shard by Options.Retention, and for all shards of a process by a
// share of the disk, in percent: one for replicas that lag, a larger one while a replica is away.
const (
	logShare    = 10
	absentShare = 20
)

// trim drops what the log need not keep any more. The caller holds edit.
func (s *Shard) trim() error {
	k := &s.keeper
	s.log.SetRetention(s.retention())
	err := s.log.Trim(k.manifest().At.Seq, k.absentFrom())
	s.opts.Budget.noteLog(s, s.log.Stats().Bytes)
	return err
}

// trimOthers has the largest log trimmed if all together are too large.
func (s *Shard) trimOthers() {
	if other := s.opts.Budget.largestLog(s, s.diskShare(logShare)); other != nil {
		other.keeper.trimSoon()
	}
}

// retention is what the log may keep now.
func (s *Shard) retention() wal.Retention {
	o := s.opts
	o.Config = *s.config.Load()
	keep := o.logOptions().Retention
	others, shards := s.opts.Budget.otherLogs(s)
	part := func(bytes int64, percent uint64) int64 {
		share := s.diskShare(percent)
		return min(bytes, max(share-others, share/int64(shards)))
	}
	keep.Bytes, keep.AbsentBytes = part(keep.Bytes, logShare), part(keep.AbsentBytes, absentShare)
	return keep
}

// diskShare is so many percent of the disk, and no more than is free: what is kept for others does not fill it.
func (s *Shard) diskShare(percent uint64) int64 {
	space, err := s.fs.Free(s.dir)
	if err != nil {
		s.slog.Warn("the size of the disk cannot be read", "path", s.dir, "err", err)
		return 0
	}
	return int64(min(space.Total/100*percent, space.Free))
}

// KeepFrom has the log keep entries from seq on for a replica that is away, as far as Options.Retention and the disk allow; 0:
// nobody is away. What need not be kept any more goes with the next checkpoint, or soon if nobody is away any more.
func (s *Shard) KeepFrom(seq order.Seq) {
	k := &s.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.absent != 0 && seq == 0 {
		k.trimNow = true
		k.wakeLocked()
	}
	k.absent = seq
}

func (k *keeper) absentFrom() order.Seq {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.absent
}

// trimSoon has the log trimmed without a checkpoint.
func (k *keeper) trimSoon() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trimNow = true
	k.wakeLocked()
}

// trimIfDue is a step of the loop.
func (k *keeper) trimIfDue() {
	k.mu.Lock()
	due := k.trimNow
	k.trimNow = false
	k.mu.Unlock()
	if !due {
		return
	}
	k.edit.Lock()
	defer k.edit.Unlock()
	if err := k.s.trim(); err != nil {
		k.s.slog.Warn("the log keeps what it could drop", "err", err)
	}
}

// noteLog notes how large a shard's log is.
func (b *Budget) noteLog(s *Shard, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logBytes += bytes - b.logs[s]
	if b.logs[s] = bytes; bytes == 0 {
		delete(b.logs, s)
	}
}

// largestLog returns the shard other than s with the largest log above its part, if all together are larger than share.
func (b *Budget) largestLog(s *Shard, share int64) (most *Shard) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.logBytes <= share {
		return nil
	}
	for other, n := range b.logs {
		if other != s && n > share/int64(len(b.logs)) && (most == nil || n > b.logs[most]) {
			most = other
		}
	}
	return most
}

// otherLogs returns what the logs of all other shards hold, and how many shards there are with this one.
func (b *Budget) otherLogs(s *Shard) (bytes int64, shards int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	own, known := b.logs[s]
	if shards = len(b.logs); !known {
		shards++
	}
	return b.logBytes - own, shards
}
