package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// maxDepth is how deep the JSON of a policy may nest. The deepest a policy needs is seven: the value in the list of a key
// of an operator of the condition of a statement in the list of the policy.
const maxDepth = 10

// kind is the kind of a JSON value; its text is how errors speak of it.
type kind string

const (
	objectKind  kind = "an object"
	listKind    kind = "a list"
	stringKind  kind = "a string"
	numberKind  kind = "a number"
	booleanKind kind = "true or false"
	nullKind    kind = "null"
)

// A place is where in the policy a value stands, nil for the policy as a whole. Places share what they have in common, and
// are written out for an error alone: of many values in a list under a long name each would repeat that.
type place struct {
	in     *place
	member string
	item   int // its number in a list, -1 for a member
}

func (p *place) String() string {
	switch {
	case p == nil:
		return ""
	case p.item >= 0:
		return fmt.Sprintf("%s[%d]", p.in, p.item)
	case p.in == nil:
		return p.member
	}
	return p.in.String() + "." + p.member
}

// A value is a JSON value and where in the policy it stands. Of numbers and booleans it keeps the text.
type value struct {
	path    *place
	kind    kind
	text    string
	items   []value
	members []member
}

type member struct {
	name  string
	value value
}

func (v value) member(name string) (value, bool) {
	for _, m := range v.members {
		if m.name == name {
			return m.value, true
		}
	}
	return value{}, false
}

// readJSON reads one JSON value, all of text.
func readJSON(text []byte) (value, error) {
	if !utf8.Valid(text) {
		return value{}, errors.New("the policy is not valid UTF-8")
	}
	var raw json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line := 1 + bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n"))
			return value{}, fmt.Errorf("the policy is not JSON: line %d: %w", line, err)
		}
		return value{}, fmt.Errorf("the policy is not JSON: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	r := reader{decoder}
	return r.value(nil, 0)
}

// A reader makes values of tokens, of text known to be JSON.
type reader struct{ decoder *json.Decoder }

func (r reader) value(path *place, depth int) (value, error) {
	token, err := r.decoder.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return value{}, err
	}
	if depth > maxDepth {
		return value{}, problem(path, "it is nested deeper than %d levels", maxDepth)
	}
	v := value{path: path}
	switch t := token.(type) {
	case string:
		v.kind, v.text = stringKind, t
	case json.Number:
		v.kind, v.text = numberKind, t.String()
	case bool:
		v.kind, v.text = booleanKind, strconv.FormatBool(t)
	case json.Delim:
		if t == '[' {
			return r.list(v, depth)
		}
		return r.object(v, depth)
	default:
		v.kind = nullKind
	}
	return v, nil
}

func (r reader) list(v value, depth int) (value, error) {
	v.kind = listKind
	for r.decoder.More() {
		item, err := r.value(&place{in: v.path, item: len(v.items)}, depth+1)
		if err != nil {
			return value{}, err
		}
		v.items = append(v.items, item)
	}
	_, err := r.decoder.Token()
	return v, err
}

func (r reader) object(v value, depth int) (value, error) {
	v.kind = objectKind
	seen := map[string]bool{}
	for r.decoder.More() {
		token, err := r.decoder.Token()
		if err != nil {
			return value{}, err
		}
		name, _ := token.(string)
		path := &place{in: v.path, member: name, item: -1}
		if seen[name] {
			return value{}, problem(path, "it is given twice")
		}
		seen[name] = true
		of, err := r.value(path, depth+1)
		if err != nil {
			return value{}, err
		}
		v.members = append(v.members, member{name, of})
	}
	_, err := r.decoder.Token()
	return v, err
}
