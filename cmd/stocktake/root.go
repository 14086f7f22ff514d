package main

import (
	"bufio"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"stocktake/internal/durable"
	"stocktake/internal/iam"
)

// rootFile is the file of the data folder that holds the root credentials made at the first start, in the form of the
// AWS clients' shared credentials file: AWS_SHARED_CREDENTIALS_FILE may name it.
const rootFile = "root-credentials"

// rootKey gives the root credentials of a data folder and the file they are in. They are made once, whole or not at all,
// and readable by the owner alone.
func rootKey(dir string) (key iam.Key, path string, err error) {
	path = filepath.Join(dir, rootFile)
	key, err = readRootKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, path, err
	}
	key = newKey()
	return key, path, writeRootKey(path, key)
}

// newKey makes a key of the form AWS gives: AKIA and 16 letters and digits, 240 random bits.
func newKey() iam.Key {
	var id [10]byte
	var secret [30]byte
	_, _ = rand.Read(id[:]) // never fails
	_, _ = rand.Read(secret[:])
	return iam.Key{ID: "AKIA" + base32.StdEncoding.EncodeToString(id[:]), Secret: base64.StdEncoding.EncodeToString(secret[:])}
}

func readRootKey(path string) (iam.Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return iam.Key{}, err
	}
	defer f.Close()
	var key iam.Key
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "=")
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			key.ID = strings.TrimSpace(value)
		case "aws_secret_access_key":
			key.Secret = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return key, err
	}
	if !accessKeyID.MatchString(key.ID) || key.Secret == "" {
		return key, fmt.Errorf("%s holds no access key and secret\nhint: restore it from a copy; or remove it, and the next start makes new ones", path)
	}
	return key, nil
}

func writeRootKey(path string, key iam.Key) error {
	return durable.ReplaceBytes(path, 0o600, fmt.Appendf(nil,
		"# The root credentials of account %s. Whoever has them may do everything.\n[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n",
		iam.RootAccount, key.ID, key.Secret))
}
