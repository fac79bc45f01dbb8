// A function for the test of all kinds, as AWS Lambda has them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// LongshoreFail is a failure for good, by its name.
type LongshoreFail struct{ error }

var kept []byte

func handle(ctx context.Context, e struct{ Do string }) (any, error) {
	lc, _ := lambdacontext.FromContext(ctx)
	custom := lc.ClientContext.Custom
	fmt.Fprintln(os.Stderr, "heard", e.Do)
	switch e.Do {
	case "retry":
		if custom["attempt"] == "1" {
			return nil, errors.New("not yet")
		}
	case "fail":
		return nil, LongshoreFail{errors.New("never")}
	case "memory":
		kept = make([]byte, 400<<20)
		for i := 0; i < len(kept); i += 4096 {
			kept[i] = 1
		}
		time.Sleep(time.Minute)
	case "sleep":
		time.Sleep(time.Minute)
	case "nap":
		time.Sleep(2 * time.Second)
	case "work":
		channel, err := os.OpenFile(custom["control"], os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return nil, err
		}
		defer channel.Close()
		fmt.Fprintln(channel, `{"progress":{"done":1,"total":2,"note":"half"}}`)
		time.Sleep(time.Second)
		if err := os.WriteFile(custom["out"]+"/made.txt", []byte("made\n"), 0o600); err != nil {
			return nil, err
		}
	}
	return map[string]string{"did": e.Do}, nil
}

func main() { lambda.Start(handle) }
