package backup_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stocktake/internal/backup"
	"stocktake/internal/store"
	"stocktake/internal/transfer"
)

var every = flag.Bool("every", false, "flip a bit of every byte of a file, not of a sample")

// refused checks that a file is damaged, and that restoring it opens no store.
func refused(t *testing.T, file []byte, what string) {
	t.Helper()
	_, err := restore(t, file, func(store.Identity) store.Store {
		t.Errorf("%s: a store was opened to restore it", what)
		return nil
	})
	if !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrNoBackup) && (err == nil || !strings.Contains(err.Error(), "has format")) {
		t.Errorf("%s: %v", what, err)
	}
}

// sectionsOf gives where the sections of a file begin, and at last its end.
func sectionsOf(file []byte) []int {
	at := []int{20}
	for last := 20; last < len(file); at = append(at, last) {
		last += 11 + int(binary.BigEndian.Uint32(file[last+7:])) + 32
	}
	return at
}

func testFile(t *testing.T) []byte {
	t.Helper()
	s := oracle.Open(t)
	fill(t, s, rand.Uint64())
	return backedUp(t, s)
}

func TestFlippedBitIsFound(t *testing.T) {
	file := testFile(t)
	places := map[int]bool{}
	for i := range 20 { // the magic and the version
		places[i] = true
	}
	for n, at := range sectionsOf(file) {
		if n > 6 && n%5 > 0 {
			continue // they are alike
		}
		for i := range 11 { // what stands before each content
			if at+i < len(file) {
				places[at+i] = true
			}
		}
	}
	more := 100
	if *every {
		more = 0
		for i := range file {
			places[i] = true
		}
	}
	for range more {
		places[rand.IntN(len(file))] = true
	}
	for at := range places {
		bit := rand.IntN(8)
		damaged := bytes.Clone(file)
		damaged[at] ^= 1 << bit
		if _, err := backup.Check(t.Context(), bytes.NewReader(damaged), transfer.Options{}); err == nil {
			t.Errorf("bit %d of byte %d of %d is another, and the file is taken for whole", bit, at, len(file))
		}
	}
	t.Logf("%d of %d bytes", len(places), len(file))
	damaged := bytes.Clone(file)
	damaged[len(file)/2] ^= 1
	refused(t, damaged, "a flipped bit in the middle")
}

func TestCutFileIsFound(t *testing.T) {
	file := testFile(t)
	at := sectionsOf(file)
	for _, end := range append(at[:len(at)-1], 0, 1, 15, 19, len(file)-1, rand.IntN(len(file))) {
		refused(t, file[:end], "a file cut short")
	}
	refused(t, append(bytes.Clone(file), 0), "a file with a byte more")
	refused(t, append(bytes.Clone(file), file...), "a file twice")
}

func TestMovedSectionsAreFound(t *testing.T) {
	file := testFile(t)
	other := testFile(t)
	at := sectionsOf(file)
	section := func(i int) []byte { return file[at[i]:at[i+1]] }
	for range 20 {
		i := 1 + rand.IntN(len(at)-3)
		without := append(bytes.Clone(file[:at[i]]), file[at[i+1]:]...)
		refused(t, without, "a section left out")
		swapped := append(append(append(bytes.Clone(file[:at[i]]), section(i+1)...), section(i)...), file[at[i+2]:]...)
		refused(t, swapped, "two sections the other way round")
		twice := append(append(bytes.Clone(file[:at[i+1]]), section(i)...), file[at[i+1]:]...)
		refused(t, twice, "a section twice")
	}
	theirs := sectionsOf(other)
	refused(t, append(bytes.Clone(file[:at[3]]), other[theirs[3]:]...), "the end of another file")
}

func TestNewerFormatIsRefusedInWords(t *testing.T) {
	file := testFile(t)
	file[19]++
	_, err := backup.Check(t.Context(), bytes.NewReader(file), transfer.Options{})
	if err == nil || !strings.Contains(err.Error(), "format 3") || errors.Is(err, backup.ErrDamaged) {
		t.Errorf("a newer format: %v", err)
	}
	if _, err := backup.Check(t.Context(), strings.NewReader("PK\x03\x04 this is something else"), transfer.Options{}); !errors.Is(err, backup.ErrNoBackup) {
		t.Errorf("another file: %v", err)
	}
}

func TestSaveLeavesWholeFilesOnly(t *testing.T) {
	file := testFile(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "a.backup")
	whole := func(w io.Writer) error {
		_, err := w.Write(file)
		return err
	}
	failing := map[string]func(w io.Writer) error{
		"cut": func(w io.Writer) error {
			_, err := w.Write(file[:len(file)/2])
			return errors.Join(err, errCut)
		},
		"short": func(w io.Writer) error {
			_, err := w.Write(file[:len(file)/2])
			return err
		},
	}
	for name, write := range failing {
		if _, err := backup.Save(t.Context(), path, nil, write, transfer.Options{}); err == nil {
			t.Errorf("a backup %s was saved", name)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("a backup %s leaves %v (%v)", name, left, err)
		}
	}
	summary, err := backup.Save(t.Context(), path, nil, whole, transfer.Options{})
	if err != nil || int(summary.Bytes) != len(file) {
		t.Fatalf("saved %d of %d bytes: %v", summary.Bytes, len(file), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || info.Size() != int64(len(file)) {
		t.Errorf("the file is %v (%v)", info, err)
	}
	if _, err := backup.Save(t.Context(), path, nil, whole, transfer.Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file that is there: %v", err)
	}
}

func FuzzCheck(f *testing.F) {
	s := oracle.Open(f)
	fill(f, s, 1)
	file := backedUp(f, s)
	f.Add(file)
	f.Add(file[:100])
	f.Add([]byte("stocktake backup\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := backup.Check(t.Context(), bytes.NewReader(b), transfer.Options{}); err != nil {
			return
		}
		if _, err := backup.Check(t.Context(), bytes.NewReader(b[:len(b)-1]), transfer.Options{}); err == nil {
			t.Errorf("a backup of %d bytes is taken for whole without its last", len(b))
		}
	})
}
