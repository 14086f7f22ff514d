package agent_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"stocktake/internal/agent"
	"stocktake/internal/api"
	"stocktake/internal/awsjson"
	"stocktake/internal/iam"
	"stocktake/internal/iam/policy"
	"stocktake/internal/inventory"
	"stocktake/internal/sigv4"
)

// spellings are other ways to write a name, by its ARN too, that some code somewhere could take for the same.
func spellings(name, arn string) []string {
	all := []string{
		strings.ToUpper(name), strings.ToLower(name), strings.ToUpper(name[:1]) + name[1:], " " + name, name + " ", name + ":1", "*", arn,
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == name })
}

// kept is an association for one node, which the user of a test is kept from.
type kept struct {
	*stack
	node, association string
	credentials       sigv4.Credentials
}

func newKept(t *testing.T) kept {
	s := memoryStore(t, nil)
	k := kept{stack: s, node: s.register(s.activate(""), pairs()[0]), credentials: s.user("walker")}
	var made struct {
		AssociationDescription struct {
			ID string `json:"AssociationId"`
		}
	}
	s.call("CreateAssociation", `{"Name":"`+someDocument+`","InstanceId":"`+k.node+`"}`, by(root)).into(t, &made)
	k.association = made.AssociationDescription.ID
	return k
}

// may gives the user one policy.
func (k kept) may(statements ...string) {
	k.t.Helper()
	text := `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
	if err := k.users.PutUserPolicy(k.t.Context(), iam.RootAccount, "walker", "only", text); err != nil {
		k.t.Fatal(err)
	}
}

// TestDeniedThingsByOtherNames asks for everything that is done to a node, an association or a document as a user who is
// denied just that one, under every other name it might be taken for: none of it is done.
func TestDeniedThingsByOtherNames(t *testing.T) {
	k := newKept(t)
	p := inventory.Partition{Account: iam.RootAccount, Region: region}
	things := []struct{ written, name, arn string }{
		{"%s", k.node, policy.NodeARN(inventory.NodeKey{Partition: p, Node: inventory.NodeID(k.node)})},
		{someAssociation, k.association, policy.AssociationARN(p, k.association)},
		{someDocument, someDocument, policy.DocumentARN(p, someDocument)},
	}
	k.may(`{"Effect":"Allow","Action":"*","Resource":"*"}`, fmt.Sprintf(`{"Effect":"Deny","Action":"*","Resource":[%q,%q,%q]}`,
		things[0].arn, things[1].arn, things[2].arn))
	state := func() string {
		return k.call("ListAssociations", "{}", by(root)).body + k.call("ListTagsForResource", `{"ResourceType":"ManagedInstance","ResourceId":"`+k.node+`"}`, by(root)).body +
			k.call("DescribeAssociation", `{"AssociationId":"`+k.association+`"}`, by(root)).body
	}
	before, asks := state(), 0
	for _, row := range append(api.Rows(k.service), agent.Rows(k.service, agent.Config{})...) {
		if row.Auth != awsjson.Signed || strings.HasPrefix(row.Permission, "ec2messages:") || row.Action == "RegisterNode" {
			continue // the last makes a node of whatever name
		}
		body := asked[row.Permission]
		for _, thing := range things {
			if !strings.Contains(body, thing.written) {
				continue
			}
			for _, name := range spellings(thing.name, thing.arn) {
				// The others are not there, or named rightly and denied.
				request := strings.ReplaceAll(strings.ReplaceAll(body, thing.written, name), "%s", k.node)
				if got := k.call(row.Target, request, by(k.credentials)); got.code() == "" || got.status >= 500 {
					t.Errorf("%s %s: answered %d %s", row.Action, request, got.status, got.body)
				}
				asks++
			}
		}
	}
	if after := state(); after != before {
		t.Errorf("the state was\n%s\nand is\n%s", before, after)
	}
	if asks < 100 {
		t.Errorf("only %d requests were made", asks)
	}
}

// TestTargetsByAnyKey has a user who may make associations for one node ask for more, by every way to write targets.
func TestTargetsByAnyKey(t *testing.T) {
	k := newKept(t)
	p := inventory.Partition{Account: iam.RootAccount, Region: region}
	const own = "i-0000000000000aaaa"
	arns := func(nodes ...inventory.NodeID) string {
		all := policy.DocumentARN(p, someDocument) + `","` + policy.AssociationARN(p, "*")
		for _, node := range nodes {
			all += `","` + policy.NodeARN(inventory.NodeKey{Partition: p, Node: node})
		}
		return `{"Effect":"Allow","Action":"ssm:*","Resource":["` + all + `"]}`
	}
	tagged := `{"Effect":"Allow","Action":"ssm:*","Resource":"*","Condition":{"StringEqualsIfExists":{"ssm:resourceTag/stage":"test"},"Null":{"ssm:resourceTag/stage":"false"}}}`
	documents := arns()
	for name, c := range map[string]struct {
		targets string
		may     []string
		allowed bool
	}{
		"own":                   {`{"Key":"InstanceIds","Values":["` + own + `"]}`, []string{arns(own)}, true},
		"own in small letters":  {`{"Key":"instanceids","Values":["` + own + `"]}`, []string{arns(own)}, true},
		"foreign":               {`{"Key":"InstanceIds","Values":["` + k.node + `"]}`, []string{arns(own)}, false},
		"small letters":         {`{"Key":"instanceids","Values":["` + k.node + `"]}`, []string{arns(own)}, false},
		"capitals":              {`{"Key":"INSTANCEIDS","Values":["` + own + `","` + k.node + `"]}`, []string{arns(own)}, false},
		"every":                 {`{"Key":"InstanceIds","Values":["*"]}`, []string{arns(own)}, false},
		"every by kinds":        {`{"Key":"instanceIDs","Values":["*"]}`, []string{arns("*")}, false},
		"every by both":         {`{"Key":"instanceIDs","Values":["*"]}`, []string{arns("*", "mi-*")}, true},
		"a tag":                 {`{"Key":"tag:stage","Values":["test"]}`, []string{arns(own)}, false},
		"a tag, own":            {`{"Key":"tag:stage","Values":["test"]},{"Key":"InstanceIds","Values":["` + own + `"]}`, []string{arns(own)}, true},
		"a tag, every":          {`{"Key":"tag:stage","Values":["test"]},{"Key":"Instanceids","Values":["*"]}`, []string{arns(own)}, false},
		"a tag that may":        {`{"Key":"tag:stage","Values":["test"]}`, []string{tagged, documents}, true},
		"a tag and one more":    {`{"Key":"tag:stage","Values":["test","prod"]}`, []string{tagged, documents}, false},
		"another tag":           {`{"Key":"tag:owner","Values":["test"]}`, []string{tagged, documents}, false},
		"two tags, one may":     {`{"Key":"tag:owner","Values":["prod"]},{"Key":"tag:stage","Values":["test"]}`, []string{tagged, documents}, true},
		"denied by small names": {`{"Key":"instanceids","Values":["` + k.node + `"]}`, []string{arns("*", "mi-*"), strings.Replace(arns(inventory.NodeID(k.node)), "Allow", "Deny", 1)}, false},
	} {
		k.may(c.may...)
		settings := `"Name":"` + someDocument + `","Targets":[` + c.targets + `]`
		for action, body := range map[string]string{
			"CreateAssociation":      `{` + settings + `}`,
			"CreateAssociationBatch": `{"Entries":[{` + settings + `}]}`,
			"UpdateAssociation":      `{"AssociationId":"` + k.association + `",` + settings + `}`,
		} {
			got := k.call(action, body, by(k.credentials))
			if c.allowed && got.code() != "" && got.code() != "AssociationLimitExceeded" || !c.allowed && got.code() != "AccessDeniedException" {
				t.Errorf("%s, %s: answered %d %s", action, name, got.status, got.body)
			}
		}
	}
}

// TestTagsGivenTwice has a user who may tag nodes env=prod and no other give that tag in two ways in one request.
func TestTagsGivenTwice(t *testing.T) {
	k := newKept(t)
	const allow, deny = `{"Effect":"Allow","Action":"*","Resource":"*"%s}`, `{"Effect":"Deny","Action":"*","Resource":"*"%s}`
	condition := func(operator string) string {
		return `,"Condition":{"` + operator + `":{"aws:RequestTag/env":"prod"}}`
	}
	ways := map[string][]string{
		"allowed":  {fmt.Sprintf(allow, condition("StringEquals"))},
		"denied":   {fmt.Sprintf(allow, ""), fmt.Sprintf(deny, condition("StringNotEquals"))},
		"ifexists": {fmt.Sprintf(allow, condition("StringEqualsIfExists"))},
	}
	for _, way := range slices.Sorted(maps.Keys(ways)) {
		k.may(ways[way]...)
		for tags, allowed := range map[string]bool{
			`{"Key":"env","Value":"prod"}`:                              true,
			`{"Key":"env","Value":"prod"},{"Key":"env","Value":"test"}`: false,
			`{"Key":"env","Value":"test"},{"Key":"env","Value":"prod"}`: false,
			`{"Key":"env","Value":"prod"},{"Key":"Env","Value":"test"}`: false,
			`{"Key":"env","Value":"prod"},{"Key":"Env","Value":"prod"}`: true,
		} {
			got := k.call("AddTagsToResource", `{"ResourceType":"ManagedInstance","ResourceId":"`+k.node+`","Tags":[`+tags+`]}`, by(k.credentials))
			if (got.code() == "") != allowed {
				t.Errorf("%s, %s: answered %d %s", way, tags, got.status, got.body)
			}
		}
	}
}
