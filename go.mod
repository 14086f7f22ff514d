module stocktake

go 1.26.0

// What the program is made of, and in which room.
require (
	github.com/RoaringBitmap/roaring/v2 v2.30.0 // index: sets of nodes, small and quick to join
	github.com/alecthomas/kong v1.17.0 // cmd: flags as struct fields, with a hook for environment and file
	github.com/aws/aws-sdk-go-v2 v1.47.6 // backup/bucket, client: what follows with config and s3; tests: the reference signer
	github.com/aws/aws-sdk-go-v2/config v1.33.14 // client: credentials and profiles as every AWS client finds them
	github.com/aws/aws-sdk-go-v2/service/s3 v1.114.7 // backup/bucket: backups as objects
	github.com/aws/smithy-go v1.28.8 // backup/bucket: the errors of S3; tests: those of SSM
	github.com/cockroachdb/pebble/v2 v2.1.7 // store/pebble: the embedded store
	github.com/dchest/siphash v1.2.3 // inventory: keyed names of shapes
	github.com/hashicorp/cronexpr v1.1.3 // ssm: cron schedules, as the stock agent means them
	github.com/jackc/pgx/v5 v5.12.0 // store/postgres: the driver; bench/baseline: what others build on it
	github.com/klauspost/compress v1.20.3 // index, store/postgres: snapshots, documents and changes made smaller
	github.com/pressly/goose/v3 v3.28.0 // store/postgres: the migrations
	github.com/prometheus/client_golang v1.25.0 // httpd: the exposition of metrics
	github.com/schollz/progressbar/v3 v3.19.1 // cmd: bars of the demo and the benchmark
	go.yaml.in/yaml/v3 v3.0.6 // cmd: the configuration file
	golang.org/x/crypto v0.58.0 // httpd: certificates by ACME
)

// What its tests are made of.
require (
	github.com/Shopify/toxiproxy/v2 v2.5.0 // a network that fails on demand
	github.com/anishathalye/porcupine v1.3.1 // are histories of concurrent clients linearizable?
	github.com/aws/aws-sdk-go-v2/credentials v1.20.14 // static keys
	github.com/aws/aws-sdk-go-v2/service/ssm v1.81.3 // a real client
	github.com/cockroachdb/datadriven v1.0.3 // cases that are read as text
	github.com/google/go-cmp v0.7.0 // differences
	github.com/rogpeppe/go-internal v1.16.0 // testscript: the command line as people type it
	go.uber.org/goleak v1.3.0 // no goroutine is left behind
)

require (
	github.com/DataDog/zstd v1.5.7 // indirect
	github.com/RaduBerinde/axisds v0.1.0 // indirect
	github.com/RaduBerinde/btreemap v0.0.0-20250419174037-3d62b7205d54 // indirect
	github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream v1.7.26 // indirect
	github.com/aws/aws-sdk-go-v2/feature/ec2/imds v1.20.6 // indirect
	github.com/aws/aws-sdk-go-v2/internal/configsources v1.5.9 // indirect
	github.com/aws/aws-sdk-go-v2/internal/endpoints/v2 v2.8.9 // indirect
	github.com/aws/aws-sdk-go-v2/internal/v4a v1.5.9 // indirect
	github.com/aws/aws-sdk-go-v2/service/internal/accept-encoding v1.13.24 // indirect
	github.com/aws/aws-sdk-go-v2/service/internal/checksum v1.11.10 // indirect
	github.com/aws/aws-sdk-go-v2/service/internal/presigned-url v1.14.9 // indirect
	github.com/aws/aws-sdk-go-v2/service/internal/s3shared v1.20.9 // indirect
	github.com/aws/aws-sdk-go-v2/service/signin v1.12.2 // indirect
	github.com/aws/aws-sdk-go-v2/service/sso v1.39.2 // indirect
	github.com/aws/aws-sdk-go-v2/service/ssooidc v1.44.2 // indirect
	github.com/aws/aws-sdk-go-v2/service/sts v1.51.7 // indirect
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/bits-and-blooms/bitset v1.24.4 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/cockroachdb/crlib v0.0.0-20241112164430-1264a2edc35b // indirect
	github.com/cockroachdb/errors v1.11.3 // indirect
	github.com/cockroachdb/logtags v0.0.0-20230118201751-21c54148d20b // indirect
	github.com/cockroachdb/redact v1.1.5 // indirect
	github.com/cockroachdb/swiss v0.0.0-20260820225851-333444432258 // indirect
	github.com/cockroachdb/tokenbucket v0.0.0-20230807174530-cc333fc44b06 // indirect
	github.com/getsentry/sentry-go v0.27.0 // indirect
	github.com/gogo/protobuf v1.3.2 // indirect
	github.com/golang/snappy v0.0.5-0.20231225225746-43d5d4cd4e0e // indirect
	github.com/gorilla/mux v1.8.0 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	github.com/kr/pretty v0.3.1 // indirect
	github.com/kr/text v0.2.0 // indirect
	github.com/mattn/go-colorable v0.1.13 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/mfridman/interpolate v0.0.2 // indirect
	github.com/minio/minlz v1.0.1-0.20250507153514-87eb42fe8882 // indirect
	github.com/mitchellh/colorstring v0.0.0-20190213212951-d06e56a500db // indirect
	github.com/mschoch/smat v0.2.0 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/pmezard/go-difflib v1.0.0 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	github.com/rs/xid v1.4.0 // indirect
	github.com/rs/zerolog v1.28.0 // indirect
	github.com/sethvargo/go-retry v0.4.0 // indirect
	go.uber.org/multierr v1.11.0 // indirect
	golang.org/x/exp v0.0.0-20260824195058-e88cd73687aa // indirect
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/term v0.47.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/tools v0.51.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
	gopkg.in/tomb.v1 v1.0.0-20141024135613-dd632973f1e7 // indirect
)
