package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// oneOrMore is a text or a list of texts.
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	var all []string
	if err := json.Unmarshal(text, &all); err != nil || len(all) == 0 {
		return errors.New("a string or a list of strings is expected")
	}
	*o = all
	return nil
}

// trustDocument is what is taken of a role's trust policy; everything else is refused.
type trustDocument struct {
	Version   string
	ID        string `json:"Id"`
	Statement json.RawMessage
}

type trustStatement struct {
	Sid, Effect string
	Principal   struct{ AWS oneOrMore }
	Action      oneOrMore
}

// parseTrust reads who may assume a role: ARNs of principals of the role's own account, where the account's own stands for
// everyone in it.
func parseTrust(account, text string) ([]string, error) {
	var document trustDocument
	if err := strict([]byte(text), &document); err != nil {
		return nil, fmt.Errorf("trust policy: %w", err)
	}
	if document.Version != "2012-10-17" && document.Version != "2008-10-17" && document.Version != "" {
		return nil, fmt.Errorf("trust policy: Version: unknown version %q; write 2012-10-17", document.Version)
	}
	var statements []trustStatement
	if first := bytes.TrimSpace(document.Statement); len(first) > 0 && first[0] == '{' {
		statements = make([]trustStatement, 1)
		if err := strict(first, &statements[0]); err != nil {
			return nil, fmt.Errorf("trust policy: Statement: %w", err)
		}
	} else if err := strict(first, &statements); err != nil {
		return nil, fmt.Errorf("trust policy: Statement: %w", err)
	}
	var trusted []string
	for i, s := range statements {
		if s.Effect != "Allow" {
			return nil, fmt.Errorf("trust policy: Statement[%d].Effect: %q is not Allow, and nothing else is taken here", i, s.Effect)
		}
		if len(s.Action) != 1 || s.Action[0] != "sts:AssumeRole" {
			return nil, fmt.Errorf("trust policy: Statement[%d].Action: it must be sts:AssumeRole", i)
		}
		if len(s.Principal.AWS) == 0 {
			return nil, fmt.Errorf("trust policy: Statement[%d].Principal: it must be {\"AWS\": ...}", i)
		}
		for _, p := range s.Principal.AWS {
			arn, err := trustedARN(account, p)
			if err != nil {
				return nil, fmt.Errorf("trust policy: Statement[%d].Principal.AWS: %w", i, err)
			}
			trusted = append(trusted, arn)
		}
	}
	if len(trusted) == 0 {
		return nil, errors.New("trust policy: it has no Statement")
	}
	return trusted, nil
}

// strict reads one JSON value without members that are not known.
func strict(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("it cannot be judged as it is written; a statement has Sid, Effect, Principal with AWS, and Action, and nothing else: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more after the JSON")
	}
	return nil
}

func trustedARN(account, principal string) (string, error) {
	own := "arn:aws:iam::" + account + ":"
	name, ok := strings.CutPrefix(principal, own)
	switch {
	case principal == account:
		return own + "root", nil
	case !ok:
		return "", fmt.Errorf("%q is not of the role's own account; write %s, or %suser/NAME or %srole/NAME", principal, account, own, own)
	case name == "root", strings.HasPrefix(name, "user/"), strings.HasPrefix(name, "role/"):
		if strings.ContainsAny(name, "*?") {
			return "", fmt.Errorf("%q: wildcards are not taken in a principal", principal)
		}
		return principal, nil
	}
	return "", fmt.Errorf("%q is neither the account, a user nor a role", principal)
}

// trusts reports whether a role may be assumed by a principal, as far as the role has a say.
func (r *role) trusts(p *Principal) bool {
	arn := p.ARN
	if p.role != "" {
		arn = p.role
	}
	return p.Account == r.Account && p.node.Node == "" &&
		(slices.Contains(r.trusted, "arn:aws:iam::"+r.Account+":root") || slices.Contains(r.trusted, arn))
}
