package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"

	"stocktake/internal/backup/bucket"
	"stocktake/internal/backup/buckettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	partBytes = 100_000
	path      = "/backups/a/b.backup"
	name      = "s3:/" + path
)

func open(t *testing.T, s *buckettest.Server) *bucket.Object {
	t.Helper()
	o, err := bucket.Open(t.Context(), name, bucket.Options{
		Endpoint: s.URL, PartBytes: partBytes, Wait: time.Millisecond, Stall: 200 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// random gives so many bytes.
func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func create(t *testing.T, o *bucket.Object, content []byte) error {
	t.Helper()
	return o.Create(t.Context(), func(w io.Writer) error {
		_, err := io.Copy(w, iotest.OneByteReader(bytes.NewReader(content[:min(10, len(content))])))
		if err == nil {
			_, err = w.Write(content[min(10, len(content)):])
		}
		return err
	})
}

func TestObjectIsWhatWasWritten(t *testing.T) {
	for _, size := range []int{0, 1, partBytes - 1, partBytes, partBytes + 1, 5*partBytes + 7} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			s := buckettest.Start(t)
			o, content := open(t, s), random(size)
			if err := create(t, o, content); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(s.Objects()[path], content) || s.Uploads() != 0 {
				t.Fatalf("the object has %d bytes of %d, and %d uploads are open", len(s.Objects()[path]), size, s.Uploads())
			}
			r, err := o.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(iotest.HalfReader(r)); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes read of %d: %v", len(got), size, err)
			}
			if _, err := r.Seek(int64(size/2), io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content[size/2:]) {
				t.Errorf("%d bytes read of the second half of %d: %v", len(got), size, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if err := create(t, o, content); !errors.Is(err, fs.ErrExist) || s.Uploads() != 0 {
				t.Errorf("once more: %v", err)
			}
		})
	}
}

// fault is what a service does to the requests that match.
type fault struct {
	method, query string
	times         int32 // 0: all
	answer        func(s *buckettest.Server, w http.ResponseWriter, r *http.Request)
	then          string // of the error, none where it is empty
}

func (f fault) in(s *buckettest.Server) {
	var n atomic.Int32
	s.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != f.method || !strings.Contains(r.URL.RawQuery, f.query) || f.times > 0 && n.Add(1) > f.times {
			return false
		}
		f.answer(s, w, r)
		return true
	})
}

func failing(status int, code string) func(*buckettest.Server, http.ResponseWriter, *http.Request) {
	return func(_ *buckettest.Server, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		buckettest.Fail(w, status, code)
	}
}

// aside has the request answered and the answer thrown away.
func aside(s *buckettest.Server, w http.ResponseWriter, r *http.Request) {
	serve := *r
	s.Answer(httptestRecorder{http.Header{}}, &serve)
	buckettest.Fail(w, http.StatusInternalServerError, "InternalError")
}

type httptestRecorder struct{ header http.Header }

func (h httptestRecorder) Header() http.Header         { return h.header }
func (h httptestRecorder) Write(b []byte) (int, error) { return len(b), nil }
func (h httptestRecorder) WriteHeader(int)             {}

// uploadFaults are those that an upload goes on after, and those it ends with.
var uploadFaults = map[string]fault{
	"a part fails thrice":       {"PUT", "partNumber=2", 3, failing(500, "InternalError"), ""},
	"a part is cut":             {"PUT", "partNumber=1", 2, cut, ""},
	"the service is busy":       {"PUT", "partNumber", 4, failing(503, "SlowDown"), ""},
	"the last answer is lost":   {"POST", "uploadId", 1, aside, ""},
	"no condition is known":     {"POST", "uploadId", 1, failing(501, "NotImplemented"), ""},
	"a part is refused":         {"PUT", "partNumber=2", 0, failing(403, "AccessDenied"), "AccessDenied"},
	"a part always fails":       {"PUT", "partNumber=3", 0, failing(500, "InternalError"), "part 3 of"},
	"a part has another sum":    {"PUT", "partNumber=2", 0, failing(400, "BadDigest"), "BadDigest"},
	"a sum of another is given": {"PUT", "partNumber=2", 0, otherSum, "its checksum is another"},
	"the end is refused":        {"POST", "uploadId", 0, failing(403, "AccessDenied"), "the end of the upload"},
	"the beginning is refused":  {"POST", "uploads", 0, failing(403, "AccessDenied"), "AccessDenied"},
	"the bucket is gone":        {"POST", "uploads", 0, failing(404, "NoSuchBucket"), "NoSuchBucket"},
}

func cut(_ *buckettest.Server, w http.ResponseWriter, r *http.Request) {
	_, _ = io.CopyN(io.Discard, r.Body, 1000)
	buckettest.Drop(w)
}

func otherSum(_ *buckettest.Server, w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("X-Amz-Checksum-Sha256", "AAAA")
	w.Header().Set("Etag", `"1"`)
}

func TestUploadSurvivesFaultsOrLeavesNothing(t *testing.T) {
	content := random(4*partBytes + 5)
	for what, f := range uploadFaults {
		t.Run(what, func(t *testing.T) {
			s := buckettest.Start(t)
			o := open(t, s)
			f.in(s)
			err := create(t, o, content)
			s.Fault(nil)
			if s.Uploads() != 0 {
				t.Errorf("%d uploads stay open", s.Uploads())
			}
			got, there := s.Objects()[path]
			if f.then == "" {
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%d bytes are there of %d: %v", len(got), len(content), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), f.then) || there {
				t.Errorf("the object is there: %v; the error: %v", there, err)
			}
		})
	}
}

// TestObjectThatIsNotWhatWasSentIsRemoved changes the object between its making and its look-over.
func TestObjectThatIsNotWhatWasSentIsRemoved(t *testing.T) {
	content := random(2 * partBytes)
	for what, change := range map[string]func(b []byte) []byte{
		"a byte of the beginning": func(b []byte) []byte { b[7] ^= 1; return b },
		"a byte of the end":       func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"a byte less":             func(b []byte) []byte { return b[1:] },
	} {
		t.Run(what, func(t *testing.T) {
			s := buckettest.Start(t)
			o := open(t, s)
			s.Fault(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") {
					s.Answer(w, r)
					s.Change(path, change)
					return true
				}
				return false
			})
			if err := create(t, o, content); !errors.Is(err, bucket.ErrDiffers) {
				t.Error(err)
			}
			if len(s.Objects()) > 0 {
				t.Error("what is no backup stays")
			}
		})
	}
}

// TestUploadWhoseEndIsNotKnownIsRemoved has the object made, and every answer that would tell lost.
func TestUploadWhoseEndIsNotKnownIsRemoved(t *testing.T) {
	s := buckettest.Start(t)
	o := open(t, s)
	ended, asked := false, false
	s.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method == http.MethodPost && r.URL.Query().Has("uploadId"):
			ended = true
			aside(s, w, r)
			return true
		case r.Method == http.MethodHead && ended && !asked:
			asked = true
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	if err := create(t, o, random(2*partBytes)); err == nil || !asked {
		t.Errorf("the end was lost: %v", err)
	}
	if len(s.Objects()) > 0 || s.Uploads() > 0 {
		t.Errorf("%d objects and %d uploads stay", len(s.Objects()), s.Uploads())
	}
}

func TestUploadThatWasGivenUpLeavesNothing(t *testing.T) {
	s := buckettest.Start(t)
	o := open(t, s)
	failed := errors.New("the disk of the service")
	for _, n := range []int{0, 1, 3*partBytes + 1} {
		err := o.Create(t.Context(), func(w io.Writer) error {
			_, _ = w.Write(random(n))
			return failed
		})
		if !errors.Is(err, failed) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := o.Create(ctx, func(w io.Writer) error {
		cancel()
		_, err := w.Write(random(9 * partBytes))
		return err
	})
	if !errors.Is(err, context.Canceled) || s.Uploads() > 0 || len(s.Objects()) > 0 {
		t.Errorf("%d uploads and %d objects: %v", s.Uploads(), len(s.Objects()), err)
	}
}

// TestTwoUploadsMakeOneObject has a second upload end while the first is under way.
func TestTwoUploadsMakeOneObject(t *testing.T) {
	s := buckettest.Start(t)
	o := open(t, s)
	err := o.Create(t.Context(), func(w io.Writer) error {
		if err := create(t, o, []byte("the first to end")); err != nil {
			t.Error(err)
		}
		_, err := w.Write([]byte("the last to end"))
		return err
	})
	if !errors.Is(err, fs.ErrExist) || string(s.Objects()[path]) != "the first to end" {
		t.Errorf("%q: %v", s.Objects()[path], err)
	}
}

func TestReaderGoesOnAfterCuts(t *testing.T) {
	content := random(700_000)
	s := buckettest.Start(t)
	s.Put(path, content)
	o := open(t, s)
	var n int
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			return false
		}
		var from, to int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err != nil || to != len(content)-1 {
			t.Errorf("asked for %q", r.Header.Get("Range"))
		}
		n++
		switch n % 4 {
		case 0:
			buckettest.Fail(w, http.StatusServiceUnavailable, "SlowDown")
		case 1:
			buckettest.Drop(w)
		case 2:
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(content)))
			w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))
			w.WriteHeader(http.StatusPartialContent)
			buckettest.Cut(w, len(content)-from, content[from:min(from+random.IntN(100_000), len(content))])
		default:
			if n < 8 {
				buckettest.Stall(r)
				return true
			}
			return n > 30
		}
		return true
	})
	r, err := o.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes of %d: %v", len(got), len(content), err)
	}
	if n < 4 {
		t.Errorf("it was asked %d times: nothing was tested", n)
	}
}

func TestReaderRefusesAnotherObject(t *testing.T) {
	s := buckettest.Start(t)
	o := open(t, s)
	if _, err := o.Read(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no object: %v", err)
	}
	s.Put(path, random(1000))
	r, err := o.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	s.Put(path, random(1000))
	if _, err := io.ReadAll(r); !errors.Is(err, bucket.ErrReplaced) {
		t.Errorf("replaced: %v", err)
	}
}

func TestReaderGivesUp(t *testing.T) {
	s := buckettest.Start(t)
	s.Put(path, random(1000))
	r, err := open(t, s).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	for what, answer := range map[string]func(http.ResponseWriter){
		"that gives no answer": buckettest.Drop,
		"that cuts each answer": func(w http.ResponseWriter) {
			w.Header().Set("Content-Range", "bytes 0-999/1000")
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(http.StatusPartialContent)
			buckettest.Cut(w, 1000, nil)
		},
	} {
		s.Fault(func(w http.ResponseWriter, _ *http.Request) bool {
			answer(w)
			return true
		})
		_, err := io.ReadAll(r)
		if err == nil || !strings.Contains(err.Error(), "byte 0 of "+name) || !strings.Contains(err.Error(), "cut") {
			t.Errorf("a service %s: %v", what, err)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a service %s is taken for a backup that ends too early: %v", what, err)
		}
	}
}

func TestNamesAndEndpoints(t *testing.T) {
	buckettest.Start(t)
	for _, c := range []struct {
		name string
		o    bucket.Options
		want error
	}{
		{"s3://b/k", bucket.Options{}, bucket.ErrName},
		{"s3://bucket", bucket.Options{Region: "eu-west-1"}, bucket.ErrName},
		{"s3://bucket/", bucket.Options{Region: "eu-west-1"}, bucket.ErrName},
		{"s3://Bucket/key", bucket.Options{Region: "eu-west-1"}, bucket.ErrName},
		{"s3://buck/et@host/key", bucket.Options{Region: "eu-west-1"}, nil},
		{"s3://user@host/key", bucket.Options{Region: "eu-west-1"}, bucket.ErrName},
		{"http://bucket/key", bucket.Options{Region: "eu-west-1"}, bucket.ErrName},
		{"s3://bucket/key", bucket.Options{Region: "eu-west-1"}, nil},
		{"s3://bucket/key", bucket.Options{Endpoint: "https://s3.example.org"}, nil},
		{"s3://bucket/key", bucket.Options{Endpoint: "http://127.0.0.1:1"}, nil},
		{"s3://bucket/key", bucket.Options{Endpoint: "http://[::1]:1"}, nil},
		{"s3://bucket/key", bucket.Options{Endpoint: "http://localhost:1"}, nil},
		{"s3://bucket/key", bucket.Options{Endpoint: "http://s3.example.org"}, bucket.ErrPlain},
		{"s3://bucket/key", bucket.Options{Endpoint: "http://localhost.example.org"}, bucket.ErrPlain},
		{"s3://bucket/key", bucket.Options{Endpoint: "http://10.0.0.1:9000"}, bucket.ErrPlain},
		{"s3://bucket/key", bucket.Options{Endpoint: "http://10.0.0.1:9000", Insecure: true}, nil},
	} {
		if _, err := bucket.Open(t.Context(), c.name, c.o); !errors.Is(err, c.want) {
			t.Errorf("%s %+v: %v, want %v", c.name, c.o, err, c.want)
		}
	}
	for _, o := range []bucket.Options{{}, {Endpoint: "s3.example.org"}, {Endpoint: "ftp://s3.example.org"}} {
		if _, err := bucket.Open(t.Context(), name, o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

// TestEndpointOfTheService takes an endpoint from wherever it is S3's, and not from where it is Stocktake's. One in plain text
// is told by its refusal.
func TestEndpointOfTheService(t *testing.T) {
	const plain = "http://s3.example.org"
	global := map[string]string{"AWS_ENDPOINT_URL": "http://stocktake.example.org:7540"}
	section := "[default]\nservices = here\n[services here]\ns3 =\n  endpoint_url = " + plain + "\n"
	for _, c := range []struct {
		environment map[string]string
		profile     string
		want        error
	}{
		{map[string]string{}, "", nil},
		{global, "", nil},
		{map[string]string{"AWS_ENDPOINT_URL_S3": plain}, "", bucket.ErrPlain},
		{map[string]string{"AWS_ENDPOINT_URL_S3": plain, "AWS_ENDPOINT_URL": "https://stocktake.example.org:7540"}, "", bucket.ErrPlain},
		{map[string]string{"AWS_ENDPOINT_URL_S3": plain, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, "", nil},
		{map[string]string{}, section, bucket.ErrPlain},
		{global, section, bucket.ErrPlain},
		{global, "[default]\nendpoint_url = " + plain + "\n", bucket.ErrPlain},
		{map[string]string{"AWS_ENDPOINT_URL_S3": "https://s3.example.org"}, section, nil},
	} {
		t.Run("", func(t *testing.T) {
			buckettest.Start(t)
			t.Setenv("AWS_REGION", "eu-north-1")
			file := filepath.Join(t.TempDir(), "config")
			if err := os.WriteFile(file, []byte(c.profile), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("AWS_CONFIG_FILE", file)
			for name, value := range c.environment {
				t.Setenv(name, value)
			}
			if _, err := bucket.Open(t.Context(), name, bucket.Options{}); !errors.Is(err, c.want) {
				t.Errorf("%v, profile %q: %v, want %v", c.environment, c.profile, err, c.want)
			}
		})
	}
}

// TestCertificateIsVerified offers a service whose certificate nobody vouches for.
func TestCertificateIsVerified(t *testing.T) {
	buckettest.Start(t)
	var asked atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	o, err := bucket.Open(t.Context(), name, bucket.Options{Endpoint: server.URL, Wait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := create(t, o, random(10)); err == nil || !strings.Contains(err.Error(), "certificate") || asked.Load() > 0 {
		t.Errorf("%d requests reached it: %v", asked.Load(), err)
	}
}

// TestRedirectIsNotFollowed sends the client, and its signature, elsewhere.
func TestRedirectIsNotFollowed(t *testing.T) {
	s := buckettest.Start(t)
	o := open(t, s)
	var asked atomic.Int32
	s.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/elsewhere" {
			asked.Add(1)
		}
		http.Redirect(w, r, s.URL+"/elsewhere", http.StatusTemporaryRedirect)
		return true
	})
	if err := create(t, o, random(10)); err == nil || asked.Load() > 0 {
		t.Errorf("followed %d times: %v", asked.Load(), err)
	}
}
