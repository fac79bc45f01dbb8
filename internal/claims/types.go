package claims

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/redis/go-redis/v9"

	"longshore/internal/httpapi"
	"longshore/tasks"
)

// MaxTypes is how many types may be claimed: each installation knows so many that it didn't bring.
const MaxTypes = tasks.MaxPublished

// Types are those that programs claim, with their definitions. They are the hash P:claimable, by type the
// JSON of a tasks.Info. A change rings on Channel.
type Types struct {
	Redis   redis.UniversalClient
	Prefix  string
	Channel string
	// Served says who else serves a type, "" = nobody.
	Served func(ctx context.Context, typ string) (string, error)
}

func (t *Types) key() string { return t.Prefix + ":claimable" }

// putScript bounds how many there are. KEYS: P:claimable. ARGV: type, definition, bound, channel.
var putScript = redis.NewScript(`
local known = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1
if not known and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PUBLISH', ARGV[4], ARGV[1])
return 1`)

// Put makes a type one that is claimed, or gives it another definition. Errors: Conflict where somebody
// else serves it, or there are too many, or Redis's.
func (t *Types) Put(ctx context.Context, info tasks.Info) error {
	other, err := t.Served(ctx, info.Type)
	if err != nil {
		return err
	}
	if other != "" {
		return httpapi.NewError(httpapi.Conflict, other+" serves this type: what is claimed needs a name of its own")
	}
	text, err := json.Marshal(info)
	if err != nil {
		return err
	}
	n, err := putScript.Run(ctx, t.Redis, []string{t.key()}, info.Type, text, MaxTypes, t.Channel).Int()
	if err == nil && n == 0 {
		return httpapi.NewError(httpapi.Conflict, fmt.Sprintf("there are %d types that are claimed, as many as may be",
			MaxTypes))
	}
	return err
}

// Remove has no more jobs of a type come in, unless somebody else serves it. Those that wait are claimed
// all the same. there is false where it isn't one.
func (t *Types) Remove(ctx context.Context, typ string) (there bool, err error) {
	n, err := t.Redis.HDel(ctx, t.key(), typ).Result()
	if err != nil || n == 0 {
		return false, err
	}
	return true, t.Redis.Publish(ctx, t.Channel, typ).Err()
}

// All are the definitions, by type.
func (t *Types) All(ctx context.Context) (map[string]string, error) {
	return t.Redis.HGetAll(ctx, t.key()).Result()
}

// Load writes what All has told, where there is none. It may be repeated.
func (t *Types) Load(ctx context.Context, all map[string]string) error {
	if len(all) == 0 {
		return nil
	}
	pipe := t.Redis.TxPipeline()
	for typ, info := range all {
		pipe.HSetNX(ctx, t.key(), typ, info)
	}
	pipe.Publish(ctx, t.Channel, "")
	_, err := pipe.Exec(ctx)
	return err
}
