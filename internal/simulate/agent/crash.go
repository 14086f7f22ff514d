package agent

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Crash is an answer that ends the stock agent's process: it lacks a member that is used without a look, or is no JSON of
// the kind.
type Crash struct{ Action, Reason string }

func (c *Crash) Error() string { return fmt.Sprintf("the agent crashed: %s: %s", c.Action, c.Reason) }

func isCrash(err error) bool {
	var c *Crash
	return errors.As(err, &c)
}

// Refusal is an error answer.
type Refusal struct {
	Action, Code, Message string
	Status                int
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%s: %s: %s (HTTP status %d)", r.Action, r.Code, r.Message, r.Status)
}

// codeOf gives the code of a refusal, "" for an error that is none.
func codeOf(err error) string {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

// read decodes an answer. must names the members that the agent uses without a look.
func read(action string, text []byte, into any, must ...string) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return &Crash{action, fmt.Sprintf("no JSON object: %v", err)}
	}
	for _, name := range must {
		if value, ok := members[name]; !ok || string(value) == "null" {
			return &Crash{action, "no member " + name + " in " + clip(text)}
		}
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return &Crash{action, fmt.Sprintf("%v in %s", err, clip(text))}
	}
	return nil
}

func clip(text []byte) string { return string(text[:min(len(text), 300)]) }
