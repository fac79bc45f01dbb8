package main

import (
	"errors"
	"fmt"
	"time"

	"longshore/client"
	"longshore/config"
	installed "longshore/installation"
)

// settings reads the environment.
func (p *cli) settings() (config.Enqueue, error) {
	s, err := config.LoadEnqueue(p.getenv)
	if err != nil {
		return s, misconfigured(err)
	}
	return s, nil
}

// client returns the client of the server, for commands that need one.
func (p *cli) client() (*client.Client, error) {
	s, err := p.settings()
	if err != nil {
		return nil, err
	}
	if s.URL == "" {
		return nil, misconfigured(
			errors.New(
				"only a server knows this: set LONGSHORE_URL to one (enqueue doctor looks at Redis itself)"))
	}
	return p.connect(s)
}

func (p *cli) connect(s config.Enqueue) (*client.Client, error) {
	said := "" // once for each kind of trouble
	c, err := client.New(client.Config{
		URL: s.URL, Token: s.Token.Reveal(),
		OnRetry: func(err error, _ time.Duration) {
			if text := err.Error(); text != said {
				p.say("%s; trying on", text)
				said = text
			}
		},
	})
	if err != nil {
		return nil, misconfigured(fmt.Errorf("LONGSHORE_URL: %w", err))
	}
	return c, nil
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
