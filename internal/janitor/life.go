package janitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"longshore/internal/blob"
	"longshore/internal/jobstore"
)

// LifeBlob is what says among the blobs which installation they are of, and how far it had come: the one
// blob that is replaced again and again, and no job's.
const LifeBlob = "installation/life"

// lifeTimeout bounds what is done with it at a time: a blob store that hangs must not hold up the comparison
// for longer.
const lifeTimeout = 10 * time.Second

// Vouch compares what is kept among the blobs with what Redis has, notes a loss and returns it. It is for
// any process, at any time.
func (j *Janitor) Vouch(ctx context.Context) (jobstore.Loss, error) {
	j.vouching.Lock()
	defer j.vouching.Unlock()
	if j.forgets {
		return jobstore.Loss{}, nil
	}
	var kept jobstore.Life
	if known := j.store.Known(); known != nil {
		kept = *known
	} else {
		var err error
		if kept, err = j.readLife(ctx); err != nil {
			return jobstore.Loss{}, err // nothing is compared, so no mark may rise
		}
	}
	v, err := j.store.Vouch(ctx, kept)
	if errors.Is(err, jobstore.ErrEmpty) {
		if err = j.store.Open(ctx); err == nil {
			v, err = j.store.Vouch(ctx, kept)
		}
	}
	if err != nil {
		return jobstore.Loss{}, err
	}
	if !v.Loss.Is() && (v.Keep || j.owed) {
		v.Loss, err = j.keep(ctx, v.Life)
		j.owed = err != nil
	}
	return v.Loss, err
}

// keep writes the blob. What is there meanwhile may be further, or another installation's: that is a loss
// too, for one of the two, and whoever finds it writes nothing.
func (j *Janitor) keep(ctx context.Context, now jobstore.Life) (jobstore.Loss, error) {
	there, err := j.readLife(ctx)
	if err != nil {
		return jobstore.Loss{}, err
	}
	if there.Epoch != "" && (there.Epoch != now.Epoch || there.Mark > now.Mark) {
		v, err := j.store.Vouch(ctx, there)
		if err != nil || v.Loss.Is() {
			return v.Loss, err
		}
		if now = v.Life; there.Epoch == now.Epoch {
			return jobstore.Loss{}, nil // another process has just kept it
		}
	}
	if there == now {
		return jobstore.Loss{}, nil
	}
	return jobstore.Loss{}, j.writeLife(ctx, now)
}

// errKept says that the blob could not be read a moment ago.
var errKept = errors.New("what is kept of the installation could not be read a moment ago")

// kept is readLife for requests, of which there may be many: they don't all wait for a blob store that is
// away.
func (j *Janitor) kept(ctx context.Context) (jobstore.Life, error) {
	if since := time.Since(time.Unix(0, j.unread.Load())); since < watchEvery {
		return jobstore.Life{}, errKept
	}
	kept, err := j.readLife(ctx)
	if err != nil {
		j.unread.Store(time.Now().UnixNano())
	}
	return kept, err
}

// readLife reads what is kept; what is damaged is nothing, and is written anew.
func (j *Janitor) readLife(ctx context.Context) (kept jobstore.Life, err error) {
	ctx, cancel := context.WithTimeout(ctx, lifeTimeout)
	defer cancel()
	r, err := j.blobs.Open(ctx, LifeBlob)
	if errors.Is(err, blob.ErrNotFound) {
		return kept, nil
	}
	if err != nil {
		return kept, fmt.Errorf("read what is kept of the installation: %w", err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, 1<<10))
	if err != nil {
		return kept, fmt.Errorf("read what is kept of the installation: %w", err)
	}
	if err := json.Unmarshal(text, &kept); err != nil || kept.Epoch == "" {
		j.log.WarnContext(ctx, "what is kept of the installation among the blobs can't be read, and is written anew",
			"blob", LifeBlob)
		return jobstore.Life{}, nil
	}
	return kept, nil
}

func (j *Janitor) writeLife(ctx context.Context, now jobstore.Life) error {
	ctx, cancel := context.WithTimeout(ctx, lifeTimeout)
	defer cancel()
	text, err := json.Marshal(now)
	if err != nil {
		return err
	}
	w, err := j.blobs.Create(ctx, LifeBlob)
	if err != nil {
		return fmt.Errorf("keep what there is of the installation: %w", err)
	}
	defer w.Abort()
	if _, err = w.Write(text); err == nil {
		_, err = w.Commit()
	}
	if err != nil {
		return fmt.Errorf("keep what there is of the installation: %w", err)
	}
	return nil
}

// AcceptLoss ends a loss, if there is one, and keeps the epoch that begins by it. Should the process die
// in between, any other keeps it.
func (j *Janitor) AcceptLoss(ctx context.Context) (jobstore.Loss, error) {
	if _, err := j.Vouch(ctx); err != nil {
		return jobstore.Loss{}, err
	}
	loss, err := j.store.AcceptLoss(ctx)
	if err != nil || !loss.Is() {
		return loss, err
	}
	_, err = j.Vouch(ctx)
	return loss, err
}
