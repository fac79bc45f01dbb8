// Package installation says where a Longshore is: which Redis and which store of
// blobs all its processes share. A worker and package direct take the same Config.
package installation

import (
	"errors"
	"log/slog"
	"time"
)

// Config says where an installation is.
type Config struct {
	RedisURL         string // as REDIS_URL in docs/settings.md; may hold a password
	RedisTLSInsecure bool   // accept any certificate
	RedisReplicated  bool   // a job is acknowledged when a replica has it
	MaxConnections   int    // to Redis, pub/sub included; 0 = 6
	Prefix           string // of keys, channels and queues; "" = "longshore"
	// file:///folder, file:folder for one in the working directory, or s3://bucket
	BlobURL      string
	MinFreeSpace int64 // of the blob folder's disk, that no writer may use; 0 = none
	// RedisForgets says that this Redis keeps nothing when it ends, by design: that jobs are gone is then no
	// loss to be accepted.
	RedisForgets bool
	MaxJobs      int           // beyond which the submitter takes no more; 0 = no limit
	Lease        time.Duration // of a running job; 0 = 8 s
	Log          *slog.Logger  // nil = silent

	// Credentials of an s3:// BlobURL, as AWS_ACCESS_KEY_ID and its siblings have
	// them, and its region where the URL names none.
	S3KeyID, S3SecretKey, S3SessionToken, S3Region string

	// CallbackSecrets, one or two of the form whsec_<base64>, sign callbacks;
	// without one or a key no callback is taken in or delivered.
	CallbackSecrets []string
	// AccessSecrets, one or two, seal and open secret values of payloads (ACCESS_SECRET); the first seals.
	AccessSecrets []string
	// CallbackKeys, one or two, sign callbacks with each receiver's own secret and key pair.
	CallbackKeys []string
	// CallbackAllow lists places beyond the public internet that callbacks may
	// go to: networks, addresses, hosts or host:port.
	CallbackAllow []string
	// CallbackPorts lists barred ports that callbacks may go to.
	CallbackPorts []uint16
	// AlertURLs, up to eight as ALERT_URLS in docs/settings.md, are told what is wrong; a worker sends it.
	// They hold secrets.
	AlertURLs []string
	// AlertAge is how long the oldest job of a queue may wait; 0 = 5 min.
	AlertAge time.Duration

	// TracesURL is a collector of OpenTelemetry's, which gets spans of jobs whose callers trace, by OTLP over
	// HTTP; "" = none are made (docs/traces.md).
	TracesURL string
	// TraceRate is of how many jobs a second a process makes spans; 0 = 100.
	TraceRate int
	// Program is what spans call the program, as longshore-web of "web"; "" = direct.
	Program string
}

// ErrSettings marks an error that other settings would mend, not time.
var ErrSettings = errors.New("settings")
