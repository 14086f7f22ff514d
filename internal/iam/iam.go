// Package iam knows who may act: accounts, their access keys, and what a key is bound to.
//
// Call [New] once with what the configuration says; [Directory.Key] then finds the secret and the [Principal] of an access
// key id, and the principal answers whether it may do an action ([Principal.MayAct]) and touch a node
// ([Principal.MayReach]). Both must say yes. A Directory never changes and may be used by many goroutines at once.
//
// What a key may do is the least of what it was given. A key without patterns is an administrator's: it may do
// everything in its own account, and nothing in another. A key with action patterns may do those actions alone. A key with
// node patterns may touch those nodes alone, and therefore may do only the actions that name one node, and read the
// schema, which says nothing of any node; what looks at or deletes from the whole fleet stays refused even where its
// action patterns list it. What a managed node's agent calls for its own node is among what a key bound to it may do, so
// that an agent can be given such a key; [NewNode] makes the principal of a node that has an identity of its own, which
// may do just that.
//
// Users and roles are declared in the configuration ([DeclaredUser], [DeclaredRole]), or made while the service runs: those
// are records of the store, and [Open] gives the [Identities] that find both and change the latter. What they may do is what
// policies in IAM's own JSON say ([Principal.Judged], [Principal.Judge]), in the account they were made in.
//
// The package decides nothing about signatures. Secrets lie sealed in the store, and none is in an error, a log line or a
// value printed.
package iam

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// RootAccount is the account of the root key.
const RootAccount = "000000000000"

// minSecret is the least length of a secret access key, in bytes. A signature can be tried against guesses by anyone who
// saw one, so that a short secret is no secret.
const minSecret = 16

var (
	accountID     = regexp.MustCompile(`^[0-9]{12}$`)
	keyID         = regexp.MustCompile(`^\w{3,128}$`)
	actionPattern = regexp.MustCompile(`^(\*|(ssm|ec2messages|stocktake|iam|sts):[A-Za-z*?]+)$`)
	nodePattern   = regexp.MustCompile(`^[\w*?-]+$`)
)

// A Key is an access key as the configuration gives it.
type Key struct {
	ID     string // 3 to 128 letters, digits and underscores
	Secret string `json:"-"` // at least 16 bytes
	// Actions are the actions the key may do, as IAM writes them: "ssm:GetInventory", with * for any characters and ? for
	// one, upper and lower case alike. Empty: all.
	Actions []string
	// Nodes are the nodes the key may touch, with * and ?, in exact case. Empty: all, and the key is an administrator's.
	Nodes []string
}

// String keeps the secret out of logs.
func (k Key) String() string { return "access key " + k.ID }

// GoString keeps the secret out of %#v.
func (k Key) GoString() string { return k.String() }

// Check judges a key by itself. Its error names the key, never the secret.
func (k Key) Check() error {
	if !keyID.MatchString(k.ID) {
		return fmt.Errorf("access key %q: the id must be 3 to 128 letters, digits and underscores", k.ID)
	}
	if len(k.Secret) < minSecret {
		return fmt.Errorf("access key %s: the secret is too short; it must have at least %d bytes", k.ID, minSecret)
	}
	for _, p := range k.Actions {
		if !actionPattern.MatchString(p) {
			return fmt.Errorf("access key %s: %q is no action; write for example ssm:GetInventory or ssm:Put*", k.ID, p)
		}
	}
	for _, p := range k.Nodes {
		if !nodePattern.MatchString(p) {
			return fmt.Errorf("access key %s: %q is no node; write for example i-0123* or mi-*", k.ID, p)
		}
	}
	return nil
}

// An Account is a tenant, its keys, and the users and roles that the configuration declares.
type Account struct {
	ID    string // 12 digits
	Keys  []Key
	Users []DeclaredUser
	Roles []DeclaredRole
	// Since is when the configuration was written: users and roles have to have been made some time.
	Since time.Time
}

// A Directory finds keys by their ids, and declared users and roles.
type Directory struct {
	keys  map[string]credential
	users map[string]*user // by the keys that the store would have for them
	roles map[string]*role
}

type credential struct {
	secret    string
	principal *Principal
}

// New makes the directory of the root key, which is the administrator of [RootAccount], and of further accounts; RootAccount
// may be among them to give it more keys. Its error names the account or key that cannot be taken, never a secret.
func New(root Key, accounts []Account) (*Directory, error) {
	d := &Directory{keys: map[string]credential{}, users: map[string]*user{}, roles: map[string]*role{}}
	if len(root.Actions) > 0 || len(root.Nodes) > 0 {
		return nil, fmt.Errorf("root access key %s: it cannot be bound to actions or nodes; list a bound key under an account", root.ID)
	}
	if err := d.add(configured(RootAccount, "root", root), root); err != nil {
		return nil, err
	}
	var seen []string
	for _, a := range accounts {
		if !accountID.MatchString(a.ID) {
			return nil, fmt.Errorf("account %q: the id must be 12 digits", a.ID)
		}
		if slices.Contains(seen, a.ID) {
			return nil, fmt.Errorf("account %s is listed twice; put all its keys in one place", a.ID)
		}
		seen = append(seen, a.ID)
		for _, k := range a.Keys {
			if err := d.add(configured(a.ID, "user/"+k.ID, k), k); err != nil {
				return nil, fmt.Errorf("account %s: %w", a.ID, err)
			}
		}
		if err := d.declare(a); err != nil {
			return nil, fmt.Errorf("account %s: %w", a.ID, err)
		}
	}
	return d, nil
}

// configured makes the principal of a key of the configuration that is no user's.
func configured(account, name string, k Key) *Principal {
	return &Principal{
		Account:     account,
		AccessKeyID: k.ID,
		ARN:         "arn:aws:iam::" + account + ":" + name,
		actions:     slices.Clone(k.Actions),
		nodes:       slices.Clone(k.Nodes),
	}
}

func (d *Directory) add(p *Principal, k Key) error {
	if err := k.Check(); err != nil {
		return err
	}
	if other, ok := d.keys[k.ID]; ok {
		return fmt.Errorf("access key %s is given twice, first in account %s", k.ID, other.principal.Account)
	}
	d.keys[k.ID] = credential{k.Secret, p}
	return nil
}

// Key gives the secret and the principal of an access key id, and whether there is one.
func (d *Directory) Key(id string) (secret string, p *Principal, ok bool) {
	c, ok := d.keys[id]
	return c.secret, c.principal, ok
}

// match reports whether all of s fits the pattern: * stands for any characters, ? for one byte.
func match(pattern, s string) bool {
	p, i := 0, 0
	star, resume := -1, 0 // the last * met, and where in s what follows it is tried next
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			resume++
			p, i = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
