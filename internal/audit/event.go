package audit

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// A Kind is what sort of thing a line tells of.
type Kind uint8

// The kinds.
const (
	Write        Kind = iota // a call that changes something, or gives out credentials
	Question                 // a call that only asks
	Report                   // what nodes say of themselves, and ask for themselves
	Refusal                  // a call that was not carried out
	Summary                  // many refusals
	Interrupted              // a write whose outcome nobody knows
	Pruning                  // older lines were dropped
	Confirmation             // the lines before it, whose writing was not answered, are there to stay

	kinds
)

// String gives the kind as metrics name it.
func (k Kind) String() string {
	return [...]string{"write", "question", "report", "refusal", "summary", "interrupted", "pruning", "confirmation"}[k]
}

// An Event is what one line tells, before it is part of a chain. Every text is clipped and made valid UTF-8 in the line.
type Event struct {
	Kind     Kind
	Identity Identity
	Time     time.Time // zero: the trail's own now
	Source   string    // the service asked: ssm.amazonaws.com
	Name     string    // the action: CreateActivation
	Region   string
	// Account is whose the line is, 12 digits; empty where nobody proved to be of one. It chooses the chain: it may change
	// between Begin and End, and the chain does not.
	Account   string
	Address   string // of the caller
	UserAgent string
	RequestID string
	ID        string // of the event; empty: given by the trail
	ReadOnly  bool
	// ErrorCode is the error's name on the wire; empty: the call was answered with success. ErrorMessage may hold nothing
	// that a request had as a value.
	ErrorCode    string
	ErrorMessage string
	Resources    []string // ARNs of what it was done to

	home    int // the chain plus 1; 0: not chosen yet
	service bool
	more    *details
}

// An Identity is who called, in CloudTrail's words. The zero Identity is of a caller who proved nothing.
type Identity struct {
	Type        string `json:"type"` // Root, IAMUser, AssumedRole; empty: Unknown
	PrincipalID string `json:"principalId,omitempty"`
	ARN         string `json:"arn,omitempty"`
	AccountID   string `json:"accountId,omitempty"`
	AccessKeyID string `json:"accessKeyId,omitempty"`
	UserName    string `json:"userName,omitempty"`
	InvokedBy   string `json:"invokedBy,omitempty"`
}

// line is an event as it is written: the order of its members is the order of their bytes.
type line struct {
	EventVersion        string     `json:"eventVersion"`
	UserIdentity        Identity   `json:"userIdentity"`
	EventTime           string     `json:"eventTime"`
	EventSource         string     `json:"eventSource"`
	EventName           string     `json:"eventName"`
	AWSRegion           string     `json:"awsRegion,omitempty"`
	SourceIPAddress     string     `json:"sourceIPAddress,omitempty"`
	UserAgent           string     `json:"userAgent,omitempty"`
	ErrorCode           string     `json:"errorCode,omitempty"`
	ErrorMessage        string     `json:"errorMessage,omitempty"`
	AdditionalEventData *details   `json:"additionalEventData,omitempty"`
	RequestID           string     `json:"requestID,omitempty"`
	EventID             string     `json:"eventID"`
	ReadOnly            bool       `json:"readOnly"`
	Resources           []resource `json:"resources,omitempty"`
	EventType           string     `json:"eventType"`
	ManagementEvent     bool       `json:"managementEvent"`
	RecipientAccountID  string     `json:"recipientAccountId,omitempty"`
	EventCategory       string     `json:"eventCategory"`
}

type resource struct {
	ARN string `json:"ARN"`
}

// details are what the trail's own lines say besides.
type details struct {
	Count         int64  `json:"count,omitempty"` // refusals summed
	From          string `json:"from,omitempty"`
	To            string `json:"to,omitempty"`
	PrunedThrough uint64 `json:"prunedThrough,omitempty"` // the sequence of the last line dropped
	PrunedHash    string `json:"prunedHash,omitempty"`    // and its hash
	ResourceCount int    `json:"resourceCount,omitempty"` // where the line has not all of them
}

const (
	eventVersion = "1.11" // of CloudTrail's record that the members follow
	ownSource    = "stocktake"

	apiCall      = "AwsApiCall"
	serviceEvent = "AwsServiceEvent"

	codeInterrupted = "Interrupted"

	// The bounds of texts, in bytes.
	longText = 1024
	text     = 256
	// mostResources bounds the resources of a line.
	mostResources = 50
)

// complete gives an event what it lacks.
func (e *Event) complete(now time.Time) {
	if e.Time.IsZero() {
		e.Time = now
	}
	if e.ID == "" {
		e.ID = newID()
	}
	e.chain()
}

// chain gives the chain of the event's line, chosen at the first call.
func (e *Event) chain() int {
	if e.home == 0 {
		e.home = chainOf(e.Account) + 1
	}
	return e.home - 1
}

// Append appends the event as one JSON object without spaces, its members always in the same order. An event of the same
// content has the same bytes.
func (e *Event) Append(dst []byte) []byte {
	l := line{
		EventVersion: eventVersion, UserIdentity: e.Identity.clipped(), EventTime: stamp(e.Time),
		EventSource: clip(e.Source, text), EventName: clip(e.Name, text), AWSRegion: clip(e.Region, text),
		SourceIPAddress: clip(e.Address, text), UserAgent: clip(e.UserAgent, longText),
		ErrorCode: clip(e.ErrorCode, text), ErrorMessage: clip(e.ErrorMessage, longText), AdditionalEventData: e.more,
		RequestID: clip(e.RequestID, text), EventID: clip(e.ID, text), ReadOnly: e.ReadOnly, EventType: apiCall,
		ManagementEvent: true, RecipientAccountID: clip(e.Account, text), EventCategory: "Management",
	}
	if e.service {
		l.EventType = serviceEvent
	}
	if e.Kind == Report {
		l.ManagementEvent, l.EventCategory = false, "Data"
	}
	if len(e.Resources) > mostResources && e.more == nil {
		l.AdditionalEventData = &details{ResourceCount: len(e.Resources)}
	}
	for _, arn := range e.Resources[:min(len(e.Resources), mostResources)] {
		l.Resources = append(l.Resources, resource{clip(arn, longText)})
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(l) // strings and numbers alone: it does not fail
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

func (i Identity) clipped() Identity {
	if i.Type == "" {
		i.Type = "Unknown"
	}
	return Identity{
		clip(i.Type, text), clip(i.PrincipalID, text), clip(i.ARN, longText), clip(i.AccountID, text),
		clip(i.AccessKeyID, text), clip(i.UserName, text), clip(i.InvokedBy, text),
	}
}

// interrupted gives the line that the call has if its end is never written.
func (e *Event) interrupted() []byte {
	i := *e
	i.ErrorCode = codeInterrupted
	i.ErrorMessage = "The service stopped, or lost its store, while the call was at work. Whether it took effect is not known."
	return i.Append(nil)
}

// ofService makes an event that the service itself is the author of.
func ofService(kind Kind, name, account string, more *details) *Event {
	return &Event{
		Kind: kind, Name: name, Account: account, Source: ownSource, service: true, more: more,
		Identity: Identity{Type: "AWSService", InvokedBy: ownSource},
	}
}

// stamp writes a time as CloudTrail does, to the second.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// clip gives so many bytes of a text at most, as valid UTF-8.
func clip(s string, most int) string {
	if len(s) > most {
		s = s[:most]
		for i := 1; i < utf8.UTFMax && i <= len(s); i++ {
			if c := s[len(s)-i]; utf8.RuneStart(c) {
				if !utf8.FullRuneInString(s[len(s)-i:]) {
					s = s[:len(s)-i]
				}
				break
			}
		}
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
