package ssm_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"stocktake/internal/index/indextest"
	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
)

// TestModelRun does random operations on a service over memory and on one over disk, each closed and opened again at
// random, and holds every answer of both to a model that keeps plain entries and scans them. A failure names the seed.
func TestModelRun(t *testing.T) {
	const steps = 90
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel() // it waits for the disk
			m := &model{Rand: rand.New(rand.NewPCG(seed, 1)), t: t, nodes: map[inventory.NodeID]*modelNode{}, learnt: map[inventory.TypeName][]string{}}
			for _, open := range []func(testing.TB) *trial{newTrial, newPebbleTrial} {
				tr := open(t)
				tr.stop()
				tr.config.Extensions = true
				tr.start()
				defer tr.stop()
				m.trials = append(m.trials, tr)
			}
			for step := range steps {
				m.doing = fmt.Sprintf("seed %d, step %d: ", seed, step)
				m.step()
				for range 4 {
					m.ask()
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// model is what the services should hold.
type model struct {
	*rand.Rand
	t      *testing.T
	doing  string
	trials []*trial
	nodes  map[inventory.NodeID]*modelNode
	learnt map[inventory.TypeName][]string // attributes of Custom types
}

type modelNode struct {
	terminated bool
	items      map[inventory.ItemKey]modelItem
}

// modelItem is a document; entries are as they were put, without the context.
type modelItem struct {
	version, capture, hash string
	context                inventory.Entry
	entries                []inventory.Entry
}

func pick[T any](m *model, from ...T) T { return from[m.IntN(len(from))] }

func (m *model) node() inventory.NodeID { return node(m.IntN(14)) }

// each does one thing on every service and wants the same outcome of each.
func (m *model) each(what string, want inventory.Code, refused bool, do func(tr *trial) error) {
	m.t.Helper()
	m.doing += what
	for i, tr := range m.trials {
		err := do(tr)
		var refusal *inventory.Error
		if refused != (err != nil) || err != nil && (!errors.As(err, &refusal) || refusal.Code != want) {
			m.t.Errorf("%s: service %d answered %v; refused should be %v, with code %d", m.doing, i, err, refused, want)
		}
	}
}

func (m *model) step() {
	m.t.Helper()
	ctx := context.Background()
	id := m.node()
	known := m.nodes[id]
	switch n := m.IntN(100); {
	case n < 72:
		m.report(id)
	case n < 76:
		m.each("terminate "+string(id), inventory.InvalidInstanceID, known == nil, func(tr *trial) error { return tr.TerminateNode(ctx, home, id) })
		m.setStatus(id, true)
	case n < 80:
		m.each("register "+string(id), 0, false, func(tr *trial) error { return tr.RegisterNode(ctx, home, id) })
		if known == nil {
			m.nodes[id] = &modelNode{terminated: true, items: map[inventory.ItemKey]modelItem{}}
		}
		m.setStatus(id, false)
	case n < 83:
		m.each("remove "+string(id), inventory.InvalidInstanceID, known == nil, func(tr *trial) error { return tr.RemoveNode(ctx, home, id) })
		delete(m.nodes, id)
	case n < 87:
		m.deleteType()
	case n < 92:
		m.each("upkeep", 0, false, func(tr *trial) error {
			_, err := tr.store.Prune(ctx, time.Now())
			_, swept := tr.store.Sweep(ctx)
			return errors.Join(err, swept)
		})
	default:
		m.doing += "restart"
		m.trials[m.IntN(len(m.trials))].restart()
	}
}

// setStatus cuts what was put of AWS:InstanceInformation when the status changes.
func (m *model) setStatus(id inventory.NodeID, terminated bool) {
	n := m.nodes[id]
	if n == nil || n.terminated == terminated {
		return
	}
	n.terminated = terminated
	n.items[inventory.ItemKey{Type: inventory.TypeInstanceInformation}] = modelItem{version: "1.0"}
}

func (m *model) deleteType() {
	m.t.Helper()
	t := pick(m, modelTypes[len(modelTypes)-2:]...).name
	option := pick(m, "", ssm.DeleteSchema)
	_, known := m.learnt[t]
	m.each("delete "+string(t)+" "+option, inventory.InvalidTypeName, !known, func(tr *trial) error {
		_, err := tr.remove(ssm.DeleteInventoryInput{Type: t, SchemaOption: option})
		return err
	})
	if !known {
		return
	}
	for _, tr := range m.trials {
		tr.finished()
	}
	for _, n := range m.nodes {
		delete(n.items, inventory.ItemKey{Type: t})
	}
	if option != "" {
		delete(m.learnt, t)
	}
}

// modelTypes are the types reported: names that meet, versions and numbers to order, attributes that are volatile.
var modelTypes = []struct {
	name       inventory.TypeName
	attributes map[string][]string
}{
	{"AWS:Application", map[string][]string{
		"InstalledTime": {"2020", "2021", "2022", "2023", "2024"}, "Name": {"bash", "BASH", "zsh", "", "Straße", "STRASSE"},
		"Version": {"1.0", "1.0~rc1", "1.9", "1.10", "01.10", "2"},
	}},
	{"AWS:InstanceDetailedInformation", map[string][]string{
		"CPUs": {"1", "2", "10", "02", "2.5", "-1", "many", ""}, "CPUModel": {"x", "y"},
	}},
	{inventory.TypeInstanceInformation, map[string][]string{
		"ComputerName": {"web1", "web2"}, "PlatformType": {"Linux", "Windows", "LINUX"}, "PlatformVersion": {"1", "10", "9"},
	}},
	{inventory.TypeComplianceItem, map[string][]string{"Id": {"KB1", "KB2", "KB3"}, "Status": {"COMPLIANT", "NON_COMPLIANT"}}},
	{"Custom:Rack", map[string][]string{"Location": {"A", "a", "B"}, "Units": {"1", "2", "10"}}},
	{"Custom:Dotted.Type", map[string][]string{"Name.Of": {"x", "y"}, "Name": {"z", "x"}}},
}

// contexts are what compliance items come in; two differ in what is volatile alone.
var contexts = []inventory.Entry{
	{{Name: "ComplianceType", Value: "Patch"}},
	{{Name: "ComplianceType", Value: "Patch"}, {Name: "ExecutionId", Value: "e1"}},
	{{Name: "ComplianceType", Value: "Patch"}, {Name: "ExecutionId", Value: "e2"}, {Name: "ExecutionType", Value: "Command"}},
	{{Name: "ComplianceType", Value: "Custom:Own"}, {Name: "ExecutionType", Value: "Command"}},
}

// item draws an item: whole, with or without a hash, or a hash alone.
func (m *model) item() inventory.Item {
	kind := pick(m, modelTypes...)
	it := inventory.Item{
		Type: kind.name, SchemaVersion: versionOf(kind.name), CaptureTime: fmt.Sprintf("20%02d-01-01T00:00:00Z", m.IntN(100)),
		ContentHash: pick(m, "", "h1", "h2"), HasContent: m.IntN(4) > 0, Bytes: 100,
	}
	if kind.name.Custom() {
		it.SchemaVersion = pick(m, "1.0", "2.0")
	}
	if kind.name == inventory.TypeComplianceItem {
		it.Context = pick(m, contexts...)
	}
	most := 5
	if kind.name == inventory.TypeInstanceInformation {
		most = 1
	}
	for range m.IntN(most + 1) {
		var e inventory.Entry
		for _, name := range sortedNames(kind.attributes) {
			if m.IntN(5) > 0 {
				e = append(e, inventory.Attribute{Name: name, Value: pick(m, kind.attributes[name]...)})
			}
		}
		it.Content = append(it.Content, e)
	}
	if !it.HasContent {
		it.Content = nil
		it.SchemaVersion = pick(m, it.SchemaVersion, "1.0", "9.9")
	}
	return it
}

func sortedNames(attributes map[string][]string) []string {
	var names []string
	for name := range attributes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func keyOf(it inventory.Item) inventory.ItemKey {
	sub, _ := it.Context.Get("ComplianceType")
	return inventory.ItemKey{Type: it.Type, SubType: sub}
}

func (m *model) report(id inventory.NodeID) {
	m.t.Helper()
	var items []inventory.Item
	for range 1 + m.IntN(3) {
		items = append(items, m.item())
	}
	after, code, refused := m.judge(id, items)
	m.each(fmt.Sprintf("report of %s: %+v", id, items), code, refused, func(tr *trial) error { return tr.report(id, items...) })
	if refused {
		return
	}
	m.nodes[id] = after
	for _, it := range items {
		if !it.Type.Custom() {
			continue
		}
		if _, known := m.learnt[it.Type]; !known {
			m.learnt[it.Type] = nil
		}
		for _, e := range it.Content {
			for _, a := range e {
				if !slices.Contains(m.learnt[it.Type], a.Name) {
					m.learnt[it.Type] = append(m.learnt[it.Type], a.Name)
				}
			}
		}
	}
}

// judge gives a node as it is after a report, or why the report is refused.
func (m *model) judge(id inventory.NodeID, items []inventory.Item) (after *modelNode, code inventory.Code, refused bool) {
	after = &modelNode{items: map[inventory.ItemKey]modelItem{{Type: inventory.TypeInstanceInformation}: {version: "1.0"}}}
	if old := m.nodes[id]; old != nil {
		if old.terminated {
			return nil, inventory.InvalidInstanceID, true
		}
		for key, item := range old.items {
			after.items[key] = item
		}
	}
	for _, it := range items {
		stored, ok := after.items[keyOf(it)]
		unchanged := ok && it.ContentHash != "" && stored.hash == it.ContentHash
		switch {
		case !it.Type.Custom() && it.SchemaVersion != versionOf(it.Type) && (it.HasContent || it.ContentHash == ""):
			return nil, inventory.UnsupportedInventorySchemaVersion, true
		case it.HasContent:
		case it.ContentHash == "":
			return nil, inventory.InvalidItemContent, true
		case !unchanged:
			return nil, inventory.ItemContentMismatch, true
		}
		next := modelItem{version: it.SchemaVersion, capture: it.CaptureTime, hash: it.ContentHash, context: it.Context, entries: it.Content}
		if unchanged {
			next.entries = stored.entries
		}
		if unchanged && !it.HasContent {
			next.version = stored.version
		}
		after.items[keyOf(it)] = next
	}
	return after, 0, false
}

// entries gives a document's entries as they are answered.
func (m *model) entries(id inventory.NodeID, key inventory.ItemKey) []inventory.Entry {
	n := m.nodes[id]
	item := n.items[key]
	if key.Type != inventory.TypeInstanceInformation {
		out := make([]inventory.Entry, len(item.entries))
		for i, e := range item.entries {
			out[i] = e.Merge(item.context)
		}
		return out
	}
	if n.terminated {
		return []inventory.Entry{entry("InstanceId", string(id), "InstanceStatus", "Terminated")}
	}
	made := entry("InstanceId", string(id), "InstanceStatus", "Active", "ResourceType", "EC2Instance")
	if len(item.entries) > 0 {
		made = item.entries[0].Merge(made)
	}
	return []inventory.Entry{made}
}

// fleet lays the model out for a plain scan.
func (m *model) fleet() *indextest.Fleet {
	f := &indextest.Fleet{}
	for id, n := range m.nodes {
		for key := range n.items {
			f.Put(id, key, m.entries(id, key))
		}
	}
	return f
}

// Schema makes the model an inventory.Catalogue.
func (m *model) Schema(t inventory.TypeName) (inventory.Schema, bool) {
	if s, ok := inventory.BuiltIn(t); ok {
		return s, true
	}
	names, ok := m.learnt[t]
	s := inventory.Schema{Type: t}
	for _, name := range names {
		s.Attributes = append(s.Attributes, inventory.SchemaAttribute{Name: name})
	}
	return s, ok
}
