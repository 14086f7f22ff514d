package index_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/index"
	"stocktake/internal/index/indextest"
	"stocktake/internal/inventory"
)

// snapshotOf writes a random fleet.
func snapshotOf(tb testing.TB, seed uint64, puts int) []byte {
	tb.Helper()
	random := indextest.NewRandom(seed)
	r := newRig(tb)
	r.splits = [][]string{nil, {"Installed"}}
	for range puts {
		r.put(random.Node(), random.Key(), random.Entries(), random.IntN(2))
	}
	var b bytes.Buffer
	if err := r.index.WriteSnapshot(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// rewrite writes what is read from a snapshot.
func rewrite(x *index.Index) []byte {
	var b bytes.Buffer
	if err := x.WriteSnapshot(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// The first reading may drop the groups of values that had many shapes before and have few now; from then on nothing may
// change.
func TestSnapshotOfSnapshotIsTheSame(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	first := reread(t, snapshotOf(t, seed, 60))
	if !bytes.Equal(first, reread(t, first)) {
		t.Error("a snapshot of what was read from a snapshot differs")
	}
}

// reread writes what it reads from a snapshot, byte by byte.
func reread(t *testing.T, body []byte) []byte {
	t.Helper()
	x, err := index.ReadSnapshot(iotest.OneByteReader(bytes.NewReader(body)), config)
	if err != nil {
		t.Fatal(err)
	}
	return rewrite(x)
}

func TestDamagedSnapshotIsRefused(t *testing.T) {
	body := snapshotOf(t, 1, 60)
	for n := 0; n < len(body); n += 1 + n/(60**fleets) { // all of the head, then here and there
		if _, err := index.ReadSnapshot(bytes.NewReader(body[:n]), config); !errors.Is(err, index.ErrSnapshot) {
			t.Fatalf("cut short after %d of %d bytes: %v", n, len(body), err)
		}
		flipped := bytes.Clone(body)
		flipped[n] ^= 1
		if _, err := index.ReadSnapshot(bytes.NewReader(flipped), config); !errors.Is(err, index.ErrSnapshot) {
			t.Fatalf("byte %d of %d flipped: %v", n, len(body), err)
		}
	}
}

func TestForeignSnapshotIsRefused(t *testing.T) {
	body := snapshotOf(t, 1, 60)
	version := bytes.Clone(body)
	version[7]++
	for _, c := range []struct {
		name   string
		body   []byte
		config index.Config
		text   string
	}{
		{"another store", body, index.Config{Store: [16]byte{2}, Shards: shards}, "another store"},
		{"another number of shards", body, index.Config{Store: config.Store, Shards: 64}, "has 4 shards, the store 64"},
		{"another version", version, config, "format version 4, not 3"},
		{"another file", []byte("#!/bin/sh\nexit 0\n"), config, "no index snapshot"},
		{"an empty file", nil, config, "cut short"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := index.ReadSnapshot(bytes.NewReader(c.body), c.config)
			if !errors.Is(err, index.ErrSnapshot) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want one with %q", err, c.text)
			}
		})
	}
}

// A failing disk is not a damaged snapshot, but no index either.
func TestSnapshotWriterErrorIsGiven(t *testing.T) {
	r := newRig(t)
	r.put("i-a", inventory.ItemKey{Type: "App"}, []inventory.Entry{{{Name: "Name", Value: "a"}}}, 0)
	full := errors.New("disk is full")
	for room := range 60 {
		if err := r.index.WriteSnapshot(&smallDisk{room: room, err: full}); !errors.Is(err, full) {
			t.Fatalf("with room for %d bytes: %v", room, err)
		}
	}
}

type smallDisk struct {
	room int
	err  error
}

func (d *smallDisk) Write(b []byte) (int, error) {
	if d.room -= len(b); d.room < 0 {
		return 0, d.err
	}
	return len(b), nil
}

func TestEmptySnapshot(t *testing.T) {
	x := index.New(config)
	x.SetPosition(2, inventory.Position{Seq: 7, ID: inventory.ChangeID{1, 2, 3}})
	got, err := index.ReadSnapshot(bytes.NewReader(rewrite(x)), config)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(x.Positions(), got.Positions()); diff != "" {
		t.Errorf("positions (-want +got):\n%s", diff)
	}
}

// resealed makes the checksums of a snapshot right again, so that what is behind them is tried.
func resealed(body []byte) []byte {
	const magic, head = 8, 5
	out := bytes.Clone(body)
	for at := magic; at+head+4 <= len(out); {
		end := at + head + int(binary.LittleEndian.Uint32(out[at+1:]))
		if end < at || end+4 > len(out) {
			break
		}
		binary.LittleEndian.PutUint32(out[end:], crc32.Checksum(out[at:end], crc32.MakeTable(crc32.Castagnoli)))
		at = end + 4
	}
	return out
}

func FuzzReadSnapshot(f *testing.F) {
	f.Add(snapshotOf(f, 1, 4), 100, byte(1))
	f.Add(snapshotOf(f, 2, 8), 400, byte(0x80))
	f.Add(rewrite(index.New(config)), 30, byte(0xff))
	f.Fuzz(func(t *testing.T, body []byte, at int, flip byte) {
		if at >= 0 && at < len(body) {
			body = bytes.Clone(body)
			body[at] ^= flip
		}
		x, err := index.ReadSnapshot(bytes.NewReader(resealed(body)), config)
		if err != nil {
			if !errors.Is(err, index.ErrSnapshot) {
				t.Fatalf("error %v", err)
			}
			return
		}
		// Whatever was read holds together.
		for _, p := range x.Partitions() {
			for _, ty := range x.Stats()[0].Types {
				if r, err := x.Reporting(t.Context(), p, ty.Type); err != nil {
					t.Error(err)
				} else {
					_, _ = r.Count(t.Context(), &indextest.Fleet{})
				}
			}
			random := indextest.NewRandom(1)
			for range 5 {
				if r, err := x.Query(t.Context(), p, random.Filters(true)); err != nil {
					t.Error(err)
				} else {
					_, _ = r.Count(t.Context(), &indextest.Fleet{})
				}
				_, _ = x.Aggregate(context.Background(), p, []inventory.Aggregator{random.Aggregator()}, nil, &indextest.Fleet{}, index.Bounds{})
			}
		}
		x.SweepAll()
		for shard := range shards {
			reload := x.Reload(shard)
			reload.Finish()
			reload.Close()
		}
		rewrite(x)
	})
}
