package transfer

import (
	"sync"

	"stocktake/internal/inventory"
)

// texts keeps the texts of shapes that were read lately, for the other shards that name them: of a fleet whose machines are
// alike most do, and a store reads a text in its own time. A nil texts keeps none.
type texts struct {
	mu sync.Mutex
	// What is found in old goes on in now; old is dropped when now is full.
	now, old map[textKey]string
	bytes    int
	numbers  map[dictionary]int
}

// textKey names a shape by the number of its dictionary.
type textKey struct {
	dictionary int
	id         inventory.ShapeID
}

const (
	// textBytes bounds each of the two maps, at textCost more bytes a text than it has.
	textBytes = 32 << 20
	textCost  = 80
)

func newTexts() *texts {
	return &texts{now: map[textKey]string{}, old: map[textKey]string{}, numbers: map[dictionary]int{}}
}

// find puts in the texts of the shapes that are kept, and gives the places in ids of the others.
func (t *texts) find(d dictionary, ids []inventory.ShapeID, shapes []inventory.Shape) (missing []int) {
	if t == nil {
		for i := range ids {
			missing = append(missing, i)
		}
		return missing
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	number, known := t.numbers[d]
	if !known {
		number = len(t.numbers)
		t.numbers[d] = number
	}
	for i, id := range ids {
		key := textKey{number, id}
		text, found := t.now[key]
		if !found {
			if text, found = t.old[key]; found {
				t.put(key, text)
			}
		}
		if !found {
			missing = append(missing, i)
			continue
		}
		shapes[i] = inventory.Shape{ID: id, Text: text}
	}
	return missing
}

// keep keeps texts that were read.
func (t *texts) keep(d dictionary, shapes []inventory.Shape) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range shapes {
		t.put(textKey{t.numbers[d], s.ID}, s.Text)
	}
}

func (t *texts) put(key textKey, text string) {
	if t.bytes += len(text) + textCost; t.bytes > textBytes {
		t.now, t.old, t.bytes = map[textKey]string{}, t.now, len(text)+textCost
	}
	t.now[key] = text
}
