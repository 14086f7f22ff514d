package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"stocktake/internal/backup"
	"stocktake/internal/backup/bucket"
)

// placeSettings say how backups are sealed, and where S3 is.
type placeSettings struct {
	SealKey     string `group:"backup" placeholder:"FILE|env:NAME" help:"Seal the backup, or open it, with the key in this file or environment variable: 32 random bytes, as openssl rand -hex 32 prints them."`
	S3Endpoint  string `name:"s3-endpoint" group:"backup" placeholder:"URL" help:"The S3 service that is not AWS's. Else AWS_ENDPOINT_URL_S3, or the profile's; AWS_ENDPOINT_URL is Stocktake's and not taken."`
	S3Region    string `name:"s3-region" group:"backup" placeholder:"NAME" help:"The region to sign for. Else AWS_REGION, or the profile's."`
	S3PathStyle bool   `name:"s3-path-style" group:"backup" help:"Name the bucket in the path, not in the host."`
	S3Insecure  bool   `name:"s3-insecure" group:"backup" help:"Allow an endpoint without TLS that is not of this machine."`
}

// envReference begins a setting that names a variable of the environment.
const envReference = "env:"

// key gives the key of backups, nil where none is set.
func (s *placeSettings) key(p *process) (*backup.SealKey, error) {
	if s.SealKey == "" {
		return nil, nil
	}
	var text []byte
	if name, ok := strings.CutPrefix(s.SealKey, envReference); ok {
		text = []byte(p.env[name])
	} else {
		var err error
		if text, err = readKeyFile(p, s.SealKey); err != nil {
			return nil, &usageError{fmt.Sprintf("seal_key: %v", err), ""}
		}
	}
	key, err := backup.ParseSealKey(text)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("seal_key: %s: %v", s.SealKey, err), ""}
	}
	return key, nil
}

// readKeyFile reads a small file, and warns of one that others may read.
func readKeyFile(p *process, path string) (text []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o004 != 0 {
		fmt.Fprintf(p.stderr, "warning: everybody on this machine can read %s: chmod 600 %s\n", path, path)
	}
	return io.ReadAll(io.LimitReader(f, 4096))
}

// object finds the object of a name.
func (s *placeSettings) object(ctx context.Context, name string) (*bucket.Object, error) {
	o, err := bucket.Open(ctx, name, bucket.Options{
		Endpoint: s.S3Endpoint, Region: s.S3Region, PathStyle: s.S3PathStyle, Insecure: s.S3Insecure,
	})
	if errors.Is(err, bucket.ErrPlain) {
		return nil, &usageError{fmt.Sprintf("s3_endpoint: %v", err), "give an https endpoint, or --s3-insecure where something else protects the connection"}
	}
	if errors.Is(err, bucket.ErrName) {
		return nil, &usageError{err.Error(), ""}
	}
	return o, bucketError(err)
}

// opened is a backup that is read: a file or an object, behind its seal.
type opened struct {
	io.ReadSeeker
	io.Closer
}

// open opens a backup. What it gives needs no buffer.
func (s *placeSettings) open(p *process, name string) (*opened, error) {
	key, err := s.key(p)
	if err != nil {
		return nil, err
	}
	if !bucket.IsName(name) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		return &opened{backup.Unseal(f, key), f}, nil
	}
	o, err := s.object(p.ctx, name)
	if err != nil {
		return nil, err
	}
	r, err := o.Read(p.ctx)
	if err != nil {
		return nil, bucketError(err)
	}
	return &opened{backup.Unseal(r, key), r}, nil
}

// bucketError adds the next step to an error of S3.
func bucketError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w\nhint: aws s3 ls shows what is there; the bucket's name, the region or the endpoint may be another", err)
	case errors.Is(err, bucket.ErrCredentials):
		return fmt.Errorf("%w\nhint: they are found as by aws s3: in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE's profile, or the machine's role", err)
	}
	return err
}

// sealError adds the next step to an error of a seal.
func sealError(err error) error {
	switch {
	case errors.Is(err, backup.ErrSealed):
		return fmt.Errorf("%w\nhint: give its key: --seal-key FILE, or --seal-key env:NAME", err)
	case errors.Is(err, backup.ErrNotSealed):
		return fmt.Errorf("%w\nhint: whoever can write to where it was may have put it there; read it without --seal-key if you trust it", err)
	case errors.Is(err, backup.ErrSealKey):
		return fmt.Errorf("%w\nhint: give the key of the time it was made", err)
	}
	return err
}
