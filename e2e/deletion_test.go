package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// doomedNodes have the type that is deleted.
const doomedNodes = 60

// TestDeletionResumesAfterKill kills the service at some moment of a deletion, again and again until it is over: it ends
// Complete, with nothing remaining and never less than nothing, and a version it disabled stays so.
func TestDeletionResumesAfterKill(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	unfinished, deletions := 0, (*rounds+1)/2
	begin := func() *service { return start(t, dir, "--limit-custom-types", strconv.Itoa(deletions)) } // disabled ones count too
	s := begin()
	for round := range deletions {
		name := fmt.Sprintf("Custom:Doomed%d", round)
		for n := range doomedNodes {
			put(t, s.client("deletion-1"), fmt.Sprintf("i-%017d", n), name, "1.0", map[string]string{"Row": "a"})
		}
		out, err := s.client("deletion-1").DeleteInventory(t.Context(), &ssm.DeleteInventoryInput{
			TypeName: &name, SchemaDeleteOption: types.InventorySchemaDeleteOptionDisableSchema,
		})
		if err != nil {
			t.Fatal(err)
		}
		kills := 1 + random.IntN(3)
		for range kills {
			time.Sleep(time.Duration(random.IntN(int(10 * time.Millisecond))))
			s.kill()
			s = begin()
		}
		if s.completes(t, aws.ToString(out.DeletionId)) {
			unfinished++
		}
		if got := ids(t, s.client("deletion-1"), &ssm.GetInventoryInput{Filters: []types.InventoryFilter{
			{Key: aws.String("AWS:InstanceInformation.InstanceId"), Values: []string{"i-"}, Type: types.InventoryQueryOperatorTypeBeginWith},
		}}); len(got) != doomedNodes {
			t.Errorf("%d nodes are left, want all %d", len(got), doomedNodes)
		}
		s.ignores(t, name)
	}
	t.Logf("%d deletions, %d of them seen to go on after the last start", deletions, unfinished)
}

// completes waits for the end of a deletion, holds its counts to what they may be on the way, and says whether it was seen
// at work.
func (s *service) completes(t *testing.T, id string) (working bool) {
	t.Helper()
	least := int32(doomedNodes)
	eventually(t, "the deletion ends", patience, func() error {
		jobs, err := s.client("deletion-1").DescribeInventoryDeletions(t.Context(), &ssm.DescribeInventoryDeletionsInput{DeletionId: &id})
		if err != nil || len(jobs.InventoryDeletions) != 1 {
			return fmt.Errorf("%v, %w", jobs, err)
		}
		job := jobs.InventoryDeletions[0]
		if n := job.DeletionSummary.RemainingCount; n < 0 || n > least || job.DeletionSummary.TotalCount != doomedNodes {
			t.Errorf("%d of %d remain, and %d did before", n, job.DeletionSummary.TotalCount, least)
		} else {
			least = n
		}
		if job.LastStatus != types.InventoryDeletionStatusComplete {
			working = true
			return errors.New(string(job.LastStatus))
		}
		if least != 0 {
			t.Errorf("complete, and %d remain", least)
		}
		return nil
	})
	return working
}

// ignores holds the service to what DisableSchema means: reports of the version are taken and forgotten.
func (s *service) ignores(t *testing.T, name string) {
	t.Helper()
	node := "i-00000000000000000"
	out, err := s.client("deletion-1").PutInventory(t.Context(), &ssm.PutInventoryInput{InstanceId: &node, Items: []types.InventoryItem{{
		TypeName: &name, SchemaVersion: aws.String("1.0"), CaptureTime: aws.String(capture), Content: []map[string]string{{"Row": "b"}},
	}}})
	if err != nil || aws.ToString(out.Message) == "" {
		t.Errorf("a report of a disabled version: %v, %v", out, err)
	}
	list, err := s.client("deletion-1").ListInventoryEntries(t.Context(), &ssm.ListInventoryEntriesInput{InstanceId: &node, TypeName: &name})
	if err == nil && len(list.Entries) > 0 {
		t.Errorf("what was deleted is there: %v", list.Entries)
	}
}
