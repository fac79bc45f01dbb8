// Package gather writes what became of a batch's jobs into a file: the input of the job that comes when the
// batch has ended.
package gather

import (
	"bufio"
	"context"
	"encoding/json"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/job"
)

// Folder is where an attempt's gathered input is: none of its outputs is there.
func Folder(id job.ID, fence string) string { return jobstore.Folder(id) + "/gathered-" + fence }

// Input is that of an attempt, of no size yet.
func Input(id job.ID, fence string) *jobstore.Input {
	return &jobstore.Input{Blob: Folder(id, fence) + "/in", ContentType: httpapi.TypeNDJSON,
		Filename: "jobs.ndjson"}
}

// Batches reads the jobs of a batch, some at a time.
type Batches interface {
	BatchJobs(ctx context.Context, by access.View, id job.ID, cursor string, most int) (jobs []job.Reading,
		next string, err error)
}

// Write writes a line for each job of a batch, and returns how many bytes these are. Errors:
// job.ErrNotFound where the batch is gone, or those of Redis and the blob store.
func Write(ctx context.Context, from Batches, blobs blob.Store, batch job.ID, name string) (size int64,
	err error) {
	file, err := blobs.Create(ctx, name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Abort() }() // after Commit it does nothing
	out := bufio.NewWriterSize(file, 64<<10)
	for cursor := ""; ; {
		jobs, next, err := from.BatchJobs(ctx, access.Everything, batch, cursor, 500)
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
	_, err = file.Commit()
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
