package handlerstest_test

import (
	"context"
	"fmt"
	"io"
	"strings"

	"longshore/handlers"
	"longshore/handlers/handlerstest"
)

// shout is a handler as a program of one's own has it: a file in, a file out.
func shout(ctx context.Context, run *handlers.Run, _ struct{}) (any, error) {
	in, err := run.Input(ctx)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	out, err := run.Output(ctx, "shout.txt", "text/plain")
	if err != nil {
		return nil, err
	}
	defer out.Abort() // does nothing after Commit
	if _, err := io.WriteString(out, strings.ToUpper(string(text))); err != nil {
		return nil, err
	}
	return map[string]int{"bytes": len(text)}, out.Commit()
}

// A handler is a function, so its test calls it: with a run whose files are in memory.
func Example() {
	run, files := handlerstest.NewRun("demo.shout", []byte("quiet please"))
	result, err := shout(context.Background(), run, struct{}{})
	fmt.Println(result, err)
	fmt.Printf("%s\n", files.Committed()["shout.txt"])
	fmt.Println("left open:", files.Left())
	fmt.Println("read:", run.Counts().In, "bytes")
	// Output:
	// map[bytes:12] <nil>
	// QUIET PLEASE
	// left open: 0
	// read: 12 bytes
}

// What a handler does with a broken disk is tried with OutputErr.
func ExampleFiles() {
	run, files := handlerstest.NewRun("demo.shout", []byte("quiet please"))
	files.OutputErr = io.ErrShortWrite
	_, err := shout(context.Background(), run, struct{}{})
	fmt.Println(err, len(files.Committed()))
	// Output: short write 0
}
