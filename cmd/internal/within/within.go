// Package within is what the command line does on Redis and the blob store themselves, without a
// server: with it the program worker has all of enqueue, which carries none of this and becomes the
// worker where it is asked for.
package within

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"longshore/cmd/internal/cli"
	"longshore/config"
	"longshore/direct"
	installed "longshore/installation"
	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/internal/redisdb"
	"longshore/job"
)

// New is for cli.Main.
func New() cli.Within { return within{} }

type within struct{}

// An onRedis is an installation without a server.
type onRedis struct{ *direct.Client }

func (within) Open(ctx context.Context, p *cli.CLI, s config.Enqueue) (cli.Installation, error) {
	c, err := direct.Open(ctx, direct.Config{Connection: loud(p, s), Retention: s.Jobs.Retention,
		MaxInput:   int64(s.MaxUpload),
		MaxTimeout: s.Ceilings.Timeout, MaxRetention: s.Ceilings.Retention, MaxAttempts: s.Ceilings.Attempts})
	return onRedis{c}, unconnected(err)
}

func (o onRedis) Open(ctx context.Context, id job.ID, name string) (io.ReadCloser, int64, error) {
	open := o.Result
	if name != "" {
		open = func(ctx context.Context, id job.ID) (*direct.File, error) { return o.Output(ctx, id, name) }
	}
	file, err := open(ctx, id)
	if err != nil {
		return nil, 0, err
	}
	return file, file.Size, nil
}

func (o onRedis) Clock(context.Context) (time.Time, error) { return time.Now(), nil }

// loud is the connection of what works on Redis itself: it says what is to be warned of.
func loud(p *cli.CLI, s config.Enqueue) installed.Config {
	where := connection(s)
	where.Log = p.Warnings()
	redisdb.LogTo(where.Log)
	return where
}

// connection is where commands go without a server.
func connection(s config.Enqueue) installed.Config {
	return installed.Config{
		RedisURL: s.Redis.URL.Reveal(), RedisTLSInsecure: s.Redis.TLSInsecure,
		RedisReplicated: s.Redis.Ack == config.Replicated, MaxConnections: s.Redis.MaxConnections,
		Prefix: s.Redis.Prefix, BlobURL: s.Blobs.URL, S3KeyID: s.Blobs.KeyID.Reveal(),
		S3SecretKey: s.Blobs.SecretKey.Reveal(), S3SessionToken: s.Blobs.SessionToken.Reveal(),
		S3Region: s.Blobs.Region, MinFreeSpace: int64(s.Space.MinFree), MaxJobs: s.Ceilings.Jobs,
		Lease: s.Jobs.Lease, CallbackSecrets: s.Jobs.CallbackSecrets(),
		CallbackKeys: s.Jobs.CallbackKeys(), AccessSecrets: s.Sealing.Secrets(),
	}
}

// unconnected gives an error of connecting its exit code.
func unconnected(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, installed.ErrSettings):
		return cli.Misconfigured(err)
	case redisdb.Unavailable(err), errors.Is(err, blob.ErrUnavailable):
		return fmt.Errorf("%w: %w", httpapi.NewError(httpapi.Unavailable, ""), err)
	default:
		return err
	}
}
