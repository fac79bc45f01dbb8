package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// DumpPauses is all that is paused, also by asynq's tools.
func (d *Desk) DumpPauses(ctx context.Context) (map[string]string, error) {
	stored, err := d.pauses(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for field, p := range stored {
		if !p.Ended {
			all[field] = p.text
		}
	}
	queues, err := d.Queue.Paused(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range queues {
		if !q.Paused || known(stored, q.Place) {
			continue
		}
		text, err := json.Marshal(storedPause{By: "asynq", At: time.Now().UnixMilli()})
		if err != nil {
			return nil, err
		}
		all[placeField(q.Place)] = string(text)
	}
	return all, nil
}

// LoadPauses begins the pauses that DumpPauses has told. It may be repeated.
func (d *Desk) LoadPauses(ctx context.Context, all map[string]string) error {
	if len(all) == 0 {
		return nil
	}
	if err := d.Redis.HSet(ctx, d.pausesKey(), all).Err(); err != nil {
		return fmt.Errorf("write pauses: %w", err)
	}
	return d.Mend(ctx)
}
