package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const (
	contendedNode = "i-0c0ffee0c0ffee000"
	contendedSize = 40 // entries of an item; a page holds 50
)

// contendedItem is an item whose entries all name the writer and the serial number of its put.
func contendedItem(writer, serial int) []byte {
	entry := fmt.Sprintf(`{"Put":"%d/%d"}`, writer, serial)
	content := strings.TrimSuffix(strings.Repeat(entry+",", contendedSize), ",")
	return fmt.Appendf(nil, `{"InstanceId":"%s","Items":[{"TypeName":"Custom:Contended","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z","ContentHash":"%d-%d","Content":[%s]}]}`,
		contendedNode, writer, serial, content)
}

// contended reads the item and gives the put it is of; an item of parts of two puts is an error.
func (s *service) contended(t *testing.T, a *asker) (string, error) {
	body := fmt.Appendf(nil, `{"InstanceId":"%s","TypeName":"Custom:Contended"}`, contendedNode)
	status, text, err := a.ask(s.signed(t, "ListInventoryEntries", floodRegion, body))
	if err != nil || status != http.StatusOK {
		return "", fmt.Errorf("%d %s %w", status, text, err)
	}
	var answer struct{ Entries []struct{ Put string } }
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return "", err
	}
	if len(answer.Entries) != contendedSize {
		return "", fmt.Errorf("an item of %d entries", len(answer.Entries))
	}
	for _, e := range answer.Entries {
		if e.Put != answer.Entries[0].Put {
			return "", fmt.Errorf("an item of the puts %s and %s", answer.Entries[0].Put, e.Put)
		}
	}
	return answer.Entries[0].Put, nil
}

// TestWritersOfOneItemReplaceItWhole has 16 writers put the same item of a node as fast as they can, and readers look on:
// each put replaces all of it, every one is taken, and what stays is the last put of one of the writers. Putting what is
// there again by its hash changes nothing.
func TestWritersOfOneItemReplaceItWhole(t *testing.T) {
	t.Parallel()
	s := startRaced(t, t.TempDir(), anyRate...)
	puts := scaled(500, 12)
	put := func(a *asker, writer, serial int) {
		if status, text, err := a.ask(s.signed(t, "PutInventory", floodRegion, contendedItem(writer, serial))); err != nil || status != http.StatusOK {
			t.Errorf("put %d of writer %d: %d %s %v", serial, writer, status, text, err)
		}
	}
	first := &asker{address: s.address()}
	defer first.close()
	put(first, 0, 0)

	var writing, reading sync.WaitGroup
	var isOver atomic.Bool
	var reads atomic.Int64
	for writer := 1; writer <= 16; writer++ {
		writing.Go(func() {
			a := &asker{address: s.address()}
			defer a.close()
			for serial := 1; serial <= puts; serial++ {
				put(a, writer, serial)
			}
		})
	}
	for range 4 {
		reading.Go(func() {
			a := &asker{address: s.address()}
			defer a.close()
			for !isOver.Load() {
				if _, err := s.contended(t, a); err != nil {
					t.Error(err)
					return
				}
				reads.Add(1)
			}
		})
	}
	writing.Wait()
	isOver.Store(true)
	reading.Wait()

	last, err := s.contended(t, first)
	if err != nil || !strings.HasSuffix(last, fmt.Sprintf("/%d", puts)) {
		t.Fatalf("what stays is put %q (%v), none of a writer's last", last, err)
	}
	writer, serial, _ := strings.Cut(last, "/")
	byHash := fmt.Sprintf(`{"InstanceId":"%s","Items":[{"TypeName":"Custom:Contended","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z","ContentHash":"%s-%s"}]}`,
		contendedNode, writer, serial)
	if status, text, err := first.ask(s.signed(t, "PutInventory", floodRegion, []byte(byHash))); err != nil || status != http.StatusOK {
		t.Errorf("by its hash: %d %s %v", status, text, err)
	}
	if again, err := s.contended(t, first); again != last || err != nil {
		t.Errorf("after a put by hash there is %q instead of %q (%v)", again, last, err)
	}
	t.Logf("16 writers, %d puts each, %d reads", puts, reads.Load())
}
