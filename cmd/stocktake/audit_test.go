package main

import (
	"strings"
	"testing"

	"stocktake/internal/audit"
	"stocktake/internal/iam"
	"stocktake/internal/inventory"
)

// TestCallersTextMovesNothing has a caller's text try to look like more than it is: another word, another line, a command
// to the terminal, text that runs backwards.
func TestCallersTextMovesNothing(t *testing.T) {
	e := &audit.Event{
		Identity: audit.Identity{ARN: "arn:aws:iam::111122223333:user/\u202eecila\x1b[2J"}, Source: "ssm.amazonaws.com", Name: "Delete\u200bInventory",
		Address: "192.0.2.7\n2026", ErrorCode: "AccessDenied\u0085Exception", Resources: []string{"arn:aws:ssm:eu-west-1:1:document/a  ssm:Create b\tc\u2028d", "arn:é"},
	}
	got := string(forPeople(e.Append(nil)))
	const want = "0001-01-01T00:00:00Z  arn:aws:iam::111122223333:user/?ecila?[2J  192.0.2.7?2026  ssm:Delete?Inventory" +
		"  arn:aws:ssm:eu-west-1:1:document/a?ssm:Create?b?c?d  arn:é  AccessDenied?Exception"
	if got != want {
		t.Errorf("the line is\n%q, want\n%q", got, want)
	}
	if got := string(forPeople([]byte("{\x1b[2J"))); strings.ContainsRune(got, '\x1b') {
		t.Errorf("of a damaged line: %q", got)
	}
}

// TestIdentityIsOfTheKindItIs has names that hold what marks another kind.
func TestIdentityIsOfTheKindItIs(t *testing.T) {
	const account = "111122223333"
	keys, err := iam.New(iam.Key{ID: "ROOT", Secret: "0123456789012345"}, []iam.Account{{ID: account, Keys: []iam.Key{
		{ID: "AKIAPLAIN", Secret: "0123456789012345"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	_, root, _ := keys.Key("ROOT")
	_, plain, _ := keys.Key("AKIAPLAIN")
	for _, c := range []struct {
		principal *iam.Principal
		want      string
	}{
		{nil, ""},
		{root, "Root"},
		{plain, "IAMUser"},
		{iam.NewNode(inventory.NodeKey{Partition: inventory.Partition{Account: account}, Node: "mi-0123456789abcdef0"}, "inventory", "ASIA"), "AssumedRole"},
		{&iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":user/a:assumed-role/ops/night"}, "IAMUser"},
	} {
		got := identityOf(c.principal)
		if got.Type != c.want {
			t.Errorf("%+v is of type %q, not %q", c.principal, got.Type, c.want)
		}
		if c.principal != nil && (got.ARN != c.principal.ARN || got.AccountID != c.principal.Account) {
			t.Errorf("%+v is told as %+v", c.principal, got)
		}
	}
}
