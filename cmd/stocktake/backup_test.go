package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stocktake/internal/store"
	"stocktake/internal/store/memory"
	"stocktake/internal/transfer"
)

// command runs a command line in this process.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log lockedText
	code = run(t.Context(), args, movedEnv, &out, &log)
	return code, out.String(), log.String()
}

// deepFolder is a folder whose sockets have longer names than a system takes.
func deepFolder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("a long name ", 12), "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBackupOfRunningService(t *testing.T) {
	t.Parallel()
	data := deepFolder(t)
	s := serveHere(t, "--data", data)
	put := `{"InstanceId":"i-12345678","Items":[{"TypeName":"Custom:RackInfo","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z","Content":[{"Rack":"r1"}]}]}`
	if status, body := s.do(t, "PutInventory", put); status != http.StatusOK {
		t.Fatalf("report: %d %s", status, body)
	}
	if info, err := os.Stat(filepath.Join(data, controlFolder)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of the socket is %v (%v)", info, err)
	}
	file := filepath.Join(t.TempDir(), "a.backup")
	if code, out, log := command(t, "backup", "--data", data, "--to", file); code != 0 || !strings.Contains(out, "backed up 1 nodes") {
		t.Fatalf("backup ended with %d: %s%s", code, out, log)
	}
	if code, out, log := command(t, "verify", "--data", data); code != 0 || !strings.Contains(out, "looked at 1 nodes") || !strings.Contains(out, "all fits together") {
		t.Errorf("verify ended with %d: %s%s", code, out, log)
	}
	if status, body := s.do(t, "GetInventory", `{}`); status != http.StatusOK || !strings.Contains(body, "i-12345678") {
		t.Errorf("after a backup: %d %s", status, body)
	}
	s.stop()
	restored := filepath.Join(t.TempDir(), "restored")
	if code, out, log := command(t, "restore", "--from", file, "--data", restored); code != 0 {
		t.Fatalf("restore ended with %d: %s%s", code, out, log)
	}
	if code, out, log := command(t, "verify", "--data", restored); code != 0 {
		t.Errorf("verify of the restored store ended with %d: %s%s", code, out, log)
	}
	again := serveHere(t, "--data", restored)
	if status, body := again.do(t, "ListInventoryEntries", `{"InstanceId":"i-12345678","TypeName":"Custom:RackInfo"}`); status != http.StatusOK || !strings.Contains(body, "r1") {
		t.Errorf("of the restored store: %d %s", status, body)
	}
}

func TestBackupOfStoreInOtherHands(t *testing.T) {
	data := t.TempDir()
	s, err := openEmbedded(t.Context(), data, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	code, _, log := command(t, "backup", "--data", data, "--to", filepath.Join(t.TempDir(), "x"))
	if code != 1 || !strings.Contains(log, "is in use, and the process that has it cannot be asked") || !strings.Contains(log, "hint: run this as the user of the service") {
		t.Errorf("exit code %d:\n%s", code, log)
	}
}

// TestServiceThatFailsDuringBackupLeavesNone has a service end its answer with an error, and cut it.
func TestServiceThatFailsDuringBackupLeavesNone(t *testing.T) {
	t.Parallel()
	whole := wholeBackup(t)
	for name, answer := range map[string]http.HandlerFunc{
		"the disk of the service": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", errorTrailer)
			_, _ = w.Write(whole[:len(whole)/2]) // the test looks at what arrives
			w.Header().Set(errorTrailer, "the disk of the service is not sound")
		},
		"it ends after": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(whole[:len(whole)/2])
		},
		"the service stopped in the middle of the backup": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(whole[:len(whole)/2])
			rc := http.NewResponseController(w)
			_ = rc.Flush()
			if conn, _, err := rc.Hijack(); err == nil {
				_ = conn.Close()
			}
		},
		"another backup is being made": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "another backup is being made", http.StatusConflict)
		},
	} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			held, err := openEmbedded(t.Context(), data, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = held.Close() }()
			answering(t, data, answer)
			to := t.TempDir()
			code, _, log := command(t, "backup", "--data", data, "--to", filepath.Join(to, "x"))
			if code != 1 || !strings.Contains(log, name) {
				t.Errorf("exit code %d:\n%s", code, log)
			}
			if left, err := os.ReadDir(to); err != nil || len(left) > 0 {
				t.Errorf("it leaves %v (%v)", left, err)
			}
		})
	}
}

func wholeBackup(t *testing.T) []byte {
	t.Helper()
	s, err := memory.New(4)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b", "c"} {
		if _, err := s.PutRecord(t.Context(), store.Record{Key: key, Value: bytes.Repeat([]byte(key), 100)}); err != nil {
			t.Fatal(err)
		}
	}
	var file bytes.Buffer
	if err := writeBackup(t.Context(), s, &file, transfer.Options{}); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// answering puts a handler behind the socket of a data folder.
func answering(t *testing.T, data string, h http.Handler) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(data, controlFolder), 0o700); err != nil {
		t.Fatal(err)
	}
	address, done, err := controlAddress(data)
	if err != nil {
		t.Fatal(err)
	}
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "unix", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }() // ends with the test
	t.Cleanup(func() {
		_ = server.Close()
		_ = done()
	})
}

// TestStopEndsBackups stops a service while a client takes nothing of a backup: the stop does not wait for it, and a
// second backup at the same time is refused.
func TestStopEndsBackups(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := serveHere(t, "--data", data)
	var entries []string
	for i := range 800 { // more than a socket holds
		text := make([]byte, 1500)
		_, _ = rand.Read(text)
		entries = append(entries, fmt.Sprintf(`{"Number":"%d","Text":"%x"}`, i, text))
	}
	put := `{"InstanceId":"i-12345678","Items":[{"TypeName":"Custom:Large","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z","Content":[` +
		strings.Join(entries, ",") + `]}]}`
	if status, body := s.do(t, "PutInventory", put); status != http.StatusOK {
		t.Fatalf("report: %d %s", status, body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := askControl(ctx, data, "/backup")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := askControl(ctx, data, "/backup"); err == nil || !strings.Contains(err.Error(), "another backup is being made") || !strings.HasSuffix(err.Error(), "\nhint: run this again when that has ended") {
		t.Errorf("a second backup: %v", err)
	}
	s.stop()
	if _, err := io.Copy(io.Discard, r); err == nil {
		t.Error("what the stop cut ends as if it were whole")
	}
}
