package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// ping is the first sign of life of a worker.
type ping struct {
	AgentName    string
	AgentVersion string
	InstanceId   string //nolint:revive,staticcheck // the member's name on the wire
	PlatformType string
}

// full is every later one.
type full struct {
	ping
	AgentStatus          string
	AvailabilityZone     string
	AvailabilityZoneId   string //nolint:revive,staticcheck // the member's name on the wire
	ComputerName         string
	IPAddress            string
	PlatformName         string
	PlatformVersion      string
	SSMConnectionChannel string
}

func (a *Agent) ping() ping {
	return ping{"amazon-ssm-agent", a.version(), a.disk.Node, "Linux"}
}

// hibernate pings, and while that fails does nothing but ping, more and more seldom.
func (a *Agent) hibernate(ctx context.Context) error {
	waits := []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, 60 * time.Minute}
	for n := 0; ; n++ {
		text, err := a.do(ctx, a.asRole(ssm, "UpdateInstanceInformation", a.ping()))
		if err == nil {
			return read("UpdateInstanceInformation", text, nil)
		}
		if n == 0 {
			a.hibernations.Add(1)
		}
		if err := a.sleep(ctx, a.scaled(waits[min(n, len(waits)-1)])); err != nil {
			return err
		}
		// The other process has renewed the credentials meanwhile.
		if renew := a.renewAt(); !renew.IsZero() && !time.Now().Before(renew) {
			if err := a.becomeRole(ctx); err != nil {
				return err
			}
		}
	}
}

func (a *Agent) heartbeat(ctx context.Context) error {
	m := a.config.Machine
	text, err := a.do(ctx, a.asRole(ssm, "UpdateInstanceInformation", full{
		ping: a.ping(), AgentStatus: "Active", ComputerName: m.ComputerName, IPAddress: m.IPAddress,
		PlatformName: m.PlatformName, PlatformVersion: m.PlatformVersion, SSMConnectionChannel: "ec2messages",
	}))
	if err != nil {
		return err
	}
	a.heartbeats.Add(1)
	return read("UpdateInstanceInformation", text, nil)
}

// knock tries the control channel of the other message service, which is refused, and tries again less and less often.
func (a *Agent) knock(ctx context.Context) {
	wait := 10 * time.Second
	for a.askChannel(ctx) != nil && a.sleep(ctx, a.scaled(wait)) == nil {
		wait = min(2*wait, 40*time.Minute)
	}
}

func (a *Agent) askChannel(ctx context.Context) error {
	attempt := Attempt{Action: "CreateControlChannel", Began: time.Now()}
	url := fmt.Sprintf("%s/v1/control-channel/%s", a.config.Endpoint, a.disk.Node)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := a.config.Client.Do(r)
	if err == nil {
		_ = answer.Body.Close() // whatever it says
		attempt.Status = answer.StatusCode
		if answer.StatusCode != http.StatusCreated {
			err = errors.New(answer.Status)
		}
	}
	attempt.Err, attempt.Took = err, time.Since(attempt.Began)
	if a.config.Observe != nil {
		a.config.Observe(attempt)
	}
	return err
}
