package front

import (
	"context"
	"testing"

	"stocktake/internal/client"
	"stocktake/internal/sigv4"
)

// serving gives a client of a server with these options, which knows the secret "right".
func serving(t *testing.T, h Handler, o Options, secret string) *client.Client {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	address, ended := make(chan string, 1), make(chan error, 1)
	o.Key = sigv4.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "right"}
	go func() { ended <- Serve(ctx, h, o, func(at string) { address <- at }) }()
	c, err := client.New(client.Config{Endpoint: "http://" + <-address, Region: "x-1", Attempts: 1, Credentials: func(context.Context) (sigv4.Credentials, error) {
		return sigv4.Credentials{AccessKeyID: "AKIA", SecretAccessKey: secret}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestOnlyTheKeyIsAnswered(t *testing.T) {
	for _, c := range []struct {
		secret   string
		unsigned bool
		answered bool
	}{{"right", false, true}, {"wrong", false, false}, {"wrong", true, true}} {
		s := serving(t, &Floor{}, Options{Unsigned: c.unsigned}, c.secret)
		answer, err := s.Do(t.Context(), "PutInventory", []byte(`{"InstanceId":"i-1"}`))
		if (err == nil) != c.answered || err == nil && string(answer) != "{}" {
			t.Errorf("a %s signature, looked at: %v, is answered %s, %v", c.secret, !c.unsigned, answer, err)
		}
	}
}

func TestFloorAnswersAsManyBytesAsItWasTold(t *testing.T) {
	s := serving(t, &Floor{}, Options{}, "right")
	for told, want := range map[string]int{"": 2, "1000": 1000, "3": len(`{"":""}`)} {
		if told != "" {
			if _, err := s.Do(t.Context(), SizeAction, []byte(told)); err != nil {
				t.Fatal(err)
			}
		}
		answer, err := s.Do(t.Context(), "GetInventory", []byte("{}"))
		if err != nil || told != "" && len(answer) != want {
			t.Errorf("told %q: %d bytes, want %d, %v", told, len(answer), want, err)
		}
		if answer, err = s.Do(t.Context(), "PutInventory", []byte("{}")); err != nil || string(answer) != "{}" {
			t.Errorf("a report is answered %s, %v", answer, err)
		}
	}
	for _, told := range []string{"-1", "many", "99999999999"} {
		if _, err := s.Do(t.Context(), SizeAction, []byte(told)); err == nil {
			t.Errorf("a floor took the size %s", told)
		}
	}
}
