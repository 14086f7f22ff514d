package httpd

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/crypto/acme/autocert"
)

// TestKeeperKeepsWhatTheLibraryReads holds the names of files to those the library looks for.
func TestKeeperKeepsWhatTheLibraryReads(t *testing.T) {
	folder := autocert.DirCache(t.TempDir())
	for _, name := range []string{"acme_account+key", "stocktake.example.org", "stocktake.example.org+rsa", "../outside"} {
		for _, content := range []string{"first", "second"} {
			if err := (keeper{folder}).Put(t.Context(), name, []byte(content)); err != nil {
				t.Fatal(err)
			}
			if got, err := folder.Get(t.Context(), name); err != nil || !bytes.Equal(got, []byte(content)) {
				t.Errorf("%q, %v is read of %s, and not %q", got, err, name, content)
			}
		}
		if err := (keeper{folder}).Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if _, err := folder.Get(t.Context(), name); !errors.Is(err, autocert.ErrCacheMiss) {
			t.Errorf("after its removal %s gives %v", name, err)
		}
	}
}
