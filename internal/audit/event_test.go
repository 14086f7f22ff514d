package audit

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cockroachdb/datadriven"
)

// TestEventsAreWritten holds the bytes of lines to those of the file. Members are named as in JSON, values quoted as in Go;
// "x*300" is x three hundred times.
func TestEventsAreWritten(t *testing.T) {
	datadriven.RunTest(t, "testdata/events", func(t *testing.T, d *datadriven.TestData) string {
		e := &Event{Time: time.Date(2026, 11, 22, 1, 2, 3, 999, time.FixedZone("", 3600)), ID: "event-1"}
		members := map[string]*string{
			"type": &e.Identity.Type, "principalId": &e.Identity.PrincipalID, "arn": &e.Identity.ARN, "accountId": &e.Identity.AccountID,
			"accessKeyId": &e.Identity.AccessKeyID, "userName": &e.Identity.UserName, "eventSource": &e.Source, "eventName": &e.Name,
			"awsRegion": &e.Region, "sourceIPAddress": &e.Address, "userAgent": &e.UserAgent, "requestID": &e.RequestID,
			"errorCode": &e.ErrorCode, "errorMessage": &e.ErrorMessage, "recipientAccountId": &e.Account,
		}
		for field := range strings.SplitSeq(d.Input, "\n") {
			name, quoted, _ := strings.Cut(field, ": ")
			value := textOf(t, d, quoted)
			switch at := members[name]; {
			case at != nil:
				*at = value
			case name == "resource":
				e.Resources = append(e.Resources, value)
			case name == "kind":
				e.Kind = map[string]Kind{"report": Report, "question": Question}[value]
				e.ReadOnly = e.Kind == Question
			default:
				d.Fatalf(t, "unknown member %q", name)
			}
		}
		body := e.Append(nil)
		switch d.Cmd {
		case "interrupted":
			body = e.interrupted()
		case "sealed":
			body, _ = seal(nil, body, 3, 17, Hash{0xab})
		}
		if !json.Valid(body) || !utf8.Valid(body) {
			t.Errorf("%s: not valid", d.Pos)
		}
		return string(body) + "\n"
	})
}

func textOf(t *testing.T, d *datadriven.TestData, quoted string) string {
	quoted, times, repeated := strings.Cut(quoted, `"*`)
	if repeated {
		quoted += `"`
	}
	value, err := strconv.Unquote(quoted)
	if err != nil {
		d.Fatalf(t, "%s: %v", quoted, err)
	}
	if !repeated {
		return value
	}
	n, err := strconv.Atoi(times)
	if err != nil {
		d.Fatalf(t, "%s: %v", times, err)
	}
	return strings.Repeat(value, n)
}

// FuzzLinesAreOneLine writes events of hostile texts: each is one line of valid JSON that says its own place and hash.
func FuzzLinesAreOneLine(f *testing.F) {
	f.Add("curl/8", "arn:aws:iam::111122223333:user/a", "Denied")
	f.Add("\n\xff\u2028\"},\"hash\":\"", strings.Repeat("é", 600), `","hash":"0"}`)
	f.Fuzz(func(t *testing.T, agent, arn, message string) {
		e := &Event{Name: "X", UserAgent: agent, Identity: Identity{ARN: arn, UserName: message}, ErrorMessage: message, Resources: []string{arn, agent}}
		e.complete(time.Unix(0, 0))
		line, hash := seal(nil, e.Append(nil), 1, 2, Hash{})
		s, _, stated, err := read(line)
		if err != nil || s.Sequence != 2 || stated != hash || hashOf(line) != hash {
			t.Errorf("%v: %s", err, line)
		}
		if !utf8.Valid(line) || strings.ContainsAny(string(line), "\n\r") || len(line) > 16<<10 {
			t.Errorf("%d bytes: %q", len(line), line)
		}
	})
}

func TestAccountsAreSpreadOverChains(t *testing.T) {
	used := map[int]int{}
	for i := range 1600 {
		used[chainOf(fmt.Sprintf("%012d", 111122223333+i*7919))]++
	}
	for n := range Chains {
		if used[n] < 40 {
			t.Errorf("chain %d has %d of 1600 accounts", n, used[n])
		}
	}
}
