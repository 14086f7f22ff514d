package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// service is a running `stocktake serve`.
type service struct {
	dir      string // its data folder
	endpoint string
	admin    string
	key      aws.Credentials // of the root account
	process  *exec.Cmd
	log      *lockedBuffer // its standard error
	watched  chan struct{} // closed once the admin address is known
	exited   chan struct{}
	exit     error // valid once exited is closed
}

// patience is how long anything that should be quick may take on a busy machine before a test gives up.
const patience = 60 * time.Second

// start runs a service over a data folder and waits until it is ready. It is killed when the test ends.
func start(t testing.TB, dir string, args ...string) *service {
	t.Helper()
	return startAs(t, binary, dir, args...)
}

// startRaced is start with the race detector, if the tests have it: for tests of what goes on at once.
func startRaced(t testing.TB, dir string, args ...string) *service {
	t.Helper()
	return startAs(t, raced(t), dir, args...)
}

func startAs(t testing.TB, program, dir string, args ...string) *service {
	t.Helper()
	s := embedded(dir, args...)
	s.process.Path = program
	s, err := s.run()
	if err != nil {
		t.Fatal(err)
	}
	s.watch(t)
	return s
}

// watch kills the service when the test ends, and fails the test by what it logged.
func (s *service) watch(t testing.TB) {
	t.Helper()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("the service's log ends in:\n%s", s.log.tail(4000))
		}
		if log := s.log.String(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic") {
			t.Errorf("the service's log tells of a race or a panic:\n%s", s.log.tail(20_000))
		}
	})
}

// launch is start for callers without a test of their own.
func launch(dir string, args ...string) (*service, error) { return embedded(dir, args...).run() }

// embedded is a service over a data folder that was not begun.
func embedded(dir string, args ...string) *service {
	return &service{dir: dir, process: exec.Command(binary, append([]string{
		"serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", dir,
	}, args...)...)}
}

// run starts the process of a service and waits until it is ready.
func (s *service) run() (*service, error) {
	said, err := s.begin()
	if err != nil {
		return nil, err
	}
	select {
	case err = <-said:
	case <-time.After(patience):
		err = errors.New("it said nothing")
	}
	if err == nil {
		err = s.awaitReady()
	}
	if err == nil && s.key.SecretAccessKey == "" {
		err = s.readKey()
	}
	if err != nil {
		s.kill()
		return nil, fmt.Errorf("starting the service: %w\n%s", err, s.log.String())
	}
	return s, nil
}

// begin starts the process of a service. It is told once the service said where it answers, or ended before.
func (s *service) begin() (said <-chan error, err error) {
	s.log, s.watched, s.exited = &lockedBuffer{}, make(chan struct{}), make(chan struct{})
	s.process.Stderr = s.log
	stdout, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	told := make(chan error, 1)
	go s.listen(stdout, told)
	return told, nil
}

// listen reads what the service says on its standard output, and waits for its end.
func (s *service) listen(stdout io.Reader, said chan<- error) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "api":
			s.endpoint = value
		case "admin":
			s.admin = value
			close(s.watched)
		}
		if s.endpoint != "" && s.admin != "" {
			select {
			case said <- nil:
			default:
			}
		}
	}
	s.exit = s.process.Wait()
	close(s.exited)
	select {
	case said <- fmt.Errorf("it ended: %w", errors.Join(s.exit, errors.New("before it listened"))):
	default:
	}
}

func (s *service) awaitReady() error {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		status, _, err := s.get("/readyz")
		if err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("it ended before it was ready: %w", s.exit)
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it was not ready in time: status %d, %w", status, err)
		}
	}
}

// get asks the admin listener.
func (s *service) get(path string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.admin+path, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// readKey reads the root credentials as the README tells a user to: from the file in the data folder.
func (s *service) readKey() error {
	text, err := os.ReadFile(filepath.Join(s.dir, "root-credentials"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		switch name {
		case "aws_access_key_id":
			s.key.AccessKeyID = value
		case "aws_secret_access_key":
			s.key.SecretAccessKey = value
		}
	}
	if s.key.SecretAccessKey == "" {
		return fmt.Errorf("no secret in %s", s.dir)
	}
	return nil
}

// clientEnv is the environment that makes any AWS client one of this service, as the README shows it.
func (s *service) clientEnv(region string) []string {
	env := []string{
		"AWS_SHARED_CREDENTIALS_FILE=" + filepath.Join(s.dir, "root-credentials"),
		"AWS_CONFIG_FILE=/dev/null", "AWS_REGION=" + region, "AWS_DEFAULT_REGION=" + region,
		"AWS_ENDPOINT_URL=" + s.endpoint, "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1", "AWS_PAGER=",
		"AWS_ACCESS_KEY_ID=", "AWS_PROFILE=default",
	}
	if strings.HasPrefix(s.endpoint, "https") {
		env = append(env, "AWS_CA_BUNDLE="+filepath.Join(s.dir, "tls", "ca.pem"))
	}
	return env
}

// client is aws-sdk-go-v2 with an endpoint and a key. It tries again in one case alone, so that no failure of the service
// is hidden: the SDK (smithy-go 1.28) drops its own connection when an answer arrives before it has looked for the end of
// the request it sent. Its default, which is to try again after many more errors, covers that for its users.
func (s *service) client(region string) *ssm.Client { return s.clientAs(region, s.key) }

func (s *service) clientAs(region string, key aws.Credentials) *ssm.Client {
	return ssm.New(ssm.Options{
		Region:       region,
		BaseEndpoint: &s.endpoint,
		Credentials:  credentials.StaticCredentialsProvider{Value: key},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = 20
			o.RateLimiter = ratelimit.None
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			o.Retryables = []retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
				return aws.BoolTernary(errors.Is(err, net.ErrClosed))
			})}
		}),
	})
}

// stop asks the service to end and waits for it; the error is of its exit.
func (s *service) stop() error {
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.exited:
		return s.exit
	case <-time.After(patience):
		s.kill()
		return errors.New("it did not end in time")
	}
}

// kill is kill -9; it waits for the end. A service that ended already is left as it is.
func (s *service) kill() {
	_ = s.process.Process.Kill() // ended already
	<-s.exited
}

// lockedBuffer is a buffer that the process writes while a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lockedBuffer) tail(n int) string {
	s := l.String()
	return s[max(0, len(s)-n):]
}
