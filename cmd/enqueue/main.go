// Command enqueue submits jobs, follows them and fetches what they made, over HTTP. Where it is to
// work on Redis itself it becomes the program worker, which has all that is needed for that.
package main

import (
	"os"

	"longshore/cmd/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], nil)) }
