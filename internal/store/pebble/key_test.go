package pebble

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stocktake/internal/store"
)

// TestKeysOfOtherLengthsAreRefused: a key that is cut or grew is damage, never another's.
func TestKeysOfOtherLengthsAreRefused(t *testing.T) {
	intention := appendIntention(nil, store.Intention{ID: "x", Text: []byte("text")})
	for name, c := range map[string]struct {
		good  []byte
		parse func(key []byte) error
	}{
		"line": {lineKey(3, 9), func(key []byte) error {
			_, err := decodeLine(key, appendLine(nil, []byte("text")))
			return err
		}},
		"row of shapes": {make([]byte, 9), func(key []byte) error {
			_, _, err := parseShapeRowKey(key)
			return err
		}},
		"change": {make([]byte, 11), func(key []byte) error {
			_, err := parseChangeKey(key)
			return err
		}},
	} {
		if err := c.parse(c.good); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, bad := range [][]byte{{}, c.good[:1], c.good[:len(c.good)-1], append(c.good[:len(c.good):len(c.good)], 0)} {
			if c.parse(bad) == nil {
				t.Errorf("%s: a key of %d bytes is taken", name, len(bad))
			}
		}
	}
	if in, err := decodeIntention(intentionKey(store.JournalChains-1, "x"), intention); err != nil || in.ID != "x" || string(in.Text) != "text" {
		t.Errorf("the intention is %+v, %v", in, err)
	}
	for _, bad := range [][]byte{{}, {kindIntention}, intentionKey(0, ""), intentionKey(store.JournalChains, "x")} {
		if _, err := decodeIntention(bad, intention); err == nil {
			t.Errorf("the key %x is taken for an intention's", bad)
		}
	}
	if _, err := decodeIntention(intentionKey(0, "x"), nil); err == nil {
		t.Error("an intention of nothing is taken")
	}
}

// TestEngineThatGivesUpEndsWriting: what the engine holds for the end of the process is the end of writing, and no more.
func TestEngineThatGivesUpEndsWriting(t *testing.T) {
	s, err := Open(Options{Dir: "/store", FS: vfs.NewMem(), Shards: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutRecord(t.Context(), store.Record{Key: "before"}); err != nil {
		t.Fatal(err)
	}
	logger{s}.Fatalf("sync of %s: it failed", "000001.log")
	if _, err := s.PutRecord(t.Context(), store.Record{Key: "after"}); err == nil || !strings.Contains(err.Error(), "000001.log") {
		t.Errorf("writing goes on: %v", err)
	}
	if _, err := s.Record(t.Context(), "before"); err != nil {
		t.Errorf("reading ends: %v", err)
	}
	if _, err := s.Record(t.Context(), "after"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what was refused: %v", err)
	}
	if s.Health() == nil {
		t.Error("it calls itself healthy")
	}
	_ = s.Close() // says so again
}
