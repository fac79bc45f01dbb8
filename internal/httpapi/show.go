package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"

	"longshore/job"
)

// Show completes a snapshot with what the store does not know: paths. It is
// what GET answers and what a webhook carries.
func Show(snap job.Snapshot) job.Snapshot {
	snap.Links = &job.Links{Self: JobPath(snap.ID), Events: EventsPath(snap.ID)}
	if !snap.Done {
		snap.Links.Cancel = CancelPath(snap.ID)
	}
	if snap.State == job.Succeeded {
		snap.Links.Result = ResultPath(snap.ID)
	}
	for i := range snap.Outputs {
		snap.Outputs[i].Href = OutputPath(snap.ID, snap.Outputs[i].Name)
	}
	return snap
}

// Encode writes a body as all answers are written: a line of JSON, in which
// HTML needs no escapes.
func Encode(body any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return nil, fmt.Errorf("encode body: %w", err)
	}
	return b.Bytes(), nil
}
