package config_test

import (
	"fmt"

	"longshore/config"
)

// What the environment says is read once, and every mistake is told at once. A secret is
// never printed.
func Example() {
	env := map[string]string{"REDIS_URL": "redis://:hidden@localhost:6379", "LEASE": "10s"}
	c, err := config.LoadWorker(func(name string) string { return env[name] })
	fmt.Println(c.Jobs.Lease, c.Redis.URL, err)

	env["LEASE"], env["KILL_GRACE"] = "1ms", "soon"
	_, err = config.LoadWorker(func(name string) string { return env[name] })
	fmt.Println(err)
	// Output:
	// 10s [redacted] <nil>
	// KILL_GRACE: expected a duration like 1500ms, 25s or 2h; a bare number is seconds
	// LEASE: expected 4s to 1h
}
