package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// envPrefix begins the environment variables of the settings, testPrefix those of the project's tests, which are none.
const (
	envPrefix  = "STOCKTAKE_"
	testPrefix = "STOCKTAKE_TEST_"
)

// The keys that are no flags: a secret on a command line could be read by every user of the machine, and accounts are a
// table.
const (
	keyRootID     = "root_access_key_id"
	keyRootSecret = "root_secret_access_key"
	keySecretKey  = "secret_key"
	keyAccounts   = "accounts"
)

// layers answers for the flags that were not given: from the environment, else from the configuration file. It refuses
// a key or variable that is no setting, and says of a bad value where it was given.
type layers struct {
	env     map[string]string
	loaded  bool
	path    string // of the configuration file, empty without one
	file    map[string]setting
	written time.Time // when the configuration file was
	origins map[string]string
}

// setting is a key of the file.
type setting struct {
	node *yaml.Node
	line int
}

func newLayers(env map[string]string) *layers {
	return &layers{env: env, file: map[string]setting{}, origins: map[string]string{}}
}

// keyOf gives a flag's key in the file; its environment variable is the same in upper case behind the prefix.
func keyOf(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

func envOf(key string) string { return envPrefix + strings.ToUpper(key) }

// isSecret tells the flags whose values are never shown, and can be read from a file.
func isSecret(f *kong.Flag) bool { return f.Tag != nil && f.Tag.Has("secret") }

// isSetting tells the flags of settings from those of a command.
func isSetting(f *kong.Flag) bool { return f.Group != nil || f.Name == "config" }

// Validate is part of kong.Resolver.
func (l *layers) Validate(*kong.Application) error { return nil }

// Resolve gives a setting's value as text, nil where neither layer has one.
func (l *layers) Resolve(c *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !isSetting(flag) {
		return nil, nil
	}
	if err := l.load(c); err != nil {
		return nil, err
	}
	key := keyOf(flag.Name)
	if isSecret(flag) {
		value, err := l.secret(key)
		if value == "" {
			return nil, err
		}
		return value, err
	}
	if value, ok := l.env[envOf(key)]; ok {
		return l.judged(flag, envOf(key), value)
	}
	s, ok := l.file[key]
	if !ok {
		return nil, nil
	}
	origin := l.place(s)
	value, err := plain(s.node, flag.IsSlice())
	if err != nil {
		return nil, &usageError{fmt.Sprintf("%s: %s: %v", origin, key, err), ""}
	}
	return l.judged(flag, origin, value)
}

// judged tries a value before the parser does, so that the error can say where it was given.
func (l *layers) judged(flag *kong.Flag, origin, value string) (any, error) {
	key := keyOf(flag.Name)
	named := fmt.Sprintf("%s: %s", origin, key)
	if origin == envOf(key) {
		named = origin
	}
	scan := kong.Scan().PushTyped(value, kong.FlagValueToken)
	if err := flag.Parse(scan, reflect.New(flag.Target.Type()).Elem()); err != nil {
		return nil, &usageError{fmt.Sprintf("%s: %v", named, err), ""}
	}
	if flag.Enum != "" && !slices.Contains(flag.EnumSlice(), value) {
		return nil, &usageError{fmt.Sprintf("%s: %q is not one of %s", named, value, strings.Join(flag.EnumSlice(), ", ")), ""}
	}
	l.origins[key] = origin
	return value, nil
}

func (l *layers) place(s setting) string { return fmt.Sprintf("%s:%d", l.path, s.line) }

// load reads the file once, and judges the names in it and in the environment.
func (l *layers) load(c *kong.Context) error {
	if l.loaded {
		return nil
	}
	l.loaded = true
	known := []string{keyRootID, keyRootSecret, keySecretKey, keyAccounts, keyRootID + "_file", keyRootSecret + "_file", keySecretKey + "_file"}
	known = append(known, settingKeys(c.Model.Leaves(false))...)
	l.path = l.env[envOf("config")]
	for _, p := range c.Path {
		if p.Flag != nil && p.Flag.Name == "config" {
			l.path, _ = c.FlagValue(p.Flag).(string)
		}
	}
	if err := l.judgeEnvironment(known); err != nil {
		return err
	}
	if l.path == "" {
		return nil
	}
	return l.read(slices.DeleteFunc(known, func(k string) bool { return k == "config" }))
}

// settingKeys gives the keys of the settings of all commands: one file and one environment serve them all, whichever of
// the settings a command goes by.
func settingKeys(commands []*kong.Node) []string {
	var keys []string
	for _, command := range commands {
		for _, group := range command.AllFlags(false) {
			for _, f := range group {
				if !isSetting(f) || slices.Contains(keys, keyOf(f.Name)) {
					continue
				}
				keys = append(keys, keyOf(f.Name))
				if isSecret(f) {
					keys = append(keys, keyOf(f.Name)+"_file")
				}
			}
		}
	}
	return keys
}

// kubernetes matches the variables that Kubernetes sets in a pod for a service named stocktake; they are not ours.
var kubernetes = regexp.MustCompile(`^STOCKTAKE_(SERVICE_(HOST|PORT(_.+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_.+)?)?)$`)

func (l *layers) judgeEnvironment(known []string) error {
	var wrong []string
	for name := range l.env {
		if !strings.HasPrefix(name, envPrefix) || strings.HasPrefix(name, testPrefix) || kubernetes.MatchString(name) {
			continue
		}
		if name == activationCode {
			continue // collect's, on a machine that serves too
		}
		key := strings.ToLower(strings.TrimPrefix(name, envPrefix))
		if key == keyAccounts || envOf(key) != name || !slices.Contains(known, key) {
			wrong = append(wrong, name)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = envOf(k)
	}
	return &usageError{fmt.Sprintf("%s in the environment is no setting", wrong[0]), didYouMean(wrong[0], names)}
}

func (l *layers) read(known []string) error {
	f, err := os.Open(l.path)
	if err != nil {
		return &usageError{fmt.Sprintf("config: %v", err), ""}
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		l.written = info.ModTime()
	}
	decoder := yaml.NewDecoder(f)
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil // an empty file sets nothing
	} else if err != nil {
		return &usageError{fmt.Sprintf("%s: %v", l.path, err), ""}
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return &usageError{fmt.Sprintf("%s: one document is expected, and there is more after it", l.path), ""}
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil // nothing but comments
	}
	pairs, err := mapping(root)
	if err != nil {
		return &usageError{fmt.Sprintf("%s: %v", l.path, err), ""}
	}
	for _, p := range pairs {
		s := setting{node: p.value, line: p.line}
		if !slices.Contains(known, p.key) {
			return &usageError{fmt.Sprintf("%s: %q is no setting", l.place(s), p.key), didYouMean(p.key, known)}
		}
		l.file[p.key] = s
	}
	return nil
}

// secret gives a secret setting: from its variable, the file its variable with _FILE names, its key, or the file its key
// with _file names (from the configuration's folder). Empty where none is given.
func (l *layers) secret(key string) (string, error) {
	variable, ok := l.env[envOf(key)]
	file, fileOK := l.env[envOf(key+"_file")]
	switch {
	case ok && fileOK:
		return "", &usageError{fmt.Sprintf("%s and %s are both set", envOf(key), envOf(key+"_file")), "keep one"}
	case ok && variable == "":
		return "", &usageError{envOf(key) + " is empty", "remove it, or give the value"}
	case ok:
		l.origins[key] = envOf(key)
		return variable, nil
	case fileOK:
		l.origins[key] = envOf(key + "_file")
		return readSecret(envOf(key+"_file"), file)
	}
	inline, ok := l.file[key]
	named, fileOK := l.file[key+"_file"]
	if ok && fileOK {
		return "", &usageError{fmt.Sprintf("%s: %s and %s_file are both set", l.place(named), key, key), "keep one"}
	}
	if !ok && !fileOK {
		return "", nil
	}
	s := inline
	if fileOK {
		s = named
	}
	value, err := plain(s.node, false)
	if err == nil && value == "" {
		err = errors.New("is empty")
	}
	if err != nil {
		return "", &usageError{fmt.Sprintf("%s: %s: %v", l.place(s), key, err), ""}
	}
	l.origins[key] = l.place(s)
	if fileOK {
		return readSecret(l.place(s), l.beside(value))
	}
	return value, nil
}

// beside gives a path of the configuration file, taken from the file's folder.
func (l *layers) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(l.path), path)
}

// readSecret reads a file that holds one secret and perhaps a line's end.
func readSecret(origin, path string) (string, error) {
	const most = 4096
	text, err := os.ReadFile(path)
	if err != nil {
		return "", &usageError{fmt.Sprintf("%s: %v", origin, err), ""}
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" || len(secret) > most || strings.ContainsAny(secret, "\r\n") {
		return "", &usageError{fmt.Sprintf("%s: %s does not hold one secret of one line", origin, path), ""}
	}
	return secret, nil
}
