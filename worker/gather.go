package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"longshore/answer"
	"longshore/handlers"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/job"
)

// gather makes the input of a job that comes when a batch has ended: a line for each of the batch's jobs, of
// what became of it. Their records are kept for as long as the batch is, which this job uses. An attempt
// gathers anew, so nothing has to be there before the first one begins.
func (a *attempt) gather(ctx context.Context, run *handlers.Run) error {
	files := run.Files.(*files)
	in := &jobstore.Input{Blob: a.gatheredIn() + "/in", ContentType: httpapi.TypeNDJSON, Filename: "jobs.ndjson"}
	size, err := a.writeResults(ctx, in.Blob)
	switch {
	case errors.Is(err, job.ErrNotFound):
		return handlers.FailWith(job.DependencyGone, fmt.Errorf("batch %s is gone", a.started.Spec.Gather))
	case err != nil:
		return fmt.Errorf("gather what became of the batch's jobs: %w", err)
	}
	in.Size = size
	a.started.Spec.Input, files.spec.Input, run.InputSize = in, in, size
	return nil
}

// gatheredIn is where an attempt's gathered input is: none of its outputs is there.
func (a *attempt) gatheredIn() string { return jobstore.Folder(a.ticket.ID) + "/gathered-" + a.fence }

func (a *attempt) writeResults(ctx context.Context, name string) (size int64, err error) {
	blob, err := a.worker.sys.Blobs.Create(ctx, name)
	if err != nil {
		return 0, err
	}
	defer blob.Abort()
	out := bufio.NewWriterSize(blob, 64<<10)
	for cursor := ""; ; {
		jobs, next, err := a.worker.sys.BatchJobs(ctx, access.Everything, a.started.Spec.Gather, cursor, 500)
		if err != nil {
			return 0, err
		}
		for i := range jobs {
			n, err := out.Write(resultLine(&jobs[i]))
			if size += int64(n); err != nil {
				return 0, err
			}
		}
		if cursor = next; next == "" {
			break
		}
	}
	if err := out.Flush(); err != nil {
		return 0, err
	}
	_, err = blob.Commit()
	return size, err
}

// resultLine is what became of a job; of one that is gone, or can't be read, that.
func resultLine(r *job.Reading) []byte {
	line := answer.BatchResult{ID: r.ID, State: job.AfterGone}
	if r.Err == nil {
		snap := httpapi.Show(r.Snapshot)
		line = answer.BatchResult{ID: snap.ID, Name: snap.Name, State: snap.State, Result: snap.Result,
			Outputs: snap.Outputs, Error: snap.Error}
	}
	text, err := json.Marshal(line)
	if err != nil { // a result that is no JSON: damage
		text, _ = json.Marshal(answer.BatchResult{ID: r.ID, State: job.AfterGone})
	}
	return append(text, '\n')
}
