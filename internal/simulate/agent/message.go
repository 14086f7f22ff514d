package agent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// converse polls for messages, one poll after the other. Only a crash is an error that counts.
func (a *Agent) converse(ctx context.Context) error {
	request := ""
	for ctx.Err() == nil {
		if request == "" {
			request = rand.Text()
		}
		all, err := a.messagesOf(ctx, request)
		switch {
		case isCrash(err):
			return err
		case err == nil:
			a.messages.Add(1)
			request = ""
		case codeOf(err) != "":
			request = ""
			// The stock agent polls again soon after the SDK has given up.
			if err := a.sleep(ctx, a.scaled(2*time.Second)); err != nil {
				return nil //nolint:nilerr // it is the end
			}
		}
		// After a poll without an answer the same one is sent again.
		for _, m := range all {
			if err := a.take(ctx, m); isCrash(err) {
				return err
			}
		}
	}
	return nil
}

// message is one that was delivered.
type message struct{ MessageId, Destination, Topic, Payload string } //nolint:revive,staticcheck // names on the wire

// messagesOf is one poll, which the service holds open for a time.
func (a *Agent) messagesOf(ctx context.Context, request string) ([]message, error) {
	const action = "GetMessages"
	c := a.asRole(messages, action, struct {
		Destination, MessagesRequestId string //nolint:revive,staticcheck // names on the wire
		VisibilityTimeoutInSeconds     int
	}{a.disk.Node, request, 10})
	c.limit = messageTime
	text, err := a.do(ctx, c)
	if err != nil {
		return nil, err
	}
	var answer struct{ Messages []json.RawMessage }
	if err := read(action, text, &answer, "Destination", "MessagesRequestId", "Messages"); err != nil {
		return nil, err
	}
	all := make([]message, len(answer.Messages))
	for i, one := range answer.Messages {
		if err := read(action, one, &all[i], "MessageId", "CreatedDate", "Destination", "Topic", "Payload", "PayloadDigest"); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// take acknowledges a message and does what it says, if it is the one thing that concerns inventory: to poll associations.
func (a *Agent) take(ctx context.Context, m message) error {
	text, err := a.do(ctx, a.asRole(messages, "AcknowledgeMessage", struct{ MessageId string }{m.MessageId})) //nolint:revive,staticcheck // names on the wire
	if err != nil {
		return err
	}
	if err := read("AcknowledgeMessage", text, nil); err != nil {
		return err
	}
	var payload struct{ CommandId, DocumentName string } //nolint:revive,staticcheck // names on the wire
	if !strings.HasPrefix(m.Topic, "aws.ssm.sendCommand") || json.Unmarshal([]byte(m.Payload), &payload) != nil {
		return &Crash{"GetMessages", fmt.Sprintf("a message of topic %q that is no command", m.Topic)}
	}
	if payload.DocumentName == "AWS-RefreshAssociation" {
		select {
		case a.refresh <- struct{}{}:
		default:
		}
	}
	reply := struct{ MessageId, Payload, ReplyId string }{m.MessageId, `{"documentStatus":"Success"}`, rand.Text()} //nolint:revive,staticcheck // names on the wire
	if text, err = a.do(ctx, a.asRole(messages, "SendReply", reply)); err != nil {
		return err
	}
	return read("SendReply", text, nil)
}
