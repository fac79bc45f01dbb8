package within

import (
	"context"
	"strings"
	"time"

	"longshore/cmd/internal/cli"
	"longshore/internal/connect"
	"longshore/internal/redisdb"
)

// Bounds from which Redis is worth a word.
const (
	slowRoundTrip = 20 * time.Millisecond
	fullMemory    = 80 // per cent of maxmemory, from which new jobs come near to being refused
	fewClients    = 10 // connections that are left
	skewed        = time.Second
	farSkewed     = time.Minute // ids that clients choose are refused
)

// redis checks the server, and reports whether the rest can be looked at.
func (d *doctor) redis(ctx context.Context, where connect.Config) bool {
	const fixURL = "start Redis, or correct REDIS_URL"
	client, err := redisdb.Open(redisdb.Config{URL: where.RedisURL, TLSInsecure: where.RedisTLSInsecure,
		MaxConnections: where.MaxConnections})
	if err != nil {
		d.Fail(cli.ExitConfiguration, "redis", "correct REDIS_URL", "%v", err)
		return false
	}
	defer func() { _ = client.Close() }() // nothing is under way
	h, err := redisdb.Inspect(ctx, client)
	address := redisdb.Address(where.RedisURL)
	if err != nil {
		d.Fail(cli.ExitUnavailable, "redis", fixURL, "%s: %v", address, err)
		return false
	}
	if h.RoundTrip > slowRoundTrip {
		d.Warn("redis", "run the programs near their Redis", "%s answers, slowly: %v a round trip", address,
			h.RoundTrip.Round(time.Microsecond))
	} else {
		d.OK("redis", "%s answers in %v", address, h.RoundTrip.Round(time.Microsecond))
	}
	d.suitable(h)
	d.room(h, where.MaxConnections)
	switch skew := h.Skew.Abs(); {
	case skew >= farSkewed:
		d.Fail(cli.ExitOther, "clock", "set the clock here and on Redis's machine (NTP)", "it is %v off Redis's",
			skew.Round(time.Second))
	case skew >= skewed:
		d.Warn("clock", "set the clock here and on Redis's machine (NTP)", "it is %v off Redis's",
			skew.Round(time.Millisecond))
	default:
		d.OK("clock", "within %v of Redis's", skew.Round(time.Millisecond))
	}
	return h.Problems == nil
}

// suitable says whether Redis may hold a queue.
func (d *doctor) suitable(h redisdb.Health) {
	if h.Problems != nil {
		for line := range strings.Lines(h.Problems.Error()) {
			detail, fix := cutFix(strings.TrimSpace(line))
			d.Fail(cli.ExitConfiguration, "redis settings", fix, "%s", detail)
		}
	} else if h.Version != "" {
		d.OK("redis settings", "version %s, maxmemory-policy %s", h.Version, h.Eviction)
	}
	if h.AOF {
		d.OK("persistence", "append-only file")
	}
	for _, w := range h.Warnings {
		detail, fix := cutFix(w)
		d.Warn("persistence", fix, "%s", detail)
	}
}

// cutFix parts "what is wrong; the fix".
func cutFix(text string) (detail, fix string) {
	detail, fix, _ = strings.Cut(text, "; ")
	return detail, fix
}

// room says how much of Redis is left.
func (d *doctor) room(h redisdb.Health, budget int) {
	switch {
	case h.MaxMemory > 0 && h.UsedMemory*100 >= h.MaxMemory*fullMemory:
		d.Warn("memory", "give Redis more memory, or shorten RETENTION", "%s of %s used",
			cli.BytesText(h.UsedMemory), cli.BytesText(h.MaxMemory))
	case h.MaxMemory > 0:
		d.OK("memory", "%s of %s used", cli.BytesText(h.UsedMemory), cli.BytesText(h.MaxMemory))
	case h.UsedMemory > 0:
		d.OK("memory", "%s used, no maxmemory is set", cli.BytesText(h.UsedMemory))
	}
	if h.MaxClients == 0 {
		return
	}
	if left := h.MaxClients - h.Clients; left < fewClients {
		d.Warn("connections", "lower REDIS_MAX_CONNECTIONS, run fewer processes, or take a larger plan",
			"%d of %d are taken; a process takes up to %d", h.Clients, h.MaxClients, budget)
	} else {
		d.OK("connections", "%d of %d are taken; this process takes up to %d", h.Clients, h.MaxClients,
			budget)
	}
}
