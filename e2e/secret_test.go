package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"stocktake/internal/client"
	"stocktake/internal/sigv4"
	"stocktake/internal/store/pebble"
)

// planted are secrets by what they are.
type planted map[string]string

// seek looks for every secret in a text: as it is, in base64 and in hexadecimal.
func (p planted) seek(t *testing.T, where string, text []byte) {
	t.Helper()
	for name, secret := range p {
		raw := []byte(secret)
		for form, looked := range map[string]string{
			"": secret, " in base64": strings.TrimRight(base64.StdEncoding.EncodeToString(raw), "="), " in hexadecimal": hex.EncodeToString(raw),
		} {
			if bytes.Contains(text, []byte(looked)) {
				t.Errorf("%s holds %s%s", where, name, form)
			}
		}
	}
}

func secretText() string {
	var random [24]byte
	_, _ = rand.Read(random[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(random[:])
}

// form sends a request of IAM or STS and gives the answer's text.
func (s *service) form(t *testing.T, key aws.Credentials, name string, parameters ...string) string {
	t.Helper()
	values := url.Values{"Action": {parameters[0]}, "Version": {map[string]string{"iam": "2010-05-08", "sts": "2011-06-15"}[name]}}
	for i := 1; i < len(parameters); i += 2 {
		values.Set(parameters[i], parameters[i+1])
	}
	body := values.Encode()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.endpoint+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	c := sigv4.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey, SessionToken: key.SessionToken}
	if err := sigv4.Sign(r, sha256.Sum256([]byte(body)), c, "us-east-1", name, time.Now()); err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s, %v", parameters[0], response.StatusCode, text, err)
	}
	return string(text)
}

// element gives the text of an XML element.
func element(t *testing.T, text, name string) string {
	t.Helper()
	found := regexp.MustCompile("<" + name + ">([^<]+)</" + name + ">").FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no %s in %s", name, text)
	}
	return found[1]
}

const secretFile = `
root_access_key_id: AKIAPLANTED
root_secret_access_key: ROOT
secret_key: OUTSIDE
accounts:
  - id: "000000000000"
    access_keys: [{id: AKIACONFIGURED, secret: CONFIGURED}]
    users: [{name: carol, attached_policies: [AmazonSSMReadOnlyAccess], access_keys: [{id: AKIACAROL, secret: DECLARED}]}]
    roles:
      - name: ops
        trust: {Statement: {Effect: Allow, Principal: {AWS: "000000000000"}, Action: "sts:AssumeRole"}}
        attached_policies: [AmazonSSMReadOnlyAccess]
`

// TestPlantedSecretsAreNowhere uses secrets of every kind in every way, right and wrong, and then looks for them in all that
// the service wrote: its log at its most talkative, its folder, its metrics, a backup, what its other commands print.
func TestPlantedSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	p := planted{
		"the root secret": secretText(), "a configured key's secret": secretText(), "a declared user's secret": secretText(),
		"secret_key": secretText() + secretText(),
	}
	conf := filepath.Join(t.TempDir(), "stocktake.yaml")
	text := strings.NewReplacer("ROOT", p["the root secret"], "OUTSIDE", p["secret_key"], "CONFIGURED}", p["a configured key's secret"]+"}",
		"DECLARED", p["a declared user's secret"]).Replace(secretFile)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := embedded(dir, "--config", conf, "--log-level", "debug")
	s.key = aws.Credentials{AccessKeyID: "AKIAPLANTED", SecretAccessKey: p["the root secret"]}
	if _, err := s.run(); err != nil {
		t.Fatal(err)
	}
	s.watch(t)

	made := s.form(t, s.key, "iam", "CreateUser", "UserName", "alice")
	made += s.form(t, s.key, "iam", "CreateAccessKey", "UserName", "alice")
	alice := aws.Credentials{AccessKeyID: element(t, made, "AccessKeyId"), SecretAccessKey: element(t, made, "SecretAccessKey")}
	p["a user's secret"] = alice.SecretAccessKey
	session := s.form(t, s.key, "sts", "AssumeRole", "RoleArn", "arn:aws:iam::000000000000:role/ops", "RoleSessionName", "night")
	assumed := aws.Credentials{AccessKeyID: element(t, session, "AccessKeyId"), SecretAccessKey: element(t, session, "SecretAccessKey"), SessionToken: element(t, session, "SessionToken")}
	p["a session's secret"], p["a session's token"] = assumed.SecretAccessKey, assumed.SessionToken
	s.useAll(t, p, alice, assumed)
	s.joinPlanted(t, p)

	var printed strings.Builder
	printed.WriteString(mustStocktake(t, "config", "print", "--config", conf, "--data", dir))
	copied := filepath.Join(t.TempDir(), "backup")
	printed.WriteString(mustStocktake(t, "backup", "--config", conf, "--data", dir, "--to", copied))
	status, metrics, err := s.get("/metrics")
	if err != nil || status != http.StatusOK {
		t.Fatalf("metrics: %d, %v", status, err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	doctor, _ := stocktake(t.Context(), "doctor", "--config", conf, "--data", dir) // it may find something
	verified, _ := stocktake(t.Context(), "verify", "--config", conf, "--data", dir)
	p.seek(t, "the log", []byte(s.log.String()))
	p.seek(t, "the metrics", []byte(metrics))
	p.seek(t, "what commands print", []byte(printed.String()+doctor+verified))
	for _, folder := range []string{dir, filepath.Dir(copied)} {
		p.seekFolder(t, folder)
	}
	p.seekRecords(t, filepath.Join(dir, "store"))
	s.refusesAnotherSecretKey(t, conf, p)
}

// useAll signs with every key, rightly and wrongly.
func (s *service) useAll(t *testing.T, p planted, more ...aws.Credentials) {
	t.Helper()
	keys := append(more, s.key, aws.Credentials{AccessKeyID: "AKIACONFIGURED", SecretAccessKey: p["a configured key's secret"]},
		aws.Credentials{AccessKeyID: "AKIACAROL", SecretAccessKey: p["a declared user's secret"]})
	for _, key := range keys {
		_, err := s.clientAs(cliRegion, key).GetInventory(t.Context(), &ssm.GetInventoryInput{})
		if got := code(err); got != "" && (got != "AccessDeniedException" || key.AccessKeyID != more[0].AccessKeyID) {
			t.Errorf("%s: %v", key.AccessKeyID, err)
		}
		// The secret where the id belongs, and beside one character of another.
		for _, wrong := range []aws.Credentials{
			{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey + "x", SessionToken: key.SessionToken},
			{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey, SessionToken: key.SessionToken + "x"},
		} {
			if _, err := s.clientAs(cliRegion, wrong).GetInventory(t.Context(), &ssm.GetInventoryInput{}); err == nil {
				t.Errorf("%s with a wrong secret or token was let in", key.AccessKeyID)
			}
		}
	}
}

// joinPlanted registers a machine and has it report, with a code and a key pair that are secrets too.
func (s *service) joinPlanted(t *testing.T, p planted) {
	t.Helper()
	a, err := s.client(cliRegion).CreateActivation(t.Context(), &ssm.CreateActivationInput{IamRole: aws.String("inventory")})
	if err != nil {
		t.Fatal(err)
	}
	p["an activation's code"] = *a.ActivationCode
	j := joined{t, filepath.Join(t.TempDir(), "state")}
	out, log, err := j.collect([]string{"STOCKTAKE_ACTIVATION_CODE=" + *a.ActivationCode},
		"--register", "--activation-id", *a.ActivationId, "--endpoint-url", s.endpoint, "--region", cliRegion)
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, log)
	}
	identity, err := client.LoadIdentity(filepath.Join(j.state, "identity.json"))
	if err != nil {
		t.Fatal(err)
	}
	p["a node's key pair"] = string(identity.Key.D.Bytes()[:48])
	j.must("types in full")
}

// seekFolder looks through every file, but for the keys that are kept there for their owner.
func (p planted) seekFolder(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		p.seek(t, path, text)
		return err
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files in %s, %v", files, dir, err)
	}
}

// seekRecords looks through the records as they are, whatever the files make of them.
func (p planted) seekRecords(t *testing.T, dir string) {
	t.Helper()
	st, err := pebble.Open(pebble.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	after, count := "", 0
	for {
		records, err := st.ListRecords(t.Context(), "", after, 500)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			p.seek(t, "record "+r.Key, r.Value)
			p.seek(t, "a record's key", []byte(r.Key))
			after = r.Key
			count++
		}
		if len(records) < 500 {
			break
		}
	}
	if count < 5 {
		t.Errorf("the store has %d records", count)
	}
}

// refusesAnotherSecretKey starts the service over its folder with a secret_key under which no secret opens.
func (s *service) refusesAnotherSecretKey(t *testing.T, conf string, p planted) {
	t.Helper()
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(filepath.Dir(conf), "other.yaml")
	if err := os.WriteFile(other, bytes.Replace(text, []byte(p["secret_key"]), []byte(secretText()+secretText()), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	printed, err := stocktake(ctx, "serve", "--config", other, "--data", s.dir, "--listen", "127.0.0.1:0", "--admin-listen", "")
	if err == nil || !strings.Contains(printed, "were sealed under another secret_key") || !strings.Contains(printed, "of user alice") {
		t.Errorf("started with another secret_key: %v\n%s", err, printed)
	}
	p.seek(t, "the refusal", []byte(printed))
}

// TestListenerTellsNothing asks the API's listener for what belongs to another one, or to none.
func TestListenerTellsNothing(t *testing.T) {
	s := sharedService(t)
	for _, path := range []string{
		"/", "/metrics", "/healthz", "/readyz", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/heap", "/debug/vars", "/debug/requests",
		"/.env", "/../../etc/passwd", "/%2e%2e/etc/passwd", "/stocktake", "/minio/bootstrap/v1/verify", "/server-status", "/version",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead, http.MethodOptions, "TRACE"} {
			if path == "/" && method == http.MethodPost {
				continue
			}
			r, err := http.NewRequestWithContext(t.Context(), method, s.endpoint+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			got, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Errorf("%s %s: %v", method, path, err)
				continue
			}
			text, err := io.ReadAll(got.Body)
			_ = got.Body.Close() // all of it was read
			if err != nil || got.StatusCode != http.StatusNotFound || len(text) > 100 || got.Header.Get("Server") != "" || got.Header.Get("X-Powered-By") != "" {
				t.Errorf("%s %s: %d %s %v, %v", method, path, got.StatusCode, text, got.Header, err)
			}
		}
	}
	for _, path := range []string{"/debug/pprof/", "/debug/vars"} {
		if status, text, err := s.get(path); err != nil || status != http.StatusNotFound {
			t.Errorf("the admin listener's %s: %d %s, %v", path, status, text, err)
		}
	}
}
