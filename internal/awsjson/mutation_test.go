package awsjson

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"stocktake/internal/iam"
	"stocktake/internal/inventory"
	"stocktake/internal/wire"
)

func newHandler(t testing.TB) *Handler {
	t.Helper()
	keys, err := iam.New(iam.Key{ID: "ROOT", Secret: testSecret}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{}
	h, err := New(Config{Keys: keys, Rows: []Row{
		NewRow("PutInventory", func(r *wire.PutInventoryRequest) inventory.NodeID { return inventory.NodeID(r.InstanceId) }, b.put),
		NewRow("GetInventory", nil, func(context.Context, Caller, *wire.GetInventoryRequest) (*wire.GetInventoryResponse, error) {
			return &wire.GetInventoryResponse{}, nil
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func signed(t testing.TB, action, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set(targetHeader, targetPrefix+action)
	sum := sha256.Sum256([]byte(body))
	credentials := aws.Credentials{AccessKeyID: "ROOT", SecretAccessKey: testSecret}
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, hex.EncodeToString(sum[:]), "ssm", "eu-west-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	return r
}

// mutate changes, doubles, drops or puts in a few bytes, of any value.
func mutate(random *rand.Rand, s string) string {
	b := []byte(s)
	for range 1 + random.IntN(4) {
		i := random.IntN(len(b) + 1)
		j := min(len(b), i+random.IntN(8))
		switch random.IntN(4) {
		case 0:
			b = append(b[:i:i], b[j:]...)
		case 1:
			b = append(b[:j:j], b[i:]...)
		case 2:
			b = append(b[:i:i], append([]byte{byte(random.IntN(256))}, b[i:]...)...)
		case 3:
			marks := `{}[]",:\0123456789truefalsnul-+.eE`
			b = append(b[:i:i], append([]byte{marks[random.IntN(len(marks))]}, b[i:]...)...)
		}
	}
	return string(b)
}

// TestMutatedRequestsAreTheCallersFault sends requests that are nearly right, wrong before or after they are signed: each
// gets an answer that can be read, and none is called the server's fault.
func TestMutatedRequestsAreTheCallersFault(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	h := newHandler(t)
	bodies := map[string]string{
		"PutInventory": goodPut,
		"GetInventory": `{"Filters":[{"Key":"AWS:Application.Name","Values":["a","\u00e9"],"Type":"Equal"}],"Aggregators":[{"Groups":[{"Name":"g","Filters":[]}]}],"MaxResults":5.5}`,
	}
	codes := map[int]int{}
	for range 4000 {
		action := "PutInventory"
		if random.IntN(2) == 0 {
			action = "GetInventory"
		}
		body := bodies[action]
		if random.IntN(2) == 0 {
			body = mutate(random, body)
		}
		r := signed(t, action, body)
		if random.IntN(3) == 0 {
			names := []string{"Authorization", "X-Amz-Date", "X-Amz-Target", "Content-Type", "X-Amz-Content-Sha256", "X-Amz-Security-Token"}
			name := names[random.IntN(len(names))]
			r.Header.Set(name, mutate(random, r.Header.Get(name)))
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		codes[w.Code]++
		answer := w.Body.String()
		if w.Code >= 500 || w.Code != 404 && (!json.Valid(w.Body.Bytes()) || strings.ToValidUTF8(answer, "") != answer) {
			t.Fatalf("%s %q %v: %d %q", action, body, r.Header, w.Code, answer)
		}
	}
	if codes[200] == 0 || codes[400] == 0 || codes[404] == 0 {
		t.Errorf("answers: %v", codes)
	}
}

func TestHeaderBytesMakeNoBadText(t *testing.T) {
	r := signed(t, "GetInventory", "{}")
	r.Header.Set("X-Amz-Date", "2026\xff\xfe")
	w := httptest.NewRecorder()
	newHandler(t).ServeHTTP(w, r)
	var body wire.ErrorBody
	if err := body.Decode(w.Body.Bytes()); err != nil || !strings.Contains(body.LowerMessage, "2026\uFFFD") {
		t.Errorf("%v: %s", err, w.Body)
	}
}

// BenchmarkPut is the way of a report of 600 entries up to the method, signature and all.
func BenchmarkPut(b *testing.B) {
	h := newHandler(b)
	entry := `{"ApplicationType":"admin","Architecture":"x86_64","Name":"package-%d","Publisher":"Debian <debian@lists.debian.org>","URL":"https://example.org/packages/number","Version":"1.2.3-4+deb13u1"},`
	var entries strings.Builder
	for i := range 600 {
		fmt.Fprintf(&entries, entry, i)
	}
	body := strings.Replace(goodPut, `"CaptureTime"`, `"Content":[`+strings.TrimSuffix(entries.String(), ",")+`],"CaptureTime"`, 1)
	first := signed(b, "PutInventory", body)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "http://localhost/", strings.NewReader(body))
		r.Header = first.Header
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}
