// A function as the public client for Go makes them: it does what its event says.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do   string `json:"do"`
	N    int    `json:"n"`
	Text string `json:"text"`
}

// LongshoreFail is a failure for good: by its name.
type LongshoreFail struct{ why string }

func (f LongshoreFail) Error() string { return f.why }

var keep [][]byte

func handle(ctx context.Context, e event) (any, error) {
	lc, _ := lambdacontext.FromContext(ctx)
	custom := lc.ClientContext.Custom
	switch e.Do {
	case "echo":
		return e, nil
	case "about":
		deadline, _ := ctx.Deadline()
		return map[string]any{"id": lc.AwsRequestID, "arn": lc.InvokedFunctionArn, "custom": custom,
			"left": time.Until(deadline).Seconds(), "name": lambdacontext.FunctionName,
			"memory": lambdacontext.MemoryLimitInMB, "pid": os.Getpid(), "tmp": os.TempDir(),
			"handler": os.Getenv("_HANDLER"), "env": os.Environ()}, nil
	case "error":
		return nil, errors.New("no luck")
	case "fail":
		return nil, LongshoreFail{"never"}
	case "panic":
		panic("help")
	case "exit":
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(e.N)
	case "sleep":
		time.Sleep(time.Duration(e.N) * time.Millisecond)
		return "slept", nil
	case "log":
		fmt.Println("to stdout")
		fmt.Fprintln(os.Stderr, "to stderr")
		return nil, nil
	case "log later":
		go func() {
			time.Sleep(time.Duration(e.N) * time.Millisecond)
			fmt.Println("too late")
		}()
		return nil, nil
	case "alloc":
		for range e.N {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = byte(i)
			}
			keep = append(keep, b)
		}
		return "filled", nil
	case "leave":
		cmd := exec.Command("sleep", "1000")
		err := cmd.Start()
		return cmd.Process.Pid, err
	case "bytes":
		return io.MultiReader(io.LimitReader(zeros{}, int64(e.N))), nil // what can be JSON is no stream
	case "stream":
		return io.MultiReader(strings.NewReader(`{"streamed":`), strings.NewReader("true}")), nil
	case "stream error":
		return io.MultiReader(strings.NewReader("part"), broken{}), nil
	case "write":
		if err := os.WriteFile(custom["out"]+"/answer.txt", []byte(e.Text), 0o600); err != nil {
			return nil, err
		}
		return "written", tell(custom, `{"progress":{"done":1,"total":4,"note":"a quarter"}}`)
	case "tell":
		return "told", tell(custom, e.Text)
	case "input":
		text, err := os.ReadFile(custom["input"])
		return string(text), err
	case "litter":
		return os.TempDir(), os.WriteFile(os.TempDir()+"/litter", nil, 0o600)
	case "list":
		entries, err := os.ReadDir(os.TempDir())
		return len(entries), err
	}
	return nil, fmt.Errorf("what is %q?", e.Do)
}

func tell(custom map[string]string, line string) error {
	control, err := os.OpenFile(custom["control"], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer control.Close()
	_, err = fmt.Fprintln(control, line)
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("half way") }

func main() {
	if os.Getenv("_HANDLER") == "fail at start" {
		fmt.Fprintln(os.Stderr, "no such table")
		os.Exit(3)
	}
	lambda.Start(handle)
}
