package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"stocktake/internal/agent"
	"stocktake/internal/awsjson"
	"stocktake/internal/httpd"
	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
)

// settings are what the service can be told. A field is a flag; its environment variable and its key in the file follow
// from the flag's name (see layers). docs/configuration.md has a line for each and for those of backups, and a test holds it
// to that.
type settings struct {
	Config string `help:"Read settings from this YAML file." placeholder:"FILE"`

	Listen      string `group:"service" default:"127.0.0.1:7540" placeholder:"HOST:PORT" help:"Answer the API here (${default})."`
	AdminListen string `group:"service" default:"127.0.0.1:7541" placeholder:"HOST:PORT" help:"Answer /healthz, /readyz and /metrics here (${default}); empty: nowhere."`
	Data        string `group:"service" placeholder:"DIR" help:"Keep the store in this folder; made when missing. One service a folder. With a database: keep the index's snapshot here, and what --tls-self-signed and --tls-acme make; empty: nowhere."`
	databaseSetting
	Regions          []string `group:"service" placeholder:"NAME,..." help:"Serve only these regions; empty: any region a client signs for."`
	SnapshotInterval duration `group:"service" default:"5m" placeholder:"TIME" help:"Write the index's snapshot this often when it changed (${default}); 0: only at the stop."`
	FeedAge          duration `group:"service" default:"7d" placeholder:"TIME" help:"Keep changes in the feed this long (${default}); more than 0."`
	BodyMemory       size     `group:"service" default:"256MiB" placeholder:"SIZE" help:"Memory for the bodies of all requests together (${default}), at least 16MiB; beyond it they wait, then are throttled."`
	MaxConnections   int      `group:"service" default:"16384" placeholder:"N" help:"Keep at most so many connections to the API open (${default}); more are closed as they come. An agent that waits for messages holds one."`
	TrustedProxies   []string `group:"service" placeholder:"CIDR,..." help:"Believe these proxies, addresses or networks, the X-Forwarded-For that they send."`
	StopDelay        duration `group:"service" default:"0" placeholder:"TIME" help:"At a stop, fail readiness so long before new requests are refused (${default})."`
	LogLevel         string   `group:"service" default:"info" enum:"debug,info,warn,error" help:"Log this and graver: debug, info, warn or error (${default})."`

	Extensions        bool     `group:"profile" help:"Answer supersets of AWS too: any type in ResultAttributes, any attribute aggregated, MaxResults to 1000."`
	Enrollment        string   `group:"profile" default:"open" enum:"open,strict" help:"open: an id i-... enrols itself with its first report; strict: nodes are registered first (${default})."`
	UnknownAttributes string   `group:"profile" default:"keep" enum:"keep,refuse" help:"What to do with attributes an AWS type does not have: keep or refuse (${default})."`
	Audit             string   `group:"profile" default:"writes" enum:"writes,calls,all,off" help:"Keep a line of administrative writes and refusals (writes), of questions too (calls), of nodes' own reports too (all), or none (off) (${default})."`
	AuditAge          duration `group:"profile" default:"90d" placeholder:"TIME" help:"Keep the lines of the audit so long (${default}); at least 1d; 0: for ever."`
	Retention         duration `group:"profile" default:"${retention}" placeholder:"TIME" help:"Drop what was not reported again for so long (${default}); 0: never."`

	ConnectionLostAfter duration `group:"profile" default:"30m" placeholder:"TIME" help:"Call a node lost whose heartbeats stopped for so long (${default}); at least 10m; 0: never."`
	RoleTokenTTL        duration `group:"profile" name:"role-token-ttl" default:"1h" placeholder:"TIME" help:"Give managed nodes credentials for so long (${default}); 15m to 36h."`
	KeyRotation         duration `group:"profile" default:"0" placeholder:"TIME" help:"Ask a managed node for a new key pair when its own is so old (${default}); 0: never."`
	ScheduleFloor       duration `group:"profile" default:"30m" placeholder:"TIME" help:"Let associations run at most this often (${default}); at least 1m."`
	RegistrationRate    int      `group:"profile" default:"50" placeholder:"N" help:"Registrations of managed nodes that one address may ask for each second, after a burst of 20 times as many (${default})."`

	tlsSettings

	RateSource   int `group:"limits" default:"2000" placeholder:"N" help:"Requests of one address (of IPv6: a /64) each second in the long run, after a burst of a minute's worth (${default}); 0: any number."`
	RateAccount  int `group:"limits" default:"10000" placeholder:"N" help:"The same of one account, and again of its managed nodes (${default})."`
	RateKey      int `group:"limits" default:"2000" placeholder:"N" help:"The same of one access key (${default})."`
	RateNode     int `group:"limits" default:"10" placeholder:"N" help:"The same of one managed node, and of one access key about one node (${default})."`
	RateFailures int `group:"limits" default:"10" placeholder:"N" help:"Failed authentications of one address, in the same way; more are answered a second late (${default})."`

	Limits limitSettings `embed:"" prefix:"limit-" group:"limits"`
}

// databaseSetting is the database of the store, which migrate goes by too.
type databaseSetting struct {
	DatabaseURL string `group:"service" name:"database-url" secret:"" placeholder:"URL" help:"Keep the store in this PostgreSQL database, which any number of servers may share: postgres://USER@HOST/DATABASE. A password is better in PGPASSWORD, ~/.pgpass or a file that STOCKTAKE_DATABASE_URL_FILE names."`
}

func (d *databaseSetting) checkURL() error {
	if d.DatabaseURL != "" && !isDatabase(d.DatabaseURL) {
		return &usageError{"database_url is no URL of a PostgreSQL database", "postgres://USER@HOST:PORT/DATABASE; what was given is not shown, as it may hold a password"}
	}
	return nil
}

// limitSettings mirror inventory.Limits, but for retention, which has a setting of its own.
type limitSettings struct {
	ItemBytes        size `default:"${limit_item_bytes}" placeholder:"SIZE" help:"One item of a report (${default})."`
	CallBytes        size `default:"${limit_call_bytes}" placeholder:"SIZE" help:"All items of a report (${default})."`
	CustomTypes      int  `default:"${limit_custom_types}" placeholder:"N" help:"Custom types of an account in a region (${default})."`
	CustomAttributes int  `default:"${limit_custom_attributes}" placeholder:"N" help:"Attributes of a custom type (${default})."`
	ComplianceTypes  int  `default:"${limit_compliance_types}" placeholder:"N" help:"Custom compliance types of a node (${default})."`
	SubTypes         int  `default:"${limit_sub_types}" placeholder:"N" help:"Compliance types of an account in a region (${default})."`
	Activations      int  `default:"${limit_activations}" placeholder:"N" help:"Activations of an account, those that expired within a month included (${default})."`
	PageNodes        int  `default:"0" placeholder:"N" help:"MaxResults of GetInventory; 0: 50, or 1000 with extensions (${default})."`
	PageEntries      int  `default:"0" placeholder:"N" help:"MaxResults of ListInventoryEntries; 0: 50, or 1000 with extensions (${default})."`
	AggregateRows    int  `default:"${limit_aggregate_rows}" placeholder:"N" help:"Rows of one page of counts (${default})."`
	AggregateWork    int  `default:"${limit_aggregate_work}" placeholder:"N" help:"Steps of counting for one question (${default})."`
	Nodes            int  `default:"${limit_nodes}" placeholder:"N" help:"Nodes of an account in a region (${default})."`
	Shapes           int  `default:"${limit_shapes}" placeholder:"N" help:"Distinct entries of a type in an account and region (${default})."`
	Regions          int  `default:"${limit_regions}" placeholder:"N" help:"Regions of an account that hold nodes (${default})."`
	Attributes       int  `default:"${limit_attributes}" placeholder:"N" help:"Attributes of an AWS type, unknown ones included (${default})."`
}

// defaults gives the flags the limits of the inventory room, so that neither can drift.
func defaults() kong.Option {
	d := inventory.DefaultLimits()
	vars := kong.Vars{
		"retention":               duration(d.Retention).String(),
		"limit_item_bytes":        size(d.ItemBytes).String(),
		"limit_call_bytes":        size(d.CallBytes).String(),
		"limit_custom_types":      strconv.Itoa(d.CustomTypes),
		"limit_custom_attributes": strconv.Itoa(d.CustomAttributes),
		"limit_compliance_types":  strconv.Itoa(d.ComplianceTypes),
		"limit_sub_types":         strconv.Itoa(d.SubTypes),
		"limit_activations":       strconv.Itoa(d.Activations),
		"limit_aggregate_rows":    strconv.Itoa(d.AggregateRows),
		"limit_aggregate_work":    strconv.Itoa(d.AggregateWork),
		"limit_nodes":             strconv.Itoa(d.Nodes),
		"limit_shapes":            strconv.Itoa(d.Shapes),
		"limit_regions":           strconv.Itoa(d.Regions),
		"limit_attributes":        strconv.Itoa(d.Attributes),
	}
	groups := kong.ExplicitGroups([]kong.Group{
		{Key: "service", Title: "Service:"},
		{Key: "profile", Title: "Profile:"},
		{Key: "tls", Title: "TLS:"},
		{Key: "limits", Title: "Limits:"},
		{Key: "backup", Title: "Backup:"},
	})
	return optionList{vars, groups}
}

// optionList is several options as one.
type optionList []kong.Option

func (l optionList) Apply(k *kong.Kong) error {
	for _, o := range l {
		if err := o.Apply(k); err != nil {
			return err
		}
	}
	return nil
}

// extendedPage is the largest page with extensions.
const extendedPage = 1000

// limits gives the bounds the rooms work by.
func (s *settings) limits() inventory.Limits {
	d := inventory.DefaultLimits()
	if s.Extensions {
		d.PageNodes, d.PageEntries = extendedPage, extendedPage
	}
	return inventory.Limits{
		ItemBytes:        int(s.Limits.ItemBytes),
		CallBytes:        int(s.Limits.CallBytes),
		CustomTypes:      s.Limits.CustomTypes,
		CustomAttributes: s.Limits.CustomAttributes,
		ComplianceTypes:  s.Limits.ComplianceTypes,
		SubTypes:         s.Limits.SubTypes,
		Activations:      s.Limits.Activations,
		Retention:        time.Duration(s.Retention),
		PageNodes:        cmp.Or(s.Limits.PageNodes, d.PageNodes),
		PageEntries:      cmp.Or(s.Limits.PageEntries, d.PageEntries),
		AggregateRows:    s.Limits.AggregateRows,
		AggregateWork:    s.Limits.AggregateWork,
		Nodes:            s.Limits.Nodes,
		Shapes:           s.Limits.Shapes,
		Regions:          s.Limits.Regions,
		Attributes:       s.Limits.Attributes,
	}
}

// burst is how long a rate may be saved up for: an agent that was away, and 10,000 of them behind one address, ask for much at
// once, and for little after.
const burst = time.Minute

// rates gives what accounts, keys and nodes may ask for.
func (s *settings) rates() awsjson.Rates {
	return awsjson.Rates{Account: s.RateAccount, Key: s.RateKey, Node: s.RateNode, Failures: s.RateFailures}
}

// checkRates holds the rates to what counts as one.
func (s *settings) checkRates() error {
	for key, rate := range map[string]int{
		"rate_source": s.RateSource, "rate_account": s.RateAccount, "rate_key": s.RateKey, "rate_node": s.RateNode, "rate_failures": s.RateFailures,
	} {
		if rate < 0 || rate > 1_000_000 {
			return &usageError{fmt.Sprintf("%s is %d, not between 1 and 1000000, or 0 for any number", key, rate), defaultHint}
		}
	}
	return nil
}

// agent gives what the room of the agents' own actions works by.
func (s *settings) agent(log *slog.Logger) agent.Config {
	return agent.Config{RegistrationRate: s.RegistrationRate, Log: log}
}

// maxCall is the largest bound on a call, and the least memory for bodies: the body that carries a call may have 16 MiB.
const maxCall = size(16 << 20)

// leastSilence is two heartbeats of an agent.
const leastSilence = 10 * time.Minute

// check holds the settings against each other. It names the key at fault.
func (s *settings) check() error {
	switch {
	case s.Data == "" && s.DatabaseURL == "":
		return &usageError{"data is not set", "say where to keep the store, for example --data ./data, or in which database, with --database-url"}
	case s.FeedAge == 0:
		return &usageError{"feed_age is 0: servers and restarts read the feed, so changes have to stay for a while", "12h, for example; longer than the service is ever down spares rebuilds of the index"}
	case s.AuditAge != 0 && time.Duration(s.AuditAge) < 24*time.Hour:
		return &usageError{fmt.Sprintf("audit_age is %v, less than 1d", s.AuditAge), "90d, for example; 0 keeps lines for ever"}
	case s.ConnectionLostAfter != 0 && time.Duration(s.ConnectionLostAfter) < leastSilence:
		return &usageError{fmt.Sprintf("connection_lost_after is %v, less than %v", s.ConnectionLostAfter, duration(leastSilence)), "agents send a heartbeat every 5 minutes; 0 calls no node lost"}
	case s.RoleTokenTTL < duration(15*time.Minute) || s.RoleTokenTTL > duration(36*time.Hour):
		return &usageError{fmt.Sprintf("role_token_ttl is %v, not between 15m and 36h", s.RoleTokenTTL), "1h, for example: the agent asks for new credentials at half of it"}
	case time.Duration(s.ScheduleFloor) < ssm.LeastScheduleFloor:
		return &usageError{fmt.Sprintf("schedule_floor is %v, less than %v", s.ScheduleFloor, duration(ssm.LeastScheduleFloor)), "30m, for example, as AWS has it"}
	case s.BodyMemory < maxCall:
		return &usageError{fmt.Sprintf("body_memory is %v, less than the %v that one body may have", s.BodyMemory, maxCall), "256MiB, for example: all bodies of a moment share it"}
	case s.Limits.CallBytes > maxCall:
		return &usageError{fmt.Sprintf("limit_call_bytes is %v, more than the %v a body may have", s.Limits.CallBytes, maxCall), ""}
	case s.Limits.ItemBytes > s.Limits.CallBytes:
		return &usageError{fmt.Sprintf("limit_item_bytes is %v, more than limit_call_bytes (%v)", s.Limits.ItemBytes, s.Limits.CallBytes), ""}
	}
	if err := s.checkURL(); err != nil {
		return err
	}
	if err := s.tlsSettings.check(s.Data); err != nil {
		return err
	}
	for _, r := range s.Regions {
		if !regionName(r) {
			return &usageError{fmt.Sprintf("regions: %q is no region name", r), "letters, digits and hyphens, for example us-east-1"}
		}
	}
	if err := s.checkCounts(); err != nil {
		return err
	}
	if err := s.checkRates(); err != nil {
		return err
	}
	return s.checkListen()
}

func (s *settings) checkCounts() error {
	if err := s.checkPages(); err != nil {
		return err
	}
	counts := []struct {
		key   string
		value int
		most  int
	}{
		{"max_connections", s.MaxConnections, 1 << 20},
		{"registration_rate", s.RegistrationRate, 1_000_000},
		{"limit_item_bytes", int(s.Limits.ItemBytes), int(maxCall)},
		{"limit_call_bytes", int(s.Limits.CallBytes), int(maxCall)},
		{"limit_custom_types", s.Limits.CustomTypes, 100_000},
		{"limit_custom_attributes", s.Limits.CustomAttributes, 1000},
		{"limit_compliance_types", s.Limits.ComplianceTypes, 1000},
		{"limit_sub_types", s.Limits.SubTypes, 100_000},
		{"limit_activations", s.Limits.Activations, 1_000_000},
		{"limit_aggregate_rows", s.Limits.AggregateRows, 1_000_000},
		{"limit_aggregate_work", s.Limits.AggregateWork, 1 << 40},
		{"limit_nodes", s.Limits.Nodes, 1 << 31},
		{"limit_shapes", s.Limits.Shapes, 1 << 31},
		{"limit_regions", s.Limits.Regions, 100_000},
		{"limit_attributes", s.Limits.Attributes, 10_000},
	}
	for _, c := range counts {
		if c.value < 1 || c.value > c.most {
			return &usageError{fmt.Sprintf("%s is %d, not between 1 and %d", c.key, c.value, c.most), defaultHint}
		}
	}
	return nil
}

// defaultHint is the next step where a number is out of its range.
const defaultHint = "leave it out for the default; stocktake serve --help tells it, and what it bounds"

// checkPages holds the largest pages to what may be answered.
func (s *settings) checkPages() error {
	most, hint := inventory.DefaultLimits().PageNodes, fmt.Sprintf("0 is the most there is; up to %d takes extensions too", extendedPage)
	if s.Extensions {
		most, hint = extendedPage, "0 is the most there is"
	}
	for _, c := range []struct {
		key   string
		value int
	}{{"limit_page_nodes", s.Limits.PageNodes}, {"limit_page_entries", s.Limits.PageEntries}} {
		if c.value < 0 || c.value > most {
			return &usageError{fmt.Sprintf("%s is %d, not between 0 and %d", c.key, c.value, most), hint}
		}
	}
	return nil
}

// checkListen refuses what is no address, and to serve other machines in the clear unless told to.
func (s *settings) checkListen() error {
	err := httpd.CheckAddress(s.Listen, s.encrypted(), s.InsecureListen)
	switch {
	case errors.Is(err, httpd.ErrPlain):
		return &usageError{"listen: " + err.Error(), "add --tls-self-signed, --tls-cert and --tls-key, or --tls-acme; or --insecure-listen where something else protects the connection"}
	case err != nil:
		return &usageError{"listen: " + err.Error(), ""}
	case s.AdminListen == "":
		return nil
	}
	if err := httpd.CheckAddress(s.AdminListen, false, true); err != nil {
		return &usageError{"admin_listen: " + err.Error(), ""}
	}
	return nil
}

// regionName reports whether a name can be a signature's region.
func regionName(s string) bool {
	if s == "" || len(s) > 100 {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}
