package api_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/store/storetest/stores"
)

// call asks as the root account and gives the answer.
func (s *stack) call(t *testing.T, action, body string) string {
	t.Helper()
	status, _, answer := s.do(t, request{target: "AmazonSSM." + action, body: body, key: "root", region: defaultRegion, contentType: "application/x-amz-json-1.1"})
	return fmt.Sprint(status, " ", answer)
}

// TestServersCarryOneAssociation has two servers over one store share an association, a run of it and its end, and race for
// what there may be one of; over every kind of store that several servers can have.
func TestServersCarryOneAssociation(t *testing.T) {
	for _, kind := range stores.All(4) {
		if kind.Handle == nil {
			continue
		}
		t.Run(kind.Name, func(t *testing.T) {
			one := newStack(t, kind)
			two := &stack{stores: kind, store: kind.Handle(t, one.store), faults: newFaults(), dir: t.TempDir(), config: ssm.Config{Limits: inventory.DefaultLimits()}}
			two.start(t)
			t.Cleanup(func() { two.stop(t) })
			const every = `{"Name":"AWS-GatherSoftwareInventory","Targets":[{"Key":"InstanceIds","Values":["*"]}],"ScheduleExpression":"rate(30 minutes)"}`
			one.call(t, "UpdateInstanceInformation", `{"AgentName":"a","AgentStatus":"Active","AgentVersion":"3.3.0.0","InstanceId":"i-00000001","PlatformType":"Linux"}`)
			var wg sync.WaitGroup
			answers := make([]string, 6)
			for i := range answers {
				wg.Go(func() { answers[i] = []*stack{one, two}[i%2].call(t, "CreateAssociation", every) })
			}
			wg.Wait()
			var id string
			for _, answer := range answers {
				if _, rest, ok := strings.Cut(answer, `"AssociationId":"`); ok && strings.HasPrefix(answer, "200") {
					if id != "" {
						t.Fatalf("two associations for every node were made: %v", answers)
					}
					id = rest[:36]
				} else if !strings.Contains(answer, "AssociationLimitExceeded") {
					t.Fatal(answer)
				}
			}
			if id == "" { // each took itself back before the others
				t.Fatal(answers)
			}
			const poll = `{"InstanceId":"i-00000001","MaxResults":20}`
			told := func(s *stack, status string) {
				t.Helper()
				answer := s.call(t, "ListInstanceAssociations", poll)
				if has := strings.Contains(answer, `"DetailedStatus":"`+status+`"`) && strings.Contains(answer, id); has != (status != "") {
					t.Errorf("told %q: %s", status, answer)
				}
			}
			say := func(s *stack, status string) {
				t.Helper()
				body := fmt.Sprintf(`{"AssociationId":%q,"InstanceId":"i-00000001","ExecutionResult":{"Status":%q,"ExecutionDate":%.3f}}`,
					id, status, float64(time.Now().UnixMilli())/1000)
				if answer := s.call(t, "UpdateInstanceAssociationStatus", body); answer != "200 {}" {
					t.Error(answer)
				}
			}
			told(two, "Pending")
			say(one, "Pending")
			say(two, "InProgress")
			told(one, "InProgress")
			say(one, "Success")
			told(two, "Success")
			if answer := two.call(t, "StartAssociationsOnce", `{"AssociationIds":["`+id+`"]}`); answer != "200 {}" {
				t.Error(answer)
			}
			told(one, "Pending")
			if answer := two.call(t, "DeleteAssociation", `{"AssociationId":"`+id+`"}`); answer != "200 {}" {
				t.Error(answer)
			}
			told(one, "")
		})
	}
}
