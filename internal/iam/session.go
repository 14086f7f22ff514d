package iam

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"stocktake/internal/store"
)

// mostToken bounds what is taken for a session token.
const mostToken = 4096

// A Session is the credentials of someone who assumed a role.
type Session struct {
	AccessKeyID  string
	Secret       string `json:"-"`
	SessionToken string `json:"-"`
	Expires      time.Time
	// RoleID is ROLEID:SESSION, ARN arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION.
	RoleID, ARN string
	Principal   *Principal
}

// String keeps the secrets out of logs.
func (s Session) String() string { return "session " + s.AccessKeyID }

// GoString keeps the secrets out of %#v.
func (s Session) GoString() string { return s.String() }

// sessionBody is what a session token says, sealed. Nothing is kept of a session: any server opens its token, also after a
// restart.
type sessionBody struct {
	Account string `json:"a"`
	Role    string `json:"r"`
	RoleID  string `json:"i"`
	Session string `json:"s"`
	Expires int64  `json:"e"` // milliseconds since 1970
}

// ErrNotTrusted is the error of a role that does not exist, or that the caller is not trusted with.
var ErrNotTrusted = errors.New("the role does not trust the caller")

// AssumeRole gives a principal a session of a role of its account, whose policies it is told to have been allowed by.
func (d *Identities) AssumeRole(ctx context.Context, p *Principal, roleARN, session string, life time.Duration) (Session, error) {
	name := roleARN[strings.LastIndexByte(roleARN, '/')+1:]
	if !nameForm.MatchString(name) {
		return Session{}, ErrNotTrusted
	}
	r, _, err := d.roles.read(ctx, d, roleKey(p.Account, name), d.fresh)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Session{}, ErrNotTrusted
	case err != nil:
		return Session{}, err
	case r.ARN() != roleARN || !r.trusts(p):
		return Session{}, ErrNotTrusted
	case life > r.MaxSession:
		return Session{}, refuse(InvalidInput, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	id := newID("ASIA")
	body := sessionBody{p.Account, r.Name, r.ID, session, d.now().Add(life).UnixMilli()}
	plain, err := json.Marshal(body)
	if err != nil {
		return Session{}, err
	}
	seal, err := d.sessionSeal(id)
	if err != nil {
		return Session{}, err
	}
	nonce := make([]byte, seal.NonceSize(), seal.NonceSize()+len(plain)+seal.Overhead())
	_, _ = rand.Read(nonce) // it never fails
	token := base64.RawURLEncoding.EncodeToString(seal.Seal(nonce, nonce, plain, nil))
	return d.session(id, token, body, r), nil
}

// Session undoes AssumeRole. ErrUnknownKey: the token is none of this service's, or its role is gone. One that is over is
// given with its end.
func (d *Identities) Session(ctx context.Context, accessKeyID, token string) (Session, error) {
	if len(token) > mostToken || len(accessKeyID) != len("ASIA")+16 || strings.ContainsAny(token, "\r\n") {
		return Session{}, ErrUnknownKey
	}
	seal, err := d.sessionSeal(accessKeyID)
	if err != nil {
		return Session{}, err
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < seal.NonceSize() {
		return Session{}, ErrUnknownKey
	}
	plain, err := seal.Open(nil, raw[:seal.NonceSize()], raw[seal.NonceSize():], nil)
	if err != nil {
		return Session{}, ErrUnknownKey
	}
	var body sessionBody
	if err := json.Unmarshal(plain, &body); err != nil {
		return Session{}, ErrUnknownKey
	}
	r, _, err := d.roles.read(ctx, d, roleKey(body.Account, body.Role), d.fresh)
	if err != nil {
		return Session{}, unknown(err)
	}
	if r.ID != body.RoleID {
		return Session{}, ErrUnknownKey
	}
	return d.session(accessKeyID, token, body, r), nil
}

func (d *Identities) session(id, token string, body sessionBody, r *role) Session {
	secret := d.store.Identity().Derive("assumed role secret", []byte(id), []byte(token))
	s := Session{
		AccessKeyID: id, SessionToken: token, Secret: base64.StdEncoding.EncodeToString(secret[:])[:40],
		Expires: time.UnixMilli(body.Expires).UTC(), RoleID: r.ID + ":" + body.Session,
		ARN: "arn:aws:sts::" + body.Account + ":assumed-role/" + r.Name + "/" + body.Session,
	}
	s.Principal = &Principal{
		Account: body.Account, AccessKeyID: id, ARN: s.ARN,
		judged: true, policies: r.policies, id: s.RoleID, role: r.ARN(),
	}
	return s
}

// sessionSeal gives the seal of one session token: each has a key of its own, so that one seals a single message.
func (d *Identities) sessionSeal(accessKeyID string) (cipher.AEAD, error) {
	key := d.store.Identity().Derive("assumed role seal", []byte(accessKeyID))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
