package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"

	"stocktake/internal/agent"
	"stocktake/internal/api"
	"stocktake/internal/awsjson"
	"stocktake/internal/httpd"
	"stocktake/internal/iam/endpoint"
	"stocktake/internal/inventory"
	"stocktake/internal/sigv4"
	"stocktake/internal/wire"
)

// handler wraps the protocol, with the rows of every action in it, in the floor of all HTTP.
func (s *server) handler() (http.Handler, error) {
	protocol, err := s.protocol()
	if err != nil {
		return nil, err
	}
	actions := make(map[string]string)
	for _, row := range protocol.Rows() {
		actions[row.Target] = row.Action
	}
	limits := httpd.DefaultLimits(int64(s.config.BodyMemory))
	limits.Priority = func(r *http.Request) httpd.Priority { return priority(protocol, r) }
	limits.Patient = func(r *http.Request) bool { return isAgents(protocol, r) }
	limits.Sources = httpd.NewSources(s.config.RateSource, burst)
	if err := limits.Check(); err != nil {
		return nil, err
	}
	err = errors.Join(
		s.registerThrottled(limits, protocol),
		s.metrics.Gauge("stocktake_body_bytes", "Memory held for the bodies of requests.", nil,
			func() float64 { return float64(limits.Budget.Used()) }),
		s.metrics.Gauge("stocktake_answer_bytes", "Memory held for large answers on their way.", nil,
			func() float64 { return float64(limits.Answers.Used()) }),
		s.registerWork("asking", limits.Work), s.registerWork("writing", limits.Writes),
	)
	requests := httpd.Requests{Log: s.log, Metrics: s.metrics, Actions: actions, Proxies: s.config.proxies, Refuse: refusals(protocol)}
	return httpd.Chain(agent.WithoutChannel(protocol), requests.Middleware, limits.Middleware), err
}

// protocol serves the rows of every action: those of api and of agent, whose tests walk all there are.
func (s *server) protocol() (*awsjson.Handler, error) {
	public, agents := api.Rows(s.service), agent.Rows(s.service, s.config.agent(s.log))
	return awsjson.New(awsjson.Config{
		Keys: s.keys, Identities: s.users, Forms: endpoint.New(s.users), Nodes: agent.Keys(s.service), Tags: api.Tags(s.service),
		Rows: slices.Concat(public, agents), Regions: s.config.Regions, Log: s.log, Observe: s.observer(agents), Audit: s.audited(),
		Rates: s.config.rates(), Slowed: func(r *http.Request) { httpd.Leave(r.Context()) },
	})
}

// refusals puts what the floor refuses as the request's protocol has it: forms are answered as IAM answers them, for their
// clients read nothing else, and so know to try again.
func refusals(protocol *awsjson.Handler) func(*http.Request, string, *httpd.Refusal) (httpd.Answer, bool) {
	return func(r *http.Request, requestID string, why *httpd.Refusal) (httpd.Answer, bool) {
		f, isForm := protocol.RefuseForm(r, requestID, why.Code, why.Message, why.Status)
		return httpd.Answer{Status: f.Status, Code: f.Code, Media: f.Media, Body: f.Body}, isForm
	}
}

// priority puts the sign of life of a node before all else: a service that is too busy to hear it would take the node for
// lost. A poll for messages mostly waits. What writes may wait for the disk; of forms nobody knows yet whether they do. It goes
// by the row that would serve the request, so that no request is served as another than the one it has its place as.
func priority(protocol *awsjson.Handler, r *http.Request) httpd.Priority {
	if protocol.IsForm(r) {
		return httpd.Writing
	}
	row, known := protocol.RowOf(r)
	switch {
	case !known:
		return httpd.Ordinary
	case row.Target == "AmazonSSM.UpdateInstanceInformation":
		return httpd.Urgent
	case row.Waits:
		return httpd.Idle
	case row.Writes():
		return httpd.Writing
	}
	return httpd.Ordinary
}

// isAgents reports whether a request is signed as agents sign: with the credentials of a role's session, or with a node's own key
// pair. An agent asks for one thing after the other, and gives a run up when one of them is refused four times. What may be asked
// without a signature is nobody's, whatever it claims: its body is waited for before anything of it is verified.
func isAgents(protocol *awsjson.Handler, r *http.Request) bool {
	row, known := protocol.RowOf(r)
	if !known || row.Auth == awsjson.Anonymous {
		return false
	}
	return r.Header.Get("X-Amz-Security-Token") != "" || sigv4.ByKeyPair(r.Header.Get("Authorization"))
}

// registerWork tells of one line of requests at work.
func (s *server) registerWork(line string, b *httpd.Budget) error {
	labels := map[string]string{"line": line}
	return errors.Join(
		s.metrics.Gauge("stocktake_requests_at_work", "Requests whose body is there and that are not answered yet, but for heartbeats and long polls.", labels,
			func() float64 { return float64(b.Used()) }),
		s.metrics.Gauge("stocktake_requests_at_work_limit", "Requests that may be at work at once: fewer while the processor is behind.", labels,
			func() float64 { return float64(b.Size()) }),
	)
}

// registerThrottled counts what was refused or slowed because too much was asked, by what it was too much of.
func (s *server) registerThrottled(limits httpd.Limits, protocol *awsjson.Handler) error {
	by := func(kind string, read func() int64) error {
		return s.metrics.Counter("stocktake_throttled_total", "Requests refused with ThrottlingException (forms: Throttling), and failed authentications (kind failures) slowed.",
			map[string]string{"kind": kind}, func() float64 { return float64(read()) })
	}
	return errors.Join(
		by("source", limits.Sources.Refused), by("memory", func() int64 { return limits.Budget.Refused() + limits.Answers.Refused() }),
		by("work", func() int64 { return limits.Work.Refused() + limits.Writes.Refused() }),
		by("account", func() int64 { return protocol.Throttled().Account }), by("key", func() int64 { return protocol.Throttled().Key }),
		by("node", func() int64 { return protocol.Throttled().Node }), by("failures", func() int64 { return protocol.Throttled().Failures }),
		by("lookups", func() int64 { return protocol.Throttled().LookUps }),
	)
}

// observer gives what looks at every request: it keeps what nodes are refused for, and tells the log.
func (s *server) observer(agents []awsjson.Row) func(*http.Request, awsjson.Observation) {
	reports := map[string]bool{"PutInventory": true, "PutComplianceItems": true}
	for _, row := range agents {
		reports[row.Action] = true
	}
	return func(r *http.Request, o awsjson.Observation) {
		if reports[o.Action] && tellsOfNode(o) {
			s.service.NoteRefusal(inventory.NodeKey{Partition: o.Partition, Node: o.Node}, o.Action, o.Code, o.Text)
		}
		observe(r, o)
	}
}

// tellsOfNode reports whether a refusal says something of the node that it is about. One for want of permission does only
// where the node itself signed: whoever else asked may have named any.
func tellsOfNode(o awsjson.Observation) bool {
	switch {
	case o.Code == "" || o.Code == wire.InternalServerError || o.Node == "" || o.Partition.Account == "":
		return false
	case o.Code == wire.AccessDeniedException:
		return o.Principal != nil && o.Principal.Node().Node == o.Node
	}
	return true
}

// observe tells the log line of a request and the metrics who asked for what and how it ended.
func observe(r *http.Request, o awsjson.Observation) {
	if o.Action != "" {
		httpd.SetAction(r.Context(), o.Action)
	}
	if o.Code != "" {
		httpd.SetCode(r.Context(), o.Code)
	}
	if o.Principal != nil {
		httpd.Annotate(r.Context(), slog.String("account", o.Partition.Account), slog.String("region", o.Partition.Region),
			slog.String("access_key", o.Principal.AccessKeyID))
	}
}

// register adds what the rooms count to the metrics.
func (s *server) register() error {
	m, counters := s.metrics, s.service.Counters()
	outcome := func(name string, pick func(stored, unchanged, refused int64) int64) error {
		return m.Counter("stocktake_reports_total", "Reports by outcome.", map[string]string{"outcome": name},
			func() float64 { return float64(pick(counters.Reports())) })
	}
	status := func(status inventory.Status) error {
		return m.Gauge("stocktake_nodes_by_status", "Nodes known by their status.", map[string]string{"status": string(status)}, func() float64 {
			n, _ := s.service.CountStatus(context.Background(), status) // it fails with its context alone
			return float64(n)
		})
	}
	return errors.Join(
		status(inventory.Active), status(inventory.ConnectionLost), status(inventory.Stopped), status(inventory.Terminated),
		outcome("stored", func(n, _, _ int64) int64 { return n }),
		outcome("unchanged", func(_, n, _ int64) int64 { return n }),
		outcome("refused", func(_, _, n int64) int64 { return n }),
		m.Counter("stocktake_unknown_attributes_total", "Attributes kept that the type of AWS does not have.", nil,
			func() float64 { return float64(counters.UnknownAttributes()) }),
		m.Counter("stocktake_heartbeats_total", "Heartbeats of agents taken.", nil, func() float64 { return float64(counters.Heartbeats()) }),
		m.Gauge("stocktake_polls", "Nodes waiting for messages.", nil, func() float64 { return float64(s.service.OpenPolls()) }),
		m.Gauge("stocktake_nodes", "Nodes known.", nil, func() float64 { return float64(s.indexed().nodes) }),
		m.Gauge("stocktake_entries", "Pairs of a node and a distinct entry of it.", nil, func() float64 { return float64(s.indexed().entries) }),
		m.Gauge("stocktake_index_bytes", "Memory of the index, as it estimates it.", nil, func() float64 { return float64(s.indexed().bytes) }),
		m.Gauge("stocktake_snapshot_age_seconds", "Time since the index's snapshot was written; 0 without one.", nil,
			func() float64 { return s.replica.SnapshotAge().Seconds() }),
		s.store.register(m),
	)
}

// indexed sums up the index.
type indexed struct{ nodes, entries, bytes int }

func (s *server) indexed() indexed {
	var sum indexed
	for _, p := range s.replica.Index().Stats() {
		sum.nodes += p.Nodes
		sum.bytes += p.Bytes
		for _, t := range p.Types {
			sum.entries += t.Entries
		}
	}
	return sum
}
