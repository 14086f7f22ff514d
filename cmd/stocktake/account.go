package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"stocktake/internal/iam"
)

var (
	accountID   = regexp.MustCompile(`^[0-9]{12}$`)
	accessKeyID = regexp.MustCompile(`^\w{3,128}$`)
)

// accounts reads the file's table of accounts.
func (l *layers) accounts() ([]iam.Account, error) {
	s, ok := l.file[keyAccounts]
	if !ok {
		return nil, nil
	}
	members, err := sequence(s.node)
	if err != nil {
		return nil, l.wrong(keyAccounts, s.node, err)
	}
	var all []iam.Account
	seen := map[string]string{}
	for i, m := range members {
		at := fmt.Sprintf("accounts[%d]", i)
		a, err := l.account(at, m)
		if err != nil {
			return nil, err
		}
		keys := a.Keys
		for _, u := range a.Users {
			keys = append(slices.Clone(keys), u.Keys...)
		}
		for _, k := range keys {
			if other, ok := seen[k.ID]; ok {
				return nil, l.wrong(at, m, fmt.Errorf("access key %s is in %s already", k.ID, other))
			}
			seen[k.ID] = at
		}
		if slices.ContainsFunc(all, func(b iam.Account) bool { return b.ID == a.ID }) {
			return nil, l.wrong(at, m, fmt.Errorf("account %s is listed twice", a.ID))
		}
		all = append(all, a)
	}
	return all, nil
}

func (l *layers) account(at string, n *yaml.Node) (iam.Account, error) {
	a := iam.Account{Since: l.written}
	var roles *yaml.Node // a role is judged with its account, which may stand behind it
	err := l.each(at, n, readers{
		"id": func(_ string, v *yaml.Node) (err error) {
			if a.ID, err = plain(v, false); err == nil && !accountID.MatchString(a.ID) {
				err = fmt.Errorf("%q is no account: twelve digits, in quotes", a.ID)
			}
			return err
		},
		"access_keys": func(at string, v *yaml.Node) (err error) {
			a.Keys, err = listed(at, v, l.accessKey)
			return err
		},
		"users": func(at string, v *yaml.Node) (err error) {
			a.Users, err = listed(at, v, l.user)
			return err
		},
		"roles": func(_ string, v *yaml.Node) error {
			roles = v
			return nil
		},
	})
	if err == nil && a.ID == "" {
		err = l.wrong(at, n, errors.New("id is missing"))
	}
	if err == nil && roles != nil {
		a.Roles, err = listed(at+".roles", roles, func(at string, v *yaml.Node) (iam.DeclaredRole, error) { return l.role(at, v, a.ID) })
		if err != nil {
			err = l.wrong(at+".roles", roles, err)
		}
	}
	return a, err
}

// listed reads every member of a list.
func listed[T any](at string, n *yaml.Node, read func(at string, n *yaml.Node) (T, error)) ([]T, error) {
	members, err := sequence(n)
	if err != nil {
		return nil, err
	}
	all := make([]T, len(members))
	for i, m := range members {
		if all[i], err = read(fmt.Sprintf("%s[%d]", at, i), m); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// accessKey reads a key with patterns.
func (l *layers) accessKey(at string, n *yaml.Node) (iam.Key, error) {
	var k iam.Key
	return k, l.key(at, n, &k, readers{
		"actions": func(_ string, v *yaml.Node) (err error) {
			k.Actions, err = patterns(v)
			return err
		},
		"nodes": func(_ string, v *yaml.Node) (err error) {
			k.Nodes, err = patterns(v)
			return err
		},
	})
}

// key reads a key: its id and its secret, from one of three places, and what else it may have.
func (l *layers) key(at string, n *yaml.Node, k *iam.Key, more readers) error {
	var file, variable string
	r := readers{
		"id":          func(_ string, v *yaml.Node) (err error) { k.ID, err = plain(v, false); return err },
		"secret":      func(_ string, v *yaml.Node) (err error) { k.Secret, err = plain(v, false); return err },
		"secret_file": func(_ string, v *yaml.Node) (err error) { file, err = plain(v, false); return err },
		"secret_env":  func(_ string, v *yaml.Node) (err error) { variable, err = plain(v, false); return err },
	}
	for name, read := range more {
		r[name] = read
	}
	err := l.each(at, n, r)
	given := 0
	for _, s := range []string{k.Secret, file, variable} {
		if s != "" {
			given++
		}
	}
	switch {
	case err != nil:
		return err
	case k.ID == "":
		return l.wrong(at, n, errors.New("id is missing"))
	case given != 1:
		return l.wrong(at, n, errors.New("give one of secret, secret_file and secret_env"))
	case file != "":
		k.Secret, err = readSecret(l.line(n)+": "+at+".secret_file", l.beside(file))
	case variable != "":
		k.Secret, err = l.variable(variable)
	}
	if err == nil {
		err = k.Check()
	}
	if err != nil {
		return l.wrong(at, n, err)
	}
	return nil
}

// variable gives a secret from a variable of the environment that the file names.
func (l *layers) variable(name string) (string, error) {
	if strings.HasPrefix(name, envPrefix) {
		return "", fmt.Errorf("secret_env: %s is the name of a setting; choose one that does not begin with %s", name, envPrefix)
	}
	value := l.env[name]
	if value == "" {
		return "", fmt.Errorf("secret_env: %s is not in the environment, or is empty", name)
	}
	return value, nil
}

// readers read the values of a mapping, by their keys.
type readers map[string]func(at string, v *yaml.Node) error

// each hands the pairs of a mapping to the reader of their key, and refuses a key without one.
func (l *layers) each(at string, n *yaml.Node, r readers) error {
	pairs, err := mapping(n)
	if err != nil {
		return l.wrong(at, n, err)
	}
	for _, p := range pairs {
		read, ok := r[p.key]
		if !ok {
			var known []string
			for k := range r {
				known = append(known, k)
			}
			slices.Sort(known)
			return l.wrong(at, &yaml.Node{Line: p.line}, fmt.Errorf("%q is no key here: there are %s", p.key, strings.Join(known, ", ")))
		}
		if err := read(at+"."+p.key, p.value); err != nil {
			return l.wrong(at+"."+p.key, p.value, err)
		}
	}
	return nil
}

// wrong names the place of a mistake in the table, the innermost where several would.
func (l *layers) wrong(at string, n *yaml.Node, err error) error {
	if ue := (*usageError)(nil); errors.As(err, &ue) {
		return ue
	}
	return &usageError{fmt.Sprintf("%s: %s: %v", l.line(n), at, err), ""}
}

// line names the file and the line of a node.
func (l *layers) line(n *yaml.Node) string { return fmt.Sprintf("%s:%d", l.path, n.Line) }

// patterns reads a list of patterns. An empty list is refused: it could be meant as all or as none.
func patterns(n *yaml.Node) ([]string, error) {
	all, err := listed("", n, func(_ string, m *yaml.Node) (string, error) { return plain(m, false) })
	if err == nil && len(all) == 0 {
		err = errors.New("the list is empty: remove it to allow all")
	}
	return all, err
}

// span reads a span of time.
func span(n *yaml.Node) (time.Duration, error) {
	text, err := plain(n, false)
	if err != nil {
		return 0, err
	}
	var d duration
	err = d.UnmarshalText([]byte(text))
	return time.Duration(d), err
}
