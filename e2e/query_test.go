package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/iam/query"
)

var (
	made      = query.Time(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	madePart  = `"CreateDate":"2026-01-02T03:04:05Z"`
	asked     = query.Document(`{"Version": "2012-10-17", "Statement": {"Sid": "a b+c", "Effect": "Allow", "Action": "*", "Resource": "*"}}`)
	askedPart = `{"Version":"2012-10-17","Statement":{"Sid":"a b+c","Effect":"Allow","Action":"*","Resource":"*"}}`
	alice     = query.User{Path: "/", UserName: "alice", UserID: "AIDA0000000000000001", ARN: "arn:aws:iam::111122223333:user/alice", CreateDate: made}
	alicePart = `{"Path":"/","UserName":"alice","UserId":"AIDA0000000000000001","Arn":"arn:aws:iam::111122223333:user/alice",` + madePart + `}`
	agents    = query.Role{Path: "/", RoleName: "agents", RoleID: "AROA0000000000000001", ARN: "arn:aws:iam::111122223333:role/agents", CreateDate: made, AssumeRolePolicyDocument: asked, MaxSessionDuration: 3600}
	rolePart  = `{"Path":"/","RoleName":"agents","RoleId":"AROA0000000000000001","Arn":"arn:aws:iam::111122223333:role/agents",` + madePart +
		`,"AssumeRolePolicyDocument":` + askedPart + `,"MaxSessionDuration":3600}`
	keyed = query.AccessKey{UserName: "alice", AccessKeyID: "AKIA0000000000000001", Status: "Active", SecretAccessKey: "s3cr3t", CreateDate: made}
)

// queries are command lines of the aws CLI, what the server must read of them, what it answers, and what the CLI makes of
// that.
var queries = []struct {
	line   string
	reads  query.Request
	answer query.Result
	shows  string
}{
	{
		"iam create-user --user-name alice --path / --tags Key=env,Value=prod",
		&query.CreateUserRequest{Path: "/", UserName: "alice", Tags: []query.Tag{{Key: "env", Value: "prod"}}},
		query.CreateUserResult{User: alice},
		`{"User":` + alicePart + `}`,
	},
	{
		"iam list-users", &query.ListUsersRequest{PathPrefix: "/", Page: query.Page{MaxItems: 100}},
		query.ListUsersResult{Users: query.Listing[query.User]{Members: []query.User{alice}}},
		`{"Users":[` + alicePart + `]}`,
	},
	{"iam list-users --path-prefix /a", &query.ListUsersRequest{PathPrefix: "/a", Page: query.Page{MaxItems: 100}}, query.ListUsersResult{}, `{"Users":[]}`},
	{"iam get-user --user-name alice", &query.GetUserRequest{UserName: "alice"}, query.GetUserResult{User: alice}, `{"User":` + alicePart + `}`},
	{"iam delete-user --user-name alice", &query.DeleteUserRequest{UserName: "alice"}, nil, ""},
	{
		"iam get-access-key-last-used --access-key-id AKIA0000000000000001", &query.GetAccessKeyLastUsedRequest{AccessKeyID: "AKIA0000000000000001"},
		query.GetAccessKeyLastUsedResult{UserName: "alice", AccessKeyLastUsed: query.AccessKeyLastUsed{ServiceName: "N/A", Region: "N/A"}},
		`{"UserName":"alice","AccessKeyLastUsed":{"ServiceName":"N/A","Region":"N/A"}}`,
	},
	{
		"iam detach-user-policy --user-name alice --policy-arn arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess",
		&query.DetachUserPolicyRequest{UserName: "alice", PolicyARN: "arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess"}, nil, "",
	},
	{
		"iam list-attached-user-policies --user-name alice",
		&query.ListAttachedUserPoliciesRequest{UserName: "alice", PathPrefix: "/", Page: query.Page{MaxItems: 100}},
		query.ListAttachedUserPoliciesResult{AttachedPolicies: query.Listing[query.AttachedPolicy]{Members: []query.AttachedPolicy{
			{PolicyName: "AmazonSSMReadOnlyAccess", PolicyARN: "arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess"},
		}}},
		`{"AttachedPolicies":[{"PolicyName":"AmazonSSMReadOnlyAccess","PolicyArn":"arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess"}]}`,
	},
	{
		"iam create-access-key --user-name alice", &query.CreateAccessKeyRequest{UserName: "alice"},
		query.CreateAccessKeyResult{AccessKey: keyed},
		`{"AccessKey":{"UserName":"alice","AccessKeyId":"AKIA0000000000000001","Status":"Active","SecretAccessKey":"s3cr3t",` + madePart + `}}`,
	},
	{
		"iam list-access-keys", &query.ListAccessKeysRequest{Page: query.Page{MaxItems: 100}},
		query.ListAccessKeysResult{AccessKeyMetadata: query.Listing[query.AccessKeyMetadata]{Members: []query.AccessKeyMetadata{
			{UserName: "alice", AccessKeyID: "AKIA0000000000000001", Status: "Inactive", CreateDate: made},
		}}},
		`{"AccessKeyMetadata":[{"UserName":"alice","AccessKeyId":"AKIA0000000000000001","Status":"Inactive",` + madePart + `}]}`,
	},
	{
		"iam update-access-key --access-key-id AKIA0000000000000001 --status Inactive",
		&query.UpdateAccessKeyRequest{AccessKeyID: "AKIA0000000000000001", Status: "Inactive"}, nil, "",
	},
	{
		"iam delete-access-key --user-name alice --access-key-id AKIA0000000000000001",
		&query.DeleteAccessKeyRequest{UserName: "alice", AccessKeyID: "AKIA0000000000000001"}, nil, "",
	},
	{
		"iam put-user-policy --user-name alice --policy-name all --policy-document " + string(asked),
		&query.PutUserPolicyRequest{UserName: "alice", PolicyName: "all", PolicyDocument: string(asked)}, nil, "",
	},
	{
		"iam get-user-policy --user-name alice --policy-name all", &query.GetUserPolicyRequest{UserName: "alice", PolicyName: "all"},
		query.GetUserPolicyResult{UserName: "alice", PolicyName: "all", PolicyDocument: asked},
		`{"UserName":"alice","PolicyName":"all","PolicyDocument":` + askedPart + `}`,
	},
	{
		"iam list-user-policies --user-name alice", &query.ListUserPoliciesRequest{UserName: "alice", Page: query.Page{MaxItems: 100}},
		query.ListUserPoliciesResult{PolicyNames: query.Listing[string]{Members: []string{"all", "more"}}},
		`{"PolicyNames":["all","more"]}`,
	},
	{
		"iam delete-user-policy --user-name alice --policy-name all",
		&query.DeleteUserPolicyRequest{UserName: "alice", PolicyName: "all"}, nil, "",
	},
	{
		"iam attach-user-policy --user-name alice --policy-arn arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess",
		&query.AttachUserPolicyRequest{UserName: "alice", PolicyARN: "arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess"}, nil, "",
	},
	{
		"iam create-role --role-name agents --assume-role-policy-document " + string(asked),
		&query.CreateRoleRequest{Path: "/", RoleName: "agents", AssumeRolePolicyDocument: string(asked), MaxSessionDuration: 3600},
		query.CreateRoleResult{Role: agents},
		`{"Role":` + rolePart + `}`,
	},
	{
		"iam put-role-policy --role-name agents --policy-name all --policy-document " + string(asked),
		&query.PutRolePolicyRequest{RoleName: "agents", PolicyName: "all", PolicyDocument: string(asked)}, nil, "",
	},
	{
		"iam list-roles", &query.ListRolesRequest{PathPrefix: "/", Page: query.Page{MaxItems: 100}},
		query.ListRolesResult{Roles: query.Listing[query.Role]{Members: []query.Role{agents}}},
		`{"Roles":[` + rolePart + `]}`,
	},
	{"iam delete-role --role-name agents", &query.DeleteRoleRequest{RoleName: "agents"}, nil, ""},
	{
		"sts get-caller-identity", &query.GetCallerIdentityRequest{},
		query.GetCallerIdentityResult{ARN: alice.ARN, UserID: alice.UserID, Account: "111122223333"},
		`{"UserId":"AIDA0000000000000001","Account":"111122223333","Arn":"arn:aws:iam::111122223333:user/alice"}`,
	},
	{
		"sts assume-role --role-arn arn:aws:iam::111122223333:role/agents --role-session-name me --duration-seconds 900",
		&query.AssumeRoleRequest{RoleARN: "arn:aws:iam::111122223333:role/agents", RoleSessionName: "me", DurationSeconds: 900},
		query.AssumeRoleResult{
			Credentials:     query.Credentials{AccessKeyID: "ASIA0000000000000001", SecretAccessKey: "s3cr3t", SessionToken: "t0k3n", Expiration: made},
			AssumedRoleUser: query.AssumedRoleUser{AssumedRoleID: "AROA0000000000000001:me", ARN: "arn:aws:sts::111122223333:assumed-role/agents/me"},
		},
		`{"Credentials":{"AccessKeyId":"ASIA0000000000000001","SecretAccessKey":"s3cr3t","SessionToken":"t0k3n","Expiration":"2026-01-02T03:04:05Z"},
		  "AssumedRoleUser":{"AssumedRoleId":"AROA0000000000000001:me","Arn":"arn:aws:sts::111122223333:assumed-role/agents/me"}}`,
	},
}

// words cuts a command line, in which nothing but a policy has spaces, and that stands last.
func words(line string) []string {
	if before, document, found := strings.Cut(line, " {"); found {
		return append(strings.Fields(before), "{"+document)
	}
	return strings.Fields(line)
}

// queryServer answers every request as the table says, once it has read of it what it says.
func queryServer(t *testing.T) *service {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", query.Media)
		call := &query.Call{Service: query.IAM}
		refuse := func(e *query.Error) {
			w.WriteHeader(e.Code.Status())
			_, _ = w.Write(call.AppendError(nil, "an-id", e))
		}
		parsed, err := query.Parse(body)
		var request query.Request
		if err == nil {
			call = parsed
			request, err = call.Decode()
		}
		var told *query.Error
		if errors.As(err, &told) {
			refuse(told)
			return
		}
		for _, row := range queries {
			if reflect.DeepEqual(row.reads, request) {
				answer, err := call.AppendAnswer(nil, "an-id", row.answer)
				if err != nil {
					t.Error(err)
				}
				_, _ = w.Write(answer)
				return
			}
		}
		refuse(&query.Error{Code: query.NoSuchEntity, Message: fmt.Sprintf("read %+v", request)})
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	key := "[default]\naws_access_key_id = AKIAQUERY\naws_secret_access_key = 0123456789abcdef\n"
	if err := os.WriteFile(filepath.Join(dir, "root-credentials"), []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	return &service{endpoint: server.URL, dir: dir}
}

// TestCommandLineSpeaksQuery drives the shapes of IAM and STS with the aws CLI, over a server that answers by rote.
func TestCommandLineSpeaksQuery(t *testing.T) {
	s := queryServer(t)
	covered := map[string]bool{}
	for _, row := range queries {
		args := words(row.line)
		covered[args[0]+":"+strings.ReplaceAll(args[1], "-", "")] = true
		full := slices.Concat([]string{"--endpoint-url", s.endpoint, "--output", "json"}, args)
		stdout, stderr, err := s.command(t.Context(), "us-east-1", tool(t, "aws"), full...)
		if err != nil {
			t.Errorf("aws %s: %v\n%s", row.line, err, stderr)
			continue
		}
		if row.shows == "" {
			if strings.TrimSpace(stdout) != "" {
				t.Errorf("aws %s shows %s", row.line, stdout)
			}
			continue
		}
		if diff := cmp.Diff(value(t, row.shows), value(t, strings.ReplaceAll(stdout, "+00:00", "Z"))); diff != "" {
			t.Errorf("aws %s (-want +got)\n%s", row.line, diff)
		}
	}
	for _, permission := range query.Permissions() {
		if !covered[strings.ToLower(permission)] {
			t.Errorf("%s is not tried", permission)
		}
	}
}

// TestCommandLineUnderstandsQueryErrors shows the CLI a refusal of each kind.
func TestCommandLineUnderstandsQueryErrors(t *testing.T) {
	s := queryServer(t)
	for line, want := range map[string]string{
		"iam delete-user --user-name bob": "An error occurred (NoSuchEntity) when calling the DeleteUser operation: read &{UserName:bob}",
		"iam create-user --user-name a/b": "An error occurred (ValidationError) when calling the CreateUser operation: 1 validation error detected: Value 'a/b' at 'userName'",
		"iam get-group --group-name ops":  "An error occurred (InvalidAction) when calling the GetGroup operation: Could not find operation GetGroup for version 2010-05-08",
		"sts get-session-token":           "An error occurred (InvalidAction) when calling the GetSessionToken operation",
		"iam create-user --user-name a --permissions-boundary arn:aws:iam::aws:policy/A": "The parameter PermissionsBoundary is not supported",
	} {
		full := slices.Concat([]string{"--endpoint-url", s.endpoint}, words(line))
		stdout, stderr, err := s.command(t.Context(), "us-east-1", tool(t, "aws"), full...)
		if err == nil || !strings.Contains(stderr, want) {
			t.Errorf("aws %s: %v, %s%s", line, err, stdout, stderr)
		}
	}
}
