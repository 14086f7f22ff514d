package baseline

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/pgtest"
	"stocktake/internal/simulate"
	"stocktake/internal/wire"
)

func newServer(t *testing.T) *Server {
	t.Helper()
	url := pgtest.DatabaseOf(t, pgtest.Shared(t)) // what is measured is PostgreSQL, whatever the environment names
	if err := Create(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s, err := New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func do(t *testing.T, s *Server, action string, body []byte) (int, []byte) {
	t.Helper()
	return s.Answer(t.Context(), action, body)
}

func must(t *testing.T, s *Server, action string, body []byte) []byte {
	t.Helper()
	code, answer := do(t, s, action, body)
	if code != http.StatusOK {
		t.Fatalf("%s: %d %s", action, code, answer)
	}
	return answer
}

func TestReportsAreStoredAndListed(t *testing.T) {
	s := newServer(t)
	fleet := simulate.New(1, 3)
	for n := range fleet.Len() {
		must(t, s, "PutInventory", fleet.Report(n, 0).AppendPutInventory(nil))
		must(t, s, "PutInventory", fleet.Hashes(n, 0).AppendPutInventory(nil))
		must(t, s, "PutInventory", fleet.Report(n, 0).AppendPutInventory(nil))
	}
	changed := 1
	for !fleet.Changed(0, changed) {
		changed++
	}
	if code, answer := do(t, s, "PutInventory", fleet.Hashes(0, changed).AppendPutInventory(nil)); code != http.StatusBadRequest {
		t.Errorf("the hash of content nobody sent is answered %d %s", code, answer)
	}
	must(t, s, "PutInventory", fleet.Slim(0, changed).AppendPutInventory(nil))
	ask := wire.ListInventoryEntriesRequest{InstanceId: string(fleet.ID(0)), TypeName: "AWS:Application"}
	var page wire.ListInventoryEntriesResponse
	if err := page.Decode(must(t, s, "ListInventoryEntries", ask.AppendJSON(nil))); err != nil {
		t.Fatal(err)
	}
	report := fleet.Report(0, changed).Items[2]
	var want []wire.Entry
	for _, e := range report.Content[:pageEntries] {
		var w wire.Entry
		for _, a := range e {
			w = append(w, wire.Pair(a))
		}
		want = append(want, w)
	}
	if diff := cmp.Diff(want, page.Entries); diff != "" || page.CaptureTime != report.CaptureTime {
		t.Errorf("captured %s, want %s; (-want +got):\n%s", page.CaptureTime, report.CaptureTime, diff)
	}
}

func TestQuestions(t *testing.T) {
	s := newServer(t)
	put := func(node, applications string) {
		must(t, s, "PutInventory", []byte(`{"InstanceId":"`+node+`","Items":[
			{"TypeName":"AWS:InstanceInformation","SchemaVersion":"1.0","CaptureTime":"2026-01-01T00:00:00Z","ContentHash":"a","Content":[{"PlatformName":"Debian"}]},
			{"TypeName":"AWS:Application","SchemaVersion":"1.1","CaptureTime":"2026-01-01T00:00:00Z","Content":`+applications+`}]}`))
	}
	put("i-1", `[{"Name":"bash","Version":"1"},{"Name":"Dash","Version":"2"}]`)
	put("i-2", `[{"Name":"bash","Version":"2"},{"Name":"bash","Version":"3"}]`)
	put("i-3", `[{"Name":"basil","Version":"1"}]`)
	put("i-4", `[]`)
	filter := func(attribute, operator, value string) string {
		return `{"Key":"AWS:Application.` + attribute + `","Values":["` + value + `"],"Type":"` + operator + `"}`
	}
	for filters, want := range map[string]string{
		"": "i-1 i-2 i-3 i-4", filter("Name", "Equal", "bash"): "i-1 i-2", filter("Name", "BeginWith", "bas"): "i-1 i-2 i-3",
		filter("Name", "NotEqual", "bash"):                                            "i-3 i-4",
		filter("Name", "Equal", "bash") + "," + filter("Version", "Equal", "2"):       "i-2",
		filter("Name", "Equal", "bash") + "," + filter("Version", "GreaterThan", "1"): "i-2", filter("Version", "LessThan", "2"): "i-1 i-3",
	} {
		var page wire.GetInventoryResponse
		if err := page.Decode(must(t, s, "GetInventory", []byte(`{"Filters":[`+filters+`]}`))); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range page.Entities {
			got = append(got, e.Id)
		}
		if strings.Join(got, " ") != want || page.NextToken != "" {
			t.Errorf("%s finds %v, want %s", filters, got, want)
		}
	}
	for body, want := range map[string]string{
		`{"Aggregators":[{"Expression":"AWS:Application.Name"}]}`:                                                     "bash 2, basil 1, dash 1",
		`{"Aggregators":[{"Expression":"AWS:Application.Name"}],"Filters":[` + filter("Version", "Equal", "2") + `]}`: "bash 2, dash 1",
	} {
		var page wire.GetInventoryResponse
		if err := page.Decode(must(t, s, "GetInventory", []byte(body))); err != nil {
			t.Fatal(err)
		}
		var rows []string
		for _, row := range page.Entities[0].Data[0].Content {
			slices.SortFunc(row, func(a, b wire.Pair) int { return -strings.Compare(a.Name, b.Name) })
			rows = append(rows, row[0].Value+" "+row[1].Value)
		}
		if got := strings.Join(rows, ", "); got != want {
			t.Errorf("%s counts %s, want %s", body, got, want)
		}
	}
	for _, body := range []string{
		`{"Filters":[` + filter("Name", "Exists", "a") + `]}`, `{"Filters":[` + filter("Na'me", "Equal", "a") + `]}`,
		`{"Aggregators":[{"Expression":"Name"}]}`,
	} {
		if code, answer := do(t, s, "GetInventory", []byte(body)); code != http.StatusBadRequest {
			t.Errorf("%s is answered %d %s", body, code, answer)
		}
	}
}

func TestPagesOfNodes(t *testing.T) {
	s := newServer(t)
	fleet := simulate.New(2, pageNodes+3)
	want := map[string]bool{}
	for n := range fleet.Len() {
		r := fleet.Report(n, 0)
		r.Items = r.Items[:1]
		must(t, s, "PutInventory", r.AppendPutInventory(nil))
		want[string(r.Node)] = true
	}
	token, last := "", ""
	for pages := 0; pages == 0 || token != ""; pages++ {
		var page wire.GetInventoryResponse
		ask := wire.GetInventoryRequest{NextToken: token}
		if err := page.Decode(must(t, s, "GetInventory", ask.AppendJSON(nil))); err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entities {
			if e.Id <= last || !want[e.Id] {
				t.Errorf("node %s comes after %s", e.Id, last)
			}
			delete(want, e.Id)
			last = e.Id
		}
		token = page.NextToken
	}
	if len(want) > 0 {
		t.Errorf("%d nodes are on no page", len(want))
	}
}

func TestScanFindsContent(t *testing.T) {
	got, err := scanReport([]byte(` { "InstanceId" : "i-1" , "x":[1,{"y":null}], "Items" : [ {"TypeName":"A\u0042","ContentHash":"h",
		"Content":[{"a":"]}\\\"","b":"\\"}, {}],"SchemaVersion":"1.0","CaptureTime":"t"},{"TypeName":"C","z":-1.5e3}]}`))
	want := report{node: "i-1", hasContent: true, items: []item{
		{typeName: "AB", hash: "h", schemaVersion: "1.0", captured: "t", content: []byte(`[{"a":"]}\\\"","b":"\\"}, {}]`)},
		{typeName: "C"},
	}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(report{}, item{})); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, text := range []string{"", "{", `{"InstanceId":"a","Items":[`, `{"InstanceId":"a","Items":[{"Content":[}]}`, `[]`, `{"InstanceId":"a\`, "{}"} {
		if _, err := scanReport([]byte(text)); err == nil {
			t.Errorf("%q passes for a report", text)
		}
	}
}
