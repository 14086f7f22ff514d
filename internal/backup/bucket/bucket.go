// Package bucket keeps a backup as one object of an S3 service, AWS's or another's.
//
// Begin with Open, which is given the name s3://BUCKET/KEY; Object.Create uploads what a function writes, Object.Read gives
// a reader of it. Credentials, region, endpoint and trust come as for every AWS client: from the environment, the shared
// files, or the machine's role; Options go before them. But AWS_ENDPOINT_URL is passed over: beside Stocktake it is where
// Stocktake is, which is no S3.
//
// Promises: an object has its name only when all of it was uploaded: parts go up as they are written, each with its SHA-256,
// and become an object by one last call; what fails before is aborted. Create ends without error only when the service gives
// the object's size, checksum, beginning and end as they were sent. It takes a few parts' memory whatever the size. An object
// that is there is never written over. A reader goes on where a connection was cut, and fails rather than mix two versions.
//
// It refuses to speak without TLS to anything but this machine unless told to, follows no redirects, and removes no backups:
// a rule of the bucket's life cycle does that.
package bucket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// The sentinels; test with errors.Is. An object that is there already is fs.ErrExist, one that is not fs.ErrNotExist.
var (
	// ErrName: it is no name of an object.
	ErrName = errors.New("it is not s3://BUCKET/KEY")
	// ErrPlain: the endpoint is not of this machine, and has no TLS.
	ErrPlain = errors.New("the endpoint is not https, and not of this machine")
	// ErrCredentials: there are no credentials to sign with.
	ErrCredentials = errors.New("no credentials for S3 are found")
	// ErrDiffers: the service does not hold, or no longer holds, what it was sent.
	ErrDiffers = errors.New("the service does not hold what was uploaded")
	// ErrReplaced: the object is another than when its reading began.
	ErrReplaced = errors.New("the object was replaced while it was read")
)

// Options say where the service is, where the settings of AWS clients do not.
type Options struct {
	// Endpoint is the URL of a service that is not AWS's; Region is what requests are signed for.
	Endpoint, Region string
	// PathStyle has the bucket named in the path, not in the host. A service whose host is an address has it in any case.
	PathStyle bool
	// Insecure allows an endpoint without TLS that is not of this machine.
	Insecure bool
	// PartBytes is the size of the first parts; 0: 16 MiB. AWS takes none below 5 MiB but the last.
	PartBytes int
	// Wait is the longest time between two tries; 0: 20 s. Stall is how long a connection may carry nothing; 0: a minute.
	Wait, Stall time.Duration
}

// Object is the name of an object, and the way to its service.
type Object struct {
	client      *s3.Client
	bucket, key *string
	options     Options
}

// Tries is how often a call, or the same byte of an object, is asked for before it is an error.
const tries = 6

// IsName tells the name of an object from that of a file.
func IsName(name string) bool { return strings.HasPrefix(name, "s3://") }

// A bucket's name, as all services take it.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// split gives the parts of a name.
func split(name string) (bucket, key string, err error) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(name, "s3://"), "/")
	if !IsName(name) || !bucketName.MatchString(bucket) || key == "" || len(key) > 1024 {
		return "", "", fmt.Errorf("%q: %w", name, ErrName)
	}
	return bucket, key, nil
}

// Open finds the service and credentials for it. No request is made but what it takes to find those.
func Open(ctx context.Context, name string, o Options) (*Object, error) {
	bucket, key, err := split(name)
	if err != nil {
		return nil, err
	}
	if o.PartBytes == 0 {
		o.PartBytes = 16 << 20
	}
	if o.Wait == 0 {
		o.Wait = 20 * time.Second
	}
	if o.Stall == 0 {
		o.Stall = time.Minute
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(o.Region), config.WithLogger(logging.Nop{}))
	if err != nil {
		return nil, err
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	if o.Endpoint == "" {
		if o.Endpoint, err = endpointOf(ctx, cfg.ConfigSources); err != nil {
			return nil, err
		}
	}
	var refused error
	client := s3.NewFromConfig(cfg, func(c *s3.Options) { refused = o.apply(c) })
	if refused != nil {
		return nil, refused
	}
	return &Object{client: client, bucket: &bucket, key: &key, options: o}, nil
}

// endpointOf finds the endpoint that the sources of the SDK name for S3: AWS_ENDPOINT_URL_S3, the s3 section of the profile's
// services, or the profile's endpoint_url, which is written beside the credentials it goes with. Empty: AWS's own.
func endpointOf(ctx context.Context, sources []any) (string, error) {
	if ignored, _, err := config.GetIgnoreConfiguredEndpoints(ctx, sources); err != nil || ignored {
		return "", err
	}
	for _, source := range sources {
		if s, ok := source.(interface {
			GetServiceBaseEndpoint(ctx context.Context, sdkID string) (string, bool, error)
		}); ok {
			if endpoint, found, err := s.GetServiceBaseEndpoint(ctx, "S3"); err != nil || found {
				return endpoint, err
			}
		}
		if profile, ok := source.(config.SharedConfig); ok && profile.BaseEndpoint != "" {
			return profile.BaseEndpoint, nil
		}
	}
	return "", nil
}

// apply makes a client's options of these.
func (o *Options) apply(c *s3.Options) error {
	c.BaseEndpoint = nil // the SDK's own choice
	if o.Endpoint != "" {
		c.BaseEndpoint = &o.Endpoint
	}
	c.UsePathStyle = c.UsePathStyle || o.PathStyle
	if c.BaseEndpoint != nil {
		at, err := url.Parse(*c.BaseEndpoint)
		if err != nil || at.Host == "" || at.Scheme != "https" && at.Scheme != "http" {
			return fmt.Errorf("the endpoint %q is no URL like https://s3.example.org", *c.BaseEndpoint)
		}
		if at.Scheme == "http" && !loopback(at.Hostname()) && !o.Insecure {
			return fmt.Errorf("%q: %w", *c.BaseEndpoint, ErrPlain)
		}
		c.UsePathStyle = c.UsePathStyle || loopback(at.Hostname()) || net.ParseIP(at.Hostname()) != nil
		if c.Region == "" {
			c.Region = "us-east-1" // what services other than AWS's take where they have none
		}
	}
	if c.Region == "" {
		return errors.New("no region is known: set AWS_REGION or a profile's region")
	}
	// Parts carry the SHA-256 that this package computes, which every service knows, and the SDK adds none of its own, which
	// some do not.
	c.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	c.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	c.Retryer = retry.NewStandard(func(s *retry.StandardOptions) {
		s.MaxAttempts, s.MaxBackoff = tries, o.Wait
	})
	if b, ok := c.HTTPClient.(interface{ GetTransport() *http.Transport }); ok {
		c.HTTPClient = &http.Client{
			Transport:     b.GetTransport(),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// statusOf gives the status a service answered an error with, 0 where it did not answer.
func statusOf(err error) int {
	var answered *smithyhttp.ResponseError
	if errors.As(err, &answered) {
		return answered.HTTPStatusCode()
	}
	return 0
}

// codeOf gives the code of an error, "" where it has none.
func codeOf(err error) string {
	var coded smithy.APIError
	if errors.As(err, &coded) {
		return coded.ErrorCode()
	}
	return ""
}

// name gives the object's name for people.
func (o *Object) name() string { return "s3://" + *o.bucket + "/" + *o.key }

// missing makes an error of one of a call that asked for the object.
func (o *Object) missing(err error) error {
	if statusOf(err) == http.StatusNotFound {
		return fmt.Errorf("%s: %w", o.name(), errors.Join(fs.ErrNotExist, err))
	}
	return fmt.Errorf("%s: %w", o.name(), err)
}
