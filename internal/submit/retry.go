package submit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/refusal"
	"longshore/internal/sealing"
	"longshore/internal/strictjson"
	"longshore/job"
	"longshore/tasks"
)

// Again says what a retry has other than the job before. The zero value is a job that does the same.
type Again struct {
	Payload  json.RawMessage            // instead of the old one
	Set      map[string]json.RawMessage // top-level fields of it that are other ones; not beside Payload
	Priority job.Priority
	By       string // who asks, for the old job's story
	Anyway   bool   // although the job was retried before
}

// Retry makes a new job that does what an ended one was to do. Its input is
// the old one's by reference, or where that one had a reference the same file. It is whose the old one is. A
// job is retried once, unless Again says otherwise.
func (d *Submitter) Retry(ctx context.Context, by access.View, id job.ID,
	how Again) (job.Snapshot, error) {
	old, err := d.Store.Views().Read(ctx, by, id)
	if err != nil {
		return job.Snapshot{}, refusal.Of(err)
	}
	if old.Snapshot.Type == job.BatchType {
		return job.Snapshot{}, httpapi.NewError(httpapi.Conflict, "a batch does no work: retry its jobs")
	}
	if !old.Snapshot.Done {
		return job.Snapshot{}, httpapi.NewError(httpapi.Conflict, "the job has not ended")
	}
	info, known := d.Catalog.Lookup(old.Snapshot.Type)
	if known && info.Input == tasks.InputRequired && old.Spec.Input == nil &&
		old.Spec.Gather == "" {
		return job.Snapshot{}, httpapi.NewError(httpapi.Conflict, "the job's input never arrived whole")
	}
	if old.Spec.Input != nil && old.Snapshot.InputGone() {
		return job.Snapshot{}, refusal.Of(job.ErrInputGone)
	}
	before, err := d.unsealed(old.Snapshot.Type, old.Spec, how)
	if err != nil {
		return job.Snapshot{}, err
	}
	r := Request{Type: old.Snapshot.Type, Payload: before, Priority: old.Snapshot.Priority,
		Queue:   old.Snapshot.Queue,
		Timeout: old.Timeout, MaxAttempts: old.Snapshot.MaxAttempts, Retention: old.Retention, RetryOf: id,
		LimitKey: old.Snapshot.LimitKey, DeleteInput: old.Snapshot.DeleteInput,
		Owner: old.Owner, Labels: old.Snapshot.Labels, input: old.Spec.Input, gather: old.Spec.Gather,
		sealed: old.Spec.Sealed, retryBy: how.By, retryAgain: how.Anyway}
	if err := r.waitsStill(ctx, d, &old); err != nil {
		return job.Snapshot{}, err
	}
	if how.Payload != nil && how.Set == nil {
		how.Payload = withSecrets(how.Payload, before, old.Spec.Sealed)
	}
	if r.Payload, err = how.payload(r.Payload); err != nil {
		return job.Snapshot{}, err
	}
	if how.Priority != "" {
		r.Priority = how.Priority
	}
	if old.Callback {
		cb, err := d.Store.Callback(ctx, id)
		if err != nil && !errors.Is(err, job.ErrNoCallback) { // others may be after it
			return job.Snapshot{}, refusal.Of(err)
		}
		r.CallbackURL = cb.URL
	}
	snap, _, err := d.Submit(ctx, r)
	return snap, err
}

// unsealed is an old payload with its secrets, of which those are left out that are to be others. In a
// payload that is given whole, what reads show in the place of a secret stands for the old one.
func (d *Submitter) unsealed(typ string, old jobstore.Spec, how Again) (json.RawMessage, error) {
	places := slices.DeleteFunc(slices.Clone(old.Sealed), func(at string) bool {
		_, other := how.Set[strings.TrimPrefix(at, "/")]
		return other
	})
	if len(places) == 0 || how.Payload != nil && !bytes.Contains(how.Payload, []byte(sealing.Hidden)) {
		return old.Payload, nil
	}
	open, err := d.Sealer.OpenPayload(typ, old.Payload, places)
	if err != nil {
		return nil, httpapi.NewError(httpapi.Conflict,
			"the job's secrets can't be opened here: ACCESS_SECRET is another one; send the whole payload").Wrap(err)
	}
	return open, nil
}

// withSecrets is a payload in which what reads show of secrets is what the old payload has there.
func withSecrets(payload, old json.RawMessage, places []string) json.RawMessage {
	for _, at := range places {
		var was []byte
		keep := func(_ string, value []byte) ([]byte, error) {
			was = value
			return value, nil
		}
		if _, err := sealing.Edit(old, []string{at}, keep); err != nil {
			continue
		}
		mended, err := sealing.Edit(payload, []string{at}, func(_ string, value []byte) ([]byte, error) {
			if string(value) == `"`+sealing.Hidden+`"` {
				return was, nil
			}
			return value, nil
		})
		if err == nil {
			payload = mended
		}
	}
	return payload
}

// payload is the new job's, of which the old one had another.
func (a Again) payload(old json.RawMessage) (json.RawMessage, error) {
	switch {
	case a.Payload != nil && a.Set != nil:
		return nil, httpapi.InvalidAt("/set", "stands beside payload, which is the whole")
	case a.Payload != nil:
		return a.Payload, nil
	case len(a.Set) == 0:
		return old, nil
	}
	all := map[string]json.RawMessage{}
	if len(old) > 0 {
		err := strictjson.Fields(old, func(name, value []byte) error {
			all[string(name)] = slices.Clone(value)
			return nil
		})
		if errors.Is(err, strictjson.ErrNoObject) {
			return nil, httpapi.InvalidAt("/set", "the job's payload is no object: send all of it as payload")
		}
		if err != nil {
			return nil, fmt.Errorf("payload of the old job: %w", err)
		}
	}
	maps.Copy(all, a.Set)
	return json.Marshal(all)
}

// stillSecret adds to the places of secrets those that a job had which is run again: its type may say no
// more that they are, or not yet in this process.
func stillSecret(secrets []string, payload []byte, before []string) []string {
	same := func(_ string, value []byte) ([]byte, error) { return value, nil }
	for _, at := range before {
		_, err := sealing.Edit(payload, []string{at}, same)
		if err != nil || slices.ContainsFunc(secrets, func(s string) bool {
			return s == at || strings.HasPrefix(at, s+"/")
		}) {
			continue
		}
		secrets = append(slices.DeleteFunc(slices.Clone(secrets), func(s string) bool {
			return strings.HasPrefix(s, at+"/")
		}), at)
	}
	return secrets
}
