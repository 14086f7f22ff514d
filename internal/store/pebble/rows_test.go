package pebble

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestRowsAreAsTheirViewShows writes and reads nodes in views new and old: what is kept of a node is never older or newer
// than what the reader's view shows, and stays within its bound.
func TestRowsAreAsTheirViewShows(t *testing.T) {
	const seed, nodes, most = 11, 200, 64 * 1500
	chance := rand.New(rand.NewPCG(seed, 0))
	r := newRows(most)
	// content is what each view shows of each node: "" is none.
	content := [][]string{make([]string, nodes)}
	key := func(n int) []byte { return fmt.Appendf(nil, "node %d ", n) }
	kept := 0
	for step := range 20000 {
		if step%5 == 0 {
			next := append([]string(nil), content[len(content)-1]...)
			for range chance.IntN(4) {
				n := chance.IntN(nodes)
				o := &commit{record: fmt.Appendf(nil, "node %d of step %d", n, step)}
				if chance.IntN(10) == 0 {
					o.record = nil
				}
				o.writes = []write{{key: append(key(n), "type"...), document: o.record}}
				next[n] = string(o.record)
				r.wrote(string(key(n)), o, uint64(len(content)))
			}
			content = append(content, next)
		}
		view := len(content) - 1 - chance.IntN(min(len(content), 3))
		n := chance.IntN(nodes)
		want := content[view][n]
		got := r.get(key(n), uint64(view))
		if got == nil {
			if want != "" {
				read := &row{since: uint64(view), record: []byte(want)}
				r.put(key(n), read)
				r.put(key(n), read.with(uint64(view), []byte("type"), []byte(want)))
			}
			continue
		}
		kept++
		if record, document := string(got.record), string(got.document([]byte("type"))); record != want || document != want {
			t.Fatalf("seed %d, step %d: view %d shows %q of node %d, kept are %q and %q", seed, step, view, want, n, record, document)
		}
	}
	bytes := 0
	for i := range r.parts {
		bytes += r.parts[i].bytes
	}
	if kept < 1000 || bytes > most+rowParts*1000 {
		t.Errorf("%d reads found a row; %d bytes are kept", kept, bytes)
	}
}
