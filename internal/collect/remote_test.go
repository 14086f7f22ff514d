package collect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/client"
	"stocktake/internal/inventory"
)

var _ Caller = (*client.Client)(nil)

type caller func(action, body string) (string, error)

func (c caller) Do(_ context.Context, action string, body []byte) ([]byte, error) {
	answer, err := c(action, string(body))
	return []byte(answer), err
}

func TestRemotePutInventory(t *testing.T) {
	t.Parallel()
	var got string
	remote := Remote{caller(func(action, body string) (string, error) {
		got = action + " " + body
		return "{}", nil
	})}
	items := testItems(t, "web1", "aa:01", "1")[1:]
	items[1].Content, items[1].HasContent = nil, false
	if err := remote.PutInventory(t.Context(), testNode, items); err != nil {
		t.Fatal(err)
	}
	want := `PutInventory {"InstanceId":"i-0123456789abcdef0","Items":[` +
		`{"TypeName":"AWS:Network","SchemaVersion":"1.0","CaptureTime":"now","ContentHash":"` + items[0].ContentHash +
		`","Content":[{"IPV4":"","IPV6":"","MacAddress":"aa:01","Name":"eth0"}]},` +
		`{"TypeName":"AWS:Application","SchemaVersion":"1.1","CaptureTime":"now","ContentHash":"` + items[1].ContentHash + `"}]}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("call (-want +got):\n%s", diff)
	}
	refusal := &client.Error{Action: "PutInventory", Code: "ItemContentMismatchException"}
	remote.Caller = caller(func(string, string) (string, error) { return "", refusal })
	if err := remote.PutInventory(t.Context(), testNode, items); !errors.Is(err, refusal) || !wantsContent(err) {
		t.Errorf("error %v", err)
	}
}

func TestRemoteEntriesPages(t *testing.T) {
	t.Parallel()
	var asked []string
	remote := Remote{caller(func(action, body string) (string, error) {
		asked = append(asked, action+" "+body)
		if len(asked) < 3 {
			return fmt.Sprintf(`{"TypeName":"AWS:Network","Entries":[{"Name":"eth%d","B":"x"}],"NextToken":"t%d"}`, len(asked), len(asked)), nil
		}
		return `{"Entries":[]}`, nil
	})}
	got, err := remote.Entries(t.Context(), testNode, typeNetwork)
	want := []inventory.Entry{
		{{Name: "B", Value: "x"}, {Name: "Name", Value: "eth1"}},
		{{Name: "B", Value: "x"}, {Name: "Name", Value: "eth2"}},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, entries (-want +got):\n%s", err, diff)
	}
	first := `ListInventoryEntries {"InstanceId":"i-0123456789abcdef0","TypeName":"AWS:Network","MaxResults":50}`
	last := `ListInventoryEntries {"InstanceId":"i-0123456789abcdef0","TypeName":"AWS:Network","MaxResults":50,"NextToken":"t2"}`
	if len(asked) != 3 || asked[0] != first || asked[2] != last {
		t.Errorf("asked %q", asked)
	}
}

func TestRemoteEntriesRefused(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		`{"Entries":3}`:                      "another form",
		`{"Entries":[],"NextToken":"again"}`: "more than 200 pages",
	} {
		remote := Remote{caller(func(string, string) (string, error) { return answer, nil })}
		if _, err := remote.Entries(t.Context(), testNode, typeNetwork); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", answer, err, want)
		}
	}
}
