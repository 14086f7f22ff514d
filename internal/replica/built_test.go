package replica

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store/memory"
)

// A process that dies soon after it built the index from the store must not leave the next one to build it again.
func TestAnIndexBuiltFromTheStoreIsWrittenAtOnce(t *testing.T) {
	st, err := memory.New(1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r, err := Open(t.Context(), st, Options{Dir: dir, Every: time.Hour, Limits: inventory.DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, snapshotName)); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("no snapshot was written: %v", err)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
