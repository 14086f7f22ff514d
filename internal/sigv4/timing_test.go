package sigv4

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkTimingOfWrongSignatures measures signatures that are wrong in their first digit and in their last alone, by turns
// at random, and reports as p how likely the two kinds of times differ so much by chance (Kolmogorov and Smirnov). It says
// little below 100,000:
//
//	go test ./internal/sigv4 -run '^$' -bench TimingOfWrong -benchtime 100000x
func BenchmarkTimingOfWrongSignatures(b *testing.B) {
	v := testVerifier()
	r := newRequest("body")
	mustSign(b, r, "body", permanent)
	hash := sha256.Sum256([]byte("body"))
	claim, err := v.Headers(r, testTime)
	if err != nil {
		b.Fatal(err)
	}
	right := claim.Signature
	wrong := [2]string{flip(b, right, 0), flip(b, right, len(right)-1)}
	var times [2][]float64
	random := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		kind := random.IntN(2)
		claim.Signature = wrong[kind]
		began := time.Now()
		err := claim.Verify(hash)
		times[kind] = append(times[kind], float64(time.Since(began)))
		if err == nil {
			b.Fatal("a wrong signature verifies")
		}
	}
	b.ReportMetric(sameDistribution(times[0], times[1]), "p")
}

// BenchmarkTimingOfWrongKeys measures in the same way signatures of a known key that are wrong, and those of a key that is
// not known. What finding a key takes is the lookup's, and not in it.
func BenchmarkTimingOfWrongKeys(b *testing.B) {
	v := &Verifier{Service: "ssm", Lookup: func(_ context.Context, id, _ string) (Key, error) {
		if id == permanent.AccessKeyID {
			return Key{SecretAccessKey: permanent.SecretAccessKey}, nil
		}
		return Key{}, ErrUnknownKey
	}}
	known, unknown := newRequest(""), newRequest("")
	mustSign(b, known, "", Credentials{AccessKeyID: permanent.AccessKeyID, SecretAccessKey: "another"})
	mustSign(b, unknown, "", Credentials{AccessKeyID: strings.ToLower(permanent.AccessKeyID), SecretAccessKey: "another"})
	requests := [2]*http.Request{known, unknown}
	want := [2]Code{CodeInvalidSignature, CodeUnrecognized}
	var times [2][]float64
	random := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		kind := random.IntN(2)
		began := time.Now()
		claim, err := v.Headers(requests[kind], testTime)
		if err == nil {
			err = claim.Verify(sha256.Sum256(nil))
		}
		times[kind] = append(times[kind], float64(time.Since(began)))
		var refused *Error
		if !errors.As(err, &refused) || refused.Code != want[kind] {
			b.Fatal(err)
		}
	}
	b.ReportMetric(sameDistribution(times[0], times[1]), "p")
	for kind, name := range [2]string{"known-ns", "unknown-ns"} {
		if all := times[kind]; len(all) > 0 { // one run alone is of one kind
			b.ReportMetric(all[len(all)/2], name)
		}
	}
}

// flip changes one hexadecimal digit.
func flip(b *testing.B, digits string, at int) string {
	b.Helper()
	raw := []byte(digits)
	raw[at] = "123456789abcdef0"[slices.Index([]byte("0123456789abcdef"), raw[at])]
	if _, err := hex.DecodeString(string(raw)); err != nil {
		b.Fatal(err)
	}
	return string(raw)
}

// sameDistribution gives the p-value of the two-sample test of Kolmogorov and Smirnov.
func sameDistribution(x, y []float64) float64 {
	if len(x) == 0 || len(y) == 0 {
		return 1
	}
	slices.Sort(x)
	slices.Sort(y)
	widest, i, j := 0.0, 0, 0
	for i < len(x) && j < len(y) {
		at := min(x[i], y[j])
		for i < len(x) && x[i] == at {
			i++
		}
		for j < len(y) && y[j] == at {
			j++
		}
		widest = max(widest, math.Abs(float64(i)/float64(len(x))-float64(j)/float64(len(y))))
	}
	n := math.Sqrt(float64(len(x)) * float64(len(y)) / float64(len(x)+len(y)))
	lambda := (n + 0.12 + 0.11/n) * widest
	p, sign := 0.0, 2.0
	for k := 1.0; k <= 100; k++ {
		p += sign * math.Exp(-2*k*k*lambda*lambda)
		sign = -sign
	}
	return min(1, max(0, p))
}

// TestSameDistribution holds the judge of the benchmark to what it is to tell apart.
func TestSameDistribution(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	draw := func(n int, shift float64) []float64 {
		all := make([]float64, n)
		for i := range all {
			all[i] = random.NormFloat64() + shift
		}
		return all
	}
	if p := sameDistribution(draw(20_000, 0), draw(20_000, 0)); p < 0.01 {
		t.Errorf("the same: %v", p)
	}
	if p := sameDistribution(draw(20_000, 0), draw(20_000, 0.1)); p > 1e-6 {
		t.Errorf("a tenth of the spread apart: %v", p)
	}
}

// TestReplayIsTakenWithinTheWindow states what is so, as at AWS: a request that was recorded is good again until its time is
// over, and never with another body. Why that harms little is in docs/threat-model.md.
func TestReplayIsTakenWithinTheWindow(t *testing.T) {
	v := testVerifier()
	r := newRequest("body")
	mustSign(t, r, "body", permanent)
	for _, at := range []time.Duration{0, 0, DefaultSkew} {
		if err := verify(v, r, "body", testTime.Add(at)); err != nil {
			t.Errorf("%v later: %v", at, err)
		}
	}
	wantError(t, verify(v, r, "body", testTime.Add(DefaultSkew+time.Second)), CodeInvalidSignature, "Signature expired")
	wantError(t, verify(v, r, "other", testTime), CodeInvalidSignature, messageMismatch)
}
