package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRootKeyIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	first, path, err := rootKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := rootKey(dir)
	if err != nil || again.ID != first.ID || again.Secret != first.Secret {
		t.Errorf("second start: key %q (%v), want %q", again.ID, err, first.ID)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode().Perm(), err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("%d files in the folder (%v), want one", len(left), err)
	}
	if !accessKeyID.MatchString(first.ID) || len(first.ID) != 20 || len(first.Secret) != 40 {
		t.Errorf("key of %d characters and secret of %d, want 20 and 40", len(first.ID), len(first.Secret))
	}
}

func TestRootKeyDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, rootFile)
	for _, text := range []string{"", "[default]\naws_access_key_id = AKIA\n", "nonsense"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if key, _, err := rootKey(dir); err == nil {
			t.Errorf("%q gives the key %q", text, key.ID)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != text {
			t.Errorf("%q was changed to %q (%v)", text, after, err)
		}
	}
}
