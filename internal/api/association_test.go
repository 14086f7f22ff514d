package api_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/store/storetest"
	"stocktake/internal/store/storetest/stores"
)

// pair is two servers over one store, and an association for every node that both were asked to make.
type pair struct {
	t           *testing.T
	servers     [2]*stack
	association string
}

func newPair(t *testing.T, kind storetest.Maker) *pair {
	t.Helper()
	one := newStack(t, kind)
	two := &stack{stores: kind, store: kind.Handle(t, one.store), faults: newFaults(), dir: t.TempDir(), config: ssm.Config{Limits: inventory.DefaultLimits()}}
	two.start(t)
	t.Cleanup(func() { two.stop(t) })
	return &pair{t: t, servers: [2]*stack{one, two}}
}

// ask asks one of the servers as the root account and gives the answer.
func (p *pair) ask(server int, action, body string) string {
	p.t.Helper()
	status, _, answer := p.servers[server].do(p.t, request{
		target: "AmazonSSM." + action, body: body, key: "root", region: defaultRegion, contentType: "application/x-amz-json-1.1",
	})
	return fmt.Sprint(status, " ", answer)
}

// race has both servers make the association for every node several times: one is made.
func (p *pair) race() {
	p.t.Helper()
	const every = `{"Name":"AWS-GatherSoftwareInventory","Targets":[{"Key":"InstanceIds","Values":["*"]}],"ScheduleExpression":"rate(30 minutes)"}`
	var wg sync.WaitGroup
	answers := make([]string, 6)
	for i := range answers {
		wg.Go(func() { answers[i] = p.ask(i%2, "CreateAssociation", every) })
	}
	wg.Wait()
	for _, answer := range answers {
		_, rest, ok := strings.Cut(answer, `"AssociationId":"`)
		switch {
		case ok && strings.HasPrefix(answer, "200") && p.association == "":
			p.association = rest[:36]
		case !strings.Contains(answer, "AssociationLimitExceeded"):
			p.t.Fatalf("not one was made and the others refused: %v", answers)
		}
	}
	if p.association == "" {
		p.t.Fatalf("none was made: %v", answers)
	}
}

// told has the node ask one of the servers, and wants the association in a state; "" wants it not told of.
func (p *pair) told(server int, state string) {
	p.t.Helper()
	answer := p.ask(server, "ListInstanceAssociations", `{"InstanceId":"i-00000001","MaxResults":20}`)
	if is := strings.Contains(answer, p.association); is != (state != "") || !strings.Contains(answer, state) {
		p.t.Errorf("server %d tells %q, want %q", server, answer, state)
	}
}

// say has the node tell one of the servers how far it is.
func (p *pair) say(server int, status string) {
	p.t.Helper()
	p.mustAsk(server, "UpdateInstanceAssociationStatus", fmt.Sprintf(
		`{"AssociationId":%q,"InstanceId":"i-00000001","ExecutionResult":{"Status":%q,"ExecutionDate":%.3f}}`,
		p.association, status, float64(time.Now().UnixMilli())/1000))
}

func (p *pair) mustAsk(server int, action, body string) {
	p.t.Helper()
	if answer := p.ask(server, action, body); answer != "200 {}" {
		p.t.Errorf("%s: %s", action, answer)
	}
}

// TestServersCarryOneAssociation has two servers over one store share an association, a run of it and its end, and race for
// what there may be one of; over every kind of store that several servers can have.
func TestServersCarryOneAssociation(t *testing.T) {
	for _, kind := range stores.All(4) {
		if kind.Handle == nil {
			continue
		}
		t.Run(kind.Name, func(t *testing.T) {
			p := newPair(t, kind)
			p.mustAsk(0, "UpdateInstanceInformation", `{"AgentName":"a","AgentStatus":"Active","AgentVersion":"3.3.0.0","InstanceId":"i-00000001","PlatformType":"Linux"}`)
			p.race()
			p.told(1, `"DetailedStatus":"Pending"`)
			p.say(0, "Pending")
			p.say(1, "InProgress")
			p.told(0, `"DetailedStatus":"InProgress"`)
			p.say(0, "Success")
			p.told(1, `"DetailedStatus":"Success"`)
			p.mustAsk(1, "StartAssociationsOnce", `{"AssociationIds":["`+p.association+`"]}`)
			p.told(0, `"DetailedStatus":"Pending"`)
			p.mustAsk(1, "DeleteAssociation", `{"AssociationId":"`+p.association+`"}`)
			p.told(0, "")
		})
	}
}
