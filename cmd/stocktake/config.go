package main

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"stocktake/internal/httpd"
	"stocktake/internal/iam"
)

// config is what serve works by: the settings, checked, and what only the environment and the file can give.
type config struct {
	settings
	// Root is the key of the root account, zero where it is to be made in the data folder.
	Root     iam.Key
	Accounts []iam.Account
	// SecretKey is what the secrets of users' access keys are sealed under beside the store's own key; empty: nothing.
	SecretKey string
	// proxies are the trusted ones, read.
	proxies httpd.Proxies
}

// leastSecretKey is the least length of the key that secrets are sealed under.
const leastSecretKey = 32

// resolve checks the settings and adds the secrets and accounts.
func (s *settings) resolve(l *layers) (config, error) {
	c := config{settings: *s}
	if err := s.check(); err != nil {
		return c, err
	}
	var err error
	if c.proxies, err = httpd.ParseProxies(s.TrustedProxies); err != nil {
		return c, &usageError{"trusted_proxies: " + err.Error(), ""}
	}
	if c.Root.ID, err = l.secret(keyRootID); err != nil {
		return c, err
	}
	if c.Root.Secret, err = l.secret(keyRootSecret); err != nil {
		return c, err
	}
	switch {
	case (c.Root.ID == "") != (c.Root.Secret == ""):
		return c, &usageError{fmt.Sprintf("%s and %s go together: only one is set", keyRootID, keyRootSecret), ""}
	case c.Root.ID != "" && !accessKeyID.MatchString(c.Root.ID):
		return c, &usageError{keyRootID + ": 3 to 128 letters, digits and underscores are expected", ""}
	}
	if c.SecretKey, err = l.secret(keySecretKey); err != nil {
		return c, err
	}
	if n := len(c.SecretKey); n > 0 && n < leastSecretKey {
		return c, &usageError{fmt.Sprintf("%s has %d characters", keySecretKey, n), fmt.Sprintf("at least %d random ones: openssl rand -base64 32", leastSecretKey)}
	}
	if c.Accounts, err = l.accounts(); err != nil {
		return c, err
	}
	if c.shared() && c.Root.ID == "" && len(c.Accounts) == 0 {
		return c, &usageError{
			"no access key is given, and the servers of a database cannot each make their own",
			fmt.Sprintf("set %s and %s to the same on every server; what an embedded service made is in %s of its data folder", keyRootID, keyRootSecret, rootFile),
		}
	}
	if c.Root.ID != "" {
		_, err = c.directory(c.Root)
	} else {
		_, err = c.directory(newKey())
	}
	return c, err
}

// shared reports whether other servers may serve the same store.
func (c *config) shared() bool { return c.DatabaseURL != "" }

// indexDir is the folder of the index's snapshot, empty where none is kept on this machine.
func (c *config) indexDir() string {
	if c.Data == "" {
		return ""
	}
	return filepath.Join(c.Data, indexFolder)
}

// directory makes the keys known, with the given one for root.
func (c *config) directory(root iam.Key) (*iam.Directory, error) {
	d, err := iam.New(root, c.Accounts)
	if err != nil {
		return nil, &usageError{err.Error(), ""}
	}
	return d, nil
}

type configCommand struct {
	Print configPrintCommand `cmd:"" help:"Print the settings in force, as a configuration file that says where each came from."`
}

// configPrintCommand has the settings of all commands: those of serve, and those of backups.
type configPrintCommand struct {
	settings
	placeSettings
}

// Run prints every setting. Secrets are not shown: only where they would come from.
func (c *configPrintCommand) Run(p *process, k *kong.Context) error {
	resolved, err := c.resolve(p.layers)
	if err != nil {
		return err
	}
	var secrets []string
	for _, group := range k.Selected().AllFlags(false) {
		for _, f := range group {
			if !isSetting(f) || f.Name == "config" {
				continue
			}
			key := keyOf(f.Name)
			if isSecret(f) {
				secrets = append(secrets, key)
				continue
			}
			fmt.Fprintf(p.stdout, "%s: %s # %s\n", key, printed(k.FlagValue(f)), p.layers.origin(key, k))
		}
	}
	for _, key := range secrets {
		p.printSecret(key, p.layers.origin(key, k))
	}
	for _, key := range []string{keyRootID, keyRootSecret} {
		switch origin := p.layers.origins[key]; {
		case origin == "" && !resolved.shared():
			fmt.Fprintf(p.stdout, "# %s: made at the first start, in %s\n", key, rootFile)
		case origin == "":
			p.printSecret(key, "default")
		default:
			p.printSecret(key, origin)
		}
	}
	p.printSecret(keySecretKey, p.layers.origin(keySecretKey, k))
	for _, a := range resolved.Accounts {
		for _, key := range a.Keys {
			fmt.Fprintf(p.stdout, "# account %s: access key %s, secret not shown\n", a.ID, key.ID)
		}
		printDeclared(p.stdout, a)
	}
	return nil
}

// printDeclared prints of the users and roles of an account what is no secret.
func printDeclared(w io.Writer, a iam.Account) {
	for _, u := range a.Users {
		fmt.Fprintf(w, "# account %s: user %s, policies %s\n", a.ID, u.Name, shownPolicies(u.Policies, u.Attached))
		for _, key := range u.Keys {
			fmt.Fprintf(w, "# account %s: user %s: access key %s, secret not shown\n", a.ID, u.Name, key.ID)
		}
	}
	for _, r := range a.Roles {
		fmt.Fprintf(w, "# account %s: role %s, policies %s\n", a.ID, r.Name, shownPolicies(r.Policies, r.Attached))
	}
}

func shownPolicies(inline map[string]string, attached []string) string {
	names := append(slices.Sorted(maps.Keys(inline)), attached...)
	if len(names) == 0 {
		return "none: nothing is allowed"
	}
	return strings.Join(names, ", ")
}

// printSecret prints of a secret where it comes from.
func (p *process) printSecret(key, origin string) {
	if origin == "default" {
		fmt.Fprintf(p.stdout, "# %s: not set\n", key)
	} else {
		fmt.Fprintf(p.stdout, "# %s: not shown, from %s\n", key, origin)
	}
}

// origin says where a setting was given.
func (l *layers) origin(key string, k *kong.Context) string {
	for _, p := range k.Path {
		if p.Flag != nil && !p.Resolved && keyOf(p.Flag.Name) == key {
			return "flag"
		}
	}
	if origin, ok := l.origins[key]; ok {
		return origin
	}
	return "default"
}

// printed gives a value as the file would write it.
func printed(value any) string {
	if list, ok := value.([]string); ok {
		quoted := make([]string, len(list))
		for i, s := range list {
			quoted[i] = strconv.Quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	if reflect.TypeOf(value).Kind() == reflect.String {
		return strconv.Quote(fmt.Sprint(value))
	}
	return fmt.Sprint(value)
}
