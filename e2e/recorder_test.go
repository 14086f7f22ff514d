package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"
)

// What recorders report: values that nothing overwrites, and counters.
const (
	keptType    = "Custom:Kept"
	counterType = "Custom:Counter"
)

// mark is how far a counter was acknowledged.
type mark struct {
	node   string
	number int
}

// recorder writes what can be checked afterwards: each value under a node of its own, for a rewritten one would hide the
// loss of the one before; and in turn a counter, for readers to compare with what was acknowledged when they asked.
type recorder struct {
	name    int
	serial  int
	kept    map[string]string // acknowledged values, by node
	unknown map[string]string // those that were not answered
	counter mark              // the counter as it goes on
	acked   atomic.Pointer[mark]
}

// recording is recorders and readers at several servers, until stop.
type recording struct {
	t         testing.TB
	servers   *servers
	any       func(random *rand.Rand) *ssm.Client // whom a request goes to
	recorders []*recorder
	cancel    context.CancelFunc
	running   sync.WaitGroup
	stored    atomic.Int64 // values acknowledged
	answers   atomic.Int64 // answers compared

	mu       sync.Mutex
	failures map[string]int // of requests, by what was said
	last     time.Time      // of the last acknowledgement
	gap      time.Duration  // the longest without one
}

// record starts so many recorders, numbered from first on, and half as many readers.
func record(t testing.TB, s *servers, first, n int) *recording {
	t.Helper()
	return recordBy(t, s, s.any, first, n)
}

// recordBy has requests go where they are led.
func recordBy(t testing.TB, s *servers, any func(*rand.Rand) *ssm.Client, first, n int) *recording {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &recording{t: t, servers: s, any: any, cancel: cancel, failures: map[string]int{}, last: time.Now()}
	for i := range n {
		w := &recorder{name: first + i, kept: map[string]string{}, unknown: map[string]string{}}
		w.renew()
		r.recorders = append(r.recorders, w)
		r.running.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w.name), 0))
			for ctx.Err() == nil {
				r.write(ctx, w, random)
			}
		})
	}
	for i := range n / 2 {
		r.running.Go(func() {
			random := rand.New(rand.NewPCG(uint64(first+i), 1))
			for ctx.Err() == nil {
				r.read(ctx, random)
			}
		})
	}
	t.Cleanup(r.stop)
	return r
}

// stop ends the recording and waits for the requests under way.
func (r *recording) stop() {
	r.cancel()
	r.running.Wait()
}

// renew takes another node for the counter: a write that was not answered may still happen, and set the old one back.
func (w *recorder) renew() {
	w.serial++
	w.counter = mark{node: fmt.Sprintf("i-%02dc%014d", w.name, w.serial)}
}

func (r *recording) write(ctx context.Context, w *recorder, random *rand.Rand) {
	w.serial++
	node, value := fmt.Sprintf("i-%02dk%014d", w.name, w.serial), fmt.Sprintf("%d-%d", w.name, w.serial)
	if r.put(ctx, random, node, keptType, value) {
		w.kept[node] = value
		r.stored.Add(1)
	} else {
		w.unknown[node] = value
	}
	next := mark{node: w.counter.node, number: w.counter.number + 1}
	if r.put(ctx, random, next.node, counterType, strconv.Itoa(next.number)) {
		w.counter = next
		w.acked.Store(&next)
	} else {
		w.renew()
	}
}

// put reports a value at some server, and says whether it was acknowledged.
func (r *recording) put(ctx context.Context, random *rand.Rand, node, name, value string) bool {
	limited, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	err := report(limited, r.any(random), register{node, name}, value)
	if !r.answered(ctx, "put", err) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gap = max(r.gap, time.Since(r.last))
	r.last = time.Now()
	return true
}

// answered tells answers from failures that servers and databases that die may cause; any other fails the test.
func (r *recording) answered(ctx context.Context, what string, err error) bool {
	if err == nil {
		return true
	}
	if ctx.Err() != nil {
		return false
	}
	said := "no answer"
	if api := smithy.APIError(nil); errors.As(err, &api) {
		said = api.ErrorCode()
	}
	r.mu.Lock()
	r.failures[what+": "+said]++
	r.mu.Unlock()
	if !unavailable(err) {
		r.t.Errorf("%s: %v", what, err)
	}
	time.Sleep(time.Millisecond) // refused connections cost nothing, and leave the processor to the others
	return false
}

// read asks some server for some counter, in one of three ways, and holds the answer to what was acknowledged before.
func (r *recording) read(ctx context.Context, random *rand.Rand) {
	known := r.recorders[random.IntN(len(r.recorders))].acked.Load()
	if known == nil {
		time.Sleep(time.Millisecond)
		return
	}
	limited, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	way := random.IntN(len(ways))
	got, err := ways[way].ask(limited, r.any(random), *known)
	if !r.answered(ctx, ways[way].name, err) {
		return
	}
	r.answers.Add(1)
	if got < known.number {
		r.t.Errorf("%s of %s answers %d, and %d was acknowledged before it was asked", ways[way].name, known.node, got, known.number)
	}
}

// ways are those a counter is asked for: by its document, by page, and by the index alone. Each gives the number found,
// -1 for none.
var ways = []struct {
	name string
	ask  func(ctx context.Context, client *ssm.Client, m mark) (int, error)
}{
	{"listing", func(ctx context.Context, client *ssm.Client, m mark) (int, error) {
		return counted(listed(ctx, client, register{m.node, counterType}))
	}},
	{"page", func(ctx context.Context, client *ssm.Client, m mark) (int, error) {
		return counted(paged(ctx, client, register{m.node, counterType}))
	}},
	{"filter", func(ctx context.Context, client *ssm.Client, m mark) (int, error) {
		out, err := client.GetInventory(ctx, &ssm.GetInventoryInput{Filters: []types.InventoryFilter{
			{Key: aws.String("AWS:InstanceInformation.InstanceId"), Values: []string{m.node}},
			{Key: aws.String(counterType + ".Value"), Values: []string{strconv.Itoa(m.number - 1)}, Type: types.InventoryQueryOperatorTypeGreaterThan},
		}})
		if err != nil || len(out.Entities) == 0 {
			return -1, err
		}
		return m.number, nil
	}},
}

// counted reads the number of a counter's value.
func counted(value string, err error) (int, error) {
	if err != nil || value == "" {
		return -1, err
	}
	return strconv.Atoi(value)
}

// longest gives the longest time without an acknowledgement since it was last asked.
func (r *recording) longest() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	gap := max(r.gap, time.Since(r.last))
	r.gap = 0
	return gap
}

// report logs the figures of a recording that was stopped.
func (r *recording) report() {
	unknown := 0
	for _, w := range r.recorders {
		unknown += len(w.unknown)
	}
	r.t.Logf("%d values acknowledged, %d not answered, %d answers compared; failures %v", r.stored.Load(), unknown, r.answers.Load(), r.failures)
}

// lost gives the acknowledged values, kept and counted, that are not among those found (values by node), and fails the
// test by those that nobody ever put.
func (r *recording) lost(found map[string]string) []string {
	var lost []string
	for _, w := range r.recorders {
		for node, value := range w.kept {
			if found[node] != value {
				lost = append(lost, fmt.Sprintf("%s has %q, and %q was acknowledged", node, found[node], value))
			}
		}
		for node, value := range w.unknown {
			if got, ok := found[node]; ok && got != value {
				r.t.Errorf("%s has %q, and only %q was ever put", node, got, value)
			}
		}
		if known := w.acked.Load(); known != nil {
			if got, err := strconv.Atoi(found[known.node]); err != nil || got < known.number {
				lost = append(lost, fmt.Sprintf("%s counts %q, and %d was acknowledged", known.node, found[known.node], known.number))
			}
		}
	}
	return lost
}

// everything gives what a server answers to be there: the values of both types, by node.
func (r *recording) everything(i int) (map[string]string, error) {
	found := map[string]string{}
	for _, name := range []string{keptType, counterType} {
		client := r.servers.client(i)
		pages := ssm.NewGetInventoryPaginator(client, &ssm.GetInventoryInput{
			Filters:          []types.InventoryFilter{{Key: aws.String(name + ".Value"), Values: []string{"never"}, Type: types.InventoryQueryOperatorTypeNotEqual}},
			ResultAttributes: []types.ResultAttribute{{TypeName: &name}}, MaxResults: aws.Int32(1000),
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(r.t.Context())
			if err != nil {
				return nil, err
			}
			for _, e := range page.Entities {
				if content := e.Data[name].Content; len(content) == 1 {
					found[aws.ToString(e.Id)] = content[0]["Value"]
				}
			}
		}
	}
	return found, nil
}
