package engine

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// A shard's directory holds one state and what is needed to replace it as a whole:
//
//	CURRENT      "sextant-shard 1 <generation> <crc32c of the text before, in hex>\n"
//	LOCK         held while the shard is open
//	g1/          a generation: MANIFEST, files that it names, wal/
//	g2/          a generation that is being filled aside, or was left behind; it counts for nothing
//	RESTORE      "sextant-restore 1 <generation> <id> <crc32c>\n", while a generation waits for the word to take over
//
// Generations that neither CURRENT nor RESTORE names are removed at open. Anything of another name is left alone.
const (
	currentFile = "CURRENT"
	restoreFile = "RESTORE"
	lockFile    = "LOCK"
	logDir      = "wal"
)

// writeCurrent makes a generation, which must be complete and durable, the one that counts.
func writeCurrent(fsys vfs.FS, dir string, generation uint64) error {
	if _, err := readManifest(fsys, generationDir(dir, generation)); err != nil {
		return err
	}
	return vfs.WriteAtomic(fsys, path.Join(dir, currentFile), []byte(currentLine(fmt.Sprintf("sextant-shard 1 g%d", generation))))
}

func currentLine(text string) string {
	return fmt.Sprintf("%s %08x\n", text, crc32.Checksum([]byte(text), castagnoli))
}

// readCurrent returns the number of the generation that counts.
func readCurrent(fsys vfs.FS, dir string) (uint64, error) {
	name := path.Join(dir, currentFile)
	b, err := vfs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, sextant.Errorf(sextant.NotFound, "there is no shard in %s: %w", dir, err)
	} else if err != nil {
		return 0, err
	}
	text := string(b[:max(0, bytes.LastIndexByte(b, ' '))])
	if string(b) != currentLine(text) {
		return 0, corrupt(name, 0, "its checksum is wrong")
	}
	var version, generation uint64
	if _, err := fmt.Sscanf(text, "sextant-shard %d g%d", &version, &generation); err != nil {
		return 0, corrupt(name, 0, "it cannot be read: %v", err)
	}
	if version != 1 {
		return 0, sextant.Errorf(sextant.Internal, "%s is of the unknown format version %d", name, version)
	}
	return generation, nil
}

func generationDir(dir string, generation uint64) string {
	return path.Join(dir, fmt.Sprintf("g%d", generation))
}

func parseGeneration(name string) (n uint64, ok bool) {
	if _, err := fmt.Sscanf(name, "g%d", &n); err != nil || name != fmt.Sprintf("g%d", n) {
		return 0, false
	}
	return n, true
}

// removeOthers removes every generation but some, and one that waits to be restored. The process may have died before CURRENT was
// durable: a power failure must not bring back the one before without its files, so CURRENT comes first.
func removeOthers(fsys vfs.FS, dir string, keep ...uint64) error {
	waits, _, err := readRestore(fsys, dir)
	if err != nil {
		return err
	}
	infos, err := fsys.List(dir)
	if err == nil {
		err = fsys.SyncDir(dir)
	}
	removed := false
	for i := 0; i < len(infos) && err == nil; i++ {
		name := infos[i].Name
		if n, ok := parseGeneration(name); ok && infos[i].Dir && n != waits && !slices.Contains(keep, n) {
			err, removed = fsys.RemoveAll(path.Join(dir, name)), true
		}
	}
	if err == nil && removed {
		err = fsys.SyncDir(dir)
	}
	return err
}

// nextGeneration returns a number above all that are there.
func nextGeneration(fsys vfs.FS, dir string) (uint64, error) {
	infos, err := fsys.List(dir)
	if err != nil {
		return 0, err
	}
	next := uint64(1)
	for _, info := range infos {
		if n, ok := parseGeneration(info.Name); ok {
			next = max(next, n+1)
		}
	}
	return next, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// corrupt reports damage of a file.
func corrupt(file string, offset int64, format string, args ...any) error {
	return sextant.Errorf(sextant.Corrupt, "%s is damaged at byte %d: %s", file, offset, fmt.Sprintf(format, args...))
}
