package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const mutateRegion = "mutate-1"

var mutations = flag.Int("mutations", 2_000, "mutated requests")

// valid holds requests of every action, all accepted as they stand.
var valid = []struct{ action, body string }{
	{"PutInventory", `{"InstanceId":"i-0123456789abcdef0","Items":[{"TypeName":"AWS:Application","SchemaVersion":"1.1","CaptureTime":"2026-01-02T03:04:05Z","ContentHash":"h1","Content":[{"Name":"openssl","Version":"3.0.11-1~deb12u2","Publisher":"Debian \u00e9"},{"Name":"zlib1g","Version":"1:1.2.13"}]},{"TypeName":"Custom:Rack","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z","Content":[{"Row":"12"}]}]}`},
	{"PutInventory", `{"InstanceId":"i-0123456789abcdef0","Items":[{"TypeName":"AWS:ComplianceItem","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z","Context":{"ComplianceType":"Patch","ExecutionId":"e","ExecutionType":"Command","ExecutionTime":"2026-01-02T03:04:05Z"},"Content":[{"Id":"a","Title":"t","Severity":"HIGH","Status":"COMPLIANT"}]}]}`},
	{"GetInventory", `{"Filters":[{"Key":"AWS:Application.Name","Values":["openssl","zlib"],"Type":"BeginWith"},{"Key":"AWS:Application.Version","Values":["4"],"Type":"LessThan"}],"MaxResults":10}`},
	{"GetInventory", `{"Aggregators":[{"Expression":"AWS:Application.Name","Aggregators":[{"Expression":"AWS:Application.Version"}]},{"Groups":[{"Name":"g","Filters":[{"Key":"TypeName","Values":["AWS:Application"],"Type":"Exists"}]}]}]}`},
	{"GetInventory", `{"ResultAttributes":[{"TypeName":"AWS:InstanceInformation"}],"NextToken":null}`},
	{"ListInventoryEntries", `{"InstanceId":"i-0123456789abcdef0","TypeName":"AWS:Application","Filters":[{"Key":"Name","Values":["openssl"],"Type":"Equal"}],"MaxResults":50}`},
	{"GetInventorySchema", `{"TypeName":"AWS:Application","MaxResults":50,"Aggregator":true,"SubType":false}`},
	{"DeleteInventory", `{"TypeName":"Custom:Rack","DryRun":true,"SchemaDeleteOption":"DeleteSchema","ClientToken":"01234567-89ab-cdef-0123-456789abcdef"}`},
	{"DescribeInventoryDeletions", `{"MaxResults":10}`},
}

// TestMutatedRequestsAreRefusedNotFatal sends requests that are wrong in thousands of ways, most of them signed as if they
// were right. Every one is answered within the second or so a busy machine needs, and none with a server's error.
func TestMutatedRequestsAreRefusedNotFatal(t *testing.T) {
	s := start(t, t.TempDir(), anyRate...)
	for _, v := range valid {
		if status, body := send(t, s, v.action, []byte(v.body), nil); status != http.StatusOK {
			t.Fatalf("%s as it stands: %d %s", v.action, status, body)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const workers = 4
	var sending sync.WaitGroup
	for w := range workers {
		sending.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(w)))
			for range *mutations / workers {
				sendMutated(t, s, random)
			}
		})
	}
	sending.Wait()
	if status, _, err := s.get("/readyz"); err != nil || status != http.StatusOK {
		t.Errorf("not ready after it: %d %v", status, err)
	}
}

func sendMutated(t *testing.T, s *service, random *rand.Rand) {
	v := valid[random.IntN(len(valid))]
	body := []byte(v.body)
	action := v.action
	var spoil func(*http.Request)
	switch random.IntN(10) {
	case 0:
		action = string(mutate(random, []byte(action)))
	case 1, 2:
		spoil = spoilHeader(random)
	default:
		for range 1 + random.IntN(4) {
			body = mutate(random, body)
		}
	}
	began := time.Now()
	status, answer := send(t, s, action, body, spoil)
	if status >= 500 || status < 200 {
		t.Errorf("%s %q: status %d, %s", action, body, status, answer)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("%s %q: took %v", action, body, took)
	}
}

// pieces are what parsers stumble over.
var pieces = []string{
	"null", "[]", "{}", `""`, "-1", "1e999", "99999999999999999999", "1.5", "true", `"\ud800"`, "\xff", "\x00", `\u0000`, "\"",
	",", ":", "[[[[[[[[", `{"a":`, strings.Repeat("[", 200), strings.Repeat(`{"Aggregators":[`, 100), strings.Repeat("9", 400),
	`"Items":[`, `"Type":"Exists"`, `"NextToken":"AAAA"`, "i-0123456789abcdef0\n", "AWS:", "Custom:", strings.Repeat("é", 5000), " ", "\n",
}

// mutate changes one place of the text.
func mutate(random *rand.Rand, text []byte) []byte {
	if len(text) == 0 {
		return []byte(pieces[random.IntN(len(pieces))])
	}
	at := random.IntN(len(text))
	end := min(len(text), at+1+random.IntN(20))
	switch random.IntN(6) {
	case 0: // a byte
		out := bytes.Clone(text)
		out[at] ^= byte(1 + random.IntN(255))
		return out
	case 1: // gone
		return append(bytes.Clone(text[:at]), text[end:]...)
	case 2: // twice
		return append(bytes.Clone(text[:end]), text[at:]...)
	case 3: // cut
		return bytes.Clone(text[:at])
	case 4: // a piece put in
		return append(append(bytes.Clone(text[:at]), pieces[random.IntN(len(pieces))]...), text[at:]...)
	default: // a piece in the place of something
		return append(append(bytes.Clone(text[:at]), pieces[random.IntN(len(pieces))]...), text[end:]...)
	}
}

// spoilHeader gives a change of a header of the signed request.
func spoilHeader(random *rand.Rand) func(*http.Request) {
	names := []string{"Authorization", "X-Amz-Date", "X-Amz-Target", "Content-Type", "X-Amz-Security-Token", "X-Amz-Content-Sha256", "X-Amz-Extra"}
	name := names[random.IntN(len(names))]
	return func(r *http.Request) {
		value := []byte(r.Header.Get(name))
		for range 1 + random.IntN(3) {
			value = mutate(random, value)
		}
		printable := strings.Map(func(c rune) rune {
			if c < ' ' || c > '~' {
				return 'x'
			}
			return c
		}, string(value))
		r.Header.Set(name, printable[:min(len(printable), 4000)])
		if random.IntN(10) == 0 {
			r.Header.Del(name)
		}
	}
}

// send signs a request by AWS's own signer, lets spoil change it after, and gives the answer.
func send(t *testing.T, s *service, action string, body []byte, spoil func(*http.Request)) (int, string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint+"/", bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	action = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, action)
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", "AmazonSSM."+strings.TrimSpace(action[:min(len(action), 4000)]))
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, s.key, request, hex.EncodeToString(sum[:]), "ssm", mutateRegion, time.Now()); err != nil {
		t.Error(err)
		return 0, ""
	}
	if spoil != nil {
		spoil(request)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Errorf("%s %q: %v", action, body, err)
		return 0, ""
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return 0, fmt.Sprintf("reading the answer: %v", err)
	}
	return response.StatusCode, string(answer)
}
