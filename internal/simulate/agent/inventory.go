package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/simulate"
)

// document is what the agent keeps of a document's text.
type document struct {
	checksum string
	defaults map[string]string // of the parameters
	inputs   map[string]string // of the one step
}

// document gives an association's document, which is asked for again only when its checksum has changed.
func (a *Agent) document(ctx context.Context, s *association) (document, error) {
	const action = "GetDocument"
	if doc, ok := a.documents[s.AssociationId]; ok && doc.checksum == s.Checksum {
		return doc, nil
	}
	text, err := a.do(ctx, a.asRole(ssm, action, struct{ Name, DocumentVersion string }{s.Name, s.DocumentVersion}))
	if err != nil {
		return document{}, err
	}
	var answer struct{ Content string }
	if err := read(action, text, &answer, "Content"); err != nil {
		return document{}, err
	}
	doc, err := parse(answer.Content)
	if err == nil {
		doc.checksum = s.Checksum
		a.documents[s.AssociationId] = doc
	}
	return doc, err
}

// parse reads the text of a document with one step, that of inventory.
func parse(content string) (document, error) {
	var text struct {
		SchemaVersion string `json:"schemaVersion"`
		Parameters    map[string]struct {
			Default json.RawMessage `json:"default"`
		} `json:"parameters"`
		MainSteps []struct {
			Action string         `json:"action"`
			Inputs map[string]any `json:"inputs"`
		} `json:"mainSteps"`
	}
	if err := json.Unmarshal([]byte(content), &text); err != nil {
		return document{}, fmt.Errorf("the document is no JSON: %w", err)
	}
	switch text.SchemaVersion {
	case "2.0", "2.0.1", "2.0.2", "2.0.3", "2.2":
	default:
		return document{}, fmt.Errorf("the schema version %q of the document is not supported", text.SchemaVersion)
	}
	if len(text.MainSteps) != 1 || text.MainSteps[0].Action != "aws:softwareInventory" {
		return document{}, fmt.Errorf("the document has not the one step aws:softwareInventory: %v", text.MainSteps)
	}
	doc := document{defaults: map[string]string{}, inputs: map[string]string{}}
	for name, p := range text.Parameters {
		if len(p.Default) > 0 {
			if err := json.Unmarshal(p.Default, new(string)); err != nil {
				return document{}, fmt.Errorf("the default of parameter %s is no string", name)
			}
			var value string
			_ = json.Unmarshal(p.Default, &value) // checked above
			doc.defaults[name] = value
		}
	}
	for name, value := range text.MainSteps[0].Inputs {
		doc.inputs[name] = fmt.Sprint(value)
	}
	return doc, nil
}

var reference = regexp.MustCompile(`^\{\{\s*([A-Za-z0-9]+)\s*\}\}$`)

// input gives the value of one of the step's inputs for an association.
func (d document) input(name string, s *association) (string, error) {
	value := d.inputs[name]
	found := reference.FindStringSubmatch(value)
	if found == nil {
		return value, nil
	}
	if given, ok := s.Parameters[found[1]]; ok {
		return strings.Join(given, ","), nil
	}
	value, ok := d.defaults[found[1]]
	if !ok {
		return "", fmt.Errorf("parameter %s has neither a value nor a default", found[1])
	}
	return value, nil
}

// gatherers gives, by type, the input that switches it on.
var gatherers = map[inventory.TypeName]string{
	"AWS:Application": "applications", "AWS:AWSComponent": "awsComponents", "AWS:Network": "networkConfig",
	"AWS:WindowsUpdate": "windowsUpdates", "AWS:InstanceDetailedInformation": "instanceDetailedInformation",
	"AWS:Service": "services", "AWS:WindowsRole": "windowsRoles", "AWS:BillingInfo": "billingInfo",
	"AWS:File": "files", "AWS:WindowsRegistry": "windowsRegistry",
}

// wanted says whether a type is to be gathered. The service makes AWS:InstanceInformation of the heartbeat.
func (d document) wanted(t inventory.TypeName, s *association) (bool, error) {
	input, ok := gatherers[t]
	switch {
	case strings.HasPrefix(string(t), "Custom:"):
		input = "customInventory"
	case !ok:
		return false, nil
	}
	value, err := d.input(input, s)
	if input == "files" || input == "windowsRegistry" {
		return value != "", err
	}
	return value == "Enabled", err
}

// report gathers and sends: what did not change since it was taken goes as its hash, and everything goes in full once more
// when the service knows it otherwise.
func (a *Agent) report(ctx context.Context, doc document, s *association, number int) error {
	items, err := a.gather(doc, s, number)
	if err != nil {
		return err
	}
	if err := a.sleep(ctx, a.jitter(mostJitter)); err != nil {
		return err
	}
	if len(items) == 0 {
		return nil
	}
	err = a.put(ctx, a.slim(items))
	if code := codeOf(err); code == "ItemContentMismatchException" || code == "InvalidItemContentException" {
		a.again.Add(1)
		if err := a.sleep(ctx, a.jitter(mostJitter)); err != nil {
			return err
		}
		err = a.put(ctx, items)
	}
	if err != nil {
		return err
	}
	a.disk.mu.Lock()
	defer a.disk.mu.Unlock()
	for _, item := range items {
		a.disk.hashes[item.Type] = item.ContentHash
	}
	return nil
}

func (a *Agent) gather(doc document, s *association, number int) ([]inventory.Item, error) {
	captured := time.Now().UTC().Format("2006-01-02T15:04:05Z")
	var items []inventory.Item
	for _, item := range a.config.Gather(number) {
		ok, err := doc.wanted(item.Type, s)
		if err != nil {
			return nil, err
		}
		if ok {
			item.CaptureTime = captured
			items = append(items, item)
		}
	}
	a.random.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	return items, nil
}

// slim leaves out the content of what the service took last. As the stock agent does, it then states the schema version of
// the item it looked at last, whatever the type.
func (a *Agent) slim(items []inventory.Item) []inventory.Item {
	a.disk.mu.Lock()
	defer a.disk.mu.Unlock()
	out := append([]inventory.Item(nil), items...)
	for i := range out {
		if a.disk.hashes[out[i].Type] == out[i].ContentHash {
			out[i].Content, out[i].HasContent = nil, false
			out[i].SchemaVersion = items[len(items)-1].SchemaVersion
		}
	}
	return out
}

func (a *Agent) put(ctx context.Context, items []inventory.Item) error {
	const action = "PutInventory"
	body := simulate.Report{Node: inventory.NodeID(a.disk.Node), Items: items}.AppendPutInventory(nil)
	text, err := a.do(ctx, a.asRole(ssm, action, body))
	if err != nil {
		return err
	}
	for _, item := range items {
		if item.HasContent {
			a.full.Add(1)
		} else {
			a.hashOnly.Add(1)
		}
	}
	return read(action, text, nil)
}
