package client

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"stocktake/internal/wire"
)

func TestEveryActionGoesToItsTarget(t *testing.T) {
	var action, body string
	f := serve(t, false, func(w http.ResponseWriter, _ int64, target, text string) {
		action, body = target, text
		_, _ = io.WriteString(w, `{"NextToken":"n","Message":"m","DeletionId":"d","SchemaVersion":"1.0"}`)
	})
	c, _ := newClient(t, Config{Endpoint: f.URL})
	for _, call := range []struct {
		action, member string
		do             func(ctx context.Context) (string, error)
		answer         string
	}{
		{"PutInventory", `"InstanceId":"i-1"`, func(ctx context.Context) (string, error) {
			r, err := c.PutInventory(ctx, &wire.PutInventoryRequest{InstanceId: "i-1"})
			return r.Message, err
		}, "m"},
		{"GetInventory", `"NextToken":"t"`, func(ctx context.Context) (string, error) {
			r, err := c.GetInventory(ctx, &wire.GetInventoryRequest{NextToken: "t"})
			return r.NextToken, err
		}, "n"},
		{"ListInventoryEntries", `"TypeName":"AWS:File"`, func(ctx context.Context) (string, error) {
			r, err := c.ListInventoryEntries(ctx, &wire.ListInventoryEntriesRequest{InstanceId: "i-1", TypeName: "AWS:File"})
			return r.NextToken, err
		}, "n"},
		{"GetInventorySchema", `"TypeName":"AWS:File"`, func(ctx context.Context) (string, error) {
			r, err := c.GetInventorySchema(ctx, &wire.GetInventorySchemaRequest{TypeName: "AWS:File"})
			return r.NextToken, err
		}, "n"},
		{"DeleteInventory", `"TypeName":"Custom:A"`, func(ctx context.Context) (string, error) {
			r, err := c.DeleteInventory(ctx, &wire.DeleteInventoryRequest{TypeName: "Custom:A"})
			return r.DeletionId, err
		}, "d"},
		{"DescribeInventoryDeletions", `"NextToken":"t"`, func(ctx context.Context) (string, error) {
			r, err := c.DescribeInventoryDeletions(ctx, &wire.DescribeInventoryDeletionsRequest{NextToken: "t"})
			return r.NextToken, err
		}, "n"},
	} {
		answer, err := call.do(t.Context())
		if err != nil || answer != call.answer || action != call.action || !strings.Contains(body, call.member) {
			t.Errorf("%s: sent %s to %s, got %q, %v", call.action, body, action, answer, err)
		}
	}
}

func TestAnUnreadableAnswerIsAnError(t *testing.T) {
	f := serve(t, false, func(w http.ResponseWriter, _ int64, _, _ string) { _, _ = io.WriteString(w, "<html>") })
	c, _ := newClient(t, Config{Endpoint: f.URL})
	_, err := c.PutInventory(t.Context(), &wire.PutInventoryRequest{})
	if err == nil || !strings.Contains(err.Error(), "PutInventory: the answer cannot be read") {
		t.Errorf("got %v", err)
	}
}

func TestDeleteInventoryKeepsItsTokenOverAttempts(t *testing.T) {
	token := regexp.MustCompile(`"ClientToken":"([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|mine)"`)
	var sent []string
	f := serve(t, false, func(w http.ResponseWriter, n int64, _, body string) {
		found := token.FindStringSubmatch(body)
		if found == nil {
			t.Errorf("no token in %s", body)
			return
		}
		sent = append(sent, found[1])
		if n%2 == 1 {
			answerError(w, 500, "{}")
			return
		}
		_, _ = io.WriteString(w, "{}")
	})
	c, _ := newClient(t, Config{Endpoint: f.URL})
	request := &wire.DeleteInventoryRequest{TypeName: "Custom:A"}
	for range 2 {
		if _, err := c.DeleteInventory(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	mine := "mine"
	if _, err := c.DeleteInventory(t.Context(), &wire.DeleteInventoryRequest{TypeName: "Custom:A", ClientToken: &mine}); err != nil {
		t.Fatal(err)
	}
	if len(sent) != 6 || sent[0] != sent[1] || sent[2] != sent[3] || sent[0] == sent[2] || sent[4] != mine || sent[5] != mine {
		t.Errorf("sent the tokens %v", sent)
	}
	if request.ClientToken != nil {
		t.Error("the caller's request was changed")
	}
}
