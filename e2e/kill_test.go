package e2e

import (
	"context"
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

	"stocktake/internal/pgcluster"
	"stocktake/internal/pgtest"
)

const (
	killRegion     = "kill-1"
	writers        = 8
	entriesAReport = 20
)

// writer reports one node again and again, each time with the next number in every entry of two types.
type writer struct {
	node      string
	attempted int // the last number sent
	acked     int // the last number answered with success
}

// TestKillLosesNothing kills the service under eight writers, starts it again, and reads every node back: what is there is
// whole, and at least as new as the last answer said.
func TestKillLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	killRounds(t, *rounds, func() *service { return startRaced(t, dir) }, func(s *service, _ int) { s.kill() })
}

// TestKillOverDatabaseLosesNothing kills a server over a database, and in every third round the database with it.
func TestKillOverDatabaseLosesNothing(t *testing.T) {
	t.Parallel()
	pgtest.Own(t)
	cluster, err := pgcluster.Start(t.Context(), pgcluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	migrate(t, cluster.URL())
	killRounds(t, (*rounds+1)/2, func() *service {
		if !cluster.Running() {
			if err := cluster.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		s := over(cluster.URL())
		s.process.Path = raced(t)
		s, err := s.run()
		if err != nil {
			t.Fatal(err)
		}
		s.watch(t)
		return s
	}, func(s *service, round int) {
		if round%3 == 0 {
			cluster.Kill()
			time.Sleep(10 * time.Millisecond) // in which the server may answer without its database
		}
		s.kill()
	})
}

// killRounds starts a service and kills it, round after round, and tells how long the starts took.
func killRounds(t *testing.T, rounds int, begin func() *service, kill func(s *service, round int)) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d rounds", seed, rounds)
	random := rand.New(rand.NewPCG(seed, 0))
	all := make([]*writer, writers)
	for i := range all {
		all[i] = &writer{node: fmt.Sprintf("i-%017d", i)}
	}
	acked := 0
	var starts []time.Duration
	for round := range rounds + 1 {
		began := time.Now()
		s := begin()
		starts = append(starts, time.Since(began))
		for _, w := range all {
			w.readBack(t, s, round)
		}
		if t.Failed() {
			return
		}
		if round == rounds {
			if err := s.stop(); err != nil {
				t.Errorf("the stop after all: %v", err)
			}
			break
		}
		before := total(all)
		s.killUnder(all, time.Duration(50+random.IntN(1450))*time.Millisecond, func() { kill(s, round) })
		acked += total(all) - before
		if round%50 == 49 {
			t.Logf("round %d: %d acknowledged writes, none lost; the last start took %v", round+1, acked, starts[round].Round(time.Millisecond))
		}
	}
	if acked == 0 {
		t.Error("no write was acknowledged in any round: nothing was tested")
	}
	starts = starts[1:] // the first is of an empty store
	slices.Sort(starts)
	t.Logf("%d rounds, %d acknowledged writes, none lost; ready again after %v (median), %v (p99), %v (greatest)", rounds, acked,
		starts[len(starts)/2].Round(time.Millisecond), starts[len(starts)*99/100].Round(time.Millisecond), starts[len(starts)-1].Round(time.Millisecond))
}

// total counts acknowledged reports.
func total(all []*writer) int {
	n := 0
	for _, w := range all {
		n += w.acked
	}
	return n
}

// killUnder lets the writers write and kills the service after a while.
func (s *service) killUnder(all []*writer, after time.Duration, kill func()) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var writing sync.WaitGroup
	for _, w := range all {
		writing.Go(func() {
			client := s.client(killRegion)
			for ctx.Err() == nil {
				w.report(ctx, client)
			}
		})
	}
	time.Sleep(after)
	kill()
	cancel()
	writing.Wait()
}

// report sends the next number. An error is no answer: the report may have been stored or not.
func (w *writer) report(ctx context.Context, client *ssm.Client) {
	w.attempted++
	number := strconv.Itoa(w.attempted)
	content := make([]map[string]string, entriesAReport)
	for i := range content {
		content[i] = map[string]string{"Name": fmt.Sprintf("package-%d", i), "Version": number}
	}
	item := types.InventoryItem{SchemaVersion: aws.String("1.1"), CaptureTime: aws.String("2026-01-02T03:04:05Z"), ContentHash: &number}
	application, custom := item, item
	application.TypeName, application.Content = aws.String("AWS:Application"), content
	custom.TypeName, custom.Content = aws.String("Custom:Kill"), content
	_, err := client.PutInventory(ctx, &ssm.PutInventoryInput{
		InstanceId: &w.node, Items: []types.InventoryItem{application, custom},
	})
	if err == nil {
		w.acked = w.attempted
	}
}

// readBack holds what is stored to what was acknowledged, and goes on from there.
func (w *writer) readBack(t *testing.T, s *service, round int) {
	t.Helper()
	if w.attempted == 0 {
		return
	}
	client := s.client(killRegion)
	var found []string
	for _, name := range []string{"AWS:Application", "Custom:Kill"} {
		answer, err := client.ListInventoryEntries(t.Context(), &ssm.ListInventoryEntriesInput{InstanceId: &w.node, TypeName: &name})
		if err != nil {
			if w.acked > 0 {
				t.Errorf("round %d, %s: %s was acknowledged up to %d and cannot be read: %v", round, w.node, name, w.acked, err)
			}
			return
		}
		if len(answer.Entries) != entriesAReport {
			t.Errorf("round %d, %s: %d entries of %s, want %d", round, w.node, len(answer.Entries), name, entriesAReport)
			return
		}
		for _, e := range answer.Entries {
			found = append(found, e["Version"])
		}
	}
	for _, number := range found {
		if number != found[0] {
			t.Errorf("round %d, %s is torn: %v", round, w.node, found)
			return
		}
	}
	number, err := strconv.Atoi(found[0])
	if err != nil || number < w.acked || number > w.attempted {
		t.Errorf("round %d, %s has report %q, want one from %d to %d", round, w.node, found[0], w.acked, w.attempted)
		return
	}
	w.indexed(t, client, found[0])
	w.acked = number
}

// indexed holds the index to the document: the node is found by what it has.
func (w *writer) indexed(t *testing.T, client *ssm.Client, number string) {
	t.Helper()
	answer, err := client.GetInventory(t.Context(), &ssm.GetInventoryInput{Filters: []types.InventoryFilter{
		{Key: aws.String("Custom:Kill.Version"), Values: []string{number}},
		{Key: aws.String("AWS:InstanceInformation.InstanceId"), Values: []string{w.node}},
	}})
	if err != nil || len(answer.Entities) != 1 {
		t.Errorf("%s is not found by its stored version %s: %v", w.node, number, err)
	}
}
