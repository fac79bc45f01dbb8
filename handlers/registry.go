package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"longshore/job"
	"longshore/tasks"
)

// A Func does the work of one type. Its result becomes the job's, as JSON.
type Func[P any] func(ctx context.Context, run *Run, payload P) (result any, err error)

// A Registry maps types to handlers. It is filled before the worker starts and
// not changed afterwards. The zero value is empty and ready.
type Registry struct {
	entries map[string]Entry
	err     error
}

// An Entry is one registered type.
type Entry struct {
	Info tasks.Info
	// Run decodes the payload, does the work and encodes the result.
	Run func(ctx context.Context, run *Run, payload []byte) (result []byte, err error)
}

// Add registers the handler of a definition. A wrong definition, or a second
// handler of one type, is remembered and returned by Err.
func Add[P any](r *Registry, d tasks.Definition[P], do Func[P]) {
	info, err := d.Info()
	if _, twice := r.entries[d.Type]; twice {
		err = errors.Join(err, fmt.Errorf("task %q: registered twice", d.Type))
	}
	if err != nil {
		r.err = errors.Join(r.err, err)
		return
	}
	if r.entries == nil {
		r.entries = map[string]Entry{}
	}
	r.entries[d.Type] = Entry{info, func(ctx context.Context, run *Run, payload []byte) ([]byte, error) {
		p, err := d.Decode(payload)
		if err != nil {
			return nil, Fail(err) // it was checked when it was submitted: the program is another version
		}
		result, err := do(ctx, run, p)
		if err != nil {
			return nil, classify(err)
		}
		if result == nil {
			return nil, nil
		}
		text, err := json.Marshal(result)
		if err != nil {
			return nil, Fail(fmt.Errorf("encode result: %w", err))
		}
		if len(text) > job.MaxDocument {
			return nil, FailWith(job.OutputLimit, fmt.Errorf("result is over %d bytes; write an output",
				job.MaxDocument))
		}
		return text, nil
	}}
}

// AddErr has Err return an error too: it is for packages that register handlers for others.
func (r *Registry) AddErr(err error) { r.err = errors.Join(r.err, err) }

// Err returns what was wrong with the calls of Add.
func (r *Registry) Err() error { return r.err }

// Lookup returns the entry of a type.
func (r *Registry) Lookup(typ string) (Entry, bool) {
	e, ok := r.entries[typ]
	return e, ok
}

// Types returns the registered types, sorted.
func (r *Registry) Types() []string { return slices.Sorted(maps.Keys(r.entries)) }
