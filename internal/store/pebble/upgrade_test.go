package pebble_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
	"stocktake/internal/store/pebble"
	"stocktake/internal/store/storetest"
)

// olderShards is how many shards the stores of the release before have.
const olderShards = 64

// unpackOlder puts a store of the release before on a disk, safe from a loss of power.
func unpackOlder(t *testing.T, fs vfs.FS) {
	t.Helper()
	f, err := os.Open("../testdata/upgrade/c84b02d.store.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := tar.NewReader(plain)
	dirs := []string{"/", "/data"}
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	for {
		head, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(err)
		name := path.Join("/data", head.Name)
		if head.Typeflag == tar.TypeDir {
			must(fs.MkdirAll(name, 0o700))
			dirs = append(dirs, name)
			continue
		}
		to, err := fs.Create(name, vfs.WriteCategoryUnspecified)
		must(err)
		_, err = io.Copy(to, files)
		must(err, to.Sync(), to.Close())
	}
	for _, dir := range dirs {
		d, err := fs.OpenDir(dir)
		must(err)
		must(d.Sync(), d.Close())
	}
}

// upgrading is what a new release first does to a store: a line in the journal, and a report.
func upgrading(t *testing.T, o pebble.Options) error {
	s, err := pebble.Open(o)
	if err != nil {
		return err
	}
	err = s.AppendJournal(t.Context(), 1, 0, [][]byte{[]byte("first")}, nil)
	if err == nil {
		_, err = storetest.NewWriter(s).Report(t.Context(), storetest.Node(77), storetest.Epoch, storetest.NewSource(1).Item(3))
	}
	return errors.Join(err, s.Close())
}

// stateOf opens what is on a disk and reads it.
func stateOf(t *testing.T, o pebble.Options, what string) storetest.State {
	t.Helper()
	s, err := pebble.Open(o)
	if err != nil {
		t.Fatalf("%s: the store does not open again: %v", what, err)
	}
	state, err := storetest.Read(t.Context(), s, make([]inventory.Position, olderShards))
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return state
}

func olderOptions(fs vfs.FS) pebble.Options {
	o := optionsOn(fs)
	o.Shards = 0 // whatever it has
	return o
}

// TestUpgradeKilledAnywhere loses the power before each write of the first start over a store of the release before, and
// lets each fail: what the store held it holds, and the upgrade goes on.
func TestUpgradeKilledAnywhere(t *testing.T) {
	t.Parallel()
	prepare := func(before func(n int64, op errorfs.Op) error) *disk {
		d := newDisk(before)
		unpackOlder(t, d.mem)
		return d
	}
	sound := prepare(func(int64, errorfs.Op) error { return nil })
	held := stateOf(t, olderOptions(sound.mem.CrashClone(vfs.CrashCloneCfg{})), "as it was")
	if len(held.Nodes) != 5 || len(held.Records) < 3 || len(held.Lines) != 0 {
		t.Fatalf("the older store has %d nodes and %d records", len(held.Nodes), len(held.Records))
	}
	d := sound.options()
	d.Shards = 0
	if err := upgrading(t, d); err != nil {
		t.Fatal(err)
	}
	n := sound.writes.Load()
	t.Logf("%d writes", n)
	tried := 0
	sample(n, 12, func(write int64) {
		tried++
		var left *vfs.MemFS
		var d *disk
		d = prepare(func(at int64, _ errorfs.Op) error {
			if at == write {
				left = d.mem.CrashClone(vfs.CrashCloneCfg{})
				return syscall.EIO
			}
			return nil
		})
		o := d.options()
		o.Shards = 0
		err := upgrading(t, o)
		if left == nil {
			return // Pebble did with fewer this time
		}
		for what, fs := range map[string]vfs.FS{"power lost": left, "failed": d.mem.CrashClone(vfs.CrashCloneCfg{})} {
			checkUpgraded(t, held, olderOptions(fs), fmt.Sprintf("write %d %s (%v)", write, what, err))
		}
	})
	t.Logf("tried %d of them", tried)
}

// checkUpgraded checks that a store holds what it did, and nothing, the line, or the line and the report of the upgrade;
// and that it can be upgraded.
func checkUpgraded(t *testing.T, held storetest.State, o pebble.Options, what string) {
	t.Helper()
	state := stateOf(t, o, what)
	if _, reported := state.Nodes[storetest.Node(77)]; reported && len(state.Lines) == 0 {
		t.Errorf("%s: there is the report and not the line before it", what)
	}
	for key, want := range held.Nodes {
		if got, there := state.Nodes[key]; !there || storetest.Diff(storetest.State{Nodes: map[inventory.NodeKey]store.NodeScan{key: want}},
			storetest.State{Nodes: map[inventory.NodeKey]store.NodeScan{key: got}}) != "" {
			t.Errorf("%s: node %s is not as it was", what, key.Node)
		}
	}
	for key, want := range held.Records {
		if state.Records[key] != want {
			t.Errorf("%s: record %q is not as it was", what, key)
		}
	}
	err := upgrading(t, o)
	if len(state.Lines) > 0 {
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: a second first line: %v, want ErrConflict", what, err)
		}
	} else if err != nil {
		t.Errorf("%s: upgrading again: %v", what, err)
	}
	if after := stateOf(t, o, what); len(after.Lines[1]) != 1 || !strings.HasPrefix(string(after.Lines[1][0].Text), "first") {
		t.Errorf("%s: the journal is %v", what, after.Lines)
	}
}
