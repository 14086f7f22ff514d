package collect

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/inventory"
)

// diary is the life of a daemon: when it did what.
type diary struct {
	began         time.Time
	beats, report []time.Duration
	beatFaults    []error // taken before anything else, one a heartbeat
}

func (d *diary) beat(_ context.Context, h Heartbeat) error {
	d.beats = append(d.beats, time.Since(d.began))
	if len(d.beatFaults) > 0 {
		err := d.beatFaults[0]
		d.beatFaults = d.beatFaults[1:]
		return err
	}
	if h.InstanceId != testNode || h.AgentName != "stocktake-collect" || h.PlatformType != "Linux" || h.AgentStatus != "Active" {
		return errors.New("a heartbeat of something else")
	}
	return nil
}

// live runs a daemon for a time, against a service that gives the answers, and gives its diary and its log.
func live(t *testing.T, every, length time.Duration, answers, beatFaults []error) (*diary, string) {
	t.Helper()
	var log bytes.Buffer
	d := &diary{beatFaults: beatFaults}
	sender, service := newSender(t)
	service.answers, sender.Managed = answers, true
	m := newRecorded(t)
	daemon := Daemon{
		Machine: m.Machine, Options: Options{Node: testNode, AgentVersion: "1.0", Managed: true}, Sender: sender, Beat: d.beat, Every: every,
		Hint: func(err error) string {
			if strings.Contains(err.Error(), "InvalidInstanceId") {
				return "register again"
			}
			return ""
		},
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	}
	synctest.Test(t, func(t *testing.T) {
		d.began = time.Now()
		sender.Service = timed{service, d}
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		daemon.Run(ctx)
	})
	if slices.ContainsFunc(service.calls, func(call string) bool { return strings.Contains(call, "InstanceInformation") }) {
		t.Errorf("a managed node reports AWS:InstanceInformation: %v", service.calls)
	}
	return d, log.String()
}

// timed notes when reports come.
type timed struct {
	*fakeService
	d *diary
}

func (s timed) PutInventory(ctx context.Context, node inventory.NodeID, items []inventory.Item) error {
	s.d.report = append(s.d.report, time.Since(s.d.began))
	return s.fakeService.PutInventory(ctx, node, items)
}

func TestDaemonKeepsItsRhythm(t *testing.T) {
	d, log := live(t, 30*time.Minute, 24*time.Hour-time.Second, nil, nil)
	if len(d.beats) != 24*12 || d.beats[0] != 0 || d.beats[1] != beatEvery {
		t.Errorf("%d heartbeats, the first at %v", len(d.beats), d.beats[:2])
	}
	if n := len(d.report); n < 47 || n > 49 {
		t.Fatalf("%d reports", n)
	}
	if d.report[0] >= time.Minute || d.report[1]-d.report[0] > 30*time.Minute+time.Second {
		t.Errorf("the first reports came at %v", d.report[:2])
	}
	for i := 2; i < len(d.report); i++ {
		if d.report[i]-d.report[i-1] != 30*time.Minute {
			t.Errorf("report %d came %v after the one before", i, d.report[i]-d.report[i-1])
		}
	}
	if strings.Count(log, "msg=reported") != len(d.report) || strings.Count(log, "full=0") != len(d.report)-1 {
		t.Errorf("reports after the first are not of hashes alone:\n%.2000s", log)
	}
	if !strings.HasSuffix(log, "msg=stopped\n") {
		t.Errorf("the log ends in %q", log[max(0, len(log)-200):])
	}
}

func TestDaemonsSpread(t *testing.T) {
	seen := map[time.Duration]int{}
	for range 40 {
		d, _ := live(t, 30*time.Minute, 31*time.Minute+time.Second, nil, nil)
		seen[d.report[1].Truncate(10*time.Minute)]++
	}
	if len(seen) < 3 {
		t.Errorf("second reports by tens of minutes: %v", seen)
	}
}

func TestDaemonBacksOff(t *testing.T) {
	down := errors.New("connection refused")
	d, log := live(t, 30*time.Minute, 12*time.Hour, slices.Repeat([]error{down}, 9), nil)
	for i, least := range []time.Duration{30, 60, 120, 240, 480, 900, 900, 900} {
		if gap, least := d.report[i+1]-d.report[i], least*time.Second; gap < least || gap > 2*least+time.Second {
			t.Errorf("after failure %d it waited %v", i+1, gap)
		}
	}
	if !strings.Contains(log, `msg="succeeded again" what=report failures=9`) || strings.Count(log, "connection refused") != 9 {
		t.Errorf("log:\n%.3000s", log)
	}
	if len(d.beats) < 12*12 {
		t.Errorf("only %d heartbeats while reports failed", len(d.beats))
	}
}

func TestDaemonLeavesARefusingServiceAlone(t *testing.T) {
	gone := codedError("InvalidInstanceId")
	d, log := live(t, 5*time.Minute, 3*time.Hour, slices.Repeat([]error{gone}, 100), slices.Repeat([]error{gone}, 100))
	if n := len(d.report); n < 6 || n > 8 {
		t.Errorf("%d reports at %v", n, d.report)
	}
	if n := len(d.beats); n < 6 || n > 8 {
		t.Errorf("%d heartbeats", n)
	}
	if !strings.Contains(log, `hint="register again"`) {
		t.Errorf("no next step in the log:\n%.2000s", log)
	}
}
