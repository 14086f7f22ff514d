package agent_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/agent"
	"stocktake/internal/api"
	"stocktake/internal/awsjson"
	"stocktake/internal/iam"
)

// mark is in everything that the first account of TestAccountsAreApart stores.
const mark = "of-the-first-account"

// TestAccountsAreApart walks every action as the administrator of another account, with the ids of the first account, and
// with ids that nobody has: what is answered is the same, holds nothing of the first account, and changes nothing there.
func TestAccountsAreApart(t *testing.T) {
	s := memoryStore(t, nil)
	a := s.activate(`,"RegistrationLimit":5,"Description":"` + mark + `","DefaultInstanceName":"` + mark + `"`)
	node := s.register(a, pairs()[0])
	s.call("PutInventory", `{"InstanceId":"`+node+`","Items":[{"TypeName":"Custom:None","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z","Content":[{"Name":"`+mark+`"}]}]}`, by(root)).is(t, "")
	s.call("AddTagsToResource", `{"ResourceType":"ManagedInstance","ResourceId":"`+node+`","Tags":[{"Key":"`+mark+`","Value":"v"}]}`, by(root)).is(t, "")
	var made struct {
		AssociationDescription struct {
			ID string `json:"AssociationId"`
		}
	}
	s.call("CreateAssociation", `{"Name":"`+someDocument+`","InstanceId":"`+node+`","AssociationName":"`+mark+`"}`, by(root)).into(t, &made)
	association := made.AssociationDescription.ID
	var execution struct {
		AssociationExecutions []struct {
			ID string `json:"ExecutionId"`
		}
	}
	s.call("DescribeAssociationExecutions", `{"AssociationId":"`+association+`"}`, by(root)).into(t, &execution)
	s.user("alice", `{"Sid":"`+strings.ReplaceAll(mark, "-", "")+`","Effect":"Allow","Action":"*","Resource":"*"}`)

	const unknownNode, unknownID = "mi-ffffffffffffffff0", "8a4f1e0c-0000-4000-8000-00000000ffff"
	before := s.recordsOf(iam.RootAccount)
	for _, row := range append(api.Rows(s.service), agent.Rows(s.service, agent.Config{})...) {
		if row.Auth != awsjson.Signed || row.Action == "GetMessages" {
			continue
		}
		known := s.call(row.Target, naming(asked[row.Permission], node, association, a.ID), by(stranger))
		unknown := s.call(row.Target, naming(asked[row.Permission], unknownNode, unknownID, unknownID), by(stranger))
		if strings.Contains(known.body, mark) {
			t.Errorf("%s told: %s", row.Target, known.body)
		}
		clean := func(text string) string {
			for _, id := range []string{node, association, a.ID, unknownNode, unknownID} {
				text = strings.ReplaceAll(text, id, "ID")
			}
			return text
		}
		// What makes something anew answers with an id and a time of its own.
		if strings.HasPrefix(row.Action, "Create") || row.Action == "DeleteInventory" {
			if known.status != unknown.status || known.code() != unknown.code() {
				t.Errorf("%s of the first account's: %d %s, of nobody's: %d %s", row.Target, known.status, known.body, unknown.status, unknown.body)
			}
			continue
		}
		if diff := cmp.Diff(clean(unknown.body), clean(known.body)); diff != "" || known.status != unknown.status {
			t.Errorf("%s of the first account's and of nobody's (-nobody's +first's):\n%s", row.Target, diff)
		}
	}
	after := s.recordsOf(iam.RootAccount)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the first account's records changed (-before +after):\n%s", diff)
	}
	var entries struct{ Entries []map[string]string }
	s.call("ListInventoryEntries", `{"InstanceId":"`+node+`","TypeName":"Custom:None"}`, by(root)).into(t, &entries)
	if diff := cmp.Diff([]map[string]string{{"Name": mark}}, entries.Entries); diff != "" {
		t.Errorf("the first account's inventory: %s", diff)
	}
}

// naming has a request name what is given.
func naming(body, node, association, activation string) string {
	body = strings.ReplaceAll(body, "%s", node)
	if strings.Contains(body, "ActivationId") {
		return strings.ReplaceAll(body, someAssociation, activation)
	}
	return strings.ReplaceAll(body, someAssociation, association)
}

// recordsOf gives the records of the control plane that name an account.
func (s *stack) recordsOf(account string) map[string]string {
	s.t.Helper()
	all := map[string]string{}
	after := ""
	for {
		records, err := s.store.ListRecords(s.t.Context(), "", after, 500)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, r := range records {
			after = r.Key
			if strings.Contains(r.Key, account) || bytes.Contains(r.Value, []byte(account)) {
				all[r.Key] = string(r.Value)
			}
		}
		if len(records) < 500 {
			return all
		}
	}
}
