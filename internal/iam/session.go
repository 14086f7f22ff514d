package iam

import (
	"context"
	"errors"
	"strings"
	"time"

	"stocktake/internal/seal"
	"stocktake/internal/store"
)

// assumedRoles is the kind of session that one of a role is.
const assumedRoles = "assumed role"

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

// mostChained is how long a session may last that was assumed by a session, as in AWS.
const mostChained = time.Hour

// AssumeRole gives a principal a session of a role of its account, whose policies it is told to have been allowed by. One
// that is given to a session ends no later than that, or who has the credentials of a session could renew them for ever.
func (d *Identities) AssumeRole(ctx context.Context, p *Principal, roleARN, session string, life time.Duration) (Session, error) {
	name := roleARN[strings.LastIndexByte(roleARN, '/')+1:]
	if !nameForm.MatchString(name) {
		return Session{}, ErrNotTrusted
	}
	r, err := d.role(ctx, p.Account, name)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Session{}, ErrNotTrusted
	case err != nil:
		return Session{}, err
	case r.ARN() != roleARN || !r.trusts(p):
		return Session{}, ErrNotTrusted
	case life > r.MaxSession:
		return Session{}, refuse(InvalidInput, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	case p.role != "" && life > mostChained:
		return Session{}, refuse(InvalidInput, "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	}
	ends := d.now().Add(life)
	if p.role != "" && p.ends.Before(ends) {
		ends = p.ends
	}
	body := sessionBody{p.Account, r.Name, r.ID, session, ends.UnixMilli()}
	made, err := seal.NewSession(d.store.Identity().Derive, assumedRoles, body)
	if err != nil {
		return Session{}, err
	}
	return sessionOf(made, body, r), nil
}

// Session undoes AssumeRole. ErrUnknownKey: the token is none of this service's, or its role is gone. One that is over is
// given with its end.
func (d *Identities) Session(ctx context.Context, accessKeyID, token string) (Session, error) {
	var body sessionBody
	secret, err := seal.OpenSession(d.store.Identity().Derive, assumedRoles, accessKeyID, token, &body)
	if errors.Is(err, seal.ErrClosed) {
		err = ErrUnknownKey
	}
	if err != nil {
		return Session{}, err
	}
	r, err := d.role(ctx, body.Account, body.Role)
	if err != nil {
		return Session{}, unknown(err)
	}
	if r.ID != body.RoleID {
		return Session{}, ErrUnknownKey
	}
	return sessionOf(seal.Session{AccessKeyID: accessKeyID, Secret: secret, Token: token}, body, r), nil
}

func sessionOf(made seal.Session, body sessionBody, r *role) Session {
	s := Session{
		AccessKeyID: made.AccessKeyID, SessionToken: made.Token, Secret: made.Secret,
		Expires: time.UnixMilli(body.Expires).UTC(), RoleID: r.ID + ":" + body.Session,
		ARN: "arn:aws:sts::" + body.Account + ":assumed-role/" + r.Name + "/" + body.Session,
	}
	s.Principal = &Principal{
		Account: body.Account, AccessKeyID: s.AccessKeyID, ARN: s.ARN,
		judged: true, policies: r.policies, id: s.RoleID, role: r.ARN(), ends: s.Expires,
	}
	return s
}

// role gives a role to be assumed, or store.ErrNotFound.
func (d *Identities) role(ctx context.Context, account, name string) (*role, error) {
	if r := d.declared.role(account, name); r != nil {
		return r, nil
	}
	r, _, err := d.roles.read(ctx, d, roleKey(account, name), d.fresh)
	return r, err
}
