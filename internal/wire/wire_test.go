package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"text/template"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
)

// A message is any shape that travels.
type message interface {
	Decode(body []byte) error
	AppendJSON(dst []byte) []byte
}

type request interface {
	message
	Validate() error
}

func requests() map[string]request {
	return map[string]request{
		"PutInventory":                          &PutInventoryRequest{},
		"GetInventory":                          &GetInventoryRequest{},
		"ListInventoryEntries":                  &ListInventoryEntriesRequest{},
		"GetInventorySchema":                    &GetInventorySchemaRequest{},
		"DeleteInventory":                       &DeleteInventoryRequest{},
		"DescribeInventoryDeletions":            &DescribeInventoryDeletionsRequest{},
		"AddTagsToResource":                     &AddTagsToResourceRequest{},
		"RemoveTagsFromResource":                &RemoveTagsFromResourceRequest{},
		"ListTagsForResource":                   &ListTagsForResourceRequest{},
		"CreateAssociation":                     &CreateAssociationRequest{},
		"CreateAssociationBatch":                &CreateAssociationBatchRequest{},
		"UpdateAssociation":                     &UpdateAssociationRequest{},
		"UpdateAssociationStatus":               &UpdateAssociationStatusRequest{},
		"ListAssociations":                      &ListAssociationsRequest{},
		"ListAssociationVersions":               &ListAssociationVersionsRequest{},
		"StartAssociationsOnce":                 &StartAssociationsOnceRequest{},
		"DescribeAssociationExecutions":         &DescribeAssociationExecutionsRequest{},
		"DescribeAssociationExecutionTargets":   &DescribeAssociationExecutionTargetsRequest{},
		"DescribeEffectiveInstanceAssociations": &DescribeEffectiveInstanceAssociationsRequest{},
		"DescribeInstanceAssociationsStatus":    &DescribeInstanceAssociationsStatusRequest{},
		"ListInstanceAssociations":              &ListInstanceAssociationsRequest{},
		"UpdateInstanceAssociationStatus":       &UpdateInstanceAssociationStatusRequest{},
		"GetDocument":                           &GetDocumentRequest{},
		"DescribeDocument":                      &DescribeDocumentRequest{},
		"ListDocuments":                         &ListDocumentsRequest{},
		"DescribeAssociation":                   &AssociationRequest{},
		"UpdateInstanceInformation":             &UpdateInstanceInformationRequest{},
		"DescribeInstanceInformation":           &DescribeInstanceInformationRequest{},
		"DescribeInstanceProperties":            &DescribeInstancePropertiesRequest{},
		"ListManagedNodes":                      &ListManagedNodesRequest{},
		"ListNodesSummary":                      &ListNodesSummaryRequest{},
		"PutComplianceItems":                    &PutComplianceItemsRequest{},
		"GetMessages":                           &GetMessagesRequest{},
		"Message":                               &MessageRequest{},
		"CreateActivation":                      &CreateActivationRequest{},
		"DescribeActivations":                   &DescribeActivationsRequest{},
		"DeleteActivation":                      &DeleteActivationRequest{},
		"DeregisterManagedInstance":             &DeregisterManagedInstanceRequest{},
		"UpdateManagedInstanceRole":             &UpdateManagedInstanceRoleRequest{},
		"RegisterManagedInstance":               &RegisterManagedInstanceRequest{},
		"RequestManagedInstanceRoleToken":       &RequestManagedInstanceRoleTokenRequest{},
		"UpdateManagedInstancePublicKey":        &UpdateManagedInstancePublicKeyRequest{},
	}
}

func messages() map[string]message {
	all := map[string]message{
		"PutInventoryResponse":                          &PutInventoryResponse{},
		"GetInventoryResponse":                          &GetInventoryResponse{},
		"ListInventoryEntriesResponse":                  &ListInventoryEntriesResponse{},
		"GetInventorySchemaResponse":                    &GetInventorySchemaResponse{},
		"DeleteInventoryResponse":                       &DeleteInventoryResponse{},
		"DescribeInventoryDeletionsResponse":            &DescribeInventoryDeletionsResponse{},
		"ListTagsForResourceResponse":                   &ListTagsForResourceResponse{},
		"CreateAssociationBatchResponse":                &CreateAssociationBatchResponse{},
		"ListAssociationsResponse":                      &ListAssociationsResponse{},
		"ListAssociationVersionsResponse":               &ListAssociationVersionsResponse{},
		"DescribeAssociationExecutionsResponse":         &DescribeAssociationExecutionsResponse{},
		"DescribeAssociationExecutionTargetsResponse":   &DescribeAssociationExecutionTargetsResponse{},
		"DescribeEffectiveInstanceAssociationsResponse": &DescribeEffectiveInstanceAssociationsResponse{},
		"DescribeInstanceAssociationsStatusResponse":    &DescribeInstanceAssociationsStatusResponse{},
		"ListInstanceAssociationsResponse":              &ListInstanceAssociationsResponse{},
		"GetDocumentResponse":                           &GetDocumentResponse{},
		"DescribeDocumentResponse":                      &DescribeDocumentResponse{},
		"ListDocumentsResponse":                         &ListDocumentsResponse{},
		"AssociationDescriptionResponse":                &AssociationDescriptionResponse{},
		"CreateActivationResponse":                      &CreateActivationResponse{},
		"DescribeActivationsResponse":                   &DescribeActivationsResponse{},
		"RegisterManagedInstanceResponse":               &RegisterManagedInstanceResponse{},
		"RequestManagedInstanceRoleTokenResponse":       &RequestManagedInstanceRoleTokenResponse{},
		"ErrorBody":                           &ErrorBody{},
		"DescribeInstanceInformationResponse": &DescribeInstanceInformationResponse{},
		"DescribeInstancePropertiesResponse":  &DescribeInstancePropertiesResponse{},
		"ListManagedNodesResponse":            &ListManagedNodesResponse{},
		"ListNodesSummaryResponse":            &ListNodesSummaryResponse{},
		"GetMessagesResponse":                 &GetMessagesResponse{},
		"ExplainNodeResponse":                 &ExplainNodeResponse{},
	}
	for name, r := range requests() {
		all[name] = r
	}
	return all
}

// TestMessages runs the files of testdata. A case's first argument is the shape, its input a body, with these template
// functions to write what would be long or invisible: {{rep n s}}, {{list n s}} (n times s between commas) and
// {{keys n}} (n members "k1":"", ...).
//
//	decode    prints the shape encoded again, or the refusal
//	validate  prints "valid", or the text of the violations
func TestMessages(t *testing.T) {
	datadriven.Walk(t, "testdata/messages", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			body := expand(t, d.Input)
			name := d.CmdArgs[0].Key
			switch d.Cmd {
			case "decode":
				m := messages()[name]
				if err := m.Decode(body); err != nil {
					return refusal(t, err)
				}
				return string(m.AppendJSON(nil)) + "\n"
			case "validate":
				r := requests()[name]
				if err := r.Decode(body); err != nil {
					return refusal(t, err)
				}
				if err := r.Validate(); err != nil {
					return lines.Replace(err.Error()) + "\n"
				}
				return "valid\n"
			}
			t.Fatalf("unknown command %q", d.Cmd)
			return ""
		})
	})
}

// lines puts one violation on a line, and spells what would end one.
var lines = strings.NewReplacer("; Value", ";\nValue", "\n", `\n`, "\r", `\r`, "\u0085", `\u0085`, "\u2028", `\u2028`, "\u2029", `\u2029`)

func refusal(t *testing.T, err error) string {
	var e *DecodeError
	if !errors.As(err, &e) {
		t.Fatalf("not a *DecodeError: %v", err)
	}
	if e.Message == "" {
		return "refused without a text\n"
	}
	return "refused: " + e.Message + "\n"
}

func expand(t *testing.T, input string) []byte {
	funcs := template.FuncMap{
		"rep":  func(n int, s string) string { return strings.Repeat(s, n) },
		"list": func(n int, s string) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") },
		"keys": func(n int) string {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, `"k%d":"",`, i)
			}
			return strings.TrimSuffix(b.String(), ",")
		},
	}
	tmpl, err := template.New("").Funcs(funcs).Parse(input)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSizesCountBytesAsReceived(t *testing.T) {
	item := `{ "TypeName": "Custom:Rack", "Content" : [ {"A":"\u00e9"} ] }`
	body := `{"InstanceId":"i-12345678","Items":[  ` + item + ` , {} ]}` + "\n"
	var r PutInventoryRequest
	if err := r.Decode([]byte(body)); err != nil {
		t.Fatal(err)
	}
	got := []int{r.Bytes, r.Items[0].Bytes, r.Items[1].Bytes}
	if diff := cmp.Diff([]int{len(body), len(item), 2}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAbsentDiffersFromEmpty(t *testing.T) {
	var r PutInventoryRequest
	if err := r.Decode([]byte(`{"Items":[{},{"Content":[],"Context":{},"ContentHash":""},{"Content":null}]}`)); err != nil {
		t.Fatal(err)
	}
	type presence struct{ content, context, hash bool }
	var got []presence
	for _, i := range r.Items {
		got = append(got, presence{i.Content != nil, i.Context != nil, i.ContentHash != nil})
	}
	want := []presence{{}, {true, true, true}, {}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(presence{})); diff != "" {
		t.Error(diff)
	}
}

// TestLongTextsStayBounded holds the text of a hopeless request to a size that can be answered, with a true count.
func TestLongTextsStayBounded(t *testing.T) {
	entry := `{"":"","` + strings.Repeat("ä", 10_000) + `":""}`
	body := `{"Items":[{"Content":[` + strings.TrimSuffix(strings.Repeat(entry+",", 200), ",") + `]}]}`
	var r PutInventoryRequest
	if err := r.Decode([]byte(body)); err != nil {
		t.Fatal(err)
	}
	var e *ValidationError
	if !errors.As(r.Validate(), &e) {
		t.Fatal("no *ValidationError")
	}
	if want := 1 + 3 + 200; e.Count != want {
		t.Errorf("count is %d, want %d", e.Count, want)
	}
	if text := e.Error(); len(text) > 40_000 || !strings.HasSuffix(text, "; ...") || strings.Contains(text, "\uFFFD") {
		t.Errorf("text of %d bytes ends in %q", len(text), text[len(text)-20:])
	}
}

// TestSmallBodyStaysSmall holds back the bodies that would grow most in memory.
func TestSmallBodyStaysSmall(t *testing.T) {
	leaf := "{" + `"Aggregators":[` + strings.TrimSuffix(strings.Repeat("{},", 11), ",") + "]}"
	for range 4 {
		leaf = `{"Aggregators":[` + strings.TrimSuffix(strings.Repeat(leaf+",", 11), ",") + "]}"
	}
	var r GetInventoryRequest
	if err := r.Decode([]byte(leaf)); err == nil {
		t.Error("a tree of 160,000 aggregators is taken")
	}
	var p PutInventoryRequest
	body := `{"Items":[{"Content":[` + strings.Repeat("{},", 100_000) + `{}]}` + strings.Repeat(",{}", 100_000) + `]}`
	if err := p.Decode([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if len(p.Items) != maxItems+1 || len(p.Items[0].Content) != maxEntries+1 {
		t.Errorf("%d items and %d entries are kept", len(p.Items), len(p.Items[0].Content))
	}
}

func FuzzDecode(f *testing.F) {
	seeds, err := filepath.Glob("testdata/messages/*")
	if err != nil || len(seeds) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, path := range seeds {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "{") && !strings.Contains(line, "{{") {
				f.Add([]byte(line))
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		valid := json.Valid(body)
		for name, m := range messages() {
			if err := m.Decode(body); err != nil {
				object := bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{"))
				if valid && object && err.Error() == (&DecodeError{}).Error() {
					t.Fatalf("%s: valid JSON is called malformed", name)
				}
				continue
			}
			if !valid {
				t.Fatalf("%s: malformed JSON is taken", name)
			}
			if r, ok := m.(request); ok {
				_ = r.Validate()
			}
			encoded := m.AppendJSON(nil)
			again := messages()[name]
			if err := again.Decode(encoded); err != nil {
				t.Fatalf("%s: %s: %v", name, encoded, err)
			}
			if diff := cmp.Diff(string(encoded), string(again.AppendJSON(nil))); diff != "" {
				t.Fatalf("%s: %s: %s", name, body, diff)
			}
			if _, ok := m.(request); !ok {
				continue // a response writes lists that are nil as []
			}
			if diff := cmp.Diff(m, again, exported, cmp.FilterPath(isBytes, cmp.Ignore())); diff != "" {
				t.Fatalf("%s: %s: %s", name, encoded, diff)
			}
		}
	})
}

var exported = cmp.Exporter(func(reflect.Type) bool { return true })

func isBytes(p cmp.Path) bool { return p.Last().String() == ".Bytes" }

func report(entries int) []byte {
	r := PutInventoryRequest{InstanceId: "i-0123456789abcdef0"}
	item := Item{TypeName: "AWS:Application", SchemaVersion: "1.1", CaptureTime: "2026-01-02T03:04:05Z"}
	for i := range entries {
		item.Content = append(item.Content, Entry{
			{"ApplicationType", "admin"},
			{"Architecture", "x86_64"},
			{"CompType", ""},
			{"InstalledTime", "2026-01-02T03:04:05Z"},
			{"Name", fmt.Sprintf("package-number-%d", i)},
			{"PackageId", fmt.Sprintf("package-number-%d_1.2.3-4+deb13u1_amd64.deb", i)},
			{"Publisher", "Debian Maintainers <debian@lists.debian.org>"},
			{"Summary", "a library that does one thing, and a half"},
			{"URL", "https://example.org/packages/number"},
			{"Version", "1.2.3-4+deb13u1"},
		})
	}
	r.Items = []Item{item}
	return r.AppendJSON(nil)
}

func BenchmarkDecodeReport(b *testing.B) {
	body := report(600)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var r PutInventoryRequest
		if err := r.Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeHashes is a report of what has not changed.
func BenchmarkDecodeHashes(b *testing.B) {
	r := PutInventoryRequest{InstanceId: "i-0123456789abcdef0"}
	hash := "24DCnGEkU0nMIKZjum8A3Q=="
	for _, name := range []string{"AWS:InstanceInformation", "AWS:Network", "AWS:Application", "AWS:Service", "Custom:RackInfo"} {
		r.Items = append(r.Items, Item{TypeName: name, SchemaVersion: "1.0", CaptureTime: "2026-01-02T03:04:05Z", ContentHash: &hash})
	}
	body := r.AppendJSON(nil)
	b.ReportAllocs()
	for b.Loop() {
		var r PutInventoryRequest
		if err := r.Decode(body); err != nil {
			b.Fatal(err)
		}
		if err := r.Validate(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidateReport(b *testing.B) {
	var r PutInventoryRequest
	if err := r.Decode(report(600)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Validate(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeReport(b *testing.B) {
	var r PutInventoryRequest
	if err := r.Decode(report(600)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf = r.AppendJSON(buf[:0])
	}
	b.SetBytes(int64(len(buf)))
}

// BenchmarkEncodeCounts encodes a page of counts, the largest there is.
func BenchmarkEncodeCounts(b *testing.B) {
	rows := make([]Entry, maxRows)
	for i := range rows {
		rows[i] = Entry{{"Count", fmt.Sprint(i)}, {"Name", "libexample" + fmt.Sprint(i)}}
	}
	r := GetInventoryResponse{Entities: []Entity{{Data: []ResultItem{{Key: "AWS:Application", Content: rows}}}}}
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf = r.AppendJSON(buf[:0])
	}
	b.SetBytes(int64(len(buf)))
}
