package claims

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	"longshore/internal/queue"
	"longshore/job"
)

// stopFor is how long a process is handed nothing that has said that it stops.
const stopFor = time.Minute

func (d *Desk) stopChannel() string { return d.Prefix + ":claims:stop" }

func (d *Desk) stopKey(name string) string {
	sum := sha256.Sum256([]byte(name))
	return d.Prefix + ":stopped:" + hex.EncodeToString(sum[:16])
}

// Stop hands a process no more jobs for a minute; what of it is parked, at whatever web process, is answered.
func (d *Desk) Stop(ctx context.Context, tenant, worker string) error {
	name := workerName(tenant, worker)
	if err := d.Redis.Set(ctx, d.stopKey(name), "1", stopFor).Err(); err != nil {
		return err
	}
	d.parking.stop(name)
	return d.Redis.Publish(ctx, d.stopChannel(), name).Err()
}

func (d *Desk) stopped(ctx context.Context, name string) (bool, error) {
	n, err := d.Redis.Exists(ctx, d.stopKey(name)).Result()
	return n > 0, err
}

// Processes are listed by what they said last; each says so again after noteEvery.
const (
	noteEvery = 10 * time.Second
	mostNoted = 20_000
)

type claimers struct {
	mu   sync.Mutex
	said map[string]noted
}

type noted struct {
	at     time.Time
	types  []string
	queues []string
}

// note has a process listed. One that renews says what it said when it claimed.
func (d *Desk) note(ctx context.Context, tenant, worker string, types, queues []string) {
	name, now := workerName(tenant, worker), time.Now()
	d.known.mu.Lock()
	was, there := d.known.said[name]
	if types == nil {
		types, queues = was.types, was.queues
	}
	due := types != nil && (!there || now.Sub(was.at) >= noteEvery)
	if due {
		if d.known.said == nil || len(d.known.said) >= mostNoted {
			d.known.said = map[string]noted{}
		}
		d.known.said[name] = noted{now, types, queues}
	}
	d.known.mu.Unlock()
	if !due {
		return
	}
	names := make([]string, len(queues))
	for i, name := range queues {
		names[i] = job.QueueOf(name)
	}
	err := d.Queue.NoteClaimer(ctx,
		queue.Claimer{Worker: worker, Tenant: tenant, Types: types, Queues: names})
	if err != nil && ctx.Err() == nil {
		d.Log.DebugContext(ctx, "a process that claims jobs is not listed", "error", err)
	}
}
