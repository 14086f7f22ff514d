package iam

import (
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
