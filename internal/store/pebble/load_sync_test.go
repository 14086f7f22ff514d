package pebble_test

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stocktake/internal/store"
)

// TestLoadedIsDurableWithTheNextRecord loses the power after loads: with the record that was put after them they are all
// there, though its log is of several files, and they took no sync each.
func TestLoadedIsDurableWithTheNextRecord(t *testing.T) {
	disk := vfs.NewCrashableMem()
	s := open(t, optionsOn(disk))
	defer func() { _ = s.Close() }()
	before := s.Metrics().Syncs
	for i := range 200 {
		if err := s.LoadRecords(t.Context(), []store.Record{{Key: store.Key("loaded", fmt.Sprint(i)), Value: make([]byte, 500), Revision: uint64(i + 1)}}); err != nil {
			t.Fatal(err)
		}
	}
	if syncs := s.Metrics().Syncs - before; syncs > 100 {
		t.Errorf("200 loads took %d syncs", syncs)
	}
	if _, err := s.PutRecord(t.Context(), store.Record{Key: "mark"}); err != nil {
		t.Fatal(err)
	}
	again := open(t, optionsOn(disk.CrashClone(vfs.CrashCloneCfg{})))
	defer func() { _ = again.Close() }()
	if _, err := again.Record(t.Context(), "mark"); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if _, err := again.Record(t.Context(), store.Key("loaded", fmt.Sprint(i))); err != nil {
			t.Fatalf("what was loaded before a record that is there: %v", err)
		}
	}
}
