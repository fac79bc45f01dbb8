package installation_test

import (
	"fmt"

	"longshore/direct"
	"longshore/installation"
	"longshore/worker"
)

// One Config is what a worker and a client beside it share.
func Example() {
	where := installation.Config{RedisURL: "redis://127.0.0.1:6379", BlobURL: "s3://files/jobs",
		Prefix: "shop"}
	w := worker.Config{Connection: where}
	c := direct.Config{Connection: where}
	fmt.Println(w.Prefix == c.Prefix, w.BlobURL)
	// Output: true s3://files/jobs
}
