package agent_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"stocktake/internal/agent"
	"stocktake/internal/api"
	"stocktake/internal/awsjson"
	"stocktake/internal/iam/query"
	"stocktake/internal/store/storetest"
)

var everyHostile = flag.Bool("hostile", false, "put every hostile text into every string, not a third of them")

// hostileTexts are strings as JSON writes them, that some store, encoder or terminal takes amiss.
var hostileTexts = []string{
	`"a\u0000b"`, `"\u0000"`, "\"\x00\"", `"\ud800"`, `"\udfff\ud800"`, `"a\udc00"`, "\"\xff\xfe\"", "\"\xed\xa0\x80\"",
	`"'; DROP TABLE records; --"`, `"%s%n\\"`, `"../../etc/passwd"`, `"\u202e\ufeff\uffff"`,
}

// withTexts gives the JSON of a value in as many forms as it has strings, names of members included, each with one string
// replaced.
func withTexts(t *testing.T, text, replacement string) []string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	var forms []string
	for n := 0; ; n++ {
		left := n
		form := written(v, replacement, &left)
		if left >= 0 {
			return forms
		}
		forms = append(forms, form)
	}
}

// written writes a value with the string of the number left replaced; left is below zero once that was done.
func written(v any, replacement string, left *int) string {
	text := func(s string) string {
		if *left--; *left == -1 {
			return replacement
		}
		quoted, _ := json.Marshal(s) // a string always is JSON
		return string(quoted)
	}
	switch v := v.(type) {
	case string:
		return text(v)
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = written(v[i], replacement, left)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case map[string]any:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			key := text(name)
			parts = append(parts, key+":"+written(v[name], replacement, left))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	plain, _ := json.Marshal(v) // numbers, truths and null
	return string(plain)
}

// telling matches what no answer may tell: folders and files of the service, stacks, names of what it is made of, versions.
var telling = regexp.MustCompile(`goroutine \d|\.go:\d|panic|runtime error|/(home|usr|var|tmp|etc|work|proc|root)/|stocktake/internal|` +
	`pebble|SQLSTATE|pgx|postgres|ERROR: |invalid byte sequence|go1\.\d|0x[0-9a-f]{6}|the store is broken`)

// tellsNothing judges the answer to a refused request.
func tellsNothing(t *testing.T, name, request string, got answer) {
	t.Helper()
	answered := strings.ReplaceAll(got.body, "../../etc/passwd", "") // what was asked may be repeated
	if got.status != http.StatusOK && telling.MatchString(answered) {
		t.Errorf("%s of %q tells of the service: %d %q", name, request, got.status, got.body)
	}
	if !utf8.ValidString(got.body) || got.status == 0 {
		t.Errorf("%s of %q: answered %d %q", name, request, got.status, got.body)
	}
}

// TestHostileStringsOverEveryStore puts NUL, lone surrogates and the like into every string of every action's request, over
// every kind of store. No answer is a fault of the server's, and none tells of its insides.
func TestHostileStringsOverEveryStore(t *testing.T) {
	overStores(t, func(t *testing.T, m storetest.Maker) {
		s := newStack(t, m, nil)
		node := s.register(s.activate(""), pairs()[0])
		asked := maps.Clone(asked)
		asked["ssm:RegisterManagedInstance"] = registerBody(s.activate(""), pairs()[1], fingerprint)
		asked["ssm:PutInventory"] = `{"InstanceId":"%s","Items":[{"TypeName":"Custom:Hostile","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z",` +
			`"ContentHash":"h","Content":[{"Name":"a"}]},{"TypeName":"AWS:ComplianceItem","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z",` +
			`"Context":{"ComplianceType":"Custom:C","ExecutionId":"e","ExecutionType":"t","ExecutionTime":"2026-01-02T03:04:05Z"},` +
			`"Content":[{"Id":"a","Title":"t","Severity":"LOW","Status":"COMPLIANT"}]}]}`
		asked["ssm:GetInventory"] = `{"Filters":[{"Key":"Custom:Hostile.Name","Values":["a"],"Type":"BeginWith"}],"Aggregators":[{"Expression":"Custom:Hostile.Name"}],"NextToken":"x"}`
		asked["ssm:CreateActivation"] = `{"IamRole":"inventory","Description":"d","DefaultInstanceName":"n","Tags":[{"Key":"k","Value":"v"}]}`
		s.call("PutInventory", strings.ReplaceAll(asked["ssm:PutInventory"], "%s", node), by(root)).is(t, "")
		count := 0
		for _, row := range append(api.Rows(s.service), agent.Rows(s.service, agent.Config{})...) {
			if row.Auth == awsjson.ByKeyPair || row.Action == "GetMessages" {
				continue
			}
			body := strings.ReplaceAll(asked[row.Permission], "%s", node)
			if row.Action == "RemoveNode" || row.Action == "TerminateNode" || row.Action == "DeregisterManagedInstance" {
				body = strings.ReplaceAll(asked[row.Permission], "%s", someNode) // the node is to stay
			}
			for _, hostile := range hostileTexts {
				for _, request := range withTexts(t, body, hostile) {
					if count++; !*everyHostile && count%3 != 0 {
						continue
					}
					got := s.call(row.Target, request, by(root))
					if got.status >= http.StatusInternalServerError {
						t.Errorf("%s of %q: answered %d %s", row.Target, request, got.status, got.body)
					}
					tellsNothing(t, row.Target, request, got)
				}
			}
		}
		t.Logf("%d requests there are", count)
		s.hostileContent(node)
	})
}

// hostileContent holds inventory of what strings may be to come back as it was put, or to be refused.
func (s *stack) hostileContent(node string) {
	s.t.Helper()
	for i, hostile := range hostileTexts {
		name := fmt.Sprintf("Custom:Hostile%d", i)
		put := s.call("PutInventory", `{"InstanceId":"`+node+`","Items":[{"TypeName":"`+name+`","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z","Content":[{"Name":`+hostile+`}]}]}`, by(root))
		if put.status != http.StatusOK {
			continue
		}
		var want string
		if err := json.Unmarshal([]byte(hostile), &want); err != nil {
			s.t.Errorf("%q was taken, and is no JSON", hostile)
			continue
		}
		var got struct{ Entries []map[string]string }
		s.call("ListInventoryEntries", `{"InstanceId":"`+node+`","TypeName":"`+name+`"}`, by(root)).into(s.t, &got)
		if len(got.Entries) != 1 || got.Entries[0]["Name"] != want {
			s.t.Errorf("%s came back as %q", hostile, got.Entries)
		}
	}
}

// TestNoErrorTellsOfTheInsides has the store fail under every action, and speak of itself.
func TestNoErrorTellsOfTheInsides(t *testing.T) {
	s := memoryStore(t, nil)
	node := s.register(s.activate(""), pairs()[0])
	c := s.user("alice", `{"Effect":"Allow","Action":"*","Resource":"*"}`)
	s.broken.Store(true)
	defer s.broken.Store(false)
	faults := 0
	judge := func(name string, got answer) {
		tellsNothing(t, name, "a broken store", got)
		if got.status >= http.StatusInternalServerError {
			faults++
		}
	}
	for _, row := range append(api.Rows(s.service), agent.Rows(s.service, agent.Config{})...) {
		if row.Action == "GetMessages" {
			continue
		}
		body := strings.ReplaceAll(asked[row.Permission], "%s", node)
		judge(row.Target, s.call(row.Target, body, by(root)))
		judge(row.Target, s.call(row.Target, body, by(c)))
		judge(row.Target, s.call(row.Target, "[", by(root)))
		judge(row.Target, s.call(row.Target, body, unsigned))
		judge(row.Target, s.call(row.Target, `{"Fingerprint":"`+fingerprint+`"}`, byPair(node, pairs()[0])))
	}
	for _, permission := range query.Permissions() {
		service, action, _ := strings.Cut(permission, ":")
		got := s.form(service, root, action, managing[permission]...)
		judge(permission, answer{got.status, got.text})
	}
	if faults < 50 {
		t.Errorf("the store failed under %d requests alone", faults)
	}
}
