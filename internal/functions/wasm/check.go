package wasm

import (
	"context"
	"encoding/json"

	"longshore/internal/isolate"
)

// Check reads a module in a child, without compiling it, and returns what keeps it from
// running here, "" = nothing. The children are a program's whose main hands orders to Serve.
func Check(ctx context.Context, children *isolate.Pool, path string) (fault string, err error) {
	text, err := json.Marshal(work{Module: path, Read: true})
	if err != nil {
		return "", err
	}
	done, err := children.Run(ctx, isolate.Work{Body: append([]byte(mark), text...)})
	if err != nil {
		return "", err
	}
	var r reply
	if err := json.Unmarshal(done.Body, &r); err != nil {
		return "", &isolate.Death{How: "gave an answer that can't be read"}
	}
	if r.Host != "" {
		return "", &hostError{errText(r.Host)}
	}
	return r.Fault + r.Trap, nil
}

type errText string

func (e errText) Error() string { return string(e) }
