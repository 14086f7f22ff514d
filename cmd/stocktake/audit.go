package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"stocktake/internal/audit"
	"stocktake/internal/store"
	"stocktake/internal/transfer"
)

type auditCommand struct {
	Tail   auditTailCommand   `cmd:"" help:"Show who did what: the newest lines, and those that come."`
	Verify auditVerifyCommand `cmd:"" help:"Check that no line was altered, moved or taken away."`
}

// Help is shown below the usage.
func (auditCommand) Help() string {
	return `The service keeps a line of each call that changes something and of each that is refused, and by the setting audit also of
questions (calls) and of nodes' own reports (all). docs/audit.md says what a line holds.

    stocktake audit tail --data /var/lib/stocktake --follow
    stocktake audit verify --data /var/lib/stocktake`
}

type auditTailCommand struct {
	storeSettings
	Lines   int    `short:"n" default:"20" placeholder:"N" help:"Begin with so many of the newest lines (${default}); 0: with all there are."`
	Follow  bool   `short:"f" help:"Go on with the lines that come, until told to stop."`
	Account string `placeholder:"ID" help:"Only the lines of this account, 12 digits."`
	JSON    bool   `name:"json" help:"The lines as they are kept, one JSON object each; otherwise one line for people each."`
}

// Help is shown below the usage.
func (auditTailCommand) Help() string {
	return `    stocktake audit tail --data /var/lib/stocktake
    stocktake audit tail --database-url postgres://stocktake@db/stocktake --account 111122223333 --lines 100
    stocktake audit tail --data /var/lib/stocktake --lines 0 --json >all.jsonl
    stocktake audit tail --data /var/lib/stocktake --lines 0 --follow --json | logger -t stocktake-audit

The service may run: for a data folder in use its process is asked through control/socket in that folder, which its owner
and root may open. Lines of all accounts come in the order of time, those of one account in the order they were kept.`
}

// followLines is how often more lines are looked for.
const followLines = 500 * time.Millisecond

// Run shows lines.
func (c *auditTailCommand) Run(p *process) (err error) {
	if c.Lines < 0 {
		return &usageError{fmt.Sprintf("--lines is %d, less than 0", c.Lines), "0 shows all there are"}
	}
	if c.Account != "" && !accountID.MatchString(c.Account) {
		return &usageError{fmt.Sprintf("--account: %q is no account", c.Account), "12 digits, for example 111122223333"}
	}
	tell := func(line []byte) error {
		if !c.JSON {
			line = forPeople(line)
		}
		_, err := fmt.Fprintf(p.stdout, "%s\n", line)
		return err
	}
	where, err := c.where()
	if err != nil {
		return err
	}
	s, err := openExisting(p.ctx, where, quiet(p))
	if errors.Is(err, store.ErrInUse) {
		return stopped(p.ctx, c.ask(p.ctx, where, tell))
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if c.Follow && !isDatabase(where) {
		return errors.New("the service of this data folder does not run: no lines will come\nhint: leave out --follow, or start the service first")
	}
	return stopped(p.ctx, audit.Tail(p.ctx, s, c.choice(), tell))
}

// stopped gives nil for an error that comes of being told to stop.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

func (c *auditTailCommand) choice() audit.Choice {
	choice := audit.Choice{Account: c.Account, Newest: c.Lines}
	if c.Follow {
		choice.Every = followLines
	}
	return choice
}

// ask has the process that has a data folder give the lines.
func (c *auditTailCommand) ask(ctx context.Context, data string, tell func([]byte) error) (err error) {
	query := url.Values{"lines": {strconv.Itoa(c.Lines)}, "account": {c.Account}, "follow": {strconv.FormatBool(c.Follow)}}
	r, err := askControl(ctx, data, "/audit/tail?"+query.Encode())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err := tell(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); c.Follow && (err == nil || errors.Is(err, io.ErrUnexpectedEOF)) {
		return errors.New("the service stopped: no more lines come\nhint: begin anew once it runs again")
	}
	return lines.Err()
}

// forPeople gives a line as people read it: when, who, from where, what, to what, and how it ended.
func forPeople(line []byte) []byte {
	var l struct {
		EventTime, EventSource, EventName, SourceIPAddress, ErrorCode string

		UserIdentity        struct{ ARN, InvokedBy string }
		Resources           []struct{ ARN string }
		AdditionalEventData struct{ Count int64 }
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return fmt.Appendf(nil, "damaged line: %q", line)
	}
	service, _, _ := strings.Cut(l.EventSource, ".")
	who := cmp.Or(l.UserIdentity.ARN, l.UserIdentity.InvokedBy, "-")
	text := fmt.Appendf(nil, "%s  %s  %s  %s:%s", l.EventTime, who, cmp.Or(l.SourceIPAddress, "-"), service, l.EventName)
	for _, r := range l.Resources {
		text = append(append(text, "  "...), strings.Join(strings.Fields(r.ARN), "?")...) // one word, which looks like no two
	}
	if l.AdditionalEventData.Count > 0 {
		text = fmt.Appendf(text, "  %d times", l.AdditionalEventData.Count)
	}
	if l.ErrorCode != "" {
		text = append(append(text, "  "...), l.ErrorCode...)
	}
	return bytes.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?' // a caller's text moves no terminal
		}
		return r
	}, text)
}

type auditVerifyCommand struct {
	storeSettings
	Head []string `placeholder:"CHAIN:SEQUENCE:HASH,..." help:"Chains' ends as an earlier verify printed them: without them nobody can tell that lines were cut off at an end."`
}

// Help is shown below the usage.
func (auditVerifyCommand) Help() string {
	return `    stocktake audit verify --data /var/lib/stocktake
    stocktake audit verify --data /var/lib/stocktake --head 3:340:8c2f...,7:12:01ab...

Reads all lines there are. Each holds the hash of the line before it and its own, so a line that was altered, moved or taken
from the middle is named. Lines cut off at the end of a chain leave no trace in it: keep the line "heads: ..." that this
prints in a place that who administers the store cannot write to, and give it as --head the next time.

Exit codes: 0 all lines are as they were written, 1 some are not, or cannot be read, 2 a setting is wrong.`
}

// Run checks all lines.
func (c *auditVerifyCommand) Run(p *process) error {
	var heads []audit.Head
	for _, text := range c.Head {
		h, err := audit.ParseHead(strings.TrimSpace(text))
		if err != nil {
			return &usageError{"--head: " + err.Error(), ""}
		}
		heads = append(heads, h)
	}
	verdict, err := c.look(p.ctx, p, heads)
	if err != nil {
		return err
	}
	for _, f := range verdict.Findings {
		fmt.Fprintf(p.stdout, "%s\n", f)
	}
	if verdict.More > 0 {
		fmt.Fprintf(p.stdout, "and %d more\n", verdict.More)
	}
	fmt.Fprintf(p.stdout, "looked at %d lines in %d chains; %d calls began and have no line yet\n", verdict.Lines, len(verdict.Heads), verdict.Began)
	if n := len(verdict.Findings) + verdict.More; n > 0 {
		return fmt.Errorf("%d lines are not as they were written\nhint: keep what there is; the newest backup, and what was shipped elsewhere, tell what the lines were", n)
	}
	if len(verdict.Heads) > 0 {
		fmt.Fprintf(p.stdout, "heads: %s\n", strings.Join(verdict.Heads, ","))
	}
	fmt.Fprintln(p.stdout, "all lines are as they were written")
	return nil
}

func (c *auditVerifyCommand) look(ctx context.Context, p *process, heads []audit.Head) (v audit.Verdict, err error) {
	where, err := c.where()
	if err != nil {
		return v, err
	}
	s, err := openExisting(ctx, where, quiet(p))
	if errors.Is(err, store.ErrInUse) {
		r, err := askControl(ctx, where, "/audit/verify?"+url.Values{"head": c.Head}.Encode())
		if err != nil {
			return v, err
		}
		return v, errors.Join(json.NewDecoder(r).Decode(&v), r.Close())
	}
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := errors.Join(transfer.Unfinished(ctx, s), checkRestoring(where)); err != nil {
		return v, copyError(err, where)
	}
	return audit.Verify(ctx, s, heads)
}

// mostTails is how many may read the lines at once.
const mostTails = 8

// handleAudit answers the commands about the audit of a data folder in use. They hold up no backup.
func (s *server) handleAudit(running context.Context, mux *http.ServeMux) {
	reading := make(chan struct{}, mostTails)
	handle := func(name string, answer func(ctx context.Context, query url.Values, w *unstalled) error) {
		mux.HandleFunc("GET /audit/"+name, func(w http.ResponseWriter, r *http.Request) {
			select {
			case reading <- struct{}{}:
				defer func() { <-reading }()
			default:
				http.Error(w, fmt.Sprintf("the audit is read by %d already\nhint: end a stocktake audit tail --follow of those, or run this again later", mostTails), http.StatusConflict)
				return
			}
			s.control(running, w, r, "audit "+name, func(ctx context.Context, w *unstalled) error { return answer(ctx, r.URL.Query(), w) })
		})
	}
	handle("tail", s.tailHere)
	handle("verify", s.verifyAuditHere)
}

// tailHere gives lines of the service's own store.
func (s *server) tailHere(ctx context.Context, query url.Values, w *unstalled) error {
	lines, err := strconv.Atoi(query.Get("lines"))
	if err != nil {
		return err
	}
	c := auditTailCommand{Lines: lines, Account: query.Get("account"), Follow: query.Get("follow") == "true"}
	return audit.Tail(ctx, s.store, c.choice(), func(line []byte) error {
		_, err := w.Write(append(bytes.ReplaceAll(line, []byte("\n"), []byte(" ")), '\n'))
		if err == nil && c.Follow {
			err = w.control.Flush()
		}
		return err
	})
}

// verifyAuditHere checks the lines of the service's own store.
func (s *server) verifyAuditHere(ctx context.Context, query url.Values, w *unstalled) error {
	var heads []audit.Head
	for _, text := range query["head"] {
		h, err := audit.ParseHead(strings.TrimSpace(text))
		if err != nil {
			return err
		}
		heads = append(heads, h)
	}
	verdict, err := audit.Verify(ctx, s.store, heads)
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(verdict)
}
