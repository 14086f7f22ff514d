package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"stocktake/internal/iam"
)

// user reads a user of an account.
func (l *layers) user(at string, n *yaml.Node) (iam.DeclaredUser, error) {
	var u iam.DeclaredUser
	written := map[string]*yaml.Node{}
	err := l.each(at, n, readers{
		"name": func(_ string, v *yaml.Node) (err error) { u.Name, err = plain(v, false); return err },
		"path": func(_ string, v *yaml.Node) (err error) { u.Path, err = plain(v, false); return err },
		"policies": func(at string, v *yaml.Node) (err error) {
			u.Policies, err = l.policies(at, v, written)
			return err
		},
		"attached_policies": func(_ string, v *yaml.Node) (err error) {
			u.Attached, err = listed("", v, func(_ string, m *yaml.Node) (string, error) { return plain(m, false) })
			return err
		},
		"access_keys": func(at string, v *yaml.Node) (err error) {
			u.Keys, err = listed(at, v, func(at string, v *yaml.Node) (iam.Key, error) {
				var k iam.Key
				return k, l.key(at, v, &k, nil)
			})
			return err
		},
	})
	if err != nil {
		return u, err
	}
	return u, l.declared(at, n, written, u.Check())
}

// role reads a role of an account.
func (l *layers) role(at string, n *yaml.Node, account string) (iam.DeclaredRole, error) {
	var r iam.DeclaredRole
	written := map[string]*yaml.Node{}
	err := l.each(at, n, readers{
		"name":        func(_ string, v *yaml.Node) (err error) { r.Name, err = plain(v, false); return err },
		"path":        func(_ string, v *yaml.Node) (err error) { r.Path, err = plain(v, false); return err },
		"description": func(_ string, v *yaml.Node) (err error) { r.Description, err = plain(v, false); return err },
		"max_session": func(_ string, v *yaml.Node) (err error) { r.MaxSession, err = span(v); return err },
		"trust": func(_ string, v *yaml.Node) (err error) {
			r.Trust, err = l.policy(v)
			return err
		},
		"policies": func(at string, v *yaml.Node) (err error) {
			r.Policies, err = l.policies(at, v, written)
			return err
		},
		"attached_policies": func(_ string, v *yaml.Node) (err error) {
			r.Attached, err = listed("", v, func(_ string, m *yaml.Node) (string, error) { return plain(m, false) })
			return err
		},
	})
	if err == nil && r.Trust == "" {
		err = l.wrong(at, n, errors.New("trust is missing: it says who may assume the role"))
	}
	if err != nil {
		return r, err
	}
	return r, l.declared(at, n, written, r.Check(account))
}

// declared gives what is wrong with a user or role its place: in a policy, the line of what is wrong there.
func (l *layers) declared(at string, n *yaml.Node, written map[string]*yaml.Node, err error) error {
	if err == nil {
		return nil
	}
	if pe := (*iam.PolicyError)(nil); errors.As(err, &pe) {
		if of := written[pe.Name]; of != nil {
			path, _, _ := strings.Cut(pe.Err.Error(), ": ")
			n = within(of, path)
		}
	}
	return l.wrong(at, n, err)
}

// policies reads a mapping of policies by their names, and notes where each is written.
func (l *layers) policies(at string, n *yaml.Node, written map[string]*yaml.Node) (map[string]string, error) {
	pairs, err := mapping(n)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, p := range pairs {
		if all[p.key], err = l.policy(p.value); err != nil {
			return nil, l.wrong(at+"."+p.key, p.value, err)
		}
		written[p.key] = p.value
	}
	return all, nil
}

// mostPolicy bounds the text of a policy: no policy that is taken is longer.
const mostPolicy = 131_072

// policy gives the JSON of a policy: a mapping that says the same, the JSON as a text, or {file: NAME}.
func (l *layers) policy(n *yaml.Node) (string, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode {
		return plain(n, false)
	}
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[0].Value == "file" {
		name, err := plain(n.Content[1], false)
		if err != nil {
			return "", err
		}
		return readPolicy(l.beside(name))
	}
	text, err := appendJSON(nil, n, 0)
	return string(text), err
}

func readPolicy(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostPolicy+1))
	if err == nil && len(text) > mostPolicy {
		err = fmt.Errorf("%s has more than the %d bytes of a policy", path, mostPolicy)
	}
	return string(text), err
}

// deepestPolicy bounds how deep a policy nests, and with it what an alias of itself does.
const deepestPolicy = 16

// appendJSON writes a value of the file as JSON. What is no mapping, list or truth is a string, as it is written: dates and
// account numbers are such.
func appendJSON(dst []byte, n *yaml.Node, depth int) ([]byte, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if depth > deepestPolicy || len(dst) > mostPolicy {
		return nil, fmt.Errorf("line %d: it is too long or nested too deep for a policy", n.Line)
	}
	switch n.Kind {
	case yaml.MappingNode:
		pairs, err := mapping(n)
		if err != nil {
			return nil, err
		}
		dst = append(dst, '{')
		for i, p := range pairs {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendText(dst, p.key), ':')
			if dst, err = appendJSON(dst, p.value, depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	case yaml.SequenceNode:
		dst = append(dst, '[')
		var err error
		for i, m := range n.Content {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendJSON(dst, m, depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	}
	switch n.Tag {
	case "!!null":
		return append(dst, "null"...), nil
	case "!!bool":
		return append(dst, strings.ToLower(n.Value)...), nil
	}
	return appendText(dst, n.Value), nil
}

func appendText(dst []byte, text string) []byte {
	quoted, _ := json.Marshal(text) // a string is always JSON
	return append(dst, quoted...)
}

// within finds the part of a policy that a path such as Statement[1].Condition.Bool names, or the nearest around it.
func within(n *yaml.Node, path string) *yaml.Node {
	for path != "" {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		switch n.Kind {
		case yaml.SequenceNode:
			var i int
			if _, err := fmt.Sscanf(path, "[%d]", &i); err != nil || i < 0 || i >= len(n.Content) {
				return n
			}
			_, path, _ = strings.Cut(path, "]")
			n = n.Content[i]
		case yaml.MappingNode:
			next, rest := policyMember(n, strings.TrimPrefix(path, "."))
			if next == nil {
				return n
			}
			n, path = next, rest
		default:
			return n
		}
	}
	return n
}

// policyMember finds the member of a mapping that a path begins with, and gives the rest. A name may hold dots.
func policyMember(n *yaml.Node, path string) (*yaml.Node, string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		rest, ok := strings.CutPrefix(path, n.Content[i].Value)
		if ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			if value := n.Content[i+1]; rest != "" {
				return value, rest
			}
			return n.Content[i], "" // its own line
		}
	}
	return nil, ""
}
