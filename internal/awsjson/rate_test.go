package awsjson

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stocktake/internal/iam"
	"stocktake/internal/inventory"
	"stocktake/internal/rate"
	"stocktake/internal/store/memory"
)

const rateExceeded = `{"__type":"ThrottlingException","message":"Rate exceeded"}`

// TestRates asks more than each rate allows: who is at it is refused, and nobody else.
func TestRates(t *testing.T) {
	other := strings.Replace(goodPut, "i-12345678", "i-12340000", 1)
	type call struct{ key, target, body string }
	for _, c := range []struct {
		name            string
		rates           Rates
		busy            call
		refused, spared []call
		count           Throttled
	}{
		{
			"of a key",
			Rates{Key: 1},
			call{"READER", "GetInventory", "{}"},
			[]call{{"READER", "GetInventorySchema", "{}"}, {"READER", "PutInventory", goodPut}, {"READER", "NoSuchAction", "{}"}},
			[]call{{"NODE", "PutInventory", goodPut}, {"ROOT", "GetInventory", "{}"}},
			Throttled{Key: 4},
		},
		{
			"of an account",
			Rates{Account: 1},
			call{"READER", "GetInventory", "{}"},
			[]call{{"READER", "GetInventory", "{}"}, {"NODE", "PutInventory", goodPut}},
			[]call{{"ROOT", "GetInventory", "{}"}},
			Throttled{Account: 3},
		},
		{
			"of a node",
			Rates{Node: 1},
			call{"NODE", "PutInventory", goodPut},
			[]call{{"NODE", "PutInventory", goodPut}},
			[]call{{"NODE", "PutInventory", other}, {"ROOT", "PutInventory", goodPut}, {"READER", "GetInventory", "{}"}},
			Throttled{Node: 2},
		},
	} {
		b := newBench(t, func(config *Config) { config.Rates = c.rates })
		send := func(one call) (int, string) {
			answer := b.send(t, one.target, one.body, withKey(one.key))
			return answer.StatusCode, read(t, answer)
		}
		for range int(burst / time.Second) {
			if status, text := send(c.busy); status != http.StatusOK {
				t.Fatalf("%s: within its burst: %d %s", c.name, status, text)
			}
		}
		for _, one := range append(c.refused, c.busy) {
			if status, text := send(one); status != http.StatusBadRequest || text != rateExceeded {
				t.Errorf("%s: %+v is answered %d %s", c.name, one, status, text)
			}
		}
		for _, one := range c.spared {
			if status, text := send(one); status != http.StatusOK {
				t.Errorf("%s: %+v is answered %d %s", c.name, one, status, text)
			}
		}
		if got := b.handler.Throttled(); got != c.count {
			t.Errorf("%s: counted %+v, want %+v", c.name, got, c.count)
		}
	}
}

// TestSessionsOfARoleAreCountedTogether assumes a role anew for each request, and another beside it.
func TestSessionsOfARoleAreCountedTogether(t *testing.T) {
	st, err := memory.New(1)
	if err != nil {
		t.Fatal(err)
	}
	users, err := iam.Open(iam.Options{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	const account = "000000000000"
	roles := map[string]string{}
	for _, name := range []string{"ops", "audit"} {
		made, err := users.CreateRole(t.Context(), iam.Role{
			Account: account, Name: name, Path: "/", MaxSession: time.Hour,
			Trust: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"` + account + `"}}}`,
		})
		if err != nil {
			t.Fatal(err)
		}
		roles[name] = made.ARN()
	}
	ask := func(b *bounds, role string, n int) error {
		s, err := users.AssumeRole(t.Context(), &iam.Principal{Account: account}, roles[role], fmt.Sprintf("session%d", n), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		c := Caller{Principal: s.Principal, Partition: inventory.Partition{Account: account, Region: "eu-west-1"}}
		return errors.Join(b.admit(c), b.about(c, "i-12345678"))
	}
	const burstOf = int(burst / time.Second)
	for _, rates := range []Rates{{Key: 1}, {Node: 1}} {
		b := newBounds(rates)
		for n := range burstOf {
			if err := ask(b, "ops", n); err != nil {
				t.Fatalf("%+v, session %d: %v", rates, n, err)
			}
		}
		refused := 0
		for n := range burstOf {
			if ask(b, "ops", burstOf+n) != nil {
				refused++
			}
		}
		if refused < burstOf/2 { // one comes in each second
			t.Errorf("%+v: of %d sessions too many %d were refused", rates, burstOf, refused)
		}
		if err := ask(b, "audit", 0); err != nil {
			t.Errorf("%+v: another role: %v", rates, err)
		}
	}
}

// TestFailuresOfOneSourceAreSlowed fails to authenticate more often than a source may: the next failure takes its time, and
// the right key does not.
func TestFailuresOfOneSourceAreSlowed(t *testing.T) {
	var left atomic.Int64
	b := newBench(t, func(c *Config) {
		c.Rates.Failures, c.Slowed = 1, func(*http.Request) { left.Add(1) }
	})
	wrong := flaw{sign: func(s *signing) { s.secret = "guessed" }}
	fail := func(flaws ...flaw) time.Duration {
		began := time.Now()
		answer := b.send(t, "GetInventory", "{}", flaws...)
		if text := read(t, answer); answer.StatusCode != http.StatusBadRequest || strings.Contains(text, "Throttling") {
			t.Fatalf("answered %d %s", answer.StatusCode, text)
		}
		return time.Since(began)
	}
	fail(wrong)
	if b.handler.Throttled().Failures != 0 {
		t.Error("the first is slowed")
	}
	// One comes in each second: what comes in meanwhile is taken too.
	exhaust := func() {
		for b.handler.bounds.failures.Take(rate.Source("127.0.0.1"), time.Now().Add(time.Second)) {
		}
	}
	for _, f := range []flaw{wrong, unsigned, withKey("NOBODY")} {
		exhaust()
		if took := fail(f); took < failureDelay {
			t.Errorf("a failure too many took %v", took)
		}
	}
	if answer := b.send(t, "GetInventory", "{}"); answer.StatusCode != http.StatusOK {
		t.Errorf("the right key is answered %d", answer.StatusCode)
	}
	if got := b.handler.Throttled(); got != (Throttled{Failures: 3}) {
		t.Errorf("counted %+v", got)
	}
	if left.Load() != 3 {
		t.Errorf("%d gave their place back", left.Load())
	}
	for range slowedAtOnce {
		b.handler.bounds.slow <- struct{}{}
	}
	exhaust()
	began := time.Now()
	answer := b.send(t, "GetInventory", "{}", wrong)
	if read(t, answer); !answer.Close || time.Since(began) >= failureDelay {
		t.Errorf("with too many slow already: after %v, close %v", time.Since(began), answer.Close)
	}
}
