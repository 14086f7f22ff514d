package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-cmp/cmp"

	"stocktake/internal/pgtest"
)

const (
	walkers    = 3
	walkNodes  = 5
	walkValues = 4
)

// walk throws requests at random servers and asks every server after each. It has a region of its own, so that it alone
// knows what is there.
type walk struct {
	*testing.T
	servers  *servers
	region   string
	random   *rand.Rand
	stored   map[string]map[string]string // values by node, by type
	hashes   map[string]string            // the content hash last put, by node and type
	disabled map[string]bool              // types whose version 1.0 is disabled
}

// TestServersAnswerAlike holds the law of several servers: what one acknowledged, every one answers, at once.
func TestServersAnswerAlike(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	migrate(t, url)
	s := startServers(t, raced(t), "", same(url, 3))
	steps, seed := scaled(100, 20), uint64(time.Now().UnixNano())
	t.Logf("%d steps, seed %d", steps, seed)
	var walking sync.WaitGroup
	for n := range walkers {
		w := &walk{
			T: t, servers: s, region: fmt.Sprintf("walk-%d", n), random: rand.New(rand.NewPCG(seed, uint64(n))),
			stored: map[string]map[string]string{}, hashes: map[string]string{}, disabled: map[string]bool{},
		}
		walking.Go(func() {
			for step := 0; step < steps && !t.Failed(); step++ {
				w.step(step)
			}
		})
	}
	walking.Wait()
}

func (w *walk) client(i int) *ssm.Client { return w.servers.server(i).client(w.region) }

func (w *walk) any() *ssm.Client { return w.client(w.random.IntN(len(w.servers.urls))) }

// errorf is for walkers, which are not the test's goroutine.
func (w *walk) errorf(step int, format string, args ...any) {
	w.Errorf("%s, step %d: %s", w.region, step, fmt.Sprintf(format, args...))
}

func (w *walk) step(step int) {
	node := fmt.Sprintf("i-%017d", w.random.IntN(walkNodes))
	name := fmt.Sprintf("Custom:Walk%d", w.random.IntN(2))
	switch n := w.random.IntN(20); {
	case n < 11:
		w.put(step, node, name, strconv.Itoa(w.random.IntN(walkValues)))
	case n < 13:
		w.put(step, node, name, "")
	case n < 18:
		w.repeat(step, node, name)
	case n < 19:
		w.delete(step, name, types.InventorySchemaDeleteOptionDeleteSchema)
	default:
		w.delete(step, name, types.InventorySchemaDeleteOptionDisableSchema)
	}
	for i := range w.servers.urls {
		w.ask(step, i, node, name)
	}
}

// put reports a value at a random server; an empty one clears the type.
func (w *walk) put(step int, node, name, value string) {
	content, hash := []map[string]string{}, fmt.Sprintf("%s-%d", w.region, step)
	if value != "" {
		content = append(content, map[string]string{"Value": value, "Step": strconv.Itoa(step)})
	}
	out, err := w.any().PutInventory(w.Context(), &ssm.PutInventoryInput{InstanceId: &node, Items: []types.InventoryItem{{
		TypeName: &name, SchemaVersion: aws.String("1.0"), CaptureTime: aws.String(capture), ContentHash: &hash, Content: content,
	}}})
	if err != nil {
		w.errorf(step, "put of %s: %v", name, err)
		return
	}
	if w.stored[node] == nil {
		w.stored[node] = map[string]string{}
	}
	if ignored := aws.ToString(out.Message) != ""; ignored != w.disabled[name] {
		w.errorf(step, "put of %s, disabled %v: the message is %q", name, w.disabled[name], aws.ToString(out.Message))
	}
	if w.disabled[name] {
		return
	}
	delete(w.stored[node], name)
	if value != "" {
		w.stored[node][name] = value
	}
	w.hashes[node+name] = hash
}

// repeat reports that nothing changed, at a random server, by the hash another one was given.
func (w *walk) repeat(step int, node, name string) {
	hash, known := w.hashes[node+name]
	if w.disabled[name] || w.stored[node] == nil {
		return
	}
	if !known {
		hash = "never put"
	}
	_, err := w.any().PutInventory(w.Context(), &ssm.PutInventoryInput{InstanceId: &node, Items: []types.InventoryItem{{
		TypeName: &name, SchemaVersion: aws.String("1.0"), CaptureTime: aws.String(capture), ContentHash: &hash,
	}}})
	want := ""
	if !known {
		want = "ItemContentMismatchException"
	}
	if got := code(err); got != want {
		w.errorf(step, "%s unchanged with the hash %q: %q, want %q", name, hash, got, want)
	}
}

// delete removes a type by a job, and waits for its end at another server.
func (w *walk) delete(step int, name string, option types.InventorySchemaDeleteOption) {
	known := slices.ContainsFunc(w.schemas(step, 0), func(s types.InventoryItemSchema) bool { return aws.ToString(s.TypeName) == name })
	out, err := w.any().DeleteInventory(w.Context(), &ssm.DeleteInventoryInput{TypeName: &name, SchemaDeleteOption: option})
	if !known && code(err) == "InvalidTypeNameException" {
		return
	}
	if err != nil {
		w.errorf(step, "deletion of %s: %v", name, err)
		return
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		jobs, err := w.any().DescribeInventoryDeletions(w.Context(), &ssm.DescribeInventoryDeletionsInput{DeletionId: out.DeletionId})
		if err != nil || len(jobs.InventoryDeletions) != 1 {
			w.errorf(step, "deletion %s: %v, %v", aws.ToString(out.DeletionId), jobs, err)
			return
		}
		if jobs.InventoryDeletions[0].LastStatus == types.InventoryDeletionStatusComplete {
			break
		}
		if time.Now().After(deadline) {
			w.errorf(step, "deletion %s does not end", aws.ToString(out.DeletionId))
			return
		}
	}
	for node, values := range w.stored {
		delete(values, name)
		delete(w.hashes, node+name)
	}
	w.disabled[name] = option == types.InventorySchemaDeleteOptionDisableSchema // and forgotten with the schema
}

// ask holds a server to all that was acknowledged.
func (w *walk) ask(step, i int, node, name string) {
	client := w.client(i)
	for value := range walkValues {
		var want []string
		for node, values := range w.stored {
			if values[name] == strconv.Itoa(value) {
				want = append(want, node)
			}
		}
		slices.Sort(want)
		page, err := client.GetInventory(w.Context(), &ssm.GetInventoryInput{Filters: []types.InventoryFilter{
			{Key: aws.String(name + ".Value"), Values: []string{strconv.Itoa(value)}},
		}})
		var got []string
		if err == nil {
			for _, e := range page.Entities {
				got = append(got, aws.ToString(e.Id))
			}
		} else if code(err) != "InvalidFilter" || len(want) > 0 { // a type nobody knows, or no more
			w.errorf(step, "server %d, %s = %d: %v", i, name, value, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			w.errorf(step, "server %d, %s = %d: %s", i, name, value, diff)
		}
	}
	if w.stored[node] == nil {
		return
	}
	list, err := client.ListInventoryEntries(w.Context(), &ssm.ListInventoryEntriesInput{InstanceId: &node, TypeName: &name})
	got := ""
	if err == nil && len(list.Entries) > 0 {
		got = list.Entries[0]["Value"]
	}
	if want := w.stored[node][name]; got != want || err != nil && code(err) != "InvalidTypeNameException" {
		w.errorf(step, "server %d lists %q of %s of %s (%v), want %q", i, got, name, node, err, want)
	}
	if diff := cmp.Diff(names(w.schemas(step, i)), names(w.schemas(step, (i+1)%len(w.servers.urls)))); diff != "" {
		w.errorf(step, "servers %d and the next know other types: %s", i, diff)
	}
}

// schemas gives the custom types a server knows.
func (w *walk) schemas(step, i int) []types.InventoryItemSchema {
	out, err := w.client(i).GetInventorySchema(w.Context(), &ssm.GetInventorySchemaInput{MaxResults: aws.Int32(200)})
	if err != nil {
		w.errorf(step, "schemas of server %d: %v", i, err)
		return nil
	}
	return out.Schemas
}

func names(schemas []types.InventoryItemSchema) []string {
	found := []string{}
	for _, s := range schemas {
		found = append(found, aws.ToString(s.TypeName))
	}
	return found
}
