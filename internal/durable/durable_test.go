package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	folder = "/data/tls"
	name   = folder + "/ca.pem"
)

// writing gives what writes a text in several steps.
func writing(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		for _, part := range []string{text[:1], text[1:]} {
			if _, err := io.WriteString(w, part); err != nil {
				return err
			}
		}
		return nil
	}
}

// keep is what a start does that has something to keep: the folder, where there is none, and the file.
func keep(s *strict, text string) error {
	if err := makeFolder(s, folder); err != nil {
		return err
	}
	return replace(s, name, 0o600, writing(text))
}

// cutOff keeps a text over the one before ("": there is none), with a disk that is prepared, and the power cut off before
// each step in turn and after the last. It gives what came of it that may not be.
func cutOff(before string, prepare func(*strict)) (wrong []string) {
	for stop := 1; ; stop++ {
		s := newStrict()
		if before != "" {
			if err := keep(s, before); err != nil {
				return []string{err.Error()}
			}
		}
		prepare(s)
		s.steps, s.stop, s.failure = 0, stop, errCut
		err := keep(s, "new")
		allowed := map[string]bool{"new": true}
		if err != nil {
			allowed[before] = true
			allowed["none"] = before == ""
		}
		for _, text := range slices.Sorted(maps.Keys(s.outcomes(name))) {
			if !allowed[text] {
				wrong = append(wrong, fmt.Sprintf("over %q, cut off at step %d (%v): %q", before, stop, err, text))
			}
		}
		if err == nil {
			return wrong
		}
	}
}

// TestCutOffAtAnyStep loses power at every step of a file's making and of its replacement, with every piece that was not
// synced lost or kept: the old file is there, or the new one, whole, and the new one once the writer was told so.
func TestCutOffAtAnyStep(t *testing.T) {
	for _, before := range []string{"", "old"} {
		for _, wrong := range cutOff(before, func(*strict) {}) {
			t.Error(wrong)
		}
	}
}

// killed has a process die before each step in turn of keeping a text, where the machine itself goes on. The next process
// makes the folder, and does with what is in it what use says; then the power goes. It gives what came of it that may not
// be: use tells what it counts on.
func killed(use func(s *strict) (text string)) (wrong []string) {
	for stop := 1; ; stop++ {
		s := newStrict()
		s.stop, s.failure = stop, errCut
		err := keep(s, "old")
		s.stop = 0
		if err := makeFolder(s, folder); err != nil {
			return []string{err.Error()}
		}
		want := use(s)
		for _, text := range slices.Sorted(maps.Keys(s.outcomes(name))) {
			if text != want {
				wrong = append(wrong, fmt.Sprintf("killed at step %d, and %q is there, not %q", stop, text, want))
			}
		}
		if err == nil {
			return wrong
		}
	}
}

// TestNextProcessCanBuildOnWhatIsThere has a process read what one that was killed left, or write it anew, and the power
// go after that.
func TestNextProcessCanBuildOnWhatIsThere(t *testing.T) {
	for what, use := range map[string]func(*strict) string{
		"reads": func(s *strict) string {
			if n := s.entries[name]; n != nil {
				return string(n.data)
			}
			return "none"
		},
		"writes": func(s *strict) string {
			if err := replace(s, name, 0o600, writing("new")); err != nil {
				return err.Error()
			}
			return "new"
		},
	} {
		for _, wrong := range killed(use) {
			t.Errorf("the next process %s: %s", what, wrong)
		}
	}
}

// TestFoldersOfOthersNeedNoSync makes folders that are there, in ones that cannot be synced.
func TestFoldersOfOthersNeedNoSync(t *testing.T) {
	for err, fails := range map[error]bool{
		fs.ErrPermission: false, syscall.EROFS: false, syscall.EINVAL: false, errors.ErrUnsupported: false, syscall.EIO: true,
	} {
		s := newStrict()
		if err := makeFolder(s, folder); err != nil {
			t.Fatal(err)
		}
		s.unsyncable = map[string]error{"/data": err}
		if got := makeFolder(s, folder); (got != nil) != fails {
			t.Errorf("in a folder that gives %q: %v", err, got)
		}
		if got := makeFolder(s, "/data/new"); !errors.Is(got, err) {
			t.Errorf("a new one in a folder that gives %q: %v", err, got)
		}
	}
}

// TestForgottenSyncsAreFound shows that the test above can fail.
func TestForgottenSyncsAreFound(t *testing.T) {
	for _, before := range []string{"", "old"} {
		if len(cutOff(before, func(s *strict) { s.forgetsFiles = true })) == 0 {
			t.Errorf("over %q no sync of the file is needed", before)
		}
		if len(cutOff(before, func(s *strict) { s.forgetsFolders = true })) == 0 {
			t.Errorf("over %q no sync of the folder is needed", before)
		}
	}
}

// TestFailureAtAnyStep has each step fail in turn: the caller is told, the file is the old or the new one, and nothing else
// is left unless it was the removal itself that failed.
func TestFailureAtAnyStep(t *testing.T) {
	full := errors.New("no space left")
	for stop := 1; ; stop++ {
		s := newStrict()
		if err := keep(s, "old"); err != nil {
			t.Fatal(err)
		}
		s.steps, s.stop, s.failure = 0, stop, full
		err := keep(s, "new")
		if s.steps < stop {
			if err != nil {
				t.Errorf("nothing failed: %v", err)
			}
			return
		}
		if !errors.Is(err, full) {
			t.Errorf("step %d failed, and the caller was told %v", stop, err)
		}
		if text := string(s.entries[name].data); text != "old" && text != "new" {
			t.Errorf("step %d failed, and the file holds %q", stop, text)
		}
		if left := slices.Sorted(maps.Keys(s.entries)); !slices.Equal(left, []string{"/", "/data", folder, name}) {
			t.Errorf("step %d failed and left %v", stop, left)
		}
	}
}

// TestRemovedStaysRemoved loses power after a removal.
func TestRemovedStaysRemoved(t *testing.T) {
	s := newStrict()
	if err := keep(s, "old"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := remove(s, name); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]bool{"none": true}, s.outcomes(name)); diff != "" {
			t.Errorf("after the removal (-want +got)\n%s", diff)
		}
	}
}

// TestLocalFiles is the same on the machine's own disk, without its power.
func TestLocalFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	file := filepath.Join(dir, "kept")
	for _, text := range []string{"old", "new"} {
		if err := MakeFolder(dir); err != nil {
			t.Fatal(err)
		}
		if err := ReplaceBytes(file, 0o640, []byte(text)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil || string(got) != text {
			t.Errorf("%q, %v was kept of %q", got, err, text)
		}
	}
	cut := errors.New("cut off")
	if err := Replace(file, 0o600, func(w io.Writer) error { return errors.Join(writing("half")(w), cut) }); !errors.Is(err, cut) {
		t.Errorf("a writer that failed is told %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o640 || info.Size() != 3 {
		t.Errorf("after one that failed the file is %v, %v", info, err)
	}
	if err := MakeFolder(file); err == nil {
		t.Error("a file is taken for a folder")
	}
	if err := ReplaceBytes(filepath.Join(dir, "none", "kept"), 0o600, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file in no folder: %v", err)
	}
	for range 2 {
		if err := Remove(file); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	if MakeFolder(filepath.Join(os.DevNull, "x")) == nil {
		t.Error("a folder was made in a device")
	}
}
