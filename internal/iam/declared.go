package iam

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"stocktake/internal/iam/policy"
	"stocktake/internal/store"
)

// A DeclaredUser is a user as the configuration gives it. It is as good as one of the store, and cannot be changed but
// there.
type DeclaredUser struct {
	Name string // 1 to 64 letters, digits and +=,.@_-
	Path string // "/ops/"; empty: "/"
	// Policies are the texts of inline policies by their names.
	Policies map[string]string
	// Attached are built-in policies, by their names or ARNs.
	Attached []string
	// Keys are access keys without patterns: the policies say what they may do.
	Keys []Key
}

// A DeclaredRole is a role as the configuration gives it.
type DeclaredRole struct {
	Name, Path  string
	Description string
	Trust       string // who may assume it, as a policy's text
	MaxSession  time.Duration
	Policies    map[string]string
	Attached    []string
}

// The bounds of the longest session of a role.
const (
	LeastMaxSession = time.Hour
	MostMaxSession  = 12 * time.Hour
)

var (
	declaredName = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	declaredPath = regexp.MustCompile(`^(/|/[\x21-\x7E]{1,510}/)$`)
)

// checkNamed judges what users and roles have in common.
func checkNamed(name, path string, policies map[string]string) error {
	if !declaredName.MatchString(name) {
		return fmt.Errorf("name: %q is no name: 1 to 64 letters, digits and +=,.@_-", name)
	}
	if !declaredPath.MatchString(path) {
		return fmt.Errorf("path: %q is no path: it begins and ends with a slash, as /ops/ does", path)
	}
	for policyName := range policies {
		if !nameForm.MatchString(policyName) {
			return fmt.Errorf("policies: %q is no name of a policy: 1 to 128 letters, digits and +=,.@_-", policyName)
		}
	}
	return nil
}

// Check judges a user by itself. Its error begins with what is wrong: "policies.NAME", "name".
func (u *DeclaredUser) Check() error {
	_, err := u.parse(Account{})
	return err
}

func (u *DeclaredUser) parse(a Account) (*user, error) {
	path := pathOr(u.Path)
	if err := checkNamed(u.Name, path, u.Policies); err != nil {
		return nil, err
	}
	if len(u.Keys) > mostKeys {
		return nil, fmt.Errorf("access_keys: %d are given, and a user may have %d", len(u.Keys), mostKeys)
	}
	for _, k := range u.Keys {
		if len(k.Actions) > 0 || len(k.Nodes) > 0 {
			return nil, fmt.Errorf("access_keys: %s has patterns; a user's policies say what its keys may do", k.ID)
		}
		if err := k.Check(); err != nil {
			return nil, err
		}
	}
	made := &user{
		User:   User{Account: a.ID, Name: u.Name, Path: path, ID: declaredID("AIDA", a.ID, u.Name), Created: a.since()},
		Inline: maps.Clone(u.Policies),
	}
	for _, k := range u.Keys {
		made.Keys = append(made.Keys, accessKey{ID: k.ID, Status: Active, Created: a.since()})
	}
	var err error
	made.Attached, made.policies, err = parseDeclared(u.Policies, u.Attached)
	return made, err
}

// Check judges a role of an account by itself.
func (r *DeclaredRole) Check(account string) error {
	_, err := r.parse(Account{ID: account})
	return err
}

func (r *DeclaredRole) parse(a Account) (*role, error) {
	path := pathOr(r.Path)
	if err := checkNamed(r.Name, path, r.Policies); err != nil {
		return nil, err
	}
	longest := r.MaxSession
	if longest == 0 {
		longest = LeastMaxSession
	}
	if longest < LeastMaxSession || longest > MostMaxSession {
		return nil, errors.New("max_session: it must be between 1h and 12h")
	}
	made := &role{Role: Role{
		Account: a.ID, Name: r.Name, Path: path, ID: declaredID("AROA", a.ID, r.Name), Created: a.since(),
		Trust: r.Trust, Description: r.Description, MaxSession: longest,
	}, Inline: maps.Clone(r.Policies)}
	var err error
	if made.trusted, err = parseTrust(a.ID, r.Trust); err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	_, made.policies, err = parseDeclared(r.Policies, r.Attached)
	return made, err
}

// since is when what the account declares was made, as far as it is known.
func (a Account) since() time.Time {
	if a.Since.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return a.Since.UTC().Truncate(time.Second)
}

func pathOr(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// parseDeclared parses the policies of a declared user or role, and gives the ARNs of the attached ones.
func parseDeclared(inline map[string]string, attached []string) ([]string, []*policy.Policy, error) {
	var arns []string
	for _, name := range attached {
		arn := name
		if !strings.Contains(name, ":") {
			arn = policy.ManagedARN(name)
		}
		if _, err := policy.Managed(arn); err != nil {
			return nil, nil, fmt.Errorf("attached_policies: %w", err)
		}
		if slices.Contains(arns, arn) {
			return nil, nil, fmt.Errorf("attached_policies: %s is given twice", name)
		}
		arns = append(arns, arn)
	}
	var all []*policy.Policy
	for _, name := range slices.Sorted(maps.Keys(inline)) {
		p, err := policy.Parse([]byte(inline[name]))
		if err != nil {
			return nil, nil, &PolicyError{name, err}
		}
		all = append(all, p)
	}
	for _, arn := range arns {
		p, err := policy.Managed(arn)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, p)
	}
	return arns, all, nil
}

// A PolicyError is what is wrong with an inline policy of a declared user or role; Err begins with the path within it.
type PolicyError struct {
	Name string
	Err  error
}

func (e *PolicyError) Error() string { return "policies." + e.Name + ": " + e.Err.Error() }

// Unwrap gives what is wrong.
func (e *PolicyError) Unwrap() error { return e.Err }

// declaredID makes the unique id of what the configuration declares: the same at every server and after every start.
func declaredID(kind, account, name string) string {
	sum := sha256.Sum256([]byte(store.Key("declared", kind, account, folded(name))))
	return kind + base32.StdEncoding.EncodeToString(sum[:10])
}

// declare takes the users and roles of an account.
func (d *Directory) declare(a Account) error {
	for i := range a.Users {
		u, err := a.Users[i].parse(a)
		if err != nil {
			return fmt.Errorf("user %s: %w", a.Users[i].Name, err)
		}
		key := userKey(a.ID, u.Name)
		if d.taken(a.ID, u.Name) {
			return fmt.Errorf("user %s is given twice, or has the name of an access key; names are told apart ignoring case", u.Name)
		}
		d.users[key] = u
		for _, k := range a.Users[i].Keys {
			p := &Principal{
				Account: a.ID, AccessKeyID: k.ID, ARN: u.ARN(),
				judged: true, policies: u.policies, user: u.Name, id: u.ID,
			}
			if err := d.add(p, k); err != nil {
				return fmt.Errorf("user %s: %w", u.Name, err)
			}
		}
	}
	for i := range a.Roles {
		r, err := a.Roles[i].parse(a)
		if err != nil {
			return fmt.Errorf("role %s: %w", a.Roles[i].Name, err)
		}
		key := roleKey(a.ID, r.Name)
		if d.roles[key] != nil {
			return fmt.Errorf("role %s is given twice; names are told apart ignoring case", r.Name)
		}
		d.roles[key] = r
	}
	return nil
}

// user gives a declared user, nil where there is none.
func (d *Directory) user(account, name string) *user {
	if d == nil {
		return nil
	}
	return d.users[userKey(account, name)]
}

// names reports whether a configured key that is no user's has a name for its id, and with it a user's ARN.
func (d *Directory) names(account, name string) bool {
	if d == nil {
		return false
	}
	c, ok := d.keys[name]
	return ok && c.principal.Account == account && c.principal.user == ""
}

// userMap gives the declared users.
func (d *Directory) userMap() map[string]*user {
	if d == nil {
		return nil
	}
	return d.users
}

// userOf gives the principal of a declared user's access key, nil for any other.
func (d *Directory) userOf(id string) *Principal {
	if d == nil || d.keys[id].principal == nil || d.keys[id].principal.user == "" {
		return nil
	}
	return d.keys[id].principal
}

// role gives a declared role, nil where there is none.
func (d *Directory) role(account, name string) *role {
	if d == nil {
		return nil
	}
	return d.roles[roleKey(account, name)]
}

// roleMap gives the declared roles.
func (d *Directory) roleMap() map[string]*role {
	if d == nil {
		return nil
	}
	return d.roles
}

// taken reports whether a new user may not have a name: a declared one has it, or a configured key, whose ARN it would share.
func (d *Directory) taken(account, name string) bool {
	if d.user(account, name) != nil {
		return true
	}
	if d == nil {
		return false
	}
	for id, c := range d.keys {
		if c.principal.Account == account && c.principal.user == "" && folded(id) == folded(name) {
			return true
		}
	}
	return false
}

// declared is the refusal of a change to what the configuration has.
func declared(kind, name string) error {
	return refuse(Declared, "The %s %s is in the configuration of the service. Change it there, and start the service again.", kind, name)
}

// among adds declared entities to those of the store, in the order of their keys, up to limit.
func among[T any](stored []T, declared map[string]T, prefix, after string, limit int, key func(T) string, take func(T) bool) []T {
	if after != "" {
		after = prefix + store.Key(folded(after))
	}
	for _, k := range slices.Sorted(maps.Keys(declared)) {
		if strings.HasPrefix(k, prefix) && k > after && take(declared[k]) {
			stored = append(stored, declared[k])
		}
	}
	slices.SortStableFunc(stored, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	return stored[:min(limit, len(stored))]
}
