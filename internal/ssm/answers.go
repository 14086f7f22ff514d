package ssm

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"

	"stocktake/internal/index"
)

// answerCache keeps the answers of recent questions, so that their later pages cost no more than the page. An answer goes
// by the state of the fleet it was made at. Nodes that met a question are kept for the newest state alone; counts of
// several pages for the latest few, so that who reads one goes on with it while the fleet changes.
type answerCache struct {
	mu    sync.Mutex
	kept  []keptAnswer // least recently used first
	bytes int
}

type keptAnswer struct {
	question string
	state    string
	nodes    *index.Result
	counts   []index.Counts
	pages    bool // counts of more than one
	bytes    int
}

// The cache's bounds.
const (
	mostAnswers     = 64
	mostAnswerBytes = 64 << 20
	mostStates      = 4 // of one question
)

func newAnswerCache() *answerCache { return &answerCache{} }

// stateOf names a state of the index: two equal names hold the same changes.
func stateOf(idx *index.Index) string {
	var b []byte
	for _, at := range idx.Positions() {
		b = binary.AppendUvarint(b, at.Seq)
		b = append(b, at.ID[:]...)
	}
	sum := sha256.Sum256(b)
	return string(sum[:16])
}

// noState names a state that no index will be found in: counts that a change went into while they were made go by it.
func noState() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand does not fail
	return string(b[:])
}

func (c *answerCache) get(question, state string) (keptAnswer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.kept, func(a keptAnswer) bool { return a.question == question && a.state == state })
	if i < 0 {
		return keptAnswer{}, false
	}
	a := c.kept[i]
	c.kept = append(slices.Delete(c.kept, i, i+1), a)
	return a, true
}

func (c *answerCache) put(a keptAnswer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	states := 0
	for i := len(c.kept) - 1; i >= 0; i-- {
		if old := &c.kept[i]; old.question == a.question {
			if states++; !old.pages || old.state == a.state || states >= mostStates {
				c.drop(i)
			}
		}
	}
	if a.bytes > mostAnswerBytes/4 {
		return
	}
	c.kept = append(c.kept, a)
	c.bytes += a.bytes
	for len(c.kept) > mostAnswers || c.bytes > mostAnswerBytes {
		c.drop(0)
	}
}

func (c *answerCache) drop(i int) {
	c.bytes -= c.kept[i].bytes
	c.kept = slices.Delete(c.kept, i, i+1)
}

// nodes gives the nodes that meet a question's filters, kept from the page before when nothing has changed since.
func (c *answerCache) nodes(ctx context.Context, idx *index.Index, q fleetQuestion) (*index.Result, error) {
	state := stateOf(idx)
	question := q.key()
	if a, ok := c.get(question, state); ok {
		return a.nodes, nil
	}
	result, err := idx.Query(ctx, q.partition, q.filters)
	if err != nil {
		return nil, err
	}
	c.put(keptAnswer{question: question, state: state, nodes: result, bytes: result.Bytes()})
	return result, nil
}

// key names a question of a partition.
func (q fleetQuestion) key() string { return q.partition.String() + "\x00" + string(q.asked) }
