package redisdb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// ErrUnsuitable says that the server answers but must not hold a queue. The
// error that wraps it names the fix.
var ErrUnsuitable = errors.New("redis is not suitable")

// minVersion is the first major version whose scripts know allow-oom.
const minVersion = 7

// Check asks the server whether a queue is safe with it. It returns
// ErrUnsuitable for a version before 7, for a sentinel, a node of a Cluster or a
// replica, and for a server that evicts keys when its memory is full, and
// another error where it does not answer. What is only risky (no persistence),
// or can't be found out, comes back as warnings.
func Check(ctx context.Context, client redis.UniversalClient) (warnings []string, err error) {
	text, err := client.Info(ctx).Result()
	switch reason := Reason(err); {
	case err == nil:
	case reason == "" || reason == ReasonNoPermission:
		if ctx.Err() != nil {
			return nil, fmt.Errorf("check redis: %w", err)
		}
		return []string{
			"redis does not let us read INFO: its version, eviction policy and persistence are unchecked"}, nil
	default:
		return nil, fmt.Errorf("check redis: %w", err)
	}
	info := parseInfo(text)
	if info["redis_version"] == "" {
		// miniredis, the in-memory stand-in, answers so.
		return []string{
			"redis does not tell its version, so it may be one that works in memory only and loses all jobs when it ends"}, nil
	}
	var problems []error
	if p := checkVersion(info["redis_version"]); p != nil {
		problems = append(problems, p)
	}
	if p := checkKind(client, info); p != nil {
		problems = append(problems, p)
	}
	if info["redis_mode"] == "sentinel" { // it keeps no data: the rest would be said of nothing
		return warnings, errors.Join(problems...)
	}
	switch policy := info["maxmemory_policy"]; policy {
	case "noeviction":
	case "":
		warnings = append(warnings,
			"redis does not tell its maxmemory-policy: it must be noeviction, or jobs can vanish")
	default:
		problems = append(problems,
			fmt.Errorf("%w: its maxmemory-policy is %s, so it throws jobs away when its memory is full; "+
				"run: redis-cli CONFIG SET maxmemory-policy noeviction (on Heroku: heroku redis:maxmemory --policy noeviction)",
				ErrUnsuitable, policy))
	}
	if w := checkPersistence(ctx, client, info); w != "" {
		warnings = append(warnings, w)
	}
	return warnings, errors.Join(problems...)
}

// parseInfo reads the "name:value" lines of INFO.
func parseInfo(text string) map[string]string {
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			info[name] = value
		}
	}
	return info
}

func checkVersion(version string) error {
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < minVersion {
		return fmt.Errorf("%w: its version is %s, at least %d is needed; upgrade the server", ErrUnsuitable,
			version, minVersion)
	}
	return nil
}

// checkKind refuses servers that answer and can't do the work: whoever starts on
// one would say that it is ready, and fail from then on.
func checkKind(client redis.UniversalClient, info map[string]string) error {
	mode := info["redis_mode"]
	if _, several := client.(*redis.ClusterClient); several {
		if mode != "cluster" {
			return fmt.Errorf("%w: it is a single server; its URL begins with redis://", ErrUnsuitable)
		}
		return nil // a replica may have answered, which is none of our business
	}
	switch mode {
	case "sentinel":
		return fmt.Errorf(
			"%w: it is a sentinel; its URL begins with redis+sentinel:// and ends with the name of the primary",
			ErrUnsuitable)
	case "cluster":
		return fmt.Errorf("%w: it is a node of a Redis Cluster; its URL begins with redis+cluster://",
			ErrUnsuitable)
	}
	if info["role"] == "slave" {
		return fmt.Errorf(
			"%w: it is a replica of %s:%s, which nobody can write to; give the address of its primary",
			ErrUnsuitable, info["master_host"], info["master_port"])
	}
	return nil
}

// checkPersistence returns a warning where nothing is kept on disk. The save
// points are in the configuration only, which managed servers often hide.
func checkPersistence(ctx context.Context, client redis.UniversalClient, info map[string]string) string {
	if info["aof_enabled"] == "1" {
		return ""
	}
	const fix = "; run: redis-cli CONFIG SET appendonly yes"
	config, err := client.ConfigGet(ctx, "save").Result()
	switch save, ok := config["save"]; {
	case err != nil || !ok:
		return "redis has no append-only file, and whether it saves snapshots is hidden: jobs may be lost when it restarts"
	case save == "":
		return "redis keeps nothing on disk: all jobs are lost when it restarts" + fix
	default:
		return "redis saves snapshots only: the jobs since the last one are lost when it crashes" + fix
	}
}
