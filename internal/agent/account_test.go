package agent_test

import (
	"bytes"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/agent"
	"stocktake/internal/api"
	"stocktake/internal/awsjson"
	"stocktake/internal/iam"
	"stocktake/internal/iam/query"
	"stocktake/internal/sigv4"
)

// mark is in everything that the first account of TestAccountsAreApart stores.
const mark = "of-the-first-account"

// ids are the things of an account, by what they are.
type ids struct {
	node, association, execution, activation, deletion string
	user, key, role                                    string
}

// nobodys are ids that nothing has.
var nobodys = ids{
	"mi-ffffffffffffffff0", "8a4f1e0c-0000-4000-8000-00000000ffff", "8a4f1e0c-0000-4000-8000-00000000fffe", "8a4f1e0c-0000-4000-8000-00000000fffd",
	"8a4f1e0c-0000-4000-8000-00000000fffc", "nobody-of-this-name", "AKIANOBODY7777777777", "nothing-of-this-name",
}

// clean puts a word in the place of every id.
func (i ids) clean(text string) string {
	for _, id := range []string{i.node, i.association, i.execution, i.activation, i.deletion, i.user, i.key, i.role} {
		text = strings.ReplaceAll(text, id, "ID")
	}
	return text
}

// naming has a request of asked name what is given.
func (i ids) naming(body string) string {
	body = strings.ReplaceAll(body, "%s", i.node)
	body = strings.ReplaceAll(body, "8a4f1e0c-0000-4000-8000-000000000002", i.execution)
	if strings.Contains(body, "ActivationId") {
		return strings.ReplaceAll(body, someAssociation, i.activation)
	}
	return strings.ReplaceAll(body, someAssociation, i.association)
}

// managing has the parameters of managing name what is given.
func (i ids) managing(permission string) []string {
	all := slices.Clone(managing[permission])
	for n, value := range all {
		switch value {
		case "alice":
			all[n] = i.user
		case "ops":
			all[n] = i.role
		case "AKIA0000000000000000":
			all[n] = i.key
		case "arn:aws:iam::000000000000:role/ops":
			all[n] = "arn:aws:iam::000000000000:role/" + i.role
		}
	}
	return all
}

// furnish has the first account store something of every kind.
func (s *stack) furnish() ids {
	s.t.Helper()
	a := s.activate(`,"RegistrationLimit":5,"Description":"` + mark + `","DefaultInstanceName":"` + mark + `"`)
	i := ids{activation: a.ID, user: "alice-" + mark, role: "ops-" + mark}
	i.node = s.register(a, pairs()[0])
	s.put(i.node, "Custom:None", mark)
	s.put(i.node, "Custom:Deleted", mark)
	s.call("AddTagsToResource", `{"ResourceType":"ManagedInstance","ResourceId":"`+i.node+`","Tags":[{"Key":"`+mark+`","Value":"v"}]}`, by(root)).is(s.t, "")
	var made struct {
		AssociationDescription struct {
			ID string `json:"AssociationId"`
		}
	}
	s.call("CreateAssociation", `{"Name":"`+someDocument+`","InstanceId":"`+i.node+`","AssociationName":"`+mark+`"}`, by(root)).into(s.t, &made)
	i.association = made.AssociationDescription.ID
	s.call("ListInstanceAssociations", `{"InstanceId":"`+i.node+`"}`, by(root)).is(s.t, "")
	s.call("UpdateInstanceAssociationStatus", `{"InstanceId":"`+i.node+`","AssociationId":"`+i.association+`","ExecutionResult":{"Status":"Success","ErrorCode":"","ExecutionDate":1,"ExecutionSummary":"`+mark+`"}}`, by(root)).is(s.t, "")
	var executions struct {
		AssociationExecutions []struct {
			ID string `json:"ExecutionId"`
		}
	}
	s.call("DescribeAssociationExecutions", `{"AssociationId":"`+i.association+`"}`, by(root)).into(s.t, &executions)
	if len(executions.AssociationExecutions) == 0 {
		s.t.Fatal("the association has no execution")
	}
	i.execution = executions.AssociationExecutions[0].ID
	var deleted struct {
		ID string `json:"DeletionId"`
	}
	s.call("DeleteInventory", `{"TypeName":"Custom:Deleted","ClientToken":"8a4f1e0c-0000-4000-8000-0000000000aa"}`, by(root)).into(s.t, &deleted)
	i.deletion = deleted.ID
	i.key = s.user(i.user, `{"Sid":"`+strings.ReplaceAll(mark, "-", "")+`","Effect":"Allow","Action":"*","Resource":"*"}`).AccessKeyID
	s.form("iam", root, "CreateRole", "RoleName", i.role, "AssumeRolePolicyDocument", trustsAccount).is(s.t, "")
	return i
}

func (s *stack) put(node, typeName, name string) {
	s.t.Helper()
	s.call("PutInventory", `{"InstanceId":"`+node+`","Items":[{"TypeName":"`+typeName+`","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z","Content":[{"Name":"`+name+`"}]}]}`, by(root)).is(s.t, "")
}

// TestAccountsAreApart walks every action, those of IAM and STS too, as the administrator of another account, with the ids of
// the first account, and with ids that nobody has: what is answered is the same, holds nothing of the first account, and
// changes nothing there.
func TestAccountsAreApart(t *testing.T) {
	s := memoryStore(t, nil)
	first := s.furnish()
	s.settle(first.deletion)
	before := s.recordsOf(iam.RootAccount)
	compare := func(name string, known, unknown answer, own bool) {
		t.Helper()
		if strings.Contains(first.clean(known.body), mark) {
			t.Errorf("%s told: %s", name, known.body)
		}
		if own { // what makes something anew answers with an id and a time of its own
			if known.status != unknown.status || known.code() != unknown.code() {
				t.Errorf("%s of the first account's: %d %s, of nobody's: %d %s", name, known.status, known.body, unknown.status, unknown.body)
			}
			return
		}
		if diff := cmp.Diff(nobodys.clean(unknown.body), first.clean(known.body)); diff != "" || known.status != unknown.status {
			t.Errorf("%s of the first account's and of nobody's (-nobody's +first's):\n%s", name, diff)
		}
	}
	for _, row := range append(api.Rows(s.service), agent.Rows(s.service, agent.Config{})...) {
		if row.Auth != awsjson.Signed || row.Action == "GetMessages" {
			continue
		}
		known := s.call(row.Target, first.naming(asked[row.Permission]), by(stranger))
		unknown := s.call(row.Target, nobodys.naming(asked[row.Permission]), by(stranger))
		compare(row.Target, known, unknown, strings.HasPrefix(row.Action, "Create") || row.Action == "DeleteInventory")
	}
	for action, body := range map[string]string{
		"DescribeInventoryDeletions":      `{"DeletionId":"DELETION"}`,
		"DeleteInventory":                 `{"TypeName":"Custom:Deleted","ClientToken":"8a4f1e0c-0000-4000-8000-0000000000aa"}`,
		"DescribeActivations":             `{"Filters":[{"FilterKey":"ActivationIds","FilterValues":["ACTIVATION"]}]}`,
		"DescribeInstanceInformation":     `{"Filters":[{"Key":"InstanceIds","Values":["NODE"]}]}`,
		"GetInventory":                    `{"Filters":[{"Key":"AWS:InstanceInformation.InstanceId","Values":["NODE"]}]}`,
		"ListAssociations":                `{"AssociationFilterList":[{"key":"InstanceId","value":"NODE"}]}`,
		"ListNodes":                       `{"Filters":[{"Key":"InstanceId","Values":["NODE"],"Type":"Equal"}]}`,
		"ListTagsForResource":             `{"ResourceType":"Association","ResourceId":"ASSOCIATION"}`,
		"UpdateInstanceAssociationStatus": `{"InstanceId":"NODE","AssociationId":"ASSOCIATION","ExecutionResult":{"Status":"Success","ErrorCode":"","ExecutionDate":1,"ExecutionSummary":"s"}}`,
	} {
		with := func(i ids) answer {
			return s.call(action, strings.NewReplacer("DELETION", i.deletion, "ACTIVATION", i.activation, "NODE", i.node, "ASSOCIATION", i.association).Replace(body), by(stranger))
		}
		compare(action, with(first), with(nobodys), false)
	}
	s.compareForms(first, compare)
	if diff := cmp.Diff(before, s.recordsOf(iam.RootAccount)); diff != "" {
		t.Errorf("the first account's records changed (-before +after):\n%s", diff)
	}
	var entries struct{ Entries []map[string]string }
	s.call("ListInventoryEntries", `{"InstanceId":"`+first.node+`","TypeName":"Custom:None"}`, by(root)).into(t, &entries)
	if diff := cmp.Diff([]map[string]string{{"Name": mark}}, entries.Entries); diff != "" {
		t.Errorf("the first account's inventory: %s", diff)
	}
}

// requestID is what differs between two answers to the same form.
var requestID = regexp.MustCompile(`<RequestId>[^<]*</RequestId>`)

// compareForms is the part of TestAccountsAreApart that speaks IAM and STS.
func (s *stack) compareForms(first ids, compare func(name string, known, unknown answer, own bool)) {
	s.t.Helper()
	for _, permission := range query.Permissions() {
		service, action, _ := strings.Cut(permission, ":")
		if action == "GetCallerIdentity" {
			continue
		}
		with := func(i ids) answer {
			parameters := i.managing(permission)
			for n := range parameters {
				if parameters[n] == trustsAccount {
					parameters[n] = strings.ReplaceAll(trustsAccount, iam.RootAccount, strangers)
				}
			}
			got := s.form(service, stranger, action, parameters...)
			return answer{got.status, requestID.ReplaceAllString(got.text, "")}
		}
		known, unknown := with(first), with(nobodys)
		if action == "CreateUser" || action == "CreateRole" { // in the second account: the names are free there
			kind := strings.TrimPrefix(action, "Create")
			for _, i := range []ids{first, nobodys} {
				name := map[string]string{"User": i.user, "Role": i.role}[kind]
				s.form("iam", stranger, "Delete"+kind, kind+"Name", name).is(s.t, "")
			}
		}
		compare(permission, known, unknown, strings.HasPrefix(action, "Create"))
	}
}

// pages are listings with more than a page of the first account's, and the token of another page in the place of TOKEN.
var pages = map[string]string{
	"GetInventory":                       `{"MaxResults":1,"NextToken":"TOKEN"}`,
	"ListInventoryEntries":               `{"InstanceId":"NODE","TypeName":"Custom:Paged","MaxResults":1,"NextToken":"TOKEN"}`,
	"DescribeInventoryDeletions":         `{"MaxResults":1,"NextToken":"TOKEN"}`,
	"DescribeActivations":                `{"MaxResults":1,"NextToken":"TOKEN"}`,
	"ListAssociations":                   `{"MaxResults":1,"NextToken":"TOKEN"}`,
	"DescribeInstanceAssociationsStatus": `{"InstanceId":"NODE","MaxResults":1,"NextToken":"TOKEN"}`,
	"ListNodes":                          `{"MaxResults":1,"NextToken":"TOKEN"}`,
}

// TestPageTokensAreOfTheirAsker presents the tokens of one account's pages in every way but the right one: by another account,
// in another region, to another action, cut and altered. None opens, and none is a fault of the server's.
func TestPageTokensAreOfTheirAsker(t *testing.T) {
	s := memoryStore(t, nil)
	first := s.furnish()
	second := s.register(s.activate(`,"Description":"another"`), pairs()[1])
	s.call("PutInventory", `{"InstanceId":"`+first.node+`","Items":[{"TypeName":"Custom:Paged","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z","Content":[{"Name":"a"},{"Name":"b"}]}]}`, by(root)).is(t, "")
	s.put(second, "Custom:Other", "x")
	s.call("DeleteInventory", `{"TypeName":"Custom:Other"}`, by(root)).is(t, "")
	s.call("CreateAssociation", `{"Name":"`+someDocument+`","Targets":[{"Key":"InstanceIds","Values":["*"]}],"AssociationName":"another"}`, by(root)).is(t, "")
	tokens := map[string]string{}
	ask := func(action, token string, sign sign) answer {
		return s.call(action, strings.NewReplacer("NODE", first.node, "TOKEN", token).Replace(pages[action]), sign)
	}
	for action := range pages {
		var page struct{ NextToken string }
		ask(action, "", by(root)).into(t, &page)
		if page.NextToken == "" {
			t.Fatalf("%s has one page", action)
		}
		tokens[action] = page.NextToken
	}
	elsewhere := func(r *http.Request, hash [32]byte) error {
		return sigv4.Sign(r, hash, root, "eu-north-2", "ssm", time.Now())
	}
	for action, token := range tokens {
		ask(action, token, by(root)).is(t, "")
		half := len(token) / 2
		flipped := "A"
		if token[half] == 'A' {
			flipped = "B"
		}
		for name, got := range map[string]answer{
			"of another account": ask(action, token, by(stranger)),
			"of another region":  ask(action, token, elsewhere),
			"cut":                ask(action, token[:half], by(root)),
			"altered":            ask(action, token[:half]+flipped+token[half+1:], by(root)),
			"no token":           ask(action, "x", by(root)),
		} {
			// A node of the first account is none to others, which some say before they look at a token.
			if got.code() != "InvalidNextToken" && (got.code() != "InvalidInstanceId" || strings.Contains(name, "cut")) {
				t.Errorf("%s with a token %s: answered %d %s", action, name, got.status, got.body)
			}
		}
		for other, token := range tokens {
			if other != action {
				ask(action, token, by(root)).is(t, "InvalidNextToken")
			}
		}
	}
}

// settle waits until a deletion is done, so that nothing of the first account changes any more by itself.
func (s *stack) settle(deletion string) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		var all struct {
			InventoryDeletions []struct{ LastStatus string }
		}
		s.call("DescribeInventoryDeletions", `{"DeletionId":"`+deletion+`"}`, by(root)).into(s.t, &all)
		if len(all.InventoryDeletions) == 1 && all.InventoryDeletions[0].LastStatus == "Complete" {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the deletion is not done: %+v", all)
		}
	}
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
