package seal

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
)

// A Session is the credentials of a session: an access key id, a secret, and a token without which neither is good.
type Session struct{ AccessKeyID, Secret, Token string }

// String keeps the secrets out of logs.
func (s Session) String() string { return "session " + s.AccessKeyID }

// GoString keeps the secrets out of %#v.
func (s Session) GoString() string { return s.String() }

// Derive makes a key for one purpose and one thing, the same at every server.
type Derive func(purpose string, parts ...[]byte) [32]byte

const (
	sessionPrefix = "ASIA"
	idLength      = 16
	secretLength  = 40
)

// NewSession makes a session of a kind; body is what it stands for, as JSON. Each token is sealed under a key of its own, and
// its secret follows from it, so that one is worth nothing with another's id.
func NewSession(derive Derive, kind string, body any) (Session, error) {
	plain, err := json.Marshal(body)
	if err != nil {
		return Session{}, err
	}
	s := Session{AccessKeyID: NewID(sessionPrefix)}
	box, err := New(derive(kind+" seal", []byte(s.AccessKeyID)))
	if err != nil {
		return Session{}, err
	}
	s.Token = box.Token(plain)
	s.Secret = secretOf(derive, kind, s.AccessKeyID, s.Token)
	return s, nil
}

// OpenSession reads the token of a session of a kind into body, and gives its secret. ErrClosed: it is none of this kind and
// of this access key id.
func OpenSession(derive Derive, kind, accessKeyID, token string, body any) (secret string, err error) {
	if len(accessKeyID) != len(sessionPrefix)+idLength {
		return "", ErrClosed
	}
	box, err := New(derive(kind+" seal", []byte(accessKeyID)))
	if err != nil {
		return "", err
	}
	plain, err := box.OpenToken(token)
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(plain, body); err != nil {
		return "", ErrClosed
	}
	return secretOf(derive, kind, accessKeyID, token), nil
}

func secretOf(derive Derive, kind, accessKeyID, token string) string {
	secret := derive(kind+" secret", []byte(accessKeyID), []byte(token))
	return base64.StdEncoding.EncodeToString(secret[:])[:secretLength]
}

// NewID makes a unique id: 16 random characters behind what tells its kind, four letters as AWS has them.
func NewID(prefix string) string {
	var random [idLength * 5 / 8]byte
	_, _ = rand.Read(random[:]) // it never fails
	return prefix + base32.StdEncoding.EncodeToString(random[:])
}
