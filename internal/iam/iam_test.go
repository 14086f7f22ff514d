package iam

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"stocktake/internal/inventory"
)

const secret = "0123456789abcdef"

func directory(t *testing.T, accounts ...Account) *Directory {
	t.Helper()
	d, err := New(Key{ID: "AKIAROOT", Secret: secret}, accounts)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRootActsInItsOwnAccount(t *testing.T) {
	got, p, ok := directory(t).Key("AKIAROOT")
	if !ok || got != secret {
		t.Fatalf("key is %q, %v", got, ok)
	}
	if p.Account != RootAccount || p.ARN != "arn:aws:iam::000000000000:root" || !p.Administrator() {
		t.Errorf("root is %+v", p)
	}
	for _, action := range []string{"ssm:PutInventory", "ssm:GetInventory", "ssm:DeleteInventory"} {
		if !p.MayAct(action) || !p.MayReach("i-12345678") {
			t.Errorf("root may not %s", action)
		}
	}
}

func TestKeysAreFoundExactly(t *testing.T) {
	d := directory(t, Account{ID: "111122223333", Keys: []Key{{ID: "AKIAONE", Secret: secret + "1"}}}, Account{ID: RootAccount, Keys: []Key{{ID: "more", Secret: secret}}})
	got, p, ok := d.Key("AKIAONE")
	if !ok || got != secret+"1" || p.Account != "111122223333" || p.ARN != "arn:aws:iam::111122223333:user/AKIAONE" {
		t.Errorf("AKIAONE is %q, %+v, %v", got, p, ok)
	}
	for _, id := range []string{"", "akiaone", "AKIAONE ", "AKIA*"} {
		if secret, p, ok := d.Key(id); ok || secret != "" || p != nil {
			t.Errorf("%q is found", id)
		}
	}
}

func TestBoundKeys(t *testing.T) {
	all := []string{"PutInventory", "ListInventoryEntries", "GetInventorySchema", "GetInventory", "DeleteInventory", "DescribeInventoryDeletions"}
	rows := []struct {
		actions, nodes []string
		may            string // of all
		reaches        string
		not            string
	}{
		{nil, nil, strings.Join(all, " "), "i-12345678 mi-0123456789abcdef0", ""},
		{[]string{"*"}, nil, strings.Join(all, " "), "i-12345678", ""},
		{[]string{"ssm:*"}, nil, strings.Join(all, " "), "i-12345678", ""},
		{[]string{"ssm:Get*"}, nil, "GetInventorySchema GetInventory", "i-12345678", ""},
		{[]string{"ssm:getinventory"}, nil, "GetInventory", "i-12345678", ""},
		{[]string{"ssm:GetInventor?"}, nil, "GetInventory", "i-12345678", ""},
		{[]string{"ssm:PutInventory", "ssm:D*"}, nil, "PutInventory DeleteInventory DescribeInventoryDeletions", "i-12345678", ""},
		{[]string{"ssm:Put"}, nil, "", "i-12345678", ""},
		{nil, []string{"i-1234*"}, "PutInventory ListInventoryEntries GetInventorySchema", "i-12345678 i-1234", "i-123 mi-12345678 I-12345678"},
		{nil, []string{"i-12345678"}, "PutInventory ListInventoryEntries GetInventorySchema", "i-12345678", "i-123456789 i-12345679"},
		{nil, []string{"*"}, "PutInventory ListInventoryEntries GetInventorySchema", "i-12345678", ""},
		{[]string{"ssm:*"}, []string{"i-*"}, "PutInventory ListInventoryEntries GetInventorySchema", "i-12345678", "mi-0123456789abcdef0"},
		{[]string{"ssm:GetInventory", "ssm:PutInventory"}, []string{"i-*", "mi-*"}, "PutInventory", "i-1 mi-1", "x"},
		{[]string{"ec2messages:*"}, []string{"i-*"}, "", "i-1", "mi-1"},
	}
	for _, row := range rows {
		t.Run(fmt.Sprint(row.actions, row.nodes), func(t *testing.T) {
			d := directory(t, Account{ID: "111122223333", Keys: []Key{{"AKIAONE", secret, row.actions, row.nodes}}})
			_, p, _ := d.Key("AKIAONE")
			for _, action := range all {
				want := strings.Contains(" "+row.may+" ", " "+action+" ")
				if got := p.MayAct("ssm:" + action); got != want {
					t.Errorf("may %s: %v", action, got)
				}
			}
			for _, node := range strings.Fields(row.reaches) {
				if !p.MayReach(inventory.NodeID(node)) {
					t.Errorf("does not reach %s", node)
				}
			}
			for _, node := range strings.Fields(row.not) {
				if p.MayReach(inventory.NodeID(node)) {
					t.Errorf("reaches %s", node)
				}
			}
			if p.MayReach("") != (row.nodes == nil) {
				t.Errorf("reaches no node in particular: %v", p.MayReach(""))
			}
			if p.Administrator() != (row.nodes == nil) {
				t.Errorf("administrator: %v", p.Administrator())
			}
		})
	}
}

func TestMistakesAreNamed(t *testing.T) {
	one := func(k Key) []Account { return []Account{{ID: "111122223333", Keys: []Key{k}}} }
	rows := []struct {
		root     Key
		accounts []Account
		want     string
	}{
		{Key{}, nil, `access key "": the id must be`},
		{Key{ID: "AKIAROOT"}, nil, "AKIAROOT: the secret is too short; it must have at least 16 bytes"},
		{Key{"AKIAROOT", secret, []string{"*"}, nil}, nil, "cannot be bound"},
		{Key{ID: "AKIAROOT", Secret: secret}, []Account{{ID: "1234"}}, `account "1234": the id must be 12 digits`},
		{Key{ID: "AKIAROOT", Secret: secret}, []Account{{ID: "١١١١٢٢٢٢٣٣٣٣"}}, "the id must be 12 digits"},
		{Key{ID: "AKIAROOT", Secret: secret}, []Account{{ID: "111122223333"}, {ID: "111122223333"}}, "listed twice"},
		{Key{ID: "AKIAROOT", Secret: secret}, one(Key{ID: "AKIAROOT", Secret: secret}), "account 111122223333: access key AKIAROOT is given twice, first in account 000000000000"},
		{Key{ID: "AKIAROOT", Secret: secret}, one(Key{ID: "a/b", Secret: secret}), "letters, digits and underscores"},
		{Key{ID: "AKIAROOT", Secret: secret}, one(Key{ID: "AKIAONE", Secret: secret[1:]}), "too short"},
		{Key{ID: "AKIAROOT", Secret: secret}, one(Key{"AKIAONE", secret, []string{"s3:Get*"}, nil}), `"s3:Get*" is no action`},
		{Key{ID: "AKIAROOT", Secret: secret}, one(Key{"AKIAONE", secret, []string{""}, nil}), `"" is no action`},
		{Key{ID: "AKIAROOT", Secret: secret}, one(Key{"AKIAONE", secret, nil, []string{"i 1"}}), `"i 1" is no node`},
	}
	for _, row := range rows {
		_, err := New(row.root, row.accounts)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("error is %v, want %s", err, row.want)
		}
		if err != nil && strings.Contains(err.Error(), secret[1:]) {
			t.Errorf("error holds a secret: %v", err)
		}
	}
}

func TestSecretsStayOutOfPrints(t *testing.T) {
	k := Key{ID: "AKIAONE", Secret: secret}
	if text := fmt.Sprintf("%v %+v %#v %s", k, k, k, &k); strings.Contains(text, secret) {
		t.Error(text)
	}
}

// TestMatchAgreesWithRegexp holds the matcher to the same pattern as a regular expression.
func TestMatchAgreesWithRegexp(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	word := func(letters string) string {
		b := make([]byte, r.IntN(9))
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		return string(b)
	}
	for range 20_000 {
		pattern, s := word("ab*?"), word("ab")
		re := regexp.MustCompile("^" + strings.NewReplacer("*", ".*", "?", ".").Replace(pattern) + "$")
		if got := match(pattern, s); got != re.MatchString(s) {
			t.Fatalf("%q matches %q: %v", pattern, s, got)
		}
	}
}

// TestKeyBoundToNodesIsGoodForAnAgent gives an agent a key instead of a registration.
func TestKeyBoundToNodesIsGoodForAnAgent(t *testing.T) {
	d := directory(t, Account{ID: "111122223333", Keys: []Key{
		{ID: "AKIAAGENT", Secret: secret, Nodes: []string{"i-*"}},
		{ID: "AKIAQUIET", Secret: secret, Nodes: []string{"i-*"}, Actions: []string{"ssm:Put*"}},
	}})
	_, agent, _ := d.Key("AKIAAGENT")
	_, quiet, _ := d.Key("AKIAQUIET")
	for _, action := range agentActions {
		if !agent.MayAct(action) {
			t.Errorf("may not %s", action)
		}
		if want := strings.HasPrefix(action, "ssm:Put"); quiet.MayAct(action) != want {
			t.Errorf("bound to ssm:Put*, may %s: %v", action, !want)
		}
	}
	for _, action := range []string{"ssm:ListNodes", "ssm:DeregisterManagedInstance", "ssm:CreateAssociation", "ssm:CreateActivation", "stocktake:PutInventory", "ec2messages:Other"} {
		if agent.MayAct(action) {
			t.Errorf("may %s", action)
		}
	}
}

func TestManagedNodeMayActForItselfAlone(t *testing.T) {
	key := inventory.NodeKey{Partition: inventory.Partition{Account: "111122223333", Region: "eu-north-1"}, Node: "mi-0123456789abcdef0"}
	p := NewNode(key, "service-role/inventory", "ASIA1")
	if want := "arn:aws:sts::111122223333:assumed-role/service-role/inventory/mi-0123456789abcdef0"; p.ARN != want || p.Account != "111122223333" || p.Node() != key {
		t.Errorf("%+v", p)
	}
	if p.Administrator() || !p.MayReach(key.Node) || p.MayReach("mi-0123456789abcdef1") || p.MayReach("") || p.MayReach("mi-*") {
		t.Error("it is not bound to itself")
	}
	for _, action := range agentActions {
		if !p.MayAct(action) {
			t.Errorf("may not %s", action)
		}
	}
	for _, action := range []string{"ssm:GetInventory", "ssm:ListInventoryEntries", "ssm:RegisterManagedInstance", "ssm:putinventory", ""} {
		if p.MayAct(action) {
			t.Errorf("may %s", action)
		}
	}
}
