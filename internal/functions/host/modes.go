package host

import (
	"context"
	"os"
	"path/filepath"

	"longshore/internal/functions"
	"longshore/internal/functions/exec"
	"longshore/internal/functions/lambda"
	"longshore/internal/functions/wasm"
	"longshore/internal/isolate"
)

// modes are what runs functions, by mode, with what all functions of one share.
type modes struct {
	openers map[functions.Mode]functions.Opener
	close   func() error
}

func newModes(c Config) modes {
	warm := c.Warm
	if warm <= 0 {
		for _, slots := range c.Host.Slots {
			warm += slots
		}
	}
	var read []string
	for _, folder := range []string{c.Folder, c.Deployed} {
		if folder == "" {
			continue
		}
		if real, err := filepath.EvalSymlinks(folder); err == nil { // else nothing is in it
			folder = real
		}
		if path, err := filepath.Abs(folder); err == nil {
			folder = path
		}
		read = append(read, folder)
	}
	modules := wasm.NewPool(filepath.Join(c.Host.Base, "compiled"), read...)
	return modes{
		openers: map[functions.Mode]functions.Opener{
			functions.Exec:   exec.Open,
			functions.Lambda: lambda.NewPool(warm).Open,
			functions.WASM:   modules.Open,
		},
		close: modules.Close,
	}
}

// Serve does an order in a child of a program that serves functions, if it is theirs;
// ok is false if it is for somebody else. The program's main must hand orders to it.
func Serve(ctx context.Context, o *isolate.Order) (reply []byte, worn, ok bool) {
	if !wasm.Serves(o) {
		return nil, false, false
	}
	reply, worn = wasm.Serve(ctx, o)
	return reply, worn, true
}

// Main must be the first call of a program that runs functions and has no handlers of its
// own: in a child that runs modules it serves them and never returns.
func Main() {
	isolate.Main(func(ctx context.Context, o *isolate.Order) ([]byte, bool) {
		reply, worn, ok := Serve(ctx, o)
		if !ok {
			os.Exit(1) // an order of another program's
		}
		return reply, worn
	})
}
