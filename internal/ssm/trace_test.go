package ssm_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
)

// everything is all that a store holds and the index tells of it.
type everything struct {
	Heads   []inventory.Position
	Nodes   map[string]store.NodeScan
	Records map[string]string
	Schemas []inventory.Schema
	Index   string
}

func (tr *trial) everything() everything {
	tr.t.Helper()
	ctx := context.Background()
	all := everything{Nodes: map[string]store.NodeScan{}, Records: map[string]string{}}
	var err error
	if all.Heads, err = tr.store.Heads(ctx); err != nil {
		tr.t.Fatal(err)
	}
	for shard := range all.Heads {
		nodes, more, err := tr.store.Scan(ctx, shard, nil, 1<<20)
		if err != nil || more {
			tr.t.Fatalf("scan: %v, more %v", err, more)
		}
		for _, n := range nodes {
			all.Nodes[string(n.Node.Key.Node)] = n
		}
	}
	records, err := tr.store.ListRecords(ctx, "", "", 1<<20)
	if err != nil {
		tr.t.Fatal(err)
	}
	for _, r := range records {
		if !strings.HasPrefix(r.Key, "service/") { // the service's own mark that it is up
			all.Records[r.Key] = fmt.Sprintf("%d %s", r.Revision, r.Value)
		}
	}
	out, err := tr.GetInventorySchema(ctx, home, ssm.GetInventorySchemaInput{})
	if err != nil {
		tr.t.Fatal(err)
	}
	all.Schemas = out.Schemas
	all.Index = fmt.Sprint(tr.replica.Index().Stats())
	return all
}

// withHash gives an item a hash.
func withHash(it inventory.Item, hash string) inventory.Item {
	it.ContentHash = hash
	return it
}

// hashOnly makes an item without content.
func hashOnly(t inventory.TypeName, hash string) inventory.Item {
	return inventory.Item{Type: t, SchemaVersion: versionOf(t), CaptureTime: "2026-01-02T03:04:05Z", ContentHash: hash, Bytes: 100}
}

// TestRefusedReportsLeaveNoTrace sends reports whose last item is refused after others taught and stored something, to a
// known and to an unknown node: store, schemas and index are as before.
func TestRefusedReportsLeaveNoTrace(t *testing.T) {
	lessons := func() []inventory.Item {
		return []inventory.Item{
			withHash(item(application, entry("Name", "new")), "h2"),
			item(rack, entry("Location", "new", "Depth", "new")),
			item("Custom:New", entry("Name", "new")),
			compliance("Custom:New", entry("Id", "new")),
		}
	}
	wrongVersion, large := item(application), item(application)
	wrongVersion.SchemaVersion, large.Bytes = "9.9", 4<<20
	context := item(application)
	context.Context = entry("ComplianceType", "Patch")
	neither := hashOnly(application, "")
	last := map[inventory.Code][]inventory.Item{
		inventory.InvalidTypeName:                   {item("AWS:Nonsense")},
		inventory.UnsupportedInventorySchemaVersion: {wrongVersion},
		inventory.UnsupportedInventoryItemContext:   {context},
		inventory.InvalidInventoryItemContext:       {item(inventory.TypeComplianceItem)},
		inventory.SubTypeCountLimitExceeded:         {compliance("Custom:1"), compliance("Custom:2"), compliance("Custom:3")},
		inventory.InvalidItemContent:                {neither},
		inventory.ItemContentMismatch:               {hashOnly(file, "x")},
		inventory.ItemSizeLimitExceeded:             {large},
		inventory.TotalSizeLimitExceeded:            {sized(2<<20, "Custom:S1"), sized(2<<20, "Custom:S2"), sized(2<<20, "Custom:S3"), sized(2<<20, "Custom:S4"), sized(2<<20, "Custom:S5")},
		inventory.CustomSchemaCountLimitExceeded:    {item("Custom:A"), item("Custom:B"), item("Custom:C")},
	}
	tr := newTrial(t)
	tr.stop()
	tr.config.Limits.CustomTypes, tr.config.Limits.ComplianceTypes = 4, 3
	tr.start()
	defer tr.stop()
	tr.mustReport(node(1), withHash(item(application, entry("Name", "old")), "h1"), item(rack, entry("Location", "old")))
	before := tr.everything()
	for code, items := range last {
		for _, id := range []inventory.NodeID{node(1), node(2)} {
			wantCode(t, tr.report(id, append(lessons(), items...)...), code)
		}
		if diff := cmp.Diff(before, tr.everything()); diff != "" {
			t.Errorf("code %d left a trace (-before +after):\n%s", code, diff)
		}
	}
	wantCode(t, tr.report("mi-00000000000000001", lessons()...), inventory.InvalidInstanceID)
	if diff := cmp.Diff(before, tr.everything()); diff != "" {
		t.Errorf("an unregistered node left a trace (-before +after):\n%s", diff)
	}
}

func compliance(sub string, entries ...inventory.Entry) inventory.Item {
	it := item(inventory.TypeComplianceItem, entries...)
	it.Context = entry("ComplianceType", sub)
	return it
}

func sized(bytes int, t inventory.TypeName) inventory.Item {
	it := item(t, entry("Name", "x"))
	it.Bytes = bytes
	return it
}

// TestUnchangedReportsWriteTheRecordAlone holds a report that says nothing new to no change in the feed.
func TestUnchangedReportsWriteTheRecordAlone(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	entries := []inventory.Entry{entry("Name", "b", "InstalledTime", "1"), entry("Name", "a"), entry("Name", "b", "InstalledTime", "1")}
	tr.mustReport(node(1), withHash(item(application, entries...), "h"))
	before := tr.everything()
	for name, it := range map[string]inventory.Item{
		"by hash":       hashOnly(application, "h"),
		"in full":       withHash(item(application, entries...), "h"),
		"without hash":  item(application, entries...),
		"by other hash": withHash(item(application, entries...), "other"),
	} {
		tr.mustReport(node(1), withHash(item(application, entries...), "h"))
		tr.mustReport(node(1), it)
		if diff := cmp.Diff(before.Heads, tr.everything().Heads); diff != "" {
			t.Errorf("reported again %s, the feed has moved:\n%s", name, diff)
		}
	}
	_, unchanged, _ := tr.Counters().Reports()
	if unchanged != 8 {
		t.Errorf("%d reports are counted as unchanged", unchanged)
	}
}

// TestVersionsLeaveNoTrail reports under ever other versions: the record of the type keeps the highest alone.
func TestVersionsLeaveNoTrail(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	size := func() (n int) {
		records, err := tr.store.ListRecords(t.Context(), store.Key("schema", home.Account, home.Region, ""), "", 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			n += len(r.Value)
		}
		return n
	}
	put := func(version string) {
		t.Helper()
		it := item("Custom:Rack", entry("Name", "a"))
		it.SchemaVersion = version
		tr.mustReport(node(1), it)
	}
	put("100.100")
	first := size()
	for i := range 20 {
		put(fmt.Sprintf("%d.1", 101+i))
		put(fmt.Sprintf("%d.1", 1+i))
	}
	if now := size(); now > first {
		t.Errorf("the record grew from %d to %d bytes", first, now)
	}
	out, err := tr.GetInventorySchema(t.Context(), home, ssm.GetInventorySchemaInput{Type: "Custom:Rack"})
	if err != nil || len(out.Schemas) != 1 || out.Schemas[0].Version != "120.1" {
		t.Errorf("schemas %+v, error %v, want version 120.1", out.Schemas, err)
	}
}
