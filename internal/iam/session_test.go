package iam

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSessionsKeepTheirSecretsOutOfLogs prints a session in every way a log may.
func TestSessionsKeepTheirSecretsOutOfLogs(t *testing.T) {
	d := open(t, Options{Store: newStore(t)})
	must(d.CreateRole(t.Context(), Role{Account: tenant, Name: "ops", Path: "/", Trust: trustTenant, MaxSession: time.Hour}))(t)
	s := must(d.AssumeRole(t.Context(), &Principal{Account: tenant, ARN: "arn:aws:iam::111122223333:user/bob"}, "arn:aws:iam::111122223333:role/ops", "night", time.Hour))(t)
	if s.Secret == "" || s.SessionToken == "" {
		t.Fatalf("there is nothing to keep: %s", s)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, text := range []string{fmt.Sprintf(verb, s), fmt.Sprintf(verb, &s), fmt.Sprintf(verb, []Session{s})} {
			if strings.Contains(text, s.Secret) || strings.Contains(text, s.SessionToken) {
				t.Errorf("%s shows %s", verb, text)
			}
		}
	}
}

// TestSessionsOfSessionsEndWithThem has sessions assume roles, their own and another, as one with stolen credentials would.
func TestSessionsOfSessionsEndWithThem(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := start
	d := open(t, Options{Store: newStore(t), Now: func() time.Time { return now }})
	for _, name := range []string{"ops", "audit"} {
		must(d.CreateRole(t.Context(), Role{Account: tenant, Name: name, Path: "/", Trust: trustTenant, MaxSession: 12 * time.Hour}))(t)
	}
	// again is the session as a later request finds it, by its token.
	again := func(s Session) *Principal {
		return must(d.Session(t.Context(), s.AccessKeyID, s.SessionToken))(t).Principal
	}
	user := &Principal{Account: tenant, ARN: "arn:aws:iam::111122223333:user/bob"}
	first := must(d.AssumeRole(t.Context(), user, "arn:aws:iam::111122223333:role/ops", "night", 12*time.Hour))(t)
	now = start.Add(10 * time.Hour)
	second := must(d.AssumeRole(t.Context(), again(first), "arn:aws:iam::111122223333:role/ops", "late", time.Hour))(t)
	for _, row := range []struct {
		name  string
		by    *Principal
		at    time.Duration // since the start
		life  time.Duration
		lasts time.Duration // since the start; 0: refused
	}{
		{"a user", user, 11 * time.Hour, 12 * time.Hour, 23 * time.Hour},
		{"a session", again(first), 10 * time.Hour, time.Hour, 11 * time.Hour},
		{"a session near its end", again(first), 11*time.Hour + 30*time.Minute, time.Hour, 12 * time.Hour},
		{"a session, for more than an hour", again(first), 10 * time.Hour, time.Hour + time.Second, 0},
		{"a session of a session", again(second), 10*time.Hour + 50*time.Minute, time.Hour, 11 * time.Hour},
		{"the principal it was given with", second.Principal, 10*time.Hour + 50*time.Minute, time.Hour, 11 * time.Hour},
	} {
		for _, role := range []string{"ops", "audit"} {
			now = start.Add(row.at)
			s, err := d.AssumeRole(t.Context(), row.by, "arn:aws:iam::111122223333:role/"+role, "x", row.life)
			var refused *Error
			switch {
			case row.lasts == 0 && (!errors.As(err, &refused) || refused.Reason != InvalidInput):
				t.Errorf("%s: %v", row.name, err)
			case row.lasts != 0 && (err != nil || !s.Expires.Equal(start.Add(row.lasts))):
				t.Errorf("%s, role %s: it ends %v after the start, want %v; %v", row.name, role, s.Expires.Sub(start), row.lasts, err)
			}
		}
	}
}
