package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func box(t *testing.T, key byte) Box {
	t.Helper()
	b, err := New([32]byte{key})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOpensUnderItsKeyForItsThing(t *testing.T) {
	b := box(t, 1)
	sealed := b.Seal([]byte("plain"), []byte("thing"))
	if got, err := b.Open(sealed, []byte("thing")); err != nil || string(got) != "plain" {
		t.Fatalf("opened %q, %v", got, err)
	}
	if string(sealed) == string(b.Seal([]byte("plain"), []byte("thing"))) {
		t.Error("sealed twice it is the same: the nonce is not random")
	}
	for name, open := range map[string]func() ([]byte, error){
		"another key":   func() ([]byte, error) { return box(t, 2).Open(sealed, []byte("thing")) },
		"another thing": func() ([]byte, error) { return b.Open(sealed, []byte("other")) },
		"no thing":      func() ([]byte, error) { return b.Open(sealed, nil) },
		"nothing":       func() ([]byte, error) { return b.Open(nil, []byte("thing")) },
		"half":          func() ([]byte, error) { return b.Open(sealed[:len(sealed)/2], []byte("thing")) },
		"a nonce":       func() ([]byte, error) { return b.Open(sealed[:12], []byte("thing")) },
	} {
		if got, err := open(); !errors.Is(err, ErrClosed) || got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// TestNoOtherTokenOpens turns every bit of a token's bytes, cuts it at every length and spells it otherwise.
func TestNoOtherTokenOpens(t *testing.T) {
	b := box(t, 1)
	token := b.Token([]byte("plain!!")) // of a length whose last character has bits to spare
	if got, err := b.OpenToken(token); err != nil || string(got) != "plain!!" {
		t.Fatalf("opened %q, %v", got, err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	others := []string{token + "=", token + "\n", token + " ", token + "A", "\r" + token, strings.Repeat("A", 5000), "*"}
	for bit := range 8 * len(raw) {
		raw[bit/8] ^= 1 << (bit % 8)
		others = append(others, base64.RawURLEncoding.EncodeToString(raw))
		raw[bit/8] ^= 1 << (bit % 8)
	}
	for n := range token {
		others = append(others, token[:n])
	}
	for _, last := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		if other := token[:len(token)-1] + string(last); other != token {
			others = append(others, other)
		}
	}
	for _, other := range others {
		if got, err := b.OpenToken(other); !errors.Is(err, ErrClosed) {
			t.Errorf("%q opened: %q, %v", other, got, err)
		}
	}
}

func derive(root string) Derive {
	return func(purpose string, parts ...[]byte) [32]byte {
		mac := hmac.New(sha256.New, []byte(root))
		fmt.Fprintf(mac, "%s %q", purpose, parts)
		return [32]byte(mac.Sum(nil))
	}
}

func TestSessionIsOfItsIDAndKind(t *testing.T) {
	type body struct{ Name string }
	s, err := NewSession(derive("root"), "kind", body{"alice"})
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewSession(derive("root"), "kind", body{"alice"})
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^ASIA[A-Z2-7]{16}$`).MatchString(s.AccessKeyID) || len(s.Secret) != 40 || s.AccessKeyID == other.AccessKeyID || s.Secret == other.Secret {
		t.Errorf("sessions of %s and %s", s.AccessKeyID, other.AccessKeyID)
	}
	var got body
	if secret, err := OpenSession(derive("root"), "kind", s.AccessKeyID, s.Token, &got); err != nil || secret != s.Secret || got.Name != "alice" {
		t.Errorf("opened %v, %v", got, err)
	}
	for name, open := range map[string]func() (string, error){
		"of another's id":    func() (string, error) { return OpenSession(derive("root"), "kind", other.AccessKeyID, s.Token, &got) },
		"of no id":           func() (string, error) { return OpenSession(derive("root"), "kind", "", s.Token, &got) },
		"of another kind":    func() (string, error) { return OpenSession(derive("root"), "other", s.AccessKeyID, s.Token, &got) },
		"of another service": func() (string, error) { return OpenSession(derive("else"), "kind", s.AccessKeyID, s.Token, &got) },
		"another shape":      func() (string, error) { return OpenSession(derive("root"), "kind", s.AccessKeyID, s.Token, new(int)) },
	} {
		if secret, err := open(); !errors.Is(err, ErrClosed) || secret != "" {
			t.Errorf("%s: %q, %v", name, secret, err)
		}
	}
	if shown := fmt.Sprintf("%v %+v %#v %s", s, s, s, s); strings.Contains(shown, s.Secret) || strings.Contains(shown, s.Token) {
		t.Errorf("secrets are shown: %s", shown)
	}
}
