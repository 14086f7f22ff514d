package backup_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"stocktake/internal/backup"
	"stocktake/internal/inventory"
	"stocktake/internal/store"
	"stocktake/internal/store/storetest"
	"stocktake/internal/transfer"
)

// The sizes of a sealed file's parts.
const (
	sealedHead  = 16 + 4 + 32 + 32
	sealedChunk = 64<<10 + 16
)

func sealKey(b byte) *backup.SealKey { return &backup.SealKey{b} }

func sealed(t testing.TB, plain []byte, key *backup.SealKey) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := backup.Seal(&file, key)
	if err != nil {
		t.Fatal(err)
	}
	for rest := plain; len(rest) > 0; {
		n := min(len(rest), 1+rand.IntN(100_000))
		if wrote, err := w.Write(rest[:n]); err != nil || wrote != n {
			t.Fatalf("%d of %d bytes written: %v", wrote, n, err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func unsealed(file []byte, key *backup.SealKey) ([]byte, error) {
	return io.ReadAll(backup.Unseal(bytes.NewReader(file), key))
}

// noise gives so many random bytes.
func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

func TestSealedIsOpenedAsItWas(t *testing.T) {
	for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10, 300_000} {
		plain := noise(size)
		file := sealed(t, plain, sealKey(1))
		if want := sealedHead + size + 16*max(1, (size+64<<10-1)/(64<<10)); len(file) != want {
			t.Errorf("%d bytes are %d sealed, not %d", size, len(file), want)
		}
		if bytes.Equal(file, sealed(t, plain, sealKey(1))) {
			t.Error("the same is sealed the same twice")
		}
		r := backup.Unseal(iotestSeeker{bytes.NewReader(file)}, sealKey(1))
		for range 2 {
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes opened of %d: %v", len(got), size, err)
			}
			if _, err := r.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.Seek(1, io.SeekStart); err == nil {
			t.Error("a seek to the middle")
		}
	}
}

// iotestSeeker reads a few bytes at a time.
type iotestSeeker struct{ *bytes.Reader }

func (s iotestSeeker) Read(b []byte) (int, error) { return iotest.HalfReader(s.Reader).Read(b) }

// TestSealThatWasTouchedDoesNotOpen changes sealed files in the ways somebody could who has no key. Of none is a byte given
// that was not there, and none is whole.
func TestSealThatWasTouchedDoesNotOpen(t *testing.T) {
	plain := noise(3*64<<10 + 100)
	file, other := sealed(t, plain, sealKey(1)), sealed(t, noise(len(plain)), sealKey(1))
	at := func(chunk int) int { return min(sealedHead+chunk*sealedChunk, len(file)) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	cases := map[string][]byte{
		"without its last chunk":             file[:at(3)],
		"cut in its last chunk":              file[:len(file)-1],
		"cut in a chunk":                     file[:at(1)+100],
		"cut in a tag":                       file[:at(3)+5],
		"cut after its head":                 file[:sealedHead],
		"cut in its head":                    file[:50],
		"with two chunks in the other order": join(file[:at(0)], file[at(1):at(2)], file[at(0):at(1)], file[at(2):]),
		"without a chunk":                    join(file[:at(1)], file[at(2):]),
		"with a chunk twice":                 join(file[:at(1)], file[at(0):]),
		"with another file's chunk":          join(file[:at(1)], other[at(1):at(2)], file[at(2):]),
		"with another file's end":            join(file[:at(2)], other[at(2):]),
		"with another file's head":           join(other[:at(0)], file[at(0):]),
		"with something after it":            join(file, []byte{0}),
		"with a chunk after it":              join(file, file[at(3):]),
	}
	for range 200 {
		touched, i := bytes.Clone(file), rand.IntN(len(file))
		touched[i] ^= 1 << rand.IntN(8)
		cases[fmt.Sprintf("with a bit of byte %d another", i)] = touched
	}
	for i := range sealedHead {
		touched := bytes.Clone(file)
		touched[i] ^= 1
		cases[fmt.Sprintf("with byte %d of its head another", i)] = touched
	}
	for what, touched := range cases {
		got, err := unsealed(touched, sealKey(1))
		if err == nil || !bytes.HasPrefix(plain, got) {
			t.Errorf("a file %s gives %d bytes: %v", what, len(got), err)
		}
	}
}

func TestSealKeysAreToldApart(t *testing.T) {
	s := oracle.Open(t)
	fill(t, s, rand.Uint64())
	file := backedUp(t, s)
	closed := sealed(t, file, sealKey(1))
	for what, c := range map[string]struct {
		file []byte
		key  *backup.SealKey
		want error
	}{
		"sealed, its key":        {closed, sealKey(1), nil},
		"sealed, another key":    {closed, sealKey(2), backup.ErrSealKey},
		"sealed, no key":         {closed, nil, backup.ErrSealed},
		"not sealed, a key":      {file, sealKey(1), backup.ErrNotSealed},
		"not sealed, no key":     {file, nil, nil},
		"something else, a key":  {noise(5000), sealKey(1), backup.ErrNoBackup},
		"something else, no key": {noise(5000), nil, backup.ErrNoBackup},
		"nothing, a key":         {nil, sealKey(1), backup.ErrNoBackup},
	} {
		made := false
		_, err := backup.Restore(t.Context(), backup.Unseal(bytes.NewReader(c.file), c.key), func(h backup.Header) (store.Store, error) {
			made = true
			return oracle.Like(t, h.Identity), nil
		}, transfer.Options{})
		if !errors.Is(err, c.want) || made != (c.want == nil) {
			t.Errorf("%s: a store was made: %v, %v", what, made, err)
		}
	}
}

func TestSealKeyIsReadAsItIsWritten(t *testing.T) {
	want := backup.SealKey(noise(32))
	for _, text := range []string{hex.EncodeToString(want[:]), base64.StdEncoding.EncodeToString(want[:]), " " + hex.EncodeToString(want[:]) + "\r\n"} {
		if got, err := backup.ParseSealKey([]byte(text)); err != nil || *got != want {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", "password", hex.EncodeToString(want[:31]), hex.EncodeToString(want[:]) + "00", string(want[:])} {
		if _, err := backup.ParseSealKey([]byte(text)); err == nil {
			t.Errorf("%q is taken for a key", text)
		}
	}
}

// TestSealedBackupShowsNothing looks for what was reported and for the store's keys in a sealed file, as Save makes it.
func TestSealedBackupShowsNothing(t *testing.T) {
	s := oracle.Open(t)
	planted := []byte("planted-" + hex.EncodeToString(noise(16)))
	item := storetest.NewSource(1).Item(3)
	item.Content = append(item.Content, inventory.Entry{{Name: "Planted", Value: string(planted)}})
	if _, err := storetest.NewWriter(s).Report(t.Context(), storetest.Node(1), storetest.Epoch, item); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutRecord(t.Context(), store.Record{Key: "user", Value: planted}); err != nil {
		t.Fatal(err)
	}
	write := func(w io.Writer) error {
		_, err := backup.Write(t.Context(), s, w, header, transfer.Options{})
		return err
	}
	path := filepath.Join(t.TempDir(), "a.backup")
	if _, err := backup.Save(t.Context(), path, sealKey(1), write, transfer.Options{}); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var passed bytes.Buffer
	if _, err := backup.Pass(t.Context(), &passed, sealKey(1), write, transfer.Options{}); err != nil {
		t.Fatal(err)
	}
	id := s.Identity()
	for _, file := range [][]byte{file, passed.Bytes()} {
		for what, secret := range map[string][]byte{
			"a value": planted, "the magic": []byte("stocktake backup"), "the root key": id.RootKey[:], "the token key": id.TokenKey[:],
			"the root key in base64": []byte(base64.StdEncoding.EncodeToString(id.RootKey[:])),
		} {
			if bytes.Contains(file, secret) {
				t.Errorf("a sealed backup shows %s", what)
			}
		}
		plain, err := unsealed(file, sealKey(1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := backup.Check(t.Context(), bytes.NewReader(plain), transfer.Options{}); err != nil {
			t.Error(err)
		}
	}
}

func TestSealEndsWithItsWriter(t *testing.T) {
	plain := noise(200_000)
	whole := len(sealed(t, plain, sealKey(1)))
	for _, room := range []int{0, 10, sealedHead, sealedHead + 1, sealedHead + sealedChunk, whole - 1} {
		w, err := backup.Seal(&full{room}, sealKey(1))
		if err == nil {
			_, err = w.Write(plain)
			err = errors.Join(err, w.Close())
		}
		if !errors.Is(err, errCut) {
			t.Errorf("a disk with room for %d of %d bytes: %v", room, whole, err)
		}
	}
}

func FuzzUnseal(f *testing.F) {
	f.Add(sealed(f, []byte("a backup"), sealKey(1)))
	f.Add(sealed(f, noise(70_000), sealKey(1)))
	f.Add([]byte("stocktake sealed"))
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := unsealed(file, sealKey(1))
		if again, err2 := unsealed(file, sealKey(1)); !bytes.Equal(got, again) || (err == nil) != (err2 == nil) {
			t.Error("it opens another way a second time")
		}
		if err == nil && len(got)+16 > len(file) {
			t.Errorf("%d bytes come of a file of %d", len(got), len(file))
		}
	})
}
