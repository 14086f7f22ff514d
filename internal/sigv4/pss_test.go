package sigv4

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const testNode = "mi-0123456789abcdef0"

// testPair is a key pair of tests alone.
func testPair(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode([]byte(testPEM))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

// A request signed by another implementation (OpenSSL), as the stock agent sends it.
const (
	knownBody      = `{"Fingerprint":"1c2d3e4f-0000-4000-8000-000000000001"}`
	knownSignature = "r1n9v0O81IcFdbBW13nTwX07/2N1G1yme3dPrn4TXLlE1V/W1vkCjyzWqF3IOPc+iG/ddyUAZRAjNBHCXDPxvonFwwp6r0xvEv1X" +
		"zq1WN0he4mlqhZl3Uvnrc3YOt5gigsdRDWcnSUjZKlPNnJvL6Y60TO7CgJlOjG6+h2fqMucVywNA6c+trEIV83KBERkKTQN5bmJs" +
		"4k7Swx5qWLytt8FpxJbhFtOKOnfyf/RNbJ1BdzM6/X/aqzt2y3ZIqyHcJIRa6tmDI2kKTXP0ooZAX7J1q00Zt0tIMUESpSObx2je" +
		"sNuQx68+LSWuC56bSZcpWEtwCAsnbUIeCGTP3/W+yw=="
	testPEM = `-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC8RDFbiLhGw6Ig
YCtJkPt3ai+Bu/YLhPhtNBvwtn209qP7MrqloGr9ohDDx3yXgqj724l3GKRNd1/t
FZbVR4elvHXBLB6taKSWOZSycbiPDEQOfYW7TCzNm3fZX9lVesbCU5yDo8+gCyP1
lHEMNgXNvt6fHhx4T/fTKVhV2YHiwHcD6zY1kq9RNAGP+6hMkHzMNk3VFKXVYQuy
CR2oM+IaoYHhtWRYGZtName57I9Aru08X7PgULzgCR/7M3wPzMNmOiQWktKo0WBb
/xER24AXu5js+fgIfTDWgE0WVgS0QOzYsuBVRLu9Rt1oVkExWjtuAurFIKuPfiAU
BI/dKUHNAgMBAAECggEAEVb5WGdkWMXEkgiZfab+g8/O/IfanQWY7FUibHS6aXQj
KhjQuD5PeSw3ynhkoTKPeTonbcWVi6CYWeZyCnnFZH5SA1uan1Ky5tBhDpOXy1RD
YZxHa9B6LeoisaD42PBVpYJ8hclZvAr0O5zgHp8ZJyTsLZAt6hmsOl6L/F6fB/3I
L1JvjJOK+WipNswvVivU+WBhPo1CkDUQ4mEDquFXpXHaRbK20UADbsCqnmtOJP5S
F6uQ3u7WH7iWKbcK5vjXWiWLcpA/JzZhOzhJULf2UXbL4aaoJzcR8sX+0L1imR/3
o3B96uEllobGLsLxaMtCj2zkC6UZluqMKh7mA7/OZwKBgQDinn7h08hSCe0qn2P8
4bbFuS6Q468y0q3I7M+zqvWnpCyQAHUQEj5p7UJd+mpXF3iDpDT45cgJwWQd7tNB
6XNZaqDtx//+t2JrdJ1Y21mYIVXRWtvchyq7xp/dan8uUT6ZLgrhjv+oXeIpdDTS
GoESpMpRJ3Ll5If/0sqNUYvp0wKBgQDUrMRTgf+EPET6DdXRZP2SduGtVqL2Vbpc
YXw3+Cc9fuWRXbvcSKdxb3RKeQ2988v3/cp1dBsw2Jwqd2fBJAX1uqu98VlePGlK
+UY9W/3efJUp/BBqtbZHTFUaKw6DfjnblRsNCeeqbkb0g9/xf6/BQpvt06DnLSvv
LF7FTi5B3wKBgQCOBok8nM8R41i4+rXeedNjbaBqe9eEQZdasleloYJdsz2ebjrv
fI+TMXgDj/pvZK1Jy3LLfq70tjg5rkDGMTnykyoSe+LLT0EmWSp30tj+x/2RvKDI
QAofLudoC+NzMsXJmJqHLGi7q0Mfec3U03mLJq4JWHDg9W3qfcAl+zJ1swKBgGHc
DYqPas+iG+sjqptraPKYGUf1cY7/63zOrqXiXcwCNAgrpWG7XLDppA0Qnq4lHFnE
QgDBqDFVuqYfw3Iv7T4g4x3HjGO8UIbbJOLfDXXuxYRIJBW1/2XXTeF4pnkDAAR2
G7hoMl1N2QByHf21z12SFMXed09ojarEM+d+DfLpAoGAZKWj8czsBag0zVc2SxVN
/nh8pWLHi6hIcXdpmWWb70aaxU07sB7iE5jpBQMca1Zd0VmDRNSOcj+Co0wqOaLN
P9vi68VsH60odXSdy4DayByzv/aNcJInx2sXK96bEzD4DjOcmE31zYhJzKHWHA3T
4F9221K37Xe2pcyB2H2HC8E=
-----END PRIVATE KEY-----`
)

func tokenRequest(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Host = "127.0.0.1:7540"
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AmazonSSM.RequestManagedInstanceRoleToken")
	return r
}

func verifyPSS(r *http.Request, body string, key *rsa.PublicKey) error {
	c, err := testVerifier().Claim(r, testTime)
	if err != nil {
		return err
	}
	return c.VerifyPSS(sha256.Sum256([]byte(body)), key)
}

func TestKeyPairSignatureKnownAnswer(t *testing.T) {
	r := tokenRequest(knownBody)
	r.Header.Set(dateHeader, "20260301T120000Z")
	r.Header.Set(contentHeader, hexOf(sha256.Sum256([]byte(knownBody))))
	r.Header.Set("Authorization", Algorithm+" Credential="+testNode+"/20260301/eu-west-1/ssm/aws4_request, "+
		"SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature="+knownSignature)
	if !ByKeyPair(r.Header.Get("Authorization")) {
		t.Error("not taken for a key pair's")
	}
	if err := verifyPSS(r, knownBody, &testPair(t).PublicKey); err != nil {
		t.Error(err)
	}
	wantError(t, verifyPSS(r, knownBody+" ", &testPair(t).PublicKey), CodeInvalidSignature, "does not match the SHA-256 hash of the body")
	r.Header.Del(contentHeader)
	wantError(t, verifyPSS(r, knownBody+" ", &testPair(t).PublicKey), CodeInvalidSignature, messageKeyPair)
}

func signedPSS(t testing.TB, body string) *http.Request {
	t.Helper()
	r := tokenRequest(body)
	if err := SignPSS(r, sha256.Sum256([]byte(body)), testNode, "eu-west-1", "ssm", testTime, testPair(t)); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSignPSSSignsAsTheAgentDoes(t *testing.T) {
	r := signedPSS(t, knownBody)
	header := r.Header.Get("Authorization")
	a, err := parseAuthorization(header)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(a.SignedHeaders, ";"); got != "content-type;host;x-amz-date;x-amz-target" || a.AccessKeyID != testNode {
		t.Errorf("signed are %s by %s", got, a.AccessKeyID)
	}
	if r.Header.Get(contentHeader) != hexOf(sha256.Sum256([]byte(knownBody))) {
		t.Error("the body's hash is not sent")
	}
	if !ByKeyPair(header) || ByKeyPair(strings.Replace(header, a.Signature, strings.Repeat("0", 64), 1)) {
		t.Error("the kinds of signature are taken for one another")
	}
	if err := verifyPSS(r, knownBody, &testPair(t).PublicKey); err != nil {
		t.Error(err)
	}
	// One request may be signed again, by whichever kind of key.
	if err := SignPSS(r, sha256.Sum256([]byte("other")), testNode, "eu-west-1", "ssm", testTime, testPair(t)); err != nil {
		t.Fatal(err)
	}
	if err := verifyPSS(r, "other", &testPair(t).PublicKey); err != nil {
		t.Error(err)
	}
}

// TestKeyPairSignatureRefusesEachFlippedBit flips bits of the signature, the body and the signed headers.
func TestKeyPairSignatureRefusesEachFlippedBit(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	key := &testPair(t).PublicKey
	for range 300 {
		r, body := signedPSS(t, knownBody), []byte(knownBody)
		flip := func(b []byte) { b[random.IntN(len(b))] ^= 1 << random.IntN(8) }
		switch random.IntN(4) {
		case 0:
			editSignature(t, r, func(s string) string {
				raw, err := base64.StdEncoding.DecodeString(s)
				if err != nil {
					t.Fatal(err)
				}
				flip(raw)
				return base64.StdEncoding.EncodeToString(raw)
			})
		case 1:
			r.Header.Del(contentHeader)
			flip(body)
		case 2:
			target := []byte(r.Header.Get("X-Amz-Target"))
			target[random.IntN(len(target))] ^= 1
			r.Header["X-Amz-Target"] = []string{string(target)}
		case 3:
			r.Host = "127.0.0.1:754" + string(byte('1'+random.IntN(8)))
		}
		wantError(t, verifyPSS(r, string(body), key), CodeInvalidSignature, messageKeyPair)
	}
}

func TestKeyPairSignatureRefusesWhatIsNoBase64(t *testing.T) {
	for name, edit := range map[string]func(string) string{
		"cut":            func(s string) string { return s[:len(s)-4] },
		"no padding":     func(s string) string { return strings.TrimRight(s, "=") },
		"loose padding":  func(s string) string { return s[:len(s)-3] + "B==" }, // bits that are no part of the signature
		"longer":         func(s string) string { return "AAAA" + s },
		"other alphabet": func(s string) string { return strings.NewReplacer("+", "-", "/", "_").Replace("+/" + s[2:]) },
		"doubled":        func(s string) string { return s + s },
	} {
		t.Run(name, func(t *testing.T) {
			r := signedPSS(t, knownBody)
			before := r.Header.Get("Authorization")
			editSignature(t, r, edit)
			if r.Header.Get("Authorization") == before {
				t.Fatal("nothing was changed")
			}
			wantError(t, verifyPSS(r, knownBody, &testPair(t).PublicKey), CodeInvalidSignature, messageKeyPair)
		})
	}
}

// FuzzKeyPairSignature has no signature but the right one be taken, whatever stands in its place.
func FuzzKeyPairSignature(f *testing.F) {
	f.Add(knownSignature)
	f.Add(strings.Repeat("A", 344))
	f.Add("=")
	key := &testPair(f).PublicKey
	f.Fuzz(func(t *testing.T, signature string) {
		r := tokenRequest(knownBody)
		r.Header.Set(dateHeader, "20260301T120000Z")
		r.Header.Set("Authorization", Algorithm+" Credential="+testNode+"/20260301/eu-west-1/ssm/aws4_request, "+
			"SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature="+signature)
		if verifyPSS(r, knownBody, key) == nil && signature != knownSignature {
			t.Errorf("taken: %q", signature)
		}
	})
}

// TestSignedContentLength sends what the stock agent signs besides, over both protocols and as HTTP's own libraries
// carry it.
func TestSignedContentLength(t *testing.T) {
	v := testVerifier()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		c, err := v.Headers(r, testTime)
		if err == nil {
			err = c.Verify(sha256.Sum256(body))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(h)
			server.EnableHTTP2 = http2
			server.StartTLS()
			defer server.Close()
			for length, want := range map[int64]int{int64(len("body")): http.StatusOK, 5: http.StatusBadRequest} {
				r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, server.URL+"/", strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("X-Amz-Target", "AmazonSSM.PutInventory")
				mustSign(t, r, "body", permanent)
				r.ContentLength = length
				resign(t, r, "body", permanent, func(a *Authorization) {
					a.SignedHeaders = []string{"content-length", "host", "x-amz-date", "x-amz-target"}
				})
				r.ContentLength = int64(len("body"))
				answer, err := server.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil || answer.StatusCode != want {
					t.Errorf("signed for %d bytes: %s %s %v", length, answer.Status, text, err)
				}
			}
		})
	}
}
