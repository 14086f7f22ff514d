package client

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stocktake/internal/sigv4"
)

const configFile = `
[default]
region = eu-default-1
endpoint_url = http://default.example

[profile plain]
region = eu-plain-1

[profile served]
region = eu-served-1
endpoint_url = http://profile.example
services = own

[services own]
ssm =
  endpoint_url = http://services.example
`

const credentialsFile = `
[default]
aws_access_key_id = AKDEFAULT
aws_secret_access_key = default secret

[plain]
aws_access_key_id = AKPLAIN
aws_secret_access_key = plain secret
aws_session_token = plain token

[served]
aws_access_key_id = AKSERVED
aws_secret_access_key = served secret
`

// environment gives the process AWS settings of its own, and nothing of the machine's.
func environment(t *testing.T, settings map[string]string) {
	t.Helper()
	for _, setting := range os.Environ() {
		if name, _, _ := strings.Cut(setting, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for name, text := range map[string]string{"config": configFile, "credentials": credentialsFile} {
		file := filepath.Join(dir, ".aws", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, ".aws", "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, ".aws", "credentials"))
	for name, value := range settings {
		t.Setenv(name, value)
	}
}

func TestLoadConfig(t *testing.T) {
	served := sigv4.Credentials{AccessKeyID: "AKSERVED", SecretAccessKey: "served secret"}
	plain := sigv4.Credentials{AccessKeyID: "AKPLAIN", SecretAccessKey: "plain secret", SessionToken: "plain token"}
	byDefault := sigv4.Credentials{AccessKeyID: "AKDEFAULT", SecretAccessKey: "default secret"}
	for _, c := range []struct {
		name             string
		settings         map[string]string
		options          Options
		endpoint, region string
		credentials      sigv4.Credentials
	}{
		{"default profile", nil, Options{}, "http://default.example", "eu-default-1", byDefault},
		{"profile by variable", map[string]string{"AWS_PROFILE": "plain"}, Options{}, "", "eu-plain-1", plain},
		{"profile by option", map[string]string{"AWS_PROFILE": "plain"}, Options{Profile: "served"}, "http://services.example", "eu-served-1", served},
		{"keys by variable", map[string]string{
			"AWS_ACCESS_KEY_ID": "AKENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t", "AWS_REGION": "eu-env-1",
		}, Options{}, "http://default.example", "eu-env-1", sigv4.Credentials{AccessKeyID: "AKENV", SecretAccessKey: "s", SessionToken: "t"}},
		{"default region", map[string]string{"AWS_DEFAULT_REGION": "eu-env-2"}, Options{}, "http://default.example", "eu-env-2", byDefault},
		{"endpoint of the profile", map[string]string{"AWS_PROFILE": "served"}, Options{}, "http://services.example", "eu-served-1", served},
		{"endpoint by variable", map[string]string{"AWS_PROFILE": "served", "AWS_ENDPOINT_URL": "http://env.example"}, Options{}, "http://env.example", "eu-served-1", served},
		{"endpoint by both", map[string]string{
			"AWS_ENDPOINT_URL": "http://env.example", "AWS_ENDPOINT_URL_SSM": "http://ssm.example",
		}, Options{}, "http://ssm.example", "eu-default-1", byDefault},
		{"endpoints ignored", map[string]string{
			"AWS_ENDPOINT_URL": "http://env.example", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
		}, Options{}, "", "eu-default-1", byDefault},
		{"options first", map[string]string{
			"AWS_ENDPOINT_URL_SSM": "http://ssm.example", "AWS_REGION": "eu-env-1",
		}, Options{Endpoint: "http://option.example", Region: "eu-option-1"}, "http://option.example", "eu-option-1", byDefault},
	} {
		t.Run(c.name, func(t *testing.T) {
			environment(t, c.settings)
			got, err := LoadConfig(t.Context(), c.options)
			if err != nil {
				t.Fatal(err)
			}
			if got.Endpoint != c.endpoint || got.Region != c.region {
				t.Errorf("got %q in %q, want %q in %q", got.Endpoint, got.Region, c.endpoint, c.region)
			}
			credentials, err := got.Credentials(t.Context())
			if err != nil || credentials != c.credentials {
				t.Errorf("got %s, %v, want %s", credentials, err, c.credentials)
			}
		})
	}
}

func TestLoadConfigNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name     string
		settings map[string]string
		options  Options
		text     string
	}{
		{"unknown profile", map[string]string{"AWS_PROFILE": "nobody"}, Options{}, "nobody"},
		{"missing file", nil, Options{CAFile: "no-such-file"}, "no-such-file"},
		{"no certificate", nil, Options{CAFile: os.DevNull}, "holds no certificate"},
		{"missing bundle", map[string]string{"AWS_CA_BUNDLE": "no-such-file"}, Options{}, "no-such-file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			environment(t, c.settings)
			if _, err := LoadConfig(t.Context(), c.options); err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q", err, c.text)
			}
		})
	}
}

func TestLoadConfigWithoutCredentialsFailsAtTheFirstCall(t *testing.T) {
	environment(t, map[string]string{"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_REGION": "eu-west-1"})
	c, err := LoadConfig(t.Context(), Options{Endpoint: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	made, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := made.Do(t.Context(), "PutInventory", nil); err == nil || !strings.Contains(err.Error(), "no AWS credentials: set AWS_ACCESS_KEY_ID") {
		t.Errorf("got %v", err)
	}
}

func TestLoadConfigTrustsTheGivenCertificates(t *testing.T) {
	f := serve(t, true, func(w http.ResponseWriter, _ int64, _, body string) { _, _ = io.WriteString(w, body) })
	file := writeCertificate(t, f)
	for name, c := range map[string]struct {
		settings map[string]string
		options  Options
	}{
		"by variable": {map[string]string{"AWS_CA_BUNDLE": file}, Options{Endpoint: f.URL}},
		"by option":   {nil, Options{Endpoint: f.URL, CAFile: file}},
	} {
		t.Run(name, func(t *testing.T) {
			environment(t, c.settings)
			loaded, err := LoadConfig(t.Context(), c.options)
			if err != nil {
				t.Fatal(err)
			}
			loaded.Credentials = fixed
			made, _ := newClient(t, loaded)
			if answer, err := made.Do(t.Context(), "PutInventory", []byte("{}")); err != nil || string(answer) != "{}" {
				t.Errorf("got %s, %v", answer, err)
			}
		})
	}
}
