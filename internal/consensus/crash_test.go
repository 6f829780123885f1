package consensus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// nobody is a transport to nobody.
type nobody struct{}

func (nobody) Send(uint64, []byte) {}

// alone opens a member that is the only voter.
func alone(disk vfs.FS, life uint64) (*Member, *journal, error) {
	machine := &journal{}
	m, err := Open(Options{FS: disk, Dir: "raft", ID: 1, Life: life, Machine: machine, Transport: nobody{}, CompactEntries: 3})
	return m, machine, err
}

// live is a short life of a sole voter: it returns the commands that were acknowledged.
func live(disk vfs.FS, life uint64) (done []string, err error) {
	m, _, err := alone(disk, life)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if m.Fresh() {
		if err := m.Bootstrap([]byte("first")); err != nil {
			return nil, err
		}
		done = append(done, "first")
	}
	if err := m.Start(); err != nil {
		return done, err
	}
	for i := range 8 {
		command := fmt.Sprintf("%d of life %d", i, life)
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		_, err := m.Propose(ctx, []byte(command))
		cancel()
		if err != nil {
			return done, err
		}
		done = append(done, command)
	}
	return done, nil
}

// holds fails unless all of want are in have in this order, none twice, and nothing else but what was sent.
func holds(t *testing.T, have, want []string) {
	t.Helper()
	seen := map[string]bool{}
	for _, c := range have {
		if seen[c] {
			t.Fatalf("%q was applied twice: %q", c, have)
		}
		seen[c] = true
	}
	at := 0
	for _, c := range want {
		i := slices.Index(have[at:], c)
		if i < 0 {
			t.Fatalf("%q was acknowledged and is lost or out of order: %q", c, have)
		}
		at += i + 1
	}
}

// TestPowerIsLostAtEveryCall lets the disk refuse everything from the k-th call on, then ends the process or the power, then
// lives again.
func TestPowerIsLostAtEveryCall(t *testing.T) {
	for k, over := 1, false; !over; k++ {
		for try := range uint64(4) {
			synctest.Test(t, func(t *testing.T) {
				disk := new(vfs.Mem)
				faulty := vfs.NewFaulty(disk)
				faulty.FailFrom(k, errors.New("no power"), vfs.OpChanges)
				done, err := live(faulty, 1)
				over = err == nil && faulty.Calls(vfs.OpChanges) < k
				if try == 0 {
					disk = disk.Kill()
				} else {
					disk = disk.Crash(rand.New(rand.NewPCG(uint64(k), try)))
				}
				more, err := live(disk, 2)
				if err != nil {
					t.Fatalf("call %d, try %d: %v", k, try, err)
				}
				if len(done) > 0 && len(more) > 0 && more[0] == "first" {
					t.Fatalf("call %d, try %d: it began anew", k, try)
				}
				atRest(t, disk, append(done, more...))
			})
		}
		if over {
			t.Logf("%d calls", k-1)
		}
	}
}

// TestEveryCallFailsOnce lets one call fail: the member stands still, says so, begins anew by itself and has lost nothing.
func TestEveryCallFailsOnce(t *testing.T) {
	stood := 0
	for k, over := 1, false; !over; k++ {
		synctest.Test(t, func(t *testing.T) {
			disk := new(vfs.Mem)
			faulty := vfs.NewFaulty(disk)
			m, machine, err := alone(faulty, 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Bootstrap([]byte("first")); err != nil {
				t.Fatal(err)
			}
			if err := m.Start(); err != nil {
				t.Fatal(err)
			}
			before := faulty.Calls(vfs.OpChanges)
			faulty.FailAt(k, errors.New("a bad moment"), vfs.OpChanges)
			done := []string{"first"}
			for i := range 8 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				if _, err := m.Propose(ctx, fmt.Append(nil, i)); err != nil {
					t.Fatalf("call %d, command %d: %v, %+v", k, i, err, m.Status())
				}
				cancel()
				done = append(done, fmt.Sprint(i))
			}
			time.Sleep(2 * time.Second) // the last command may be answered before its image fails
			over = faulty.Calls(vfs.OpChanges)-before < k
			if s := m.Status(); s.Err != nil {
				t.Errorf("%+v", s)
			} else if s.Restarts > 0 {
				stood++
			}
			if have := machine.all(); !slices.Equal(have, done) {
				t.Fatalf("call %d: %q", k, have)
			}
			_ = m.Close()
			atRest(t, disk.Kill(), done)
		})
	}
	if stood < 5 {
		t.Errorf("only %d failures were felt", stood)
	}
}

// atRest opens a disk once more and looks at what there is.
func atRest(t *testing.T, disk vfs.FS, want []string) {
	t.Helper()
	m, machine, err := alone(disk, 9)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	holds(t, machine.all(), want)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedFilesAreRefused turns single bytes of each file: the damage is named, or nothing that was synced was hit.
func TestDamagedFilesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := new(vfs.Mem)
		done, err := live(disk, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{imageFile, voteFile} {
			file := path.Join("raft", name)
			good, err := vfs.ReadFile(disk, file)
			if err != nil {
				t.Fatal(err)
			}
			for at := range good {
				bad := slices.Clone(good)
				bad[at] ^= 0x10
				if err := vfs.WriteAtomic(disk, file, bad); err != nil {
					t.Fatal(err)
				}
				if _, _, err := alone(disk, 2); sextant.KindOf(err) != sextant.Corrupt || !contains(err, name) {
					t.Fatalf("%s, byte %d: %v", name, at, err)
				}
			}
			if err := vfs.WriteAtomic(disk, file, good[:len(good)/2]); err != nil {
				t.Fatal(err)
			}
			if _, _, err := alone(disk, 2); sextant.KindOf(err) != sextant.Corrupt {
				t.Fatalf("half of %s: %v", name, err)
			}
			if err := vfs.WriteAtomic(disk, file, good); err != nil {
				t.Fatal(err)
			}
		}
		atRest(t, disk, done)
		m, err := Open(Options{FS: disk, Dir: "raft", ID: 2, Machine: &journal{}, Transport: nobody{}})
		if err == nil || m != nil {
			t.Error("the state of another peer was taken")
		}
	})
}

func contains(err error, word string) bool { return strings.Contains(err.Error(), word) }
