// Package buckettest is an S3 service in the test's own process, as far as a backup speaks to one, which fails on demand.
//
// Begin with Start. Objects are in memory, their parts' checksums are held to what was sent, and no signature is looked at.
package buckettest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is the service.
type Server struct {
	// URL is its endpoint.
	URL string

	faults  sync.Mutex // held while a fault is asked
	mu      sync.Mutex // of what follows
	fault   func(w http.ResponseWriter, r *http.Request) bool
	objects map[string]*object
	uploads map[string]*upload
	next    int
}

type object struct {
	content []byte
	tag     string
	sum     string
	headers http.Header
}

type upload struct {
	path    string
	headers http.Header
	parts   map[int][]byte
}

// Start starts a service that ends with the test, and sets the environment in which an AWS client finds credentials for it
// and nothing else.
func Start(t *testing.T) *Server {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_REGION": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "", "AWS_CA_BUNDLE": "",
	} {
		t.Setenv(name, value)
	}
	s := &Server{objects: map[string]*object{}, uploads: map[string]*upload{}}
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	s.URL = server.URL
	return s
}

// Fault has fault asked about every request from now on before it is answered, one at a time: true, and it answered. nil: no
// more.
func (s *Server) Fault(fault func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// Objects gives the objects there are, by /BUCKET/KEY.
func (s *Server) Objects() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]byte{}
	for path, o := range s.objects {
		all[path] = o.content
	}
	return all
}

// Put makes an object.
func (s *Server) Put(path string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(path, &object{content: content})
}

// Change changes an object as a service does that loses what it is given: nothing else of it is another.
func (s *Server) Change(path string, change func([]byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[path].content = change(bytes.Clone(s.objects[path].content))
}

func (s *Server) put(path string, o *object) {
	s.next++
	o.tag = fmt.Sprintf(`"%d"`, s.next)
	s.objects[path] = o
}

// Uploads gives how many uploads were begun and neither completed nor aborted.
func (s *Server) Uploads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.uploads)
}

// Cut ends a connection in the middle of an answer, after so many bytes of it.
func Cut(w http.ResponseWriter, length int, content []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(length))
	_, _ = w.Write(content) // the client finds out
	rc := http.NewResponseController(w)
	_ = rc.Flush()
	if conn, _, err := rc.Hijack(); err == nil {
		_ = conn.Close()
	}
}

// Drop ends a connection without an answer.
func Drop(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// Fail answers with an error as S3 does.
func Fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>it was asked for</Message></Error>", code)
}

// Stall answers nothing until the client goes away.
func Stall(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-time.After(time.Minute):
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.faulted(w, r) {
		s.Answer(w, r)
	}
}

// Answer answers a request as a service does that does not fail.
func (s *Server) Answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.URL.Query().Get("uploadId")
	switch {
	case r.Method == http.MethodPost && r.URL.Query().Has("uploads"):
		s.begin(w, r)
	case r.Method == http.MethodPut && s.uploads[id] != nil:
		s.part(w, r, s.uploads[id], body)
	case r.Method == http.MethodPost && s.uploads[id] != nil:
		s.complete(w, r, id, body)
	case r.Method == http.MethodDelete && s.uploads[id] != nil:
		delete(s.uploads, id)
		w.WriteHeader(http.StatusNoContent)
	case id != "":
		Fail(w, http.StatusNotFound, "NoSuchUpload")
	case r.Method == http.MethodDelete:
		delete(s.objects, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	case s.objects[r.URL.Path] == nil:
		Fail(w, http.StatusNotFound, "NoSuchKey")
	default:
		s.get(w, r, s.objects[r.URL.Path])
	}
}

func (s *Server) faulted(w http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	fault := s.fault
	s.mu.Unlock()
	if fault == nil {
		return false
	}
	s.faults.Lock()
	defer s.faults.Unlock()
	return fault(w, r)
}

func (s *Server) begin(w http.ResponseWriter, r *http.Request) {
	headers := http.Header{}
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Amz-Meta-") {
			headers[name] = values
		}
	}
	id := rand.Text()
	s.uploads[id] = &upload{path: r.URL.Path, headers: headers, parts: map[int][]byte{}}
	_, _ = fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
}

func (s *Server) part(w http.ResponseWriter, r *http.Request, to *upload, body []byte) {
	sum := sha256.Sum256(body)
	if want := base64.StdEncoding.EncodeToString(sum[:]); r.Header.Get("X-Amz-Checksum-Sha256") != want {
		Fail(w, http.StatusBadRequest, "BadDigest")
		return
	}
	number, err := strconv.Atoi(r.URL.Query().Get("partNumber"))
	if err != nil {
		Fail(w, http.StatusBadRequest, "InvalidArgument")
		return
	}
	to.parts[number] = body
	w.Header().Set("Etag", fmt.Sprintf(`"%x"`, sum[:8]))
	w.Header().Set("X-Amz-Checksum-Sha256", r.Header.Get("X-Amz-Checksum-Sha256"))
}

func (s *Server) complete(w http.ResponseWriter, r *http.Request, id string, body []byte) {
	u := s.uploads[id]
	var asked struct {
		Part []struct{ PartNumber int }
	}
	if err := xml.Unmarshal(body, &asked); err != nil || len(asked.Part) != len(u.parts) {
		Fail(w, http.StatusBadRequest, "InvalidPart")
		return
	}
	if r.Header.Get("If-None-Match") == "*" && s.objects[u.path] != nil {
		Fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	var content, sums bytes.Buffer
	for _, number := range slices.Sorted(maps.Keys(u.parts)) {
		sum := sha256.Sum256(u.parts[number])
		content.Write(u.parts[number])
		sums.Write(sum[:])
	}
	whole := sha256.Sum256(sums.Bytes())
	s.put(u.path, &object{
		content: content.Bytes(), headers: u.headers,
		sum: fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(whole[:]), len(u.parts)),
	})
	delete(s.uploads, id)
	_, _ = fmt.Fprint(w, "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, o *object) {
	if want := r.Header.Get("If-Match"); want != "" && want != o.tag {
		Fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	maps.Copy(w.Header(), o.headers)
	w.Header().Set("Etag", o.tag)
	if o.sum != "" {
		w.Header().Set("X-Amz-Checksum-Sha256", o.sum)
		w.Header().Set("X-Amz-Checksum-Type", "COMPOSITE")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(o.content))
}
