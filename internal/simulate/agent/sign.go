package agent

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"stocktake/internal/sigv4"
)

// sign signs as the agent's SDK does: the content's length and type, the host and the x-amz-* headers, written down by the
// documentation of the signature alone.
func sign(r *http.Request, bodyHash [sha256.Size]byte, c sigv4.Credentials, region, service string, at time.Time) error {
	if c.AccessKeyID == "" {
		return fmt.Errorf("there are no credentials to sign %s with", r.Header.Get("X-Amz-Target"))
	}
	stamp := at.UTC().Format("20060102T150405Z")
	day := stamp[:8]
	r.Header.Set("X-Amz-Date", stamp)
	headers := []string{
		"content-length:" + fmt.Sprint(r.ContentLength), "content-type:" + r.Header.Get("Content-Type"), "host:" + r.URL.Host,
		"x-amz-date:" + stamp,
	}
	if c.SessionToken != "" {
		r.Header.Set("X-Amz-Security-Token", c.SessionToken)
		headers = append(headers, "x-amz-security-token:"+c.SessionToken)
	}
	headers = append(headers, "x-amz-target:"+r.Header.Get("X-Amz-Target"))
	names := make([]string, len(headers))
	for i, header := range headers {
		names[i], _, _ = strings.Cut(header, ":")
	}
	signed := strings.Join(names, ";")
	request := "POST\n/\n\n" + strings.Join(headers, "\n") + "\n\n" + signed + "\n" + hex.EncodeToString(bodyHash[:])
	requestHash := sha256.Sum256([]byte(request))
	scope := day + "/" + region + "/" + service + "/aws4_request"
	key := []byte("AWS4" + c.SecretAccessKey)
	for _, part := range []string{day, region, service, "aws4_request"} {
		key = mac(key, part)
	}
	signature := mac(key, "AWS4-HMAC-SHA256\n"+stamp+"\n"+scope+"\n"+hex.EncodeToString(requestHash[:]))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+c.AccessKeyID+"/"+scope+
		", SignedHeaders="+signed+", Signature="+hex.EncodeToString(signature))
	return nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
