package ssm

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"

	"stocktake/internal/index"
)

// answerCache keeps the answers of recent questions, so that their later pages cost no more than the page. An answer is
// good only for the heads it was made at.
type answerCache struct {
	mu    sync.Mutex
	kept  []keptAnswer // least recently used first
	bytes int
}

type keptAnswer struct {
	question string
	heads    string
	nodes    *index.Result
	counts   []index.Counts
	bytes    int
}

// The cache's bounds.
const (
	mostAnswers     = 64
	mostAnswerBytes = 64 << 20
)

func newAnswerCache() *answerCache { return &answerCache{} }

// headsOf names a state of the index: two equal names hold the same changes.
func headsOf(idx *index.Index) string {
	var b []byte
	for _, at := range idx.Positions() {
		b = binary.AppendUvarint(b, at.Seq)
		b = append(b, at.ID[:]...)
	}
	return string(b)
}

func (c *answerCache) get(question, heads string) (keptAnswer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.kept, func(a keptAnswer) bool { return a.question == question })
	if i < 0 {
		return keptAnswer{}, false
	}
	a := c.kept[i]
	c.kept = slices.Delete(c.kept, i, i+1)
	if a.heads != heads {
		c.bytes -= a.bytes
		return keptAnswer{}, false
	}
	c.kept = append(c.kept, a)
	return a, true
}

func (c *answerCache) put(a keptAnswer) {
	if a.bytes > mostAnswerBytes/4 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = append(c.kept, a)
	c.bytes += a.bytes
	for len(c.kept) > mostAnswers || c.bytes > mostAnswerBytes {
		c.bytes -= c.kept[0].bytes
		c.kept = slices.Delete(c.kept, 0, 1)
	}
}

// nodes gives the nodes that meet a question's filters, kept from the page before when nothing has changed since.
func (c *answerCache) nodes(ctx context.Context, idx *index.Index, q fleetQuestion) (*index.Result, error) {
	heads := headsOf(idx)
	question := q.key()
	if a, ok := c.get(question, heads); ok {
		return a.nodes, nil
	}
	result, err := idx.Query(ctx, q.partition, q.filters)
	if err != nil {
		return nil, err
	}
	c.put(keptAnswer{question: question, heads: heads, nodes: result, bytes: result.Bytes()})
	return result, nil
}

// key names a question of a partition.
func (q fleetQuestion) key() string { return q.partition.String() + "\x00" + string(q.asked) }
