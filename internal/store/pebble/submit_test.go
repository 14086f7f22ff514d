package pebble_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stocktake/internal/store"
)

// TestWriteUnderWayIsOfUnknownOutcome fills the disk under a write, and then refuses one before it begins: of the first alone
// nobody knows what becomes of it.
func TestWriteUnderWayIsOfUnknownOutcome(t *testing.T) {
	var full atomic.Bool
	d := newDisk(func(_ int64, op errorfs.Op) error {
		if full.Load() && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpReuseForWrite) {
			return syscall.ENOSPC
		}
		return nil
	})
	s := open(t, d.options())
	put := func(key string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := s.PutRecord(ctx, store.Record{Key: key})
		return err
	}
	full.Store(true)
	if err := put("under way"); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "full") || !strings.Contains(err.Error(), "may still happen") {
		t.Errorf("a write under way when the disk was full: %v", err)
	}
	if err := put("not begun"); err == nil || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a write that did not begin: %v", err)
	}
	full.Store(false)
	until(t, "the write that was under way", func() error {
		_, err := s.Record(t.Context(), "under way")
		return err
	})
	if _, err := s.Record(t.Context(), "not begun"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what was refused before it began: %v", err)
	}
}
