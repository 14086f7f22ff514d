package api_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"stocktake/internal/store/storetest/stores"
)

// TestConformance runs the scripts of testdata over every kind of store. Each case is a call through the whole stack:
//
//	call ACTION [key=NAME] [region=R] [token=NAME] [id=NAME]   the input is the body; prints status and body, members sorted.
//	     token and id save the answer's NextToken and DeletionId, association and execution the ids of the first of those
//	     in it; $NAME in any input stands for what was saved, $now for the time in seconds and $ago for a minute before.
//	     Also: only=MEMBER (to print), target=T, type=CONTENT-TYPE, clock=DURATION and service=NAME (of the
//	     signature), unsigned.
//	put [NODE] [key=NAME]     a report; each line is an item: TYPE VERSION [hash=H] [at=TIME] [context=JSON] [CONTENT].
//	     Without NODE each line is a report of its own and begins with the node; prints those not answered with 200 {}.
//	find [max=N]              GetInventory, all pages; each line is a filter: KEY OPERATOR VALUE|VALUE ("" is the empty
//	                          value, - no operator); prints node ids.
//	count                     GetInventory with aggregators; the input is their JSON; prints a row a line.
//	instances, properties     one page of DescribeInstanceInformation or of DescribeInstanceProperties; the input is the
//	                          body; prints each node's id and PingStatus. nodes is the same of ListNodes, ids alone.
//	list NODE TYPE [max=N]    ListInventoryEntries; each line is a filter; prints the answer.
//	schemas [BODY MEMBERS]    GetInventorySchema, one line a type: name, version, display name, attributes (# marks NUMBER).
//	node ACTION [NODE]        Stocktake's own actions: RegisterNode, TerminateNode, RemoveNode, ListNodes, RunRetention.
//	alter NAME flip|cut|pad   changes a saved token.
//	hold [after=N]            lets N more commits of deletion jobs pass, and no more; release lets all pass.
//	wait                      until every deletion is complete; pause: until the clock has moved on.
//	break                     the store fails from here on, until mend.
//	events [key=NAME]         prints the events recorded.
//	limits NAME=VALUE...      restarts with other limits; rules NAME... with other rules.
//	restart                   closes everything and opens it again over the same store.
func TestConformance(t *testing.T) {
	for _, kind := range stores.All(4) {
		t.Run(kind.Name, func(t *testing.T) {
			datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
				if kind.Reopen != nil {
					t.Parallel() // what lasts waits for a disk
				}
				s := &script{stack: newStack(t, kind), saved: map[string]string{}}
				datadriven.RunTest(t, path, s.run)
			})
		})
	}
}

// script is one file being run.
type script struct {
	*stack
	saved map[string]string
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.saved["now"] = strconv.FormatFloat(float64(time.Now().UnixMilli())/1000, 'f', 3, 64)
	s.saved["ago"] = strconv.FormatInt(time.Now().Unix()-60, 10)
	d.Input = variable.ReplaceAllStringFunc(d.Input, func(name string) string {
		value, ok := s.saved[name[1:]]
		if !ok {
			d.Fatalf(t, "nothing was saved as %s", name)
		}
		return value
	})
	command, ok := commands[d.Cmd]
	if !ok {
		d.Fatalf(t, "there is no command %q", d.Cmd)
	}
	return command(s, t, d)
}

var variable = regexp.MustCompile(`\$[a-z]\w*`)

var commands = map[string]func(s *script, t *testing.T, d *datadriven.TestData) string{
	"call":  (*script).call,
	"put":   (*script).put,
	"find":  (*script).find,
	"count": (*script).count,
	"list":  (*script).list,

	"instances":  (*script).instances,
	"properties": (*script).instances,
	"nodes":      (*script).instances,

	"schemas": (*script).schemas,
	"node":    (*script).node,
	"alter":   (*script).alter,
	"hold":    (*script).holdDeletions,
	"release": (*script).release,
	"wait":    (*script).wait,
	"pause":   (*script).pause,
	"break":   (*script).breakStore,
	"mend":    (*script).mendStore,
	"limits":  (*script).limits,
	"rules":   (*script).rules,
	"restart": (*script).restart,
}

const defaultRegion = "eu-north-1"

// option gives an argument of the case, or otherwise.
func option(d *datadriven.TestData, name, otherwise string) string {
	for _, a := range d.CmdArgs {
		if a.Key == name && len(a.Vals) > 0 {
			return strings.Join(a.Vals, ",")
		}
	}
	return otherwise
}

// ask sends a body to an action and gives the answer as it came.
func (s *script) ask(t *testing.T, d *datadriven.TestData, action, body string) (int, string) {
	t.Helper()
	q := request{
		target: targetOf(action), body: body, key: option(d, "key", "root"), region: option(d, "region", defaultRegion),
		contentType: option(d, "type", "application/x-amz-json-1.1"), unsigned: d.HasArg("unsigned"),
		service: option(d, "service", ""),
	}
	q.target = strings.Trim(option(d, "target", q.target), `"`)
	if clock := option(d, "clock", ""); clock != "" {
		var err error
		if q.clock, err = time.ParseDuration(clock); err != nil {
			d.Fatalf(t, "%v", err)
		}
	}
	status, contentType, answer := s.do(t, q)
	if want := "application/x-amz-json-1.1"; contentType != want && status != 404 {
		t.Errorf("content type of the answer is %q, not %q", contentType, want)
	}
	if read, ok := answers[action]; ok && status == 200 {
		if err := read().Decode([]byte(answer)); err != nil {
			t.Errorf("answer is not of its form: %v: %s", err, answer)
		}
	}
	return status, answer
}

// targetOf gives the target of an action: the service's own are written with their prefix.
func targetOf(action string) string {
	if strings.Contains(action, ".") {
		return action
	}
	return "AmazonSSM." + action
}

func (s *script) call(t *testing.T, d *datadriven.TestData) string {
	status, answer := s.ask(t, d, d.CmdArgs[0].Key, d.Input)
	s.save(t, d, answer)
	if member := option(d, "only", ""); member != "" {
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(answer), &members); err != nil {
			d.Fatalf(t, "%v", err)
		}
		answer = "{}"
		if value, ok := members[member]; ok {
			answer = `{"` + member + `":` + string(value) + `}`
		}
	}
	return s.printed(t, status, answer)
}

// save keeps what the case names of the answer.
func (s *script) save(t *testing.T, d *datadriven.TestData, answer string) {
	t.Helper()
	var members struct{ NextToken, DeletionId string }
	for name, value := range map[string]*string{"token": &members.NextToken, "id": &members.DeletionId} {
		as := option(d, name, "")
		if as == "" {
			continue
		}
		if err := json.Unmarshal([]byte(answer), &members); err != nil || *value == "" {
			d.Fatalf(t, "no %s in the answer %s", name, answer)
		}
		s.saved[as] = *value
	}
	for name, member := range map[string]string{
		"association": "AssociationId", "execution": "ExecutionId", "activation": "ActivationId", "code": "ActivationCode", "node": "InstanceId",
	} {
		if as := option(d, name, ""); as != "" {
			found := regexp.MustCompile(`"` + member + `":"([^"]+)"`).FindStringSubmatch(answer)
			if found == nil {
				d.Fatalf(t, "no %s in the answer %s", member, answer)
			}
			s.saved[as] = found[1]
		}
	}
}

const defaultTime = "2026-01-02T03:04:05Z"

// item reads one line of a put.
func item(t *testing.T, d *datadriven.TestData, line string) string {
	words, content, hasContent := strings.Cut(line, " [")
	fields := strings.Fields(words)
	if len(fields) < 2 {
		d.Fatalf(t, "an item is TYPE VERSION ...: %s", line)
	}
	members := []string{`"TypeName":` + strconv.Quote(fields[0]), `"SchemaVersion":` + strconv.Quote(fields[1])}
	at := defaultTime
	for _, f := range fields[2:] {
		switch name, value, _ := strings.Cut(f, "="); name {
		case "hash":
			members = append(members, `"ContentHash":`+strconv.Quote(value))
		case "at":
			at = value
		case "context":
			members = append(members, `"Context":`+value)
		default:
			d.Fatalf(t, "an item has no %s", name)
		}
	}
	members = append(members, `"CaptureTime":`+strconv.Quote(at))
	if hasContent {
		members = append(members, `"Content":[`+content)
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (s *script) put(t *testing.T, d *datadriven.TestData) string {
	lines := strings.Split(strings.TrimSpace(d.Input), "\n")
	report := func(node string, items []string) (int, string) {
		return s.ask(t, d, "PutInventory", fmt.Sprintf(`{"InstanceId":%q,"Items":[%s]}`, node, strings.Join(items, ",")))
	}
	if len(d.CmdArgs) > 0 && len(d.CmdArgs[0].Vals) == 0 {
		var items []string
		for _, line := range lines {
			items = append(items, item(t, d, line))
		}
		status, answer := report(d.CmdArgs[0].Key, items)
		return s.printed(t, status, answer)
	}
	var out strings.Builder
	for _, line := range lines {
		node, rest, _ := strings.Cut(line, " ")
		if status, answer := report(node, []string{item(t, d, rest)}); status != 200 || answer != "{}" {
			out.WriteString(node + " " + s.printed(t, status, answer))
		}
	}
	return out.String()
}

// filters reads one filter a line.
func filters(t *testing.T, d *datadriven.TestData) []map[string]any {
	var out []map[string]any
	for line := range strings.Lines(d.Input) {
		line = strings.TrimSuffix(line, "\n")
		key, rest, _ := strings.Cut(line, " ")
		operator, values, ok := strings.Cut(rest, " ")
		if !ok {
			d.Fatalf(t, "a filter is KEY OPERATOR VALUE|VALUE: %s", line)
		}
		f := map[string]any{"Key": key, "Values": strings.Split(strings.ReplaceAll(values, `""`, ""), "|")}
		if operator != "-" {
			f["Type"] = operator
		}
		out = append(out, f)
	}
	return out
}

func (s *script) find(t *testing.T, d *datadriven.TestData) string {
	question := map[string]any{}
	if f := filters(t, d); f != nil {
		question["Filters"] = f
	}
	if most := option(d, "max", ""); most != "" {
		question["MaxResults"] = json.Number(most)
	}
	var ids []string
	for {
		status, answer := s.ask(t, d, "GetInventory", compact(question))
		if status != 200 {
			return s.printed(t, status, answer)
		}
		var page struct {
			Entities  []struct{ Id string }
			NextToken string
		}
		if err := json.Unmarshal([]byte(answer), &page); err != nil {
			d.Fatalf(t, "%v", err)
		}
		for _, e := range page.Entities {
			ids = append(ids, e.Id)
		}
		if page.NextToken == "" && ids == nil {
			return "nobody\n"
		}
		if page.NextToken == "" {
			return strings.Join(ids, " ") + "\n"
		}
		question["NextToken"] = page.NextToken
	}
}

func (s *script) count(t *testing.T, d *datadriven.TestData) string {
	aggregators, filtered, _ := strings.Cut(d.Input, "\nfilters ")
	body := `{"Aggregators":` + aggregators + `}`
	if filtered != "" {
		body = `{"Aggregators":` + aggregators + `,"Filters":` + filtered + `}`
	}
	status, answer := s.ask(t, d, "GetInventory", body)
	if status != 200 {
		return s.printed(t, status, answer)
	}
	var page struct {
		Entities []struct {
			Id   *string
			Data map[string]struct{ Content []map[string]string }
		}
		NextToken string
	}
	if err := json.Unmarshal([]byte(answer), &page); err != nil {
		d.Fatalf(t, "%v", err)
	}
	var out strings.Builder
	for _, e := range page.Entities {
		if e.Id != nil {
			t.Errorf("counts carry the id %s", *e.Id)
		}
		for _, name := range sortedKeys(e.Data) {
			fmt.Fprintln(&out, name)
			for _, row := range e.Data[name].Content {
				fmt.Fprintln(&out, " ", compact(row))
			}
		}
	}
	if page.NextToken != "" {
		fmt.Fprintln(&out, "and more")
	}
	return out.String()
}

func (s *script) list(t *testing.T, d *datadriven.TestData) string {
	question := map[string]any{"InstanceId": d.CmdArgs[0].Key, "TypeName": d.CmdArgs[1].Key}
	if f := filters(t, d); f != nil {
		question["Filters"] = f
	}
	if most := option(d, "max", ""); most != "" {
		question["MaxResults"] = json.Number(most)
	}
	if from := option(d, "from", ""); from != "" {
		question["NextToken"] = s.saved[from]
	}
	status, answer := s.ask(t, d, "ListInventoryEntries", compact(question))
	s.save(t, d, answer)
	return s.printed(t, status, answer)
}

func (s *script) schemas(t *testing.T, d *datadriven.TestData) string {
	status, answer := s.ask(t, d, "GetInventorySchema", "{"+d.Input+"}")
	if status != 200 {
		return s.printed(t, status, answer)
	}
	var page struct {
		Schemas []struct {
			TypeName, Version, DisplayName string
			Attributes                     []struct{ Name, DataType string }
		}
		NextToken string
	}
	if err := json.Unmarshal([]byte(answer), &page); err != nil {
		d.Fatalf(t, "%v", err)
	}
	var out strings.Builder
	for _, schema := range page.Schemas {
		out.WriteString(schema.TypeName + " " + schema.Version)
		if schema.DisplayName != "" {
			out.WriteString(" (" + schema.DisplayName + ")")
		}
		for _, a := range schema.Attributes {
			out.WriteString(" " + a.Name + map[string]string{"STRING": "", "NUMBER": "#"}[a.DataType])
		}
		out.WriteString("\n")
	}
	s.save(t, d, answer)
	if page.NextToken != "" {
		out.WriteString("and more\n")
	}
	return out.String()
}

// node does one of Stocktake's own actions; an answer without members prints nothing.
func (s *script) node(t *testing.T, d *datadriven.TestData) string {
	action, body := d.CmdArgs[0].Key, "{}"
	if len(d.CmdArgs) > 1 && len(d.CmdArgs[1].Vals) == 0 {
		body = `{"NodeId":"` + d.CmdArgs[1].Key + `"}`
	}
	if d.Input != "" {
		body = d.Input
	}
	status, answer := s.ask(t, d, "Stocktake."+action, body)
	if status == 200 && answer == "{}" {
		return ""
	}
	s.save(t, d, answer)
	return s.printed(t, status, answer)
}

// alter changes a token in one place, or its length.
func (s *script) alter(t *testing.T, d *datadriven.TestData) string {
	name := d.CmdArgs[0].Key
	text := s.saved[name]
	switch d.CmdArgs[1].Key {
	case "flip":
		at := len(text) / 2
		letter := "A"
		if text[at] == 'A' {
			letter = "B"
		}
		text = text[:at] + letter + text[at+1:]
	case "cut":
		text = text[:len(text)/2]
	case "pad":
		text += "A"
	default:
		d.Fatalf(t, "a token can't be altered by %s", d.CmdArgs[1].Key)
	}
	s.saved[name] = text
	return ""
}

func (s *script) holdDeletions(t *testing.T, d *datadriven.TestData) string {
	after, err := strconv.Atoi(option(d, "after", "0"))
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	s.faults.left.Store(int64(after))
	return ""
}

func (s *script) release(*testing.T, *datadriven.TestData) string {
	s.faults.left.Store(unheld)
	return ""
}

// maxWaits is how often a script asks, five milliseconds apart.
const maxWaits = 2000

// wait asks until no deletion is in progress.
func (s *script) wait(t *testing.T, d *datadriven.TestData) string {
	for range maxWaits {
		status, answer := s.ask(t, d, "DescribeInventoryDeletions", "{}")
		if status != 200 {
			return s.printed(t, status, answer)
		}
		if !strings.Contains(answer, "InProgress") {
			return ""
		}
		time.Sleep(5 * time.Millisecond)
	}
	return "deletions are still in progress\n"
}
