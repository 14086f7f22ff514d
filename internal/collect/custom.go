package collect

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"stocktake/internal/inventory"
)

// The documented rules of custom inventory files. Lengths count characters.
const (
	maxCustomFiles       = 20
	maxCustomTypeName    = 100
	maxCustomAttributes  = 50
	maxCustomName        = 64
	maxCustomValue       = 4096
	maxCustomFileBytes   = 2 * maxItemBytes
	customFolderTemplate = "/var/lib/amazon/ssm/%s/inventory/custom"
)

var customVersion = regexp.MustCompile(`^[0-9]{1,6}\.[0-9]{1,6}$`)

// custom reads the items of a folder of *.json files. A file against the rules is a Problem and the others count; of
// two files of one type the first by name counts. The stock agent's own folder may be missing; one that was asked for
// may not.
func (m *Machine) custom(o Options, captured string) ([]inventory.Item, []Problem, error) {
	folder := o.CustomDir
	if folder == "" {
		if !o.Node.Valid() {
			return nil, nil, nil
		}
		folder = m.path(fmt.Sprintf(customFolderTemplate, o.Node))
	}
	names, err := customFiles(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist) && o.CustomDir == "":
		return nil, nil, nil
	case err != nil:
		return nil, nil, fmt.Errorf("read the folder of custom inventory: %w", err)
	case len(names) > maxCustomFiles:
		return nil, nil, fmt.Errorf("%s holds %d custom inventory files, and may hold %d: merge or remove some", folder, len(names), maxCustomFiles)
	}
	var items []inventory.Item
	var problems []Problem
	for _, name := range names {
		item, err := readCustom(filepath.Join(folder, name), captured)
		if err == nil && slices.ContainsFunc(items, func(i inventory.Item) bool { return i.Type == item.Type }) {
			err = errors.New("another file before it is of the same type")
		}
		if err != nil {
			problems = append(problems, Problem{item.Type, fmt.Errorf("custom inventory file %s passed over: %w", name, err)})
			continue
		}
		items = append(items, item)
	}
	return items, problems, nil
}

func customFiles(folder string) ([]string, error) {
	files, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if filepath.Ext(f.Name()) == ".json" && !f.IsDir() {
			names = append(names, f.Name())
		}
	}
	return names, nil
}

func readCustom(path, captured string) (inventory.Item, error) {
	text, err := readBounded(path, maxCustomFileBytes)
	if err != nil {
		return inventory.Item{}, err
	}
	return parseCustom(text, captured)
}

// parseCustom reads one file: a type name, a schema version, and content that is one object or a list of objects, all
// of whose values are strings. On an error the item names the type as far as it was read.
func parseCustom(text []byte, captured string) (inventory.Item, error) {
	var file struct {
		TypeName      string
		SchemaVersion string
		Content       json.RawMessage
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return inventory.Item{}, fmt.Errorf("not a JSON object of TypeName, SchemaVersion and Content: %w", err)
	}
	item := inventory.Item{Type: inventory.TypeName(file.TypeName)}
	switch {
	case !item.Type.Custom():
		return item, fmt.Errorf("TypeName %q does not begin with Custom:", file.TypeName)
	case utf8.RuneCountInString(file.TypeName) > maxCustomTypeName:
		return item, fmt.Errorf("TypeName is longer than %d characters", maxCustomTypeName)
	case !customVersion.MatchString(file.SchemaVersion):
		return item, fmt.Errorf("SchemaVersion %q is not two numbers with a dot between, like 1.0", file.SchemaVersion)
	}
	rows, err := customRows(file.Content)
	if err != nil {
		return item, err
	}
	return newItem(item.Type, file.SchemaVersion, captured, rows)
}

func customRows(content json.RawMessage) ([]map[string]string, error) {
	trimmed := strings.TrimLeft(string(content), " \t\r\n")
	if strings.HasPrefix(trimmed, "{") {
		content = json.RawMessage("[" + trimmed + "]")
	} else if !strings.HasPrefix(trimmed, "[") {
		return nil, errors.New("Content is missing, or neither an object nor a list of objects")
	}
	var raw []map[string]any
	if err := json.Unmarshal(content, &raw); err != nil {
		return nil, fmt.Errorf("Content is not a list of objects: %w", err)
	}
	rows := make([]map[string]string, len(raw))
	for i, attributes := range raw {
		row, err := customRow(attributes)
		if err != nil {
			return nil, fmt.Errorf("entry %d of Content: %w", i+1, err)
		}
		rows[i] = row
	}
	return rows, nil
}

func customRow(attributes map[string]any) (map[string]string, error) {
	if attributes == nil {
		return nil, errors.New("null is no entry")
	}
	if len(attributes) > maxCustomAttributes {
		return nil, fmt.Errorf("%d attributes, and an entry may have %d", len(attributes), maxCustomAttributes)
	}
	row := make(map[string]string, len(attributes))
	for name, value := range attributes {
		text, ok := value.(string)
		switch {
		case name == "":
			return nil, errors.New("an attribute without a name")
		case utf8.RuneCountInString(name) > maxCustomName:
			return nil, fmt.Errorf("an attribute's name is longer than %d characters: %.80q", maxCustomName, name)
		case !ok:
			return nil, fmt.Errorf("the value of %q is not a string: put it in quotes", name)
		case utf8.RuneCountInString(text) > maxCustomValue:
			return nil, fmt.Errorf("the value of %q is longer than %d characters: split it over several attributes", name, maxCustomValue)
		}
		row[name] = text
	}
	return row, nil
}
