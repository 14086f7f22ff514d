package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stocktake/internal/pgcluster"
	"stocktake/internal/pgtest"
)

// older is where the stores of the release before are, made by the make.sh beside them.
const older = "../../internal/store/testdata/upgrade/c84b02d"

// unpackOlder puts the folder of the release before into a data folder.
func unpackOlder(t *testing.T) string {
	t.Helper()
	data := t.TempDir()
	untar(t, older+".store.tar.gz", data)
	return data
}

// goesOn serves a store of the release before: its nodes are there, and report again.
func goesOn(t *testing.T, args ...string) {
	t.Helper()
	s := serveHere(t, args...)
	defer s.stop()
	if body := s.must(t, "ListInventoryEntries", `{"InstanceId":"i-00000003","TypeName":"Custom:Rack"}`); !strings.Contains(body, "r3") || !strings.Contains(body, "2026-01-03") {
		t.Errorf("of a node of before: %s", body)
	}
	if body := s.must(t, "ListAssociations", `{}`); !strings.Contains(body, "AWS-GatherSoftwareInventory") {
		t.Errorf("of associations of before: %s", body)
	}
	s.must(t, "PutInventory", `{"InstanceId":"i-00000003","Items":[{"TypeName":"Custom:Rack","SchemaVersion":"1.0","CaptureTime":"2026-02-01T00:00:00Z","Content":[{"Rack":"r33"}]}]}`)
	if body := s.must(t, "ListInventoryEntries", `{"InstanceId":"i-00000003","TypeName":"Custom:Rack"}`); !strings.Contains(body, "r33") {
		t.Errorf("of a node that reported again: %s", body)
	}
}

// says runs a command that must end with exit code 0, and looks for a text in what it says.
func says(t *testing.T, want string, args ...string) {
	t.Helper()
	if code, out, log := command(t, args...); code != 0 || !strings.Contains(out+log, want) {
		t.Fatalf("%v ended with %d and does not say %q:\n%s%s", args, code, want, out, log)
	}
}

// TestFolderOfBeforeGoesOn backs a folder of the release before up, which leaves it as it is, and serves it.
func TestFolderOfBeforeGoesOn(t *testing.T) {
	t.Parallel()
	data := unpackOlder(t)
	file := filepath.Join(t.TempDir(), "backup")
	says(t, "`stocktake backup` of that release first", "backup", "--data", data, "--to", file)
	says(t, "`stocktake backup` of that release first", "verify", "--data", data)
	goesOn(t, "--data", data)
	code, out, log := command(t, "verify", "--data", data)
	if code != 0 || !strings.Contains(out, "all fits together") || strings.Contains(log, "`stocktake backup` of that release first") {
		t.Errorf("verify of the upgraded folder ended with %d:\n%s%s", code, out, log)
	}
	restored := filepath.Join(t.TempDir(), "restored")
	says(t, "restored 5 nodes", "restore", "--from", file, "--data", restored)
	goesOn(t, "--data", restored)
}

// TestBackupOfBeforeIsRestored restores a file of the release before into either kind of store.
func TestBackupOfBeforeIsRestored(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	says(t, "restored 5 nodes", "restore", "--from", older+".backup", "--data", data)
	goesOn(t, "--data", data)
	url := pgtest.Database(t)
	says(t, "restored 5 nodes", "restore", "--from", older+".backup", "--database-url", url)
	says(t, "all fits together", "verify", "--database-url", url)
}

// TestTablesOfBeforeGoOn migrates tables of the release before, which are refused until then, and serves them.
func TestTablesOfBeforeGoOn(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	if _, err := pgcluster.Query(t.Context(), url, unzipped(t, older+".sql.gz")); err != nil {
		t.Fatal(err)
	}
	if code, _, log := command(t, "verify", "--database-url", url); code != 1 || !strings.Contains(log, "stocktake migrate --database-url") {
		t.Errorf("tables of before: exit code %d:\n%s", code, log)
	}
	says(t, "version 2", "migrate", "--database-url", url)
	goesOn(t, "--database-url", url)
	says(t, "all fits together", "verify", "--database-url", url)
}

func unzipped(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(plain)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// untar unpacks files and folders.
func untar(t *testing.T, path, to string) {
	t.Helper()
	files := tar.NewReader(strings.NewReader(unzipped(t, path)))
	for {
		head, err := files.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(to, head.Name)
		if head.Typeflag == tar.TypeDir {
			if err := os.Mkdir(name, 0o700); err != nil {
				t.Fatal(err)
			}
			continue
		}
		content, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
