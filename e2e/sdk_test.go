package e2e

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
)

const capture = "2026-01-02T03:04:05Z"

// put reports one item with content.
func put(t *testing.T, client *ssm.Client, node, typeName, version string, content ...map[string]string) {
	t.Helper()
	_, err := client.PutInventory(t.Context(), &ssm.PutInventoryInput{InstanceId: &node, Items: []types.InventoryItem{{
		TypeName: &typeName, SchemaVersion: &version, CaptureTime: aws.String(capture), Content: content,
	}}})
	if err != nil {
		t.Fatalf("%s of %s: %v", typeName, node, err)
	}
}

// ids gives the nodes a question finds, over all its pages.
func ids(t *testing.T, client *ssm.Client, input *ssm.GetInventoryInput) []string {
	t.Helper()
	found := []string{}
	for pages := ssm.NewGetInventoryPaginator(client, input); pages.HasMorePages(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entities {
			found = append(found, aws.ToString(e.Id))
		}
	}
	return found
}

func TestPaginatorSeesEveryNodeOnce(t *testing.T) {
	client := sharedService(t).client("sdk-1")
	var want []string
	for n := range 120 {
		node := fmt.Sprintf("i-%017d", n)
		want = append(want, node)
		put(t, client, node, "Custom:Rack", "1.0", map[string]string{"Row": fmt.Sprint(n % 3)})
	}
	if diff := cmp.Diff(want, ids(t, client, &ssm.GetInventoryInput{MaxResults: aws.Int32(50)})); diff != "" {
		t.Error(diff)
	}
	row := types.InventoryFilter{Key: aws.String("Custom:Rack.Row"), Values: []string{"1"}}
	if got := ids(t, client, &ssm.GetInventoryInput{Filters: []types.InventoryFilter{row}, MaxResults: aws.Int32(7)}); len(got) != 40 {
		t.Errorf("%d nodes in row 1, want 40", len(got))
	}
}

func TestErrorsAreTyped(t *testing.T) {
	client := sharedService(t).client("sdk-2")
	node := "i-0000000000000d001"
	put(t, client, node, "AWS:Application", "1.1", map[string]string{"Name": "a"})
	_, err := client.PutInventory(t.Context(), &ssm.PutInventoryInput{InstanceId: &node, Items: []types.InventoryItem{{
		TypeName: aws.String("AWS:Application"), SchemaVersion: aws.String("1.1"), CaptureTime: aws.String(capture),
		ContentHash: aws.String("unknown"),
	}}})
	var mismatch *types.ItemContentMismatchException
	if !errors.As(err, &mismatch) || aws.ToString(mismatch.TypeName) != "AWS:Application" {
		t.Errorf("a hash that is not stored: %v", err)
	}
	_, err = client.ListInventoryEntries(t.Context(), &ssm.ListInventoryEntriesInput{
		InstanceId: aws.String("i-0000000000000d009"), TypeName: aws.String("AWS:Application"),
	})
	if unknown := (*types.InvalidInstanceId)(nil); !errors.As(err, &unknown) {
		t.Errorf("an unknown node: %v", err)
	}
	_, err = client.DescribeMaintenanceWindows(t.Context(), &ssm.DescribeMaintenanceWindowsInput{})
	if api := smithy.APIError(nil); !errors.As(err, &api) || api.ErrorCode() != "UnknownOperationException" {
		t.Errorf("an action that is not there: %v", err)
	}
}

func TestWrongKeysAreRefused(t *testing.T) {
	s := sharedService(t)
	for _, c := range []struct {
		name string
		key  aws.Credentials
		want string
	}{
		{"unknown key", aws.Credentials{AccessKeyID: "AKIANOBODY", SecretAccessKey: "x"}, "UnrecognizedClientException"},
		{"wrong secret", aws.Credentials{AccessKeyID: s.key.AccessKeyID, SecretAccessKey: "x"}, "InvalidSignatureException"},
		{
			"token beside a permanent key",
			aws.Credentials{AccessKeyID: s.key.AccessKeyID, SecretAccessKey: s.key.SecretAccessKey, SessionToken: "x"},
			"UnrecognizedClientException",
		},
	} {
		_, err := s.clientAs("sdk-3", c.key).GetInventory(t.Context(), &ssm.GetInventoryInput{})
		if api := smithy.APIError(nil); !errors.As(err, &api) || api.ErrorCode() != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func TestDeletionRunsToItsEnd(t *testing.T) {
	client := sharedService(t).client("sdk-4")
	for n := range 5 {
		put(t, client, fmt.Sprintf("i-%017d", n), "Custom:Gone", "1.0", map[string]string{"A": "b"})
	}
	input := &ssm.DeleteInventoryInput{TypeName: aws.String("Custom:Gone"), SchemaDeleteOption: types.InventorySchemaDeleteOptionDeleteSchema}
	deletion, err := client.DeleteInventory(t.Context(), input)
	if err != nil {
		t.Fatal(err)
	}
	if s := deletion.DeletionSummary; s.TotalCount != 5 || s.RemainingCount != 5 {
		t.Errorf("the answer's summary is %+v, want 5 of 5", s)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		answer, err := client.DescribeInventoryDeletions(t.Context(), &ssm.DescribeInventoryDeletionsInput{DeletionId: deletion.DeletionId})
		if err != nil {
			t.Fatal(err)
		}
		status := answer.InventoryDeletions[0]
		if status.LastStatus == types.InventoryDeletionStatusComplete {
			if status.DeletionSummary.RemainingCount != 0 {
				t.Errorf("complete, and %d remain", status.DeletionSummary.RemainingCount)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still %s: %+v", status.LastStatus, status.DeletionSummary)
		}
	}
	_, err = client.GetInventorySchema(t.Context(), &ssm.GetInventorySchemaInput{TypeName: aws.String("Custom:Gone")})
	if gone := (*types.InvalidTypeNameException)(nil); !errors.As(err, &gone) {
		t.Errorf("the schema after its deletion: %v", err)
	}
}

// rackItems is a report of one custom item.
func rackItems(row string) []types.InventoryItem {
	return []types.InventoryItem{{
		TypeName: aws.String("Custom:Rack"), SchemaVersion: aws.String("1.0"), CaptureTime: aws.String(capture),
		Content: []map[string]string{{"Row": row}},
	}}
}

// TestExtensionsGiveLargerPages holds the documented superset: more a page when asked for, AWS's page when not.
func TestExtensionsGiveLargerPages(t *testing.T) {
	s := start(t, t.TempDir(), "--extensions")
	client := s.client("sdk-5")
	const known = 120
	for n := range known {
		put(t, client, fmt.Sprintf("i-%017d", n), "Custom:Rack", "1.0", map[string]string{"Row": "a"})
	}
	for most, want := range map[int32]int{0: 50, 60: 60, 1000: known} {
		in := &ssm.GetInventoryInput{}
		if most > 0 {
			in.MaxResults = &most
		}
		page, err := client.GetInventory(t.Context(), in)
		if err != nil || len(page.Entities) != want {
			t.Errorf("MaxResults %d: %v, want %d nodes", most, err, want)
		}
	}
	if _, err := client.GetInventory(t.Context(), &ssm.GetInventoryInput{MaxResults: aws.Int32(1001)}); code(err) != "ValidationException" {
		t.Errorf("MaxResults 1001: %v", err)
	}
}
