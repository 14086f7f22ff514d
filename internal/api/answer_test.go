package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"stocktake/internal/wire"
)

// answers reads the answer of each action strictly: no member twice, none of another type.
var answers = map[string]func() interface{ Decode(body []byte) error }{
	"PutInventory":                    func() interface{ Decode(body []byte) error } { return &wire.PutInventoryResponse{} },
	"GetInventory":                    func() interface{ Decode(body []byte) error } { return &wire.GetInventoryResponse{} },
	"ListInventoryEntries":            func() interface{ Decode(body []byte) error } { return &wire.ListInventoryEntriesResponse{} },
	"GetInventorySchema":              func() interface{ Decode(body []byte) error } { return &wire.GetInventorySchemaResponse{} },
	"DeleteInventory":                 func() interface{ Decode(body []byte) error } { return &wire.DeleteInventoryResponse{} },
	"AddTagsToResource":               func() interface{ Decode(body []byte) error } { return &wire.EmptyMessage{} },
	"RemoveTagsFromResource":          func() interface{ Decode(body []byte) error } { return &wire.EmptyMessage{} },
	"ListTagsForResource":             func() interface{ Decode(body []byte) error } { return &wire.ListTagsForResourceResponse{} },
	"CreateAssociation":               func() interface{ Decode(body []byte) error } { return &wire.AssociationDescriptionResponse{} },
	"UpdateAssociation":               func() interface{ Decode(body []byte) error } { return &wire.AssociationDescriptionResponse{} },
	"DescribeAssociation":             func() interface{ Decode(body []byte) error } { return &wire.AssociationDescriptionResponse{} },
	"UpdateAssociationStatus":         func() interface{ Decode(body []byte) error } { return &wire.AssociationDescriptionResponse{} },
	"DeleteAssociation":               func() interface{ Decode(body []byte) error } { return &wire.EmptyMessage{} },
	"StartAssociationsOnce":           func() interface{ Decode(body []byte) error } { return &wire.EmptyMessage{} },
	"UpdateInstanceAssociationStatus": func() interface{ Decode(body []byte) error } { return &wire.EmptyMessage{} },
	"CreateAssociationBatch":          func() interface{ Decode(body []byte) error } { return &wire.CreateAssociationBatchResponse{} },
	"ListAssociations":                func() interface{ Decode(body []byte) error } { return &wire.ListAssociationsResponse{} },
	"ListAssociationVersions":         func() interface{ Decode(body []byte) error } { return &wire.ListAssociationVersionsResponse{} },
	"DescribeAssociationExecutions":   func() interface{ Decode(body []byte) error } { return &wire.DescribeAssociationExecutionsResponse{} },
	"DescribeAssociationExecutionTargets": func() interface{ Decode(body []byte) error } {
		return &wire.DescribeAssociationExecutionTargetsResponse{}
	},
	"DescribeEffectiveInstanceAssociations": func() interface{ Decode(body []byte) error } {
		return &wire.DescribeEffectiveInstanceAssociationsResponse{}
	},
	"DescribeInstanceAssociationsStatus": func() interface{ Decode(body []byte) error } {
		return &wire.DescribeInstanceAssociationsStatusResponse{}
	},
	"ListInstanceAssociations":    func() interface{ Decode(body []byte) error } { return &wire.ListInstanceAssociationsResponse{} },
	"GetDocument":                 func() interface{ Decode(body []byte) error } { return &wire.GetDocumentResponse{} },
	"DescribeDocument":            func() interface{ Decode(body []byte) error } { return &wire.DescribeDocumentResponse{} },
	"ListDocuments":               func() interface{ Decode(body []byte) error } { return &wire.ListDocumentsResponse{} },
	"DescribeInventoryDeletions":  func() interface{ Decode(body []byte) error } { return &wire.DescribeInventoryDeletionsResponse{} },
	"CreateActivation":            func() interface{ Decode(body []byte) error } { return &wire.CreateActivationResponse{} },
	"DescribeActivations":         func() interface{ Decode(body []byte) error } { return &wire.DescribeActivationsResponse{} },
	"DeleteActivation":            func() interface{ Decode(body []byte) error } { return &wire.EmptyMessage{} },
	"DeregisterManagedInstance":   func() interface{ Decode(body []byte) error } { return &wire.EmptyMessage{} },
	"UpdateManagedInstanceRole":   func() interface{ Decode(body []byte) error } { return &wire.EmptyMessage{} },
	"UpdateInstanceInformation":   func() interface{ Decode(body []byte) error } { return &wire.EmptyMessage{} },
	"DescribeInstanceInformation": func() interface{ Decode(body []byte) error } { return &wire.DescribeInstanceInformationResponse{} },
	"DescribeInstanceProperties":  func() interface{ Decode(body []byte) error } { return &wire.DescribeInstancePropertiesResponse{} },
	"ListNodes":                   func() interface{ Decode(body []byte) error } { return &wire.ListManagedNodesResponse{} },
	"ListNodesSummary":            func() interface{ Decode(body []byte) error } { return &wire.ListNodesSummaryResponse{} },
	"Stocktake.ExplainNode":       func() interface{ Decode(body []byte) error } { return &wire.ExplainNodeResponse{} },
	"PutComplianceItems":          func() interface{ Decode(body []byte) error } { return &wire.EmptyMessage{} },
}

// printed shows an answer so that it is the same in every run: members sorted, what the script saved by its name, and
// what is random or of now by its kind. The wall clock is within a few minutes of a time that is of now.
func (s *script) printed(t testing.TB, status int, body string) string {
	t.Helper()
	if !strings.HasPrefix(body, "{") {
		return fmt.Sprintln(status, body)
	}
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	var b strings.Builder
	fmt.Fprint(&b, status, " ")
	render(&b, s.normal(t, "", v), 0)
	return b.String() + "\n"
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// signatureTime is how refusals of signatures write times.
var (
	signatureTime = regexp.MustCompile(`\d{8}T\d{6}Z`)
	// moment is how explanations write them.
	moment = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`)
)

func (s *script) normal(t testing.TB, member string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		started, updated := v["DeletionStartTime"], v["LastStatusUpdateTime"]
		for k := range v {
			v[k] = s.normal(t, k, v[k])
		}
		if started != nil {
			v["LastStatusUpdateTime"] = updateTime(v["LastStatus"], started, updated)
		}
	case []any:
		for i := range v {
			v[i] = s.normal(t, member, v[i])
		}
	case json.Number:
		if strings.HasSuffix(member, "Time") || strings.HasSuffix(member, "Date") {
			seconds, err := v.Float64()
			if err != nil {
				t.Fatal(err)
			}
			return recent(time.UnixMilli(int64(1000*seconds)), v.String())
		}
	case string:
		return s.normalText(member, v)
	}
	return v
}

// updateTime tells a job that was just made, by the time of its last news, from one that has gone on.
func updateTime(status, started, updated any) string {
	switch {
	case status == "Complete":
		return "<end>"
	case started == updated:
		return "<start>"
	}
	return "<after start>"
}

func (s *script) normalText(member, text string) string {
	for _, name := range slices.Sorted(maps.Keys(s.saved)) {
		if s.saved[name] != "" {
			text = strings.ReplaceAll(text, s.saved[name], "<"+name+">")
		}
	}
	text = moment.ReplaceAllString(signatureTime.ReplaceAllString(text, "<time>"), "<moment>")
	switch {
	case strings.HasPrefix(text, "<"):
	case member == "NextToken":
		return "<token>"
	case (member == "DeletionId" || member == "ActivationId") && uuid.MatchString(text):
		return "<uuid>"
	case member == "ActivationCode":
		return "<code>"
	case member == "CaptureTime":
		if at, err := time.Parse("2006-01-02T15:04:05Z", text); err == nil {
			return recent(at, text)
		}
	}
	return text
}

func recent(at time.Time, otherwise string) string {
	if time.Until(at.Add(-24*time.Hour)).Abs() < 5*time.Minute {
		return "<in a day>"
	}
	if time.Since(at).Abs() < 5*time.Minute {
		return "<now>"
	}
	return otherwise
}

// width is how long a line may be before a value is broken into its members.
const width = 120

func render(b *strings.Builder, v any, depth int) {
	line := compact(v)
	if len(line)+depth <= width {
		b.WriteString(line)
		return
	}
	indent := strings.Repeat(" ", depth+1)
	switch v := v.(type) {
	case map[string]any:
		open := "{"
		for _, k := range slices.Sorted(maps.Keys(v)) {
			fmt.Fprintf(b, "%s\n%s%s:", open, indent, compact(k))
			render(b, v[k], depth+1)
			open = ","
		}
		b.WriteString("}")
	case []any:
		open := "["
		for _, e := range v {
			fmt.Fprintf(b, "%s\n%s", open, indent)
			render(b, e, depth+1)
			open = ","
		}
		b.WriteString("]")
	default:
		b.WriteString(line)
	}
}

func compact(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // what was decoded can be encoded
	return strings.TrimSuffix(b.String(), "\n")
}
