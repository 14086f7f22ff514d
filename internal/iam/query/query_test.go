package query

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"

	"stocktake/internal/iam/policy"
)

// TestRequests shows what is made of a form, whose fields stand one a line: the action and its request, or the error.
func TestRequests(t *testing.T) {
	datadriven.Walk(t, "testdata/requests", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(_ *testing.T, d *datadriven.TestData) string {
			c, r, err := read(strings.ReplaceAll(d.Input, "\n", "&"))
			if err != nil {
				return err.Error() + "\n"
			}
			return fmt.Sprintf("%s %+v\n", c.Permission(), reflect.ValueOf(r).Elem())
		})
	})
}

func read(body string) (*Call, Request, error) {
	c, err := Parse([]byte(body))
	if err != nil {
		return nil, nil, err
	}
	r, err := c.Decode()
	return c, r, err
}

var (
	at   = Time(time.Date(2026, 1, 2, 4, 4, 5, 999, time.FixedZone("", 3600)))
	text = Document(`{"Version": "2012-10-17", "Statement": {"Sid": "ä+b~c&<"}}`)
	user = User{Path: "/", UserName: "alice", UserID: "AIDA0000000000000001", ARN: "arn:aws:iam::111122223333:user/alice", CreateDate: at}
	role = Role{Path: "/", RoleName: "inventory", RoleID: "AROA0000000000000001", ARN: "arn:aws:iam::111122223333:role/inventory", CreateDate: at, AssumeRolePolicyDocument: text, MaxSessionDuration: 3600}
)

// results has one of each shape, and of listings an empty one too.
func results() map[string][]Result {
	tagged := user
	tagged.Tags = &Listing[Tag]{[]Tag{{"env", "a<b"}}}
	described := role
	described.Description, described.Tags = "what agents are", &Listing[Tag]{}
	return map[string][]Result{
		"CreateUser":       {CreateUserResult{user}, CreateUserResult{tagged}},
		"GetUser":          {GetUserResult{tagged}},
		"ListUsers":        {ListUsersResult{}, ListUsersResult{Listing[User]{[]User{user, user}}, Truncation{true, "next"}}},
		"CreateAccessKey":  {CreateAccessKeyResult{AccessKey{"alice", "AKIA0000000000000001", "Active", "s3cr3t", at}}},
		"ListAccessKeys":   {ListAccessKeysResult{}, ListAccessKeysResult{AccessKeyMetadata: Listing[AccessKeyMetadata]{[]AccessKeyMetadata{{"alice", "AKIA0000000000000001", "Inactive", at}}}}},
		"GetUserPolicy":    {GetUserPolicyResult{"alice", "read", text}},
		"ListUserPolicies": {ListUserPoliciesResult{}, ListUserPoliciesResult{PolicyNames: Listing[string]{[]string{"read", "write"}}}},
		"GetAccessKeyLastUsed": {
			GetAccessKeyLastUsedResult{"alice", AccessKeyLastUsed{&at, "ssm", "eu-west-1"}},
			GetAccessKeyLastUsedResult{"alice", AccessKeyLastUsed{nil, "N/A", "N/A"}},
		},
		"ListAttachedUserPolicies": {ListAttachedUserPoliciesResult{AttachedPolicies: Listing[AttachedPolicy]{[]AttachedPolicy{{"AmazonSSMFullAccess", "arn:aws:iam::aws:policy/AmazonSSMFullAccess"}}}}},
		"CreateRole":               {CreateRoleResult{role}, CreateRoleResult{described}},
		"ListRoles":                {ListRolesResult{}, ListRolesResult{Roles: Listing[Role]{[]Role{role}}}},
		"GetCallerIdentity":        {GetCallerIdentityResult{"arn:aws:iam::111122223333:user/alice", "AIDA0000000000000001", "111122223333"}},
		"AssumeRole":               {AssumeRoleResult{Credentials{"ASIA0000000000000001", "s3cr3t", "t0k3n", at}, AssumedRoleUser{"AROA0000000000000001:a", "arn:aws:sts::111122223333:assumed-role/inventory/a"}}},
	}
}

// TestAnswers holds the XML of every answer to the file, which names the action and which of its results.
func TestAnswers(t *testing.T) {
	all := results()
	answered := map[string]int{}
	datadriven.Walk(t, "testdata/answers", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			at := slices.IndexFunc(operations, func(o operation) bool { return o.name == d.Cmd })
			if at < 0 {
				d.Fatalf(t, "there is no such action")
			}
			c := &Call{Service: operations[at].service, Action: d.Cmd}
			var r Result
			if shapes := all[d.Cmd]; shapes != nil {
				r = shapes[answered[d.Cmd]]
			}
			answered[d.Cmd]++
			body, err := c.AppendAnswer(nil, "7a62c49f-347e-4fc4-9331-6e8eEXAMPLE", r)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			wellFormed(t, body)
			return string(body)
		})
	})
	for _, o := range operations {
		if want := max(1, len(all[o.name])); answered[o.name] != want {
			t.Errorf("%s: %d answers are tried of %d", o.name, answered[o.name], want)
		}
	}
}

// wellFormed fails the test unless body is XML, of any number of elements.
func wellFormed(t *testing.T, body []byte) {
	t.Helper()
	for decoder := xml.NewDecoder(strings.NewReader(string(body))); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in %s", err, body)
		}
	}
}

func TestErrorsAreWritten(t *testing.T) {
	sts := &Call{Service: STS, Action: "AssumeRole"}
	got := string(sts.AppendError(nil, "id", &Error{AccessDenied, "a<b & \x01"}))
	want := `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>AccessDenied</Code>` +
		`<Message>a&lt;b &amp; ` + "\uFFFD" + `</Message></Error><RequestId>id</RequestId></ErrorResponse>` + "\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	got = string((&Call{Service: IAM}).AppendError(nil, "id", &Error{ServiceFailure, ""}))
	if !strings.Contains(got, "<Type>Receiver</Type><Code>ServiceFailure</Code><Message></Message>") || !strings.Contains(got, "iam.amazonaws.com") {
		t.Error(got)
	}
}

// TestEveryCodeHasItsStatus reads the constants from the source: one without a status would be told as the service's
// fault.
func TestEveryCodeHasItsStatus(t *testing.T) {
	source, err := os.ReadFile("error.go")
	if err != nil {
		t.Fatal(err)
	}
	faults := []Code{ServiceFailure, InternalFailure}
	codes := regexp.MustCompile(`Code = "(\w+)"`).FindAllStringSubmatch(string(source), -1)
	if len(codes) < 20 {
		t.Fatalf("only %d codes found", len(codes))
	}
	for _, match := range codes {
		code := Code(match[1])
		if (code.Status() == 500) != slices.Contains(faults, code) {
			t.Errorf("%s has status %d", code, code.Status())
		}
	}
}

func TestSecretsStayOutOfLogs(t *testing.T) {
	for _, v := range []any{
		CreateAccessKeyResult{AccessKey{AccessKeyID: "AKIA1", SecretAccessKey: "s3cr3t"}},
		AssumeRoleResult{Credentials: Credentials{AccessKeyID: "ASIA1", SecretAccessKey: "s3cr3t", SessionToken: "s3cr3t"}},
	} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if said := fmt.Sprintf(format, v); strings.Contains(said, "s3cr3t") || !strings.Contains(said, "IA1") {
				t.Errorf("%s: %s", format, said)
			}
		}
	}
}

// TestPoliciesKnowEveryAction holds the two tables to each other.
func TestPoliciesKnowEveryAction(t *testing.T) {
	var known []string
	for _, a := range policy.Actions() {
		if strings.HasPrefix(a.Name, "iam:") || strings.HasPrefix(a.Name, "sts:") {
			known = append(known, a.Name)
		}
	}
	all := slices.DeleteFunc(Permissions(), func(p string) bool { return p == "sts:GetCallerIdentity" })
	slices.Sort(known)
	slices.Sort(all)
	if diff := cmp.Diff(all, known); diff != "" {
		t.Errorf("(-query +policy)\n%s", diff)
	}
}

// TestParametersAreKnownBeforeTheyAreJudged is what authorisation needs.
func TestParametersAreKnownBeforeTheyAreJudged(t *testing.T) {
	c, err := Parse([]byte("Action=DeleteUser&UserName=" + url.QueryEscape("not/valid") + "&Version=2010-05-08"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Permission() != "iam:DeleteUser" || c.Parameter("UserName") != "not/valid" || c.Parameter("RoleName") != "" {
		t.Errorf("%s of %q", c.Permission(), c.Parameter("UserName"))
	}
	if _, err := c.Decode(); err == nil {
		t.Error("it is taken")
	}
}

func TestParametersAreBounded(t *testing.T) {
	var body strings.Builder
	body.WriteString("Action=ListUsers&Version=2010-05-08")
	for i := range maxParameters {
		fmt.Fprintf(&body, "&p%d=", i)
	}
	if _, err := Parse([]byte(body.String())); err == nil || !strings.Contains(err.Error(), "more than 200 parameters") {
		t.Errorf("%v", err)
	}
	_, _, err := read("Action=ListUsers&Version=2010-05-08&" + strings.Repeat("x", 1<<20) + "=1")
	if err == nil || len(err.Error()) > 300 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

// FuzzRead holds that no body makes Parse or Decode panic, and that every error can be written.
func FuzzRead(f *testing.F) {
	for _, body := range []string{
		"", "&&", "Action=CreateUser&Version=2010-05-08&UserName=alice&Tags.member.1.Key=a&Tags.member.1.Value=b&Path=%2Fa%2F",
		"Action=ListRoles&Version=2010-05-08&MaxItems=10&Marker=%C3%BF", "Action=AssumeRole&Version=2011-06-15&RoleArn=%ff&DurationSeconds=900",
		"Action=%zz", "Action=GetCallerIdentity&Version=2011-06-15", "Action=a&Action=b",
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		c, r, err := read(body)
		if err == nil {
			if r == nil {
				t.Fatal("neither a request nor an error")
			}
			return
		}
		var told *Error
		if !errors.As(err, &told) || told.Message == "" || told.Code.Status() != 400 {
			t.Fatalf("%v", err)
		}
		if c == nil {
			c = &Call{Service: IAM}
		}
		wellFormed(t, c.AppendError(nil, "id", told))
	})
}
