package agent_test

import (
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"stocktake/internal/iam"
	"stocktake/internal/iam/query"
	"stocktake/internal/sigv4"
)

// formed is what an answer to a form may hold.
type formed struct {
	status int
	text   string

	Code         string `xml:"Error>Code"`
	Message      string `xml:"Error>Message"`
	ARN          string `xml:"GetCallerIdentityResult>Arn"`
	UserID       string `xml:"GetCallerIdentityResult>UserId"`
	Account      string `xml:"GetCallerIdentityResult>Account"`
	AccessKeyID  string `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
	Secret       string `xml:"AssumeRoleResult>Credentials>SecretAccessKey"`
	SessionToken string `xml:"AssumeRoleResult>Credentials>SessionToken"`
}

// form sends a form, signed for a service by credentials; by none if they are zero.
func (s *stack) form(service string, c sigv4.Credentials, action string, parameters ...string) formed {
	s.t.Helper()
	values := url.Values{"Action": {action}, "Version": {query.IAM.Version}}
	for _, known := range query.Permissions() {
		if known == "sts:"+action {
			values.Set("Version", query.STS.Version)
		}
	}
	for i := 0; i < len(parameters); i += 2 {
		values.Set(parameters[i], parameters[i+1])
	}
	body := values.Encode()
	r, err := http.NewRequest(http.MethodPost, s.server.URL+"/", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if c.AccessKeyID != "" {
		if err := sigv4.Sign(r, sha256.Sum256([]byte(body)), c, region, service, time.Now()); err != nil {
			s.t.Fatal(err)
		}
	}
	got, err := s.server.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	f := formed{status: got.StatusCode, text: string(text)}
	if err := xml.Unmarshal(text, &f); err != nil {
		s.t.Fatalf("%v in %s", err, text)
	}
	return f
}

// is fails the test unless the answer is an error of the code, or none for "".
func (f formed) is(t *testing.T, code string) formed {
	t.Helper()
	if f.Code != code || (f.status == http.StatusOK) != (code == "") {
		t.Errorf("answered %d %s, want %q", f.status, f.text, code)
	}
	return f
}

const trustsAccount = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole"}}`

func TestEveryoneLearnsWhoTheyAre(t *testing.T) {
	s := memoryStore(t, nil)
	node := s.register(s.activate(""), pairs()[0])
	alice := s.user("alice")
	for name, c := range map[string]struct {
		by           sigv4.Credentials
		arn, account string
	}{
		"root":            {root, "arn:aws:iam::000000000000:root", iam.RootAccount},
		"configured":      {bound, "arn:aws:iam::000000000000:user/AKIABOUND", iam.RootAccount},
		"another account": {stranger, "arn:aws:iam::111122223333:user/AKIASTRANGER", strangers},
		"user":            {alice, "arn:aws:iam::000000000000:user/alice", iam.RootAccount},
		"node":            {s.token(node, pairs()[0]).credentials(), "arn:aws:sts::000000000000:assumed-role/inventory/" + node, iam.RootAccount},
	} {
		if got := s.form("sts", c.by, "GetCallerIdentity").is(t, ""); got.ARN != c.arn || got.Account != c.account || got.UserID == "" {
			t.Errorf("%s is %s", name, got.text)
		}
	}
	s.form("iam", root, "GetCallerIdentity").is(t, "SignatureDoesNotMatch")
	s.form("ssm", root, "GetCallerIdentity").is(t, "SignatureDoesNotMatch")
	s.form("sts", sigv4.Credentials{}, "GetCallerIdentity").is(t, "MissingAuthenticationToken")
	s.form("sts", sigv4.Credentials{AccessKeyID: "AKIANOBODY", SecretAccessKey: "x"}, "GetCallerIdentity").is(t, "InvalidClientTokenId")
	s.form("sts", sigv4.Credentials{AccessKeyID: alice.AccessKeyID, SecretAccessKey: "x"}, "GetCallerIdentity").is(t, "SignatureDoesNotMatch")
}

// managing has the parameters of every action, done to alice or to the role ops.
var managing = map[string][]string{
	"iam:CreateUser":               {"UserName", "alice"},
	"iam:GetUser":                  {"UserName", "alice"},
	"iam:ListUsers":                nil,
	"iam:DeleteUser":               {"UserName", "alice"},
	"iam:CreateAccessKey":          {"UserName", "alice"},
	"iam:ListAccessKeys":           {"UserName", "alice"},
	"iam:UpdateAccessKey":          {"UserName", "alice", "AccessKeyId", "AKIA0000000000000000", "Status", "Active"},
	"iam:DeleteAccessKey":          {"UserName", "alice", "AccessKeyId", "AKIA0000000000000000"},
	"iam:GetAccessKeyLastUsed":     {"AccessKeyId", "AKIA0000000000000000"},
	"iam:PutUserPolicy":            {"UserName", "alice", "PolicyName", "p", "PolicyDocument", `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`},
	"iam:GetUserPolicy":            {"UserName", "alice", "PolicyName", "p"},
	"iam:ListUserPolicies":         {"UserName", "alice"},
	"iam:DeleteUserPolicy":         {"UserName", "alice", "PolicyName", "p"},
	"iam:AttachUserPolicy":         {"UserName", "alice", "PolicyArn", "arn:aws:iam::aws:policy/AmazonSSMFullAccess"},
	"iam:DetachUserPolicy":         {"UserName", "alice", "PolicyArn", "arn:aws:iam::aws:policy/AmazonSSMFullAccess"},
	"iam:ListAttachedUserPolicies": {"UserName", "alice"},
	"iam:CreateRole":               {"RoleName", "ops", "AssumeRolePolicyDocument", trustsAccount},
	"iam:PutRolePolicy":            {"RoleName", "ops", "PolicyName", "p", "PolicyDocument", `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`},
	"iam:ListRoles":                nil,
	"iam:DeleteRole":               {"RoleName", "ops"},
	"sts:AssumeRole":               {"RoleArn", "arn:aws:iam::000000000000:role/ops", "RoleSessionName", "me"},
}

// TestEveryFormAndEveryCaller calls every action of IAM and STS as those who may not, and as those who may.
func TestEveryFormAndEveryCaller(t *testing.T) {
	s := memoryStore(t, nil)
	node := s.register(s.activate(""), pairs()[0])
	s.user("alice")
	const every = `{"Effect":"Allow","Action":["iam:*","sts:*"],"Resource":"*"}`
	callers := map[string]sigv4.Credentials{
		"bound": bound, "node": s.token(node, pairs()[0]).credentials(), "powerless": s.user("powerless"),
		"of ssm alone": s.user("full", `{"Effect":"Allow","Action":"ssm:*","Resource":"*"}`),
		"forbidden":    s.user("forbidden", every, `{"Effect":"Deny","Action":["iam:*","sts:*"],"Resource":["arn:aws:iam::*:user/*","arn:aws:iam::*:role/*"]}`),
	}
	allowed := s.user("manager", every)
	for _, permission := range query.Permissions() {
		service, action, _ := strings.Cut(permission, ":")
		if action == "GetCallerIdentity" {
			continue
		}
		parameters, ok := managing[permission]
		if !ok && action != "ListUsers" && action != "ListRoles" {
			t.Errorf("there is no request for %s", permission)
		}
		s.form(service, sigv4.Credentials{}, action, parameters...).is(t, "MissingAuthenticationToken")
		for name, c := range callers {
			if got := s.form(service, c, action, parameters...); got.Code != "AccessDenied" || got.status != http.StatusForbidden {
				t.Errorf("%s by %s: answered %d %s", permission, name, got.status, got.text)
			}
		}
		// It may be there, and may have been deleted by the action before.
		_, _ = s.users.CreateRole(t.Context(), iam.Role{Account: iam.RootAccount, Name: "ops", Path: "/", Trust: trustsAccount, MaxSession: time.Hour})
		if got := s.form(service, allowed, action, parameters...); got.Code == "AccessDenied" || got.status >= 500 {
			t.Errorf("%s by one who may: answered %d %s", permission, got.status, got.text)
		}
	}
	// Another account has a user and a role of these names no more than any other.
	for _, permission := range []string{"iam:GetUser", "iam:ListAccessKeys", "iam:PutUserPolicy", "iam:DeleteUser", "iam:PutRolePolicy", "iam:DeleteRole"} {
		s.form("iam", stranger, strings.TrimPrefix(permission, "iam:"), managing[permission]...).is(t, "NoSuchEntity")
	}
	s.form("sts", stranger, "AssumeRole", managing["sts:AssumeRole"]...).is(t, "AccessDenied")
	s.broken.Store(true)
	defer s.broken.Store(false)
	s.form("iam", root, "GetUser", "UserName", "alice").is(t, "InternalFailure")
}

// formResource is what a request of managing is done to, by the table of docs/iam.md.
func formResource(permission string) string {
	const users, roles = "arn:aws:iam::000000000000:user/", "arn:aws:iam::000000000000:role/"
	switch permission {
	case "iam:ListUsers", "iam:GetAccessKeyLastUsed": // of a key that nobody has
		return users
	case "iam:ListRoles":
		return roles
	case "iam:CreateRole", "iam:PutRolePolicy", "iam:DeleteRole", "sts:AssumeRole":
		return roles + "ops"
	}
	return users + "alice"
}

// TestEveryFormByItsPolicy calls every action of IAM and STS as a user whose policy allows it on just what the request names,
// on all but that, on all with that denied, and as one with a policy of every other action.
func TestEveryFormByItsPolicy(t *testing.T) {
	s := memoryStore(t, nil)
	c := s.user("walker")
	for _, permission := range query.Permissions() {
		service, action, _ := strings.Cut(permission, ":")
		if action == "GetCallerIdentity" {
			s.form(service, c, action).is(t, "") // without a policy
			continue
		}
		arn := formResource(permission)
		refusal := "User: arn:aws:iam::000000000000:user/walker is not authorized to perform: " + permission + " on resource: " + arn + " "
		statement := func(effect, resource string) string {
			return `{"Effect":"` + effect + `","Action":"` + permission + `","Resource":"` + resource + `"}`
		}
		for _, step := range []struct{ policy, refusal string }{
			{statement("Allow", "arn:aws:iam::000000000000:user/nobody"), refusal + "because no identity-based policy allows the " + permission + " action"},
			{`{"Effect":"Allow","NotAction":"` + permission + `","Resource":"*"}`, refusal + "because no identity-based policy allows the " + permission + " action"},
			{`{"Effect":"Allow","Action":"*","Resource":"*"},` + statement("Deny", arn), refusal + "with an explicit deny in an identity-based policy"},
			{statement("Allow", arn), ""},
		} {
			if err := s.users.PutUserPolicy(t.Context(), iam.RootAccount, "walker", "only", `{"Version":"2012-10-17","Statement":[`+step.policy+`]}`); err != nil {
				t.Fatal(err)
			}
			got := s.form(service, c, action, managing[permission]...)
			if step.refusal == "" {
				if got.Code == "AccessDenied" || got.Code == "ValidationError" || got.status >= 500 {
					t.Errorf("%s, allowed on %s: answered %d %s", permission, arn, got.status, got.text)
				}
			} else if got.Code != "AccessDenied" || got.status != http.StatusForbidden || !strings.Contains(got.Message, step.refusal) {
				t.Errorf("%s with %s: answered %d %s", permission, step.policy, got.status, got.text)
			}
		}
		// They may be there.
		_, _ = s.users.CreateUser(t.Context(), iam.RootAccount, "alice", "/", nil)
		_, _ = s.users.CreateRole(t.Context(), iam.Role{Account: iam.RootAccount, Name: "ops", Path: "/", Trust: trustsAccount, MaxSession: time.Hour})
	}
}

// TestNamesAreJudgedAsStored has a user who may touch anyone but alice ask for ALICE.
func TestNamesAreJudgedAsStored(t *testing.T) {
	s := memoryStore(t, nil)
	s.user("alice")
	by := s.user("bob", `{"Effect":"Allow","Action":"iam:*","Resource":"*"}`, `{"Effect":"Deny","Action":"iam:*","Resource":"arn:aws:iam::*:user/alice"}`)
	for _, name := range []string{"alice", "ALICE", "Alice"} {
		s.form("iam", by, "GetUser", "UserName", name).is(t, "AccessDenied")
	}
	s.form("iam", by, "GetUser").is(t, "") // itself
	s.form("iam", by, "GetUser", "UserName", "a\x00b/%\xff").is(t, "ValidationError")
	s.form("iam", root, "GetUser").is(t, "ValidationError") // it is no user
}

// TestRefusalsNameWhatWasAsked has a user without rights ask for others, who are there and who are not: nothing in the
// refusal tells the two apart, nor the path, nor the spelling, nor whose a key is.
func TestRefusalsNameWhatWasAsked(t *testing.T) {
	s := memoryStore(t, nil)
	powerless := s.user("powerless")
	if _, err := s.users.CreateUser(t.Context(), iam.RootAccount, "Carol", "/hidden/", nil); err != nil {
		t.Fatal(err)
	}
	key, err := s.users.CreateAccessKey(t.Context(), iam.RootAccount, "carol")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.users.CreateRole(t.Context(), iam.Role{Account: iam.RootAccount, Name: "Ops", Path: "/hidden/", Trust: trustsAccount, MaxSession: time.Hour}); err != nil {
		t.Fatal(err)
	}
	here := ids{user: "carol", role: "ops", key: key.ID}
	nobody := ids{user: "nobody", role: "nothing", key: "AKIANOBODY7777777777"}
	for _, permission := range query.Permissions() {
		service, action, _ := strings.Cut(permission, ":")
		if action == "GetCallerIdentity" {
			continue
		}
		known, unknown := s.form(service, powerless, action, here.managing(permission)...), s.form(service, powerless, action, nobody.managing(permission)...)
		plain := strings.NewReplacer("carol", "NAME", "nobody", "NAME", "ops", "NAME", "nothing", "NAME")
		if known.Code != "AccessDenied" || plain.Replace(known.Message) != plain.Replace(unknown.Message) || strings.Contains(known.text, "hidden") || strings.Contains(known.text, "Carol") {
			t.Errorf("%s of one who is there: %s, of nobody: %s", permission, known.Message, unknown.Message)
		}
	}
	long := s.form("iam", powerless, "GetUser", "UserName", strings.Repeat("\u00e9", 100_000))
	if len(long.text) > 10_000 || long.Code != "AccessDenied" {
		t.Errorf("a name of 200,000 bytes is answered with %d", len(long.text))
	}
}

func TestRolesAreAssumed(t *testing.T) {
	s := memoryStore(t, nil)
	const arn = "arn:aws:iam::000000000000:role/ops"
	s.form("iam", root, "CreateRole", "RoleName", "ops", "AssumeRolePolicyDocument", trustsAccount).is(t, "")
	s.form("iam", root, "PutRolePolicy", "RoleName", "ops", "PolicyName", "p", "PolicyDocument",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ssm:Get*","Resource":"*","Condition":{"ArnEquals":{"aws:PrincipalArn":"`+arn+`"}}}}`).is(t, "")
	by1 := s.user("alice", `{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"`+arn+`"}`)
	got := s.form("sts", by1, "AssumeRole", "RoleArn", arn, "RoleSessionName", "night").is(t, "")
	session := sigv4.Credentials{AccessKeyID: got.AccessKeyID, SecretAccessKey: got.Secret, SessionToken: got.SessionToken}
	if who := s.form("sts", session, "GetCallerIdentity").is(t, ""); who.ARN != "arn:aws:sts::000000000000:assumed-role/ops/night" {
		t.Errorf("the session is %s", who.text)
	}
	s.restart()
	s.call("GetInventory", "{}", by(session)).is(t, "")
	s.call("DeleteInventory", `{"TypeName":"Custom:None"}`, by(session)).is(t, "AccessDeniedException")
	s.form("iam", session, "ListUsers").is(t, "AccessDenied")
	bare, bent := session, session
	bare.SessionToken, bent.SessionToken = "", session.SessionToken[:40]+"A"+session.SessionToken[41:]
	if bent == session {
		bent.SessionToken = session.SessionToken[:40] + "B" + session.SessionToken[41:]
	}
	for _, c := range []sigv4.Credentials{bare, bent, {AccessKeyID: "ASIA0000000000000000", SecretAccessKey: session.SecretAccessKey, SessionToken: session.SessionToken}} {
		s.call("GetInventory", "{}", by(c)).is(t, "UnrecognizedClientException")
	}
	s.form("sts", by1, "AssumeRole", "RoleArn", arn, "RoleSessionName", "long", "DurationSeconds", "7200").is(t, "ValidationError")
	s.form("iam", root, "DeleteRole", "RoleName", "ops").is(t, "")
	s.call("GetInventory", "{}", by(session)).is(t, "UnrecognizedClientException")
	s.form("iam", root, "CreateRole", "RoleName", "ops", "AssumeRolePolicyDocument", trustsAccount).is(t, "")
	s.call("GetInventory", "{}", by(session)).is(t, "UnrecognizedClientException") // another role of the name
}

func TestTrustIsOfTheOwnAccount(t *testing.T) {
	s := memoryStore(t, nil)
	statement := func(principal, more string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"` + more + `}]}`
	}
	for _, text := range []string{
		"{}", "[]", "null", trustsAccount + "{}", statement(`"*"`, ""), statement(`{"AWS":"*"}`, ""), statement(`{"AWS":[]}`, ""), statement(`{"Service":"ssm.amazonaws.com"}`, ""),
		statement(`{"AWS":"111122223333"}`, ""), statement(`{"AWS":"arn:aws:iam::111122223333:root"}`, ""), statement(`{"AWS":"arn:aws:iam::000000000000:user/*"}`, ""),
		statement(`{"AWS":"000000000000"}`, `,"Condition":{}`), strings.Replace(trustsAccount, "Allow", "Deny", 1), strings.Replace(trustsAccount, "sts:AssumeRole", "*", 1),
	} {
		s.form("iam", root, "CreateRole", "RoleName", "refused", "AssumeRolePolicyDocument", text).is(t, "MalformedPolicyDocument")
	}
	s.form("iam", root, "CreateRole", "RoleName", "bobs", "AssumeRolePolicyDocument", statement(`{"AWS":["arn:aws:iam::000000000000:user/bob"]}`, "")).is(t, "")
	const every = `{"Effect":"Allow","Action":"sts:*","Resource":"*"}`
	for name, code := range map[string]string{"bob": "", "eve": "AccessDenied"} {
		s.form("sts", s.user(name, every), "AssumeRole", "RoleArn", "arn:aws:iam::000000000000:role/bobs", "RoleSessionName", "me").is(t, code)
	}
	s.form("sts", root, "AssumeRole", "RoleArn", "arn:aws:iam::000000000000:role/none", "RoleSessionName", "me").is(t, "AccessDenied")
}

func TestListingsArePaged(t *testing.T) {
	s := memoryStore(t, nil)
	for i := range 5 {
		s.form("iam", root, "CreateUser", "UserName", fmt.Sprintf("u%d", i)).is(t, "")
	}
	var names []string
	for marker := "u"; marker != ""; {
		var page struct {
			Names  []string `xml:"ListUsersResult>Users>member>UserName"`
			Marker string   `xml:"ListUsersResult>Marker"`
		}
		got := s.form("iam", root, "ListUsers", "MaxItems", "2", "Marker", marker).is(t, "")
		if err := xml.Unmarshal([]byte(got.text), &page); err != nil || len(page.Names) > 2 {
			t.Fatalf("%v: %s", err, got.text)
		}
		names, marker = append(names, page.Names...), page.Marker
	}
	if strings.Join(names, " ") != "u0 u1 u2 u3 u4" {
		t.Errorf("users are %q", names)
	}
}
