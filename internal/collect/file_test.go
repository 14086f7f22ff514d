package collect

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newFileTree(t *testing.T) *recorded {
	t.Helper()
	r := newRecorded(t)
	r.write(t, "/etc/app/a.conf", "aaa")
	r.write(t, "/etc/app/b.txt", "b")
	r.write(t, "/etc/app/sub/c.conf", "")
	r.write(t, "/opt/d.conf", "dd")
	for from, to := range map[string]string{
		"../opt/d.conf": "/etc/link.conf", "nowhere": "/etc/dead.conf", "app": "/etc/folder",
	} {
		if err := os.Symlink(from, r.path(to)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestFilesFilter(t *testing.T) {
	t.Parallel()
	r := newFileTree(t)
	r.env["WHERE"] = "/etc"
	for _, c := range []struct {
		name, filter string
		want         []string
	}{
		{"recursive", `[{"Path":"/etc","Pattern":["*.conf"],"Recursive":true}]`, []string{"/etc/app a.conf 3", "/etc/app/sub c.conf 0", "/etc link.conf 2", "problem AWS:File: /etc/dead.conf: no such file or directory"}},
		{"flat", `[{"Path":"$WHERE/app","Pattern":["*"]}]`, []string{"/etc/app a.conf 3", "/etc/app b.txt 1"}},
		{"linked folder", `[{"Path":"/etc/folder","Pattern":["*.txt"]}]`, []string{"/etc/folder b.txt 1"}},
		{"twice", `[{"Path":"/opt","Pattern":["*.conf","d*"]},{"Path":"/opt/","Pattern":["*"]}]`, []string{"/opt d.conf 2"}},
		{"missing", `[{"Path":"/none","Pattern":["*"]},{"Path":"/opt","Pattern":["*"]}]`, []string{"/opt d.conf 2", "problem AWS:File: /none: no such file or directory"}},
		{"backslashes", `[{"Path":"\opt","Pattern":["*"]}]`, []string{"/opt d.conf 2"}},
		{"above the root", `[{"Path":"/../opt","Pattern":["*"]}]`, []string{"/opt d.conf 2"}},
		{"no filter", `[]`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rows, problems, err := r.files(c.filter)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, row := range rows {
				got = append(got, fmt.Sprintf("%s %s %s", row.InstalledDir, row.Name, row.Size))
			}
			for _, p := range problems {
				got = append(got, "problem "+p.Error())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFilesFilterRefused(t *testing.T) {
	t.Parallel()
	r := newFileTree(t)
	for i := range maxFiles + 1 {
		r.write(t, fmt.Sprintf("/many/%d", i), "")
	}
	for filter, want := range map[string]string{
		`{"Path":"/etc"}`:                                                     "not the documented JSON",
		`[{"Path":"/etc"}]`:                                                   "no Path or no Pattern",
		`[{"Path":"/etc","Pattern":["["]}]`:                                   "syntax error in pattern",
		`[{"Path":"/etc","Pattern":["*"],"DirScanLimit":0}]`:                  "counts folders from 1",
		`[{"Path":"/etc","Pattern":["*"],"Recursive":true,"DirScanLimit":2}]`: "passes 2 folders",
		`[{"Path":"/many","Pattern":["*"]}]`:                                  "more than 500 files",
	} {
		_, err := r.Gather(t.Context(), Options{Files: filter})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", filter, err, want)
		}
	}
}

func TestFilesTime(t *testing.T) {
	t.Parallel()
	r := newFileTree(t)
	at := time.Date(2025, 1, 2, 3, 4, 5, 6, time.UTC)
	if err := os.Chtimes(r.path("/opt/d.conf"), at, at); err != nil {
		t.Fatal(err)
	}
	report := r.gather(t, Options{Files: `[{"Path":"/opt","Pattern":["*"]}]`})
	item := itemOf(t, report, typeFile)
	if len(item.Content) != 1 || len(item.Content[0]) != 12 {
		t.Fatalf("content %v, want one entry of twelve attributes", item.Content)
	}
	got, _ := item.Content[0].Get("ModificationTime")
	if read, err := time.Parse(time.RFC3339, got); err != nil || !read.Equal(at.Truncate(time.Second)) {
		t.Errorf("modification time %q, want %s", got, at)
	}
}

func TestCustomFolder(t *testing.T) {
	t.Parallel()
	r := newRecorded(t)
	const stock = "/var/lib/amazon/ssm/i-0123456789abcdef0/inventory/custom/"
	r.write(t, stock+"a.json", `{"TypeName":"Custom:A","SchemaVersion":"1.0","Content":{"X":"1"}}`)
	r.write(t, stock+"b.json", `not json`)
	r.write(t, stock+"c.json", `{"TypeName":"Custom:A","SchemaVersion":"1.0","Content":{"X":"2"}}`)
	r.write(t, stock+"d.json", `{"TypeName":"Custom:D","SchemaVersion":"1.0","Content":[{"X":"1"},{"X":"2"}]}`)
	r.write(t, stock+"e.txt", `{"TypeName":"Custom:E","SchemaVersion":"1.0","Content":{"X":"1"}}`)
	report := r.gather(t, Options{Node: testNode})
	want := []string{
		"Custom:A 1.0 1", "Custom:D 1.0 2",
		"problem: custom inventory file b.json passed over: not a JSON object of TypeName, SchemaVersion and Content: invalid character 'o' in literal null (expecting 'u')",
		"problem: Custom:A: custom inventory file c.json passed over: another file before it is of the same type",
	}
	if diff := cmp.Diff(want, shape(report)[5:]); diff != "" {
		t.Errorf("custom items (-want +got):\n%s", diff)
	}
	if _, err := r.Gather(t.Context(), Options{CustomDir: r.path("/nowhere")}); err == nil {
		t.Error("a folder that was asked for and is not there passed")
	}
	for i := range maxCustomFiles - 3 {
		r.write(t, fmt.Sprintf("%sz%d.json", stock, i), "{}")
	}
	if _, err := r.Gather(t.Context(), Options{Node: testNode}); err == nil || !strings.Contains(err.Error(), "holds 21 custom") {
		t.Errorf("21 files: error %v", err)
	}
}
