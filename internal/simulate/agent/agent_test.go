package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/sigv4"
	"stocktake/internal/simulate/agent"
)

const documentText = `{"schemaVersion":"2.0","parameters":{"applications":{"type":"String","default":"Enabled"},"files":{"type":"String","default":""}},` +
	`"mainSteps":[{"action":"aws:softwareInventory","name":"x","inputs":{"applications":"{{ applications }}","files":"{{ files }}"}}]}`

// script is a service that gives fixed answers. It is a transport, so that there is no network to wait for.
type script struct {
	began   time.Time
	mu      sync.Mutex
	answers map[string]any     // by action; nil: UnknownOperationException
	faults  map[string][]fault // taken before, one a call
	calls   []called
}

type fault struct {
	status int
	code   string
}

// called is a call that came.
type called struct {
	action  string
	at      time.Duration
	body    map[string]any
	header  http.Header
	length  int64
	present []string // the members of the body
}

func newScript() *script {
	one := map[string]any{
		"AssociationId": "a-1", "Name": "AWS-GatherSoftwareInventory", "InstanceId": "mi-0123456789abcdef0", "DocumentVersion": "$DEFAULT", "Checksum": "c",
		"ScheduleExpression": "rate(30 minutes)",
	}
	return &script{began: time.Now(), faults: map[string][]fault{}, answers: map[string]any{
		"RequestManagedInstanceRoleToken": map[string]any{
			"AccessKeyId": "ASIA", "SecretAccessKey": "s", "SessionToken": "t", "TokenExpirationDate": float64(time.Now().Add(240 * time.Hour / 2).Unix()), "UpdateKeyPair": false,
		},
		"UpdateManagedInstancePublicKey": map[string]any{},
		"RegisterManagedInstance":        map[string]any{"InstanceId": "mi-0123456789abcdef0"},
		"UpdateInstanceInformation":      map[string]any{}, "UpdateInstanceAssociationStatus": map[string]any{}, "PutComplianceItems": map[string]any{},
		"PutInventory": map[string]any{}, "UpdateAssociationStatus": map[string]any{}, "AcknowledgeMessage": map[string]any{}, "SendReply": map[string]any{},
		"ListInstanceAssociations": map[string]any{"Associations": []any{one}},
		"GetDocument":              map[string]any{"Content": documentText},
		"GetMessages":              map[string]any{"Destination": "d", "MessagesRequestId": "r", "Messages": []any{}},
	}}
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	text, _ := io.ReadAll(r.Body)
	c := called{action: action, at: time.Since(s.began), header: r.Header, length: r.ContentLength}
	_ = json.Unmarshal(text, &c.body)
	c.present = slices.Sorted(maps.Keys(c.body))
	s.mu.Lock()
	s.calls = append(s.calls, c)
	answer, ok := s.answers[action]
	var f fault
	if left := s.faults[action]; len(left) > 0 {
		f, s.faults[action] = left[0], left[1:]
	}
	s.mu.Unlock()
	if !ok && f.status == 0 {
		f = fault{400, "UnknownOperationException"}
	}
	status := http.StatusOK
	body, _ := json.Marshal(answer)
	if f.status != 0 {
		status, body = f.status, fmt.Appendf(nil, `{"__type":%q}`, f.code)
	}
	if action == "GetMessages" && status == http.StatusOK {
		select {
		case <-time.After(15 * time.Second):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(body))), Request: r}, nil
}

// of gives the calls of an action.
func (s *script) of(action string) []called {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []called
	for _, c := range s.calls {
		if c.action == action {
			all = append(all, c)
		}
	}
	return all
}

func (s *script) agent(change func(*agent.Config)) (*agent.Agent, *agent.Disk) {
	d := &agent.Disk{Node: "mi-0123456789abcdef0", Fingerprint: "f", Key: keyPairs()[0]}
	c := agent.Config{
		Endpoint: "http://stocktake.test", Region: region, Client: &http.Client{Transport: s}, Messages: &http.Client{Transport: s},
		Gather: func(int) []inventory.Item {
			return []inventory.Item{
				{Type: "AWS:Application", SchemaVersion: "1.1", ContentHash: "h", HasContent: true}, {Type: "AWS:File", ContentHash: "f", HasContent: true},
			}
		},
	}
	if change != nil {
		change(&c)
	}
	return agent.New(c, d), d
}

// live runs an agent for a time.
func (s *script) live(t *testing.T, length time.Duration, change func(*agent.Config)) (*agent.Agent, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	a, _ := s.agent(change)
	err := a.Run(ctx)
	return a, err
}

func TestCrashesWhereTheStockAgentDoes(t *testing.T) {
	for action, members := range map[string][]string{
		"RequestManagedInstanceRoleToken": {"AccessKeyId", "SecretAccessKey", "SessionToken", "TokenExpirationDate", "UpdateKeyPair"},
		"ListInstanceAssociations":        {"AssociationId", "Name", "InstanceId", "DocumentVersion", "Checksum"},
		"GetDocument":                     {"Content"},
		"GetMessages":                     {"Destination", "MessagesRequestId", "Messages"},
	} {
		for _, member := range members {
			for _, null := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					s := newScript()
					answer := s.answers[action].(map[string]any)
					if action == "ListInstanceAssociations" {
						answer = answer["Associations"].([]any)[0].(map[string]any)
					}
					if delete(answer, member); null {
						answer[member] = nil
					}
					_, err := s.live(t, time.Hour, nil)
					if crash, ok := errors.AsType[*agent.Crash](err); !ok || crash.Action != action || !strings.Contains(crash.Reason, member) {
						t.Errorf("%s without %s: %v", action, member, err)
					}
				})
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		if a, err := newScript().live(t, time.Hour, nil); err != nil || a.Counts().Failed != 0 || a.Counts().Runs < 2 {
			t.Errorf("with all members: %v, %+v", err, a.Counts())
		}
	})
}

func TestCallsHaveTheStockAgentsForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		if _, err := s.live(t, time.Hour, nil); err != nil {
			t.Fatal(err)
		}
		var order []string
		for _, c := range s.calls {
			if c.action != "GetMessages" && c.action != "" && len(order) < 11 {
				order = append(order, c.action)
			}
		}
		if got, want := strings.Join(order, " "), "RequestManagedInstanceRoleToken UpdateInstanceInformation UpdateInstanceInformation ListInstanceAssociations GetDocument "+
			"UpdateInstanceAssociationStatus UpdateInstanceAssociationStatus PutInventory UpdateInstanceAssociationStatus UpdateInstanceAssociationStatus "+
			"PutComplianceItems"; got != want {
			t.Errorf("calls in the order\n%s, want\n%s", got, want)
		}
		token := s.of("RequestManagedInstanceRoleToken")[0]
		if token.length != -1 || !strings.Contains(token.header.Get("Authorization"), "Credential=mi-0123456789abcdef0/") ||
			!strings.Contains(token.header.Get("Authorization"), "SignedHeaders=content-type;host;x-amz-date;x-amz-target, ") || token.header.Get("X-Amz-Content-Sha256") == "" {
			t.Errorf("the role is asked for by %d bytes with %v", token.length, token.header)
		}
		put := s.of("PutInventory")[0]
		if put.length <= 0 || !strings.Contains(put.header.Get("Authorization"), "SignedHeaders=content-length;content-type;host;x-amz-date;x-amz-security-token;x-amz-target, ") {
			t.Errorf("inventory is put by %d bytes with %v", put.length, put.header)
		}
		if n := len(put.body["Items"].([]any)); n != 1 {
			t.Errorf("%d items, though files are switched off", n)
		}
		ping, full := s.of("UpdateInstanceInformation")[0], s.of("UpdateInstanceInformation")[1]
		if len(ping.present) != 4 || len(full.present) != 12 {
			t.Errorf("ping %v, heartbeat %v", ping.present, full.present)
		}
		compliance := s.of("PutComplianceItems")
		if len(compliance[0].body["Items"].([]any)) != 1 || len(compliance[1].body["Items"].([]any)) != 0 || compliance[1].body["Items"] == nil {
			t.Errorf("compliance %v, then %v", compliance[0].body, compliance[1].body)
		}
		if n := len(s.of("GetDocument")); n != 1 {
			t.Errorf("the document was asked for %d times", n)
		}
	})
}

func TestRetriesAsTheSDK(t *testing.T) {
	for _, c := range []struct {
		faults   []fault
		attempts int
	}{
		{[]fault{{500, "InternalServerError"}, {503, "x"}}, 3},
		{slices.Repeat([]fault{{500, "InternalServerError"}}, 9), 4},
		{[]fault{{400, "ThrottlingException"}, {400, "ExpiredTokenException"}}, 3},
		{[]fault{{400, "AccessDeniedException"}}, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript()
			s.faults["PutComplianceItems"] = c.faults // the last call of a run
			if _, err := s.live(t, 5*time.Minute, nil); err != nil {
				t.Fatal(err)
			}
			all := s.of("PutComplianceItems")
			if len(all) != c.attempts {
				t.Errorf("%v: %d attempts", c.faults, len(all))
			}
			for i := 1; i < len(all); i++ {
				least := time.Second << (i - 1)
				if gap := all[i].at - all[i-1].at; gap < least || gap > least*3/2 {
					t.Errorf("%v before attempt %d", gap, i+1)
				}
			}
		})
	}
}

func TestHibernatesUntilAPingSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		s.faults["UpdateInstanceInformation"] = slices.Repeat([]fault{{400, "InvalidInstanceId"}}, 3)
		a, err := s.live(t, time.Hour, nil)
		if err != nil || a.Counts().Hibernations != 1 {
			t.Fatalf("%v, %+v", err, a.Counts())
		}
		first := s.of("ListInstanceAssociations")[0].at
		for i, want := range []time.Duration{0, 5 * time.Minute, 15 * time.Minute, 35 * time.Minute} {
			if got := s.of("UpdateInstanceInformation")[i].at; got < want || got > want+time.Minute {
				t.Errorf("ping %d after %v, want %v", i, got, want)
			}
		}
		if first < 35*time.Minute {
			t.Errorf("associations were asked for after %v, in hibernation", first)
		}
	})
}

func TestWaitsWhenItsKeyIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		s.faults["RequestManagedInstanceRoleToken"] = slices.Repeat([]fault{{400, "AccessDeniedException"}}, 3)
		if _, err := s.live(t, 3*time.Hour, nil); err != nil {
			t.Fatal(err)
		}
		all := s.of("RequestManagedInstanceRoleToken")
		for i := 1; i < 4; i++ {
			if gap := all[i].at - all[i-1].at; gap < 25*time.Minute || gap > 30*time.Minute {
				t.Errorf("asked again after %v", gap)
			}
		}
	})
}

func TestFallsBackToOlderCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		delete(s.answers, "ListInstanceAssociations")
		one := map[string]any{"Name": "AWS-GatherSoftwareInventory", "InstanceId": "mi-0123456789abcdef0"}
		s.answers["ListAssociations"] = map[string]any{"Associations": []any{one}}
		s.answers["DescribeAssociation"] = map[string]any{"AssociationDescription": one}
		a, err := s.live(t, 5*time.Minute, nil)
		if err != nil || a.Counts().Fallbacks != 1 || a.Counts().Runs != 1 {
			t.Fatalf("%v, %+v", err, a.Counts())
		}
		if n := len(s.of("UpdateAssociationStatus")); n != 4 || len(s.of("UpdateInstanceAssociationStatus")) != 0 {
			t.Errorf("%d reports of the run's state in the older way", n)
		}
	})
}

func TestGivesUpAStuckRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		one := s.answers["ListInstanceAssociations"].(map[string]any)["Associations"].([]any)[0].(map[string]any)
		one["DetailedStatus"], one["LastExecutionDate"] = "InProgress", float64(time.Now().Unix())
		a, err := s.live(t, 2*time.Hour+15*time.Minute, nil)
		if err != nil || a.Counts().Runs != 0 || a.Counts().Stuck < 1 {
			t.Fatalf("%v, %+v", err, a.Counts())
		}
		told := s.of("UpdateInstanceAssociationStatus")[0]
		result := told.body["ExecutionResult"].(map[string]any)
		if told.at < 2*time.Hour || result["Status"] != "Failed" || result["ErrorCode"] != "StuckAtInProgress" {
			t.Errorf("told %v after %v", result, told.at)
		}
	})
}

func TestTakesAMessageToPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		s.answers["ListInstanceAssociations"] = map[string]any{"Associations": []any{}}
		s.answers["GetMessages"].(map[string]any)["Messages"] = []any{map[string]any{
			"MessageId": "aws.ssm.c.n", "CreatedDate": "d", "Destination": "n", "Topic": "aws.ssm.sendCommand.x", "PayloadDigest": "p",
			"Payload": `{"CommandId":"c","DocumentName":"AWS-RefreshAssociation"}`,
		}}
		if _, err := s.live(t, time.Minute, nil); err != nil {
			t.Fatal(err)
		}
		if acks, replies, polls := len(s.of("AcknowledgeMessage")), len(s.of("SendReply")), len(s.of("ListInstanceAssociations")); acks < 3 || acks != replies || polls < 3 {
			t.Errorf("%d acknowledged, %d replied to, %d polls", acks, replies, polls)
		}
	})
}

func TestASecondPollIsSentAgainAfterATimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		slow := transport(func(r *http.Request) (*http.Response, error) {
			if len(s.of("GetMessages")) < 2 {
				r = r.Clone(r.Context())
				if _, err := s.RoundTrip(r); err != nil {
					return nil, err
				}
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return s.RoundTrip(r)
		})
		_, err := s.live(t, 2*time.Minute, func(c *agent.Config) { c.Messages = &http.Client{Transport: slow} })
		all := s.of("GetMessages")
		if err != nil || len(all) < 4 || all[0].body["MessagesRequestId"] != all[1].body["MessagesRequestId"] || all[2].body["MessagesRequestId"] == all[3].body["MessagesRequestId"] {
			t.Errorf("%v: %v", err, all)
		}
		if gap := all[1].at - all[0].at; gap < 20*time.Second || gap > 22*time.Second {
			t.Errorf("sent again after %v", gap)
		}
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestSpeedShortensWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := newScript().live(t, 2*time.Minute, func(c *agent.Config) { c.Speed = 60 })
		if c := a.Counts(); err != nil || c.Heartbeats < 23 || c.Runs < 4 || c.Messages < 7 || c.Messages > 8 {
			t.Errorf("%v: %+v", err, c)
		}
	})
}

func TestWakeDoesEverythingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		a, _ := s.agent(nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		time.Sleep(12 * time.Minute)
		before := a.Counts()
		a.Wake()
		time.Sleep(time.Minute)
		after := a.Counts()
		cancel()
		if err := <-ended; err != nil || after.Heartbeats-before.Heartbeats != 1 || after.Polls-before.Polls != 1 || after.Runs-before.Runs != 1 {
			t.Errorf("%v: %+v, then %+v", err, before, after)
		}
	})
}

func TestAKeyOfItsOwnNeedsNoRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		a, err := s.live(t, time.Hour, func(c *agent.Config) { c.Key = sigv4.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "s"} })
		if err != nil || a.Counts().Runs == 0 || len(s.of("RequestManagedInstanceRoleToken")) != 0 || s.of("PutInventory")[0].header.Get("X-Amz-Security-Token") != "" {
			t.Errorf("%v: %+v", err, a.Counts())
		}
	})
}
