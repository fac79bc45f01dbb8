package handlers_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"longshore/handlers"
	"longshore/handlers/handlerstest"
	"longshore/job"
	"longshore/tasks"
)

type pages struct {
	From, To int
}

var scanPages = tasks.Definition[pages]{Type: "demo.scan", Doc: "Scans pages.", Lane: job.LaneIO}

// scan is a handler: it says how far it is, and steers by what it returns.
func scan(ctx context.Context, run *handlers.Run, p pages) (any, error) {
	switch {
	case p.To < p.From:
		return nil, handlers.Fail(errors.New("there is no such page")) // never again
	case p.From == 0:
		return nil, handlers.After(time.Minute) // later; no attempt is consumed
	}
	for page := p.From; page <= p.To; page++ {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		run.Note(fmt.Sprintf("page %d", page))
		run.Records(1)
		run.Progress(int64(page-p.From+1), int64(p.To-p.From+1))
	}
	return map[string]int{"pages": p.To - p.From + 1}, nil
}

// A registry has the built-in types and those of a program's own. A test calls the
// handler with a run whose files are in memory.
func Example() {
	registry := handlers.BuiltIn()
	handlers.Add(registry, scanPages, scan)
	if err := registry.Err(); err != nil {
		fmt.Println(err)
		return
	}
	entry, _ := registry.Lookup("demo.scan")
	run, _ := handlerstest.NewRun("demo.scan", nil)
	result, err := entry.Run(context.Background(), run, []byte(`{"From":3,"To":5}`))
	fmt.Println(string(result), err)
	c := run.Counts()
	fmt.Println(c.Done, "of", c.Total, c.Records, c.Note)
	_, err = entry.Run(context.Background(), run, []byte(`{"From":3,"To":1}`))
	fmt.Println(err)
	// Output:
	// {"pages":3} <nil>
	// 3 of 3 3 page 5
	// there is no such page
}
