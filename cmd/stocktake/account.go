package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"stocktake/internal/iam"
)

var (
	accountID     = regexp.MustCompile(`^[0-9]{12}$`)
	accessKeyID   = regexp.MustCompile(`^\w{3,128}$`)
	actionPattern = regexp.MustCompile(`^(\*|(ssm|stocktake):[A-Za-z*?]+)$`)
	nodePattern   = regexp.MustCompile(`^[\w*?-]+$`)
)

// accounts reads the file's table of accounts.
func (l *layers) accounts() ([]iam.Account, error) {
	s, ok := l.file[keyAccounts]
	if !ok {
		return nil, nil
	}
	members, err := sequence(s.node)
	if err != nil {
		return nil, l.wrong(keyAccounts, err)
	}
	var all []iam.Account
	seen := map[string]string{}
	for i, m := range members {
		at := fmt.Sprintf("accounts[%d]", i)
		a, err := l.account(at, m)
		if err != nil {
			return nil, err
		}
		for _, k := range a.Keys {
			if other, ok := seen[k.ID]; ok {
				return nil, l.wrong(at, fmt.Errorf("access key %s is in %s already", k.ID, other))
			}
			seen[k.ID] = at
		}
		if slices.ContainsFunc(all, func(b iam.Account) bool { return b.ID == a.ID }) {
			return nil, l.wrong(at, fmt.Errorf("account %s is listed twice", a.ID))
		}
		all = append(all, a)
	}
	return all, nil
}

func (l *layers) account(at string, n *yaml.Node) (iam.Account, error) {
	var a iam.Account
	err := l.each(at, n, map[string]func(string, *yaml.Node) error{
		"id": func(_ string, v *yaml.Node) (err error) {
			if a.ID, err = plain(v, false); err == nil && !accountID.MatchString(a.ID) {
				err = fmt.Errorf("%q is no account: twelve digits, in quotes", a.ID)
			}
			return err
		},
		"access_keys": func(at string, v *yaml.Node) error {
			keys, err := sequence(v)
			for i, k := range keys {
				key, err := l.accessKey(fmt.Sprintf("%s[%d]", at, i), k)
				if err != nil {
					return err
				}
				a.Keys = append(a.Keys, key)
			}
			return err
		},
	})
	if err == nil && a.ID == "" {
		err = l.wrong(at, errors.New("id is missing"))
	}
	return a, err
}

func (l *layers) accessKey(at string, n *yaml.Node) (iam.Key, error) {
	var k iam.Key
	var file string
	err := l.each(at, n, map[string]func(string, *yaml.Node) error{
		"id": func(_ string, v *yaml.Node) (err error) {
			if k.ID, err = plain(v, false); err == nil && !accessKeyID.MatchString(k.ID) {
				err = fmt.Errorf("%q is no access key id: 3 to 128 letters, digits and underscores", k.ID)
			}
			return err
		},
		"secret":      func(_ string, v *yaml.Node) (err error) { k.Secret, err = plain(v, false); return err },
		"secret_file": func(_ string, v *yaml.Node) (err error) { file, err = plain(v, false); return err },
		"actions": func(_ string, v *yaml.Node) (err error) {
			k.Actions, err = patterns(v, actionPattern, "ssm:GetInventory or ssm:*")
			return err
		},
		"nodes": func(_ string, v *yaml.Node) (err error) {
			k.Nodes, err = patterns(v, nodePattern, "i-0123* or mi-*")
			return err
		},
	})
	switch {
	case err != nil:
		return k, err
	case k.ID == "":
		return k, l.wrong(at, errors.New("id is missing"))
	case (k.Secret == "") == (file == ""):
		return k, l.wrong(at, errors.New("give one of secret and secret_file"))
	case file != "":
		k.Secret, err = readSecret(at+".secret_file", l.beside(file))
	}
	return k, err
}

// each hands the pairs of a mapping to the reader of their key, and refuses a key without one.
func (l *layers) each(at string, n *yaml.Node, readers map[string]func(at string, v *yaml.Node) error) error {
	pairs, err := mapping(n)
	if err != nil {
		return l.wrong(at, err)
	}
	for _, p := range pairs {
		read, ok := readers[p.key]
		if !ok {
			var known []string
			for k := range readers {
				known = append(known, k)
			}
			slices.Sort(known)
			return l.wrong(at, fmt.Errorf("line %d: %q is no key here: there are %s", p.line, p.key, strings.Join(known, ", ")))
		}
		if err := read(at+"."+p.key, p.value); err != nil {
			return l.wrong(at+"."+p.key, err)
		}
	}
	return nil
}

// wrong names the place of a mistake in the table, the innermost where several would.
func (l *layers) wrong(at string, err error) error {
	if ue := (*usageError)(nil); errors.As(err, &ue) {
		return ue
	}
	return &usageError{fmt.Sprintf("%s: %s: %v", l.path, at, err), ""}
}

// patterns reads a list of patterns. An empty list is refused: it could be meant as all or as none.
func patterns(n *yaml.Node, form *regexp.Regexp, example string) ([]string, error) {
	members, err := sequence(n)
	if err != nil {
		return nil, err
	}
	if len(members) == 0 {
		return nil, errors.New("the list is empty: remove it to allow all")
	}
	all := make([]string, len(members))
	for i, m := range members {
		if all[i], err = plain(m, false); err != nil {
			return nil, err
		}
		if !form.MatchString(all[i]) {
			return nil, fmt.Errorf("%q is no pattern: write for example %s", all[i], example)
		}
	}
	return all, nil
}
