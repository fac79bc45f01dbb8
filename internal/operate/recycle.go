package operate

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// recyclingFor is how long a turn lasts that its worker doesn't renew: it does each minute while jobs run,
// and then has SHUTDOWN_GRACE to end.
const recyclingFor = 12 * time.Minute

func (d *Desk) recyclingKey() string { return d.Prefix + ":recycling" }

// turnScript gives the turn to ARGV[1], if nobody has it, or ARGV[2], who is dead.
var turnScript = redis.NewScript("#!lua flags=allow-oom\n" + `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] and holder ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return 1`)

// starting holds the turn between the end of a worker and the start of the one in its place: nobody else
// goes before that one works, for some minutes, as where it can't start.
const (
	starting    = "starting"
	startingFor = 5 * time.Minute
)

// turnOver gives the turn on, if it is still ARGV[1]'s: to ARGV[2] for ARGV[3] ms, or to nobody.
var turnOver = redis.NewScript("#!lua flags=allow-oom\n" + `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1`)

// MayRecycle tells whether it is this worker's turn to start itself anew: one does at a time, so that the
// others do its work. A holder that is not alive any more has lost its turn.
func (d *Desk) MayRecycle(ctx context.Context, worker string) (bool, error) {
	dead := ""
	holder, err := d.Redis.Get(ctx, d.recyclingKey()).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return false, err
	}
	if holder == starting {
		return false, nil
	}
	if holder != "" && holder != worker {
		alive, err := d.aliveIDs(ctx)
		if err != nil {
			return false, err
		}
		if _, there := alive[holder]; there {
			return false, nil
		}
		dead = holder
	}
	return turnScript.Run(ctx, d.Redis, []string{d.recyclingKey()}, worker, dead,
		recyclingFor.Milliseconds()).Bool()
}

// DoneRecycling says that a worker ends now, to be started anew: the next one may recycle when it is.
func (d *Desk) DoneRecycling(ctx context.Context, worker string) error {
	return d.turnOver(ctx, worker, starting)
}

// Recycled lets the next one: a worker has started.
func (d *Desk) Recycled(ctx context.Context) error { return d.turnOver(ctx, starting, "") }

// LetRecycle gives the turn of a worker back, which stays as it is.
func (d *Desk) LetRecycle(ctx context.Context, worker string) error {
	return d.turnOver(ctx, worker, "")
}

func (d *Desk) turnOver(ctx context.Context, from, to string) error {
	return turnOver.Run(ctx, d.Redis, []string{d.recyclingKey()}, from, to, startingFor.Milliseconds()).Err()
}
