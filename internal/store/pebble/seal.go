package pebble

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"stocktake/internal/store"
)

// A manifest says which files are the store, change by change. Pebble takes a damaged one for one whose end was cut off by
// a crash: it goes on from where it can be read to, and what the logs hold makes up for the rest. After a clean stop there
// are no such logs. So the stop leaves a seal: the manifest's name, length and checksum. Every opening begins a new
// manifest, so a seal is good for the first opening after it and means nothing for those that follow.

const sealFile = "seal"

var sealTable = crc32.MakeTable(crc32.Castagnoli)

// sealed describes the manifest of an engine that is not open; "" where there is none.
func sealed(fs vfs.FS, dir string) (string, error) {
	desc, err := engine.Peek(dir, fs)
	if err != nil || !desc.Exists {
		return "", err
	}
	content, err := readFile(fs, desc.ManifestFilename)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d %08x\n", fs.PathBase(desc.ManifestFilename), len(content), crc32.Checksum(content, sealTable)), nil
}

// writeSeal seals an engine that was closed and has no log to recover from.
func writeSeal(fs vfs.FS, home, dir string) error {
	text, err := sealed(fs, dir)
	if err != nil {
		return err
	}
	path := fs.PathJoin(home, sealFile)
	f, err := fs.Create(path+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(fs, home)
}

// checkSeal gives ErrCorrupt where the manifest is not as it was sealed.
func checkSeal(fs vfs.FS, home, dir string) error {
	path := fs.PathJoin(home, sealFile)
	seal, err := readFile(fs, path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	now, err := sealed(fs, dir)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	manifest, _, whole := strings.Cut(string(seal), " ")
	if !whole {
		return fmt.Errorf("%w: %s", store.ErrCorrupt, path)
	}
	if strings.HasPrefix(now, manifest+" ") && now != string(seal) {
		return fmt.Errorf("%w: %s is not as it was when the store was closed", store.ErrCorrupt, fs.PathJoin(dir, manifest))
	}
	return nil
}

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(f)
	return content, errors.Join(err, f.Close())
}
