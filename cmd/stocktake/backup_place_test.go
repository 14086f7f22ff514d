package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"stocktake/internal/backup/buckettest"
)

// newSealKey writes a key as its owner does.
func newSealKey(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, bytes.Repeat([]byte("0f"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestBackupOfRunningServiceToBucket uploads a sealed backup of a service that runs, and restores it over connections that
// are cut.
func TestBackupOfRunningServiceToBucket(t *testing.T) {
	s3 := buckettest.Start(t)
	data, key := t.TempDir(), newSealKey(t)
	s := serveHere(t, "--data", data)
	put := `{"InstanceId":"i-12345678","Items":[{"TypeName":"Custom:RackInfo","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z","Content":[{"Rack":"r1"}]}]}`
	if status, body := s.do(t, "PutInventory", put); status != http.StatusOK {
		t.Fatalf("report: %d %s", status, body)
	}
	code, out, log := command(t, "backup", "--data", data, "--to", "s3://backups/here/", "--s3-endpoint", s3.URL, "--seal-key", key)
	if code != 0 || !strings.Contains(out, "backed up 1 nodes") || !strings.Contains(out, " to s3://backups/here/stocktake-2") {
		t.Fatalf("backup ended with %d: %s%s", code, out, log)
	}
	s.stop()
	place := ""
	for path, content := range s3.Objects() {
		place = "s3:/" + path
		if bytes.Contains(content, []byte("stocktake backup")) {
			t.Error("the object is not sealed")
		}
	}
	var cut atomic.Int32
	s3.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || cut.Add(1)%3 == 0 {
			return false
		}
		buckettest.Drop(w)
		return true
	})
	restored := filepath.Join(t.TempDir(), "restored")
	for _, args := range [][]string{
		{"verify", "--backup", place, "--s3-endpoint", s3.URL, "--seal-key", key},
		{"restore", "--from", place, "--s3-endpoint", s3.URL, "--seal-key", key, "--data", restored},
		{"verify", "--data", restored},
		{"copy", "--from", data, "--to", restored, "--verify-only"},
	} {
		if code, out, log := command(t, args...); code != 0 {
			t.Fatalf("%v ended with %d: %s%s", args, code, out, log)
		}
	}
	if cut.Load() < 2 {
		t.Error("nothing was cut")
	}
}

// TestPlacesThatCannotBe asks for backups in places, and with keys, that there are not.
func TestPlacesThatCannotBe(t *testing.T) {
	s3 := buckettest.Start(t)
	data, key := t.TempDir(), newSealKey(t)
	s, err := openEmbedded(t.Context(), data, slog.New(slog.DiscardHandler))
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(t.TempDir(), "plain")
	closed := filepath.Join(t.TempDir(), "sealed")
	s3.Put("/backups/there", []byte("x"))
	backup := []string{"backup", "--data", data, "--to"}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{append(backup, plain), 0, ""},
		{append(backup, closed, "--seal-key", key), 0, ""},
		{[]string{"verify", "--backup", closed, "--seal-key", key}, 0, ""},
		{[]string{"verify", "--backup", closed}, 1, "hint: give its key: --seal-key FILE"},
		{[]string{"verify", "--backup", plain, "--seal-key", key}, 1, "the backup is not sealed"},
		{[]string{"restore", "--from", closed, "--data", t.TempDir()}, 1, "the backup is sealed"},
		{append(backup, "x", "--seal-key", "nokey"), 2, "seal_key: open nokey"},
		{append(backup, "x", "--seal-key", plain), 2, "a seal key is 32 random bytes"},
		{append(backup, "x", "--seal-key", "env:NOT_SET"), 2, "a seal key is 32 random bytes"},
		{append(backup, "s3://bucket", "--s3-endpoint", s3.URL), 2, "it is not s3://BUCKET/KEY"},
		{append(backup, "s3://backups/there", "--s3-endpoint", s3.URL), 1, "hint: a backup is never written over"},
		{append(backup, "s3://backups/k", "--s3-endpoint", "http://s3.example.org"), 2, "hint: give an https endpoint"},
		{[]string{"restore", "--from", "s3://backups/none", "--s3-endpoint", s3.URL, "--data", t.TempDir()}, 1, "hint: aws s3 ls"},
	} {
		if code, out, log := command(t, c.args...); code != c.code || !strings.Contains(log, c.says) {
			t.Errorf("%v ended with %d:\n%s%s", c.args, code, out, log)
		}
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if code, _, log := command(t, append(backup, "s3://backups/k", "--s3-endpoint", s3.URL)...); code != 1 || !strings.Contains(log, "hint: they are found as by aws s3") {
		t.Errorf("without credentials: %d %s", code, log)
	}
	if len(s3.Objects()) > 1 {
		t.Error("an object was made")
	}
}
