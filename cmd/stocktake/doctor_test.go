package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"stocktake/internal/iam"
	"stocktake/internal/pgtest"
	"stocktake/internal/store/memory"
	"stocktake/internal/store/postgres"
)

// examined gives what one check prints, and how many things it warns of and fails.
func examined(c config, check func(d *doctor)) (text string, warned, failed int) {
	var out bytes.Buffer
	d := &doctor{config: c, out: &out}
	check(d)
	return out.String(), d.warned, d.failed
}

func TestDoctorJudgesDatabases(t *testing.T) {
	sound := func() postgres.Server {
		return postgres.Server{Connections: 16, Settings: map[string]string{
			"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "data_checksums": "on", "max_connections": "100",
		}}
	}
	set := func(name, value string) func(s *postgres.Server) {
		return func(s *postgres.Server) { s.Settings[name] = value }
	}
	for _, c := range []struct {
		change         func(s *postgres.Server)
		says           string
		warned, failed int
	}{
		{func(*postgres.Server) {}, "ok    database: it keeps what it acknowledges", 0, 0},
		{set("fsync", "off"), "fsync is off", 0, 1},
		{set("full_page_writes", "off"), "full_page_writes is off", 0, 1},
		{set("synchronous_commit", "off"), "synchronous_commit is off", 0, 1},
		{set("synchronous_commit", "local"), "synchronous_commit is local", 1, 0},
		{set("synchronous_commit", "remote_apply"), "synchronous_commit remote_apply", 0, 0},
		{set("data_checksums", "off"), "data_checksums is off", 1, 0},
		{set("max_connections", "20"), "max_connections is 20", 1, 0},
		{func(s *postgres.Server) { s.Standby = true }, "is a standby", 0, 1},
		{func(s *postgres.Server) { s.Ahead = -time.Minute }, "differs from this machine's by -1m0s", 1, 0},
	} {
		s := sound()
		c.change(&s)
		text, warned, failed := examined(config{}, func(d *doctor) { d.judge(s) })
		if !strings.Contains(text, c.says) || warned != c.warned || failed != c.failed {
			t.Errorf("want %q, %d and %d, and it is %d and %d:\n%s", c.says, c.warned, c.failed, warned, failed, text)
		}
	}
}

func TestDoctorExaminesADatabase(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	asked := config{settings: settings{databaseSetting: databaseSetting{DatabaseURL: url}}}
	text, _, failed := examined(asked, func(d *doctor) { d.database(t.Context()) })
	if failed != 1 || !strings.Contains(text, "stocktake migrate") {
		t.Errorf("without tables:\n%s", text)
	}
	if err := postgres.Migrate(t.Context(), url, postgres.MigrateOptions{}); err != nil {
		t.Fatal(err)
	}
	text, _, _ = examined(asked, func(d *doctor) { d.database(t.Context()) })
	if !strings.Contains(text, "answers, PostgreSQL 1") || strings.Contains(text, "clock") {
		t.Errorf("with tables:\n%s", text)
	}
}

func TestDoctorTriesTheSecretKey(t *testing.T) {
	st, err := memory.New(2)
	if err != nil {
		t.Fatal(err)
	}
	users, err := iam.Open(iam.Options{Store: st, SecretKey: "the right one"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := users.CreateUser(t.Context(), iam.RootAccount, "alice", "/", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := users.CreateAccessKey(t.Context(), iam.RootAccount, "alice"); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"the right one": "ok    secret_key: the secrets of users' access keys open",
		"another":       "fail  secret_key: the secrets of users' access keys were sealed under another secret_key, or under none: access key",
	} {
		if text, _, _ := examined(config{SecretKey: key}, func(d *doctor) { d.secrets(t.Context(), st) }); !strings.HasPrefix(text, want) {
			t.Errorf("under %q: %s", key, text)
		}
	}
}

func TestDoctorTellsOfTakenAddresses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c := config{settings: settings{Listen: l.Addr().String()}}
	text, _, failed := examined(c, func(d *doctor) { d.addresses(t.Context()) })
	if failed != 1 || !strings.Contains(text, "next: is it served already?") {
		t.Errorf("a taken address:\n%s", text)
	}
	text, _, failed = examined(c, func(d *doctor) {
		d.served = true
		d.addresses(t.Context())
	})
	if failed != 0 || !strings.Contains(text, "is taken, by the service of this folder") {
		t.Errorf("an address the service itself has:\n%s", text)
	}
}

func TestDoctorReadsCertificates(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 3, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Time]string{
		now: "ok    certificate: x is good until 2026-08-01", now.AddDate(0, 3, -10): "warn  certificate: x ends on",
		now.AddDate(0, 4, 0): "fail  certificate: x ended on", now.AddDate(-1, 0, 0): "fail  certificate: x begins on",
	} {
		if text, _, _ := examined(config{}, func(d *doctor) { d.ends("x", der, at) }); !strings.HasPrefix(text, want) {
			t.Errorf("at %v: %s", at, text)
		}
	}
}

func TestDoctorFindsTheServiceOfAFolder(t *testing.T) {
	data := t.TempDir()
	s := serveHere(t, "--data", data)
	address := strings.TrimPrefix(s.url, "http://")
	_, out, log := command(t, "doctor", "--data", data, "--listen", address, "--admin-listen", "")
	if !strings.Contains(out, "has a store, and a service runs over it") || !strings.Contains(out, "is taken, by the service of this folder") {
		t.Errorf("it says\n%s%s", out, log)
	}
}
