package limits

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/access/store"
	"longshore/internal/httpapi"
	"longshore/internal/refusal"
)

// An Asker is who asks, and whose limits he names.
type Asker struct {
	store.Actor
	View access.View // access.Installation as its tenant: the limits of all
}

func (a Asker) sees(l *limit) bool { return a.View.All() || a.View.Tenant == l.owner }

// most is how many limits a tenant may have, and the installation itself.
const most = 100

// mostOfAll is how many there may be in all.
const mostOfAll = 5000

func (r *Room) key() string { return r.Prefix + ":limits" }

// Channel tells that a limit has changed.
func (r *Room) Channel() string { return r.Prefix + ":limits:bell" }

// A limit is a field "l:<owner>/<name>" of key P:limits: revision, time (ms), who, and what it says, each
// in a line.
// Field rev is the newest revision; it stays when limits go.
var putScript = redis.NewScript("#!lua flags=allow-oom\n" + `
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old and string.match(old, '^%d+\n%d+\n[^\n]*\n(.*)$') == ARGV[3] then return { 'same' } end
if not old then
  local n, all = 0, redis.call('HKEYS', KEYS[1])
  for _, field in ipairs(all) do
    if string.sub(field, 1, #ARGV[4]) == ARGV[4] then n = n + 1 end
  end
  if n >= tonumber(ARGV[5]) or #all > tonumber(ARGV[6]) then return { 'many' } end
end
local t = redis.call('TIME')
local rev = redis.call('HINCRBY', KEYS[1], 'rev', 1)
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d\n%.0f\n%s\n%s', rev, now, ARGV[2], ARGV[3]))
return { old and 'changed' or 'created' }`)

var removeScript = redis.NewScript("#!lua flags=allow-oom\n" + `
local gone = redis.call('HDEL', KEYS[1], ARGV[1])
if gone == 1 then redis.call('HINCRBY', KEYS[1], 'rev', 1) end
return gone`)

func field(owner, name string) string { return "l:" + owner + "/" + name }

// parse reads a field.
func parse(name, text string) (*limit, error) {
	owner, name, ok := strings.Cut(strings.TrimPrefix(name, "l:"), "/")
	parts := strings.SplitN(text, "\n", 4)
	if !ok || len(parts) != 4 {
		return nil, errors.New("no limit")
	}
	l, err := read([]byte(parts[3]), owner)
	if err != nil {
		return nil, err
	}
	l.name, l.changedBy, l.specText = name, parts[2], parts[3]
	ms, _ := strconv.ParseInt(parts[1], 10, 64)
	l.rev, _ = strconv.ParseInt(parts[0], 10, 64)
	l.changedAt = time.UnixMilli(ms).UTC()
	return l, nil
}

var errNone = httpapi.NewError(httpapi.NotFound, "there is no such limit")

// Put makes a limit what a text says, and tells whether there was none. It holds at once in this process, and
// within 2 s in all others.
func (r *Room) Put(ctx context.Context, by Asker, name string, text []byte) (answer.Limit, bool, error) {
	if err := httpapi.CheckName(name); err != nil {
		return answer.Limit{}, false, httpapi.InvalidAt("/name", err.Error())
	}
	if by.View.Subject != "" {
		return answer.Limit{}, false, httpapi.NewError(httpapi.Forbidden, "a limit is for a whole tenant")
	}
	owner := by.View.Tenant
	l, err := read(text, owner)
	if err != nil {
		return answer.Limit{}, false, err
	}
	if l.runs() && r.Store.Parts() > 1 {
		at := "/concurrency"
		if l.gap > 0 {
			at = "/rate"
		}
		return answer.Limit{}, false, httpapi.InvalidAt(at,
			"can't be counted on a Cluster: its jobs lie in many places")
	}
	spec, err := json.Marshal(l.spec)
	if err != nil {
		return answer.Limit{}, false, err
	}
	who := strings.ReplaceAll(by.Who.Name(), "\n", " ")
	said, err := putScript.Run(ctx, r.Redis, []string{r.key()}, field(owner, name), who, spec,
		field(owner, ""), most, mostOfAll).StringSlice()
	if err != nil {
		return answer.Limit{}, false, refusal.Of(err)
	}
	if said[0] == "many" {
		return answer.Limit{}, false, httpapi.NewError(httpapi.Conflict,
			fmt.Sprintf("there are as many limits as there may be, %d", most))
	}
	if said[0] != "same" {
		r.ring(ctx)
		r.note(ctx, by, "limits.put", name)
	}
	a, err := r.Get(ctx, by, name)
	return a, said[0] == "created", err
}

// ring has all processes look at the limits again; this one has when it returns.
func (r *Room) ring(ctx context.Context) {
	if err := r.Redis.Publish(ctx, r.Channel(), "").Err(); err != nil {
		r.Log.DebugContext(ctx, "others see the limit within 2 s", "error", err)
	}
	if err := r.Reload(ctx); err != nil {
		r.Log.DebugContext(ctx, "the limit is seen within 2 s", "error", err)
	}
}

// Delete removes a limit.
func (r *Room) Delete(ctx context.Context, by Asker, name string) error {
	if by.View.Subject != "" {
		return httpapi.NewError(httpapi.Forbidden, "a limit is for a whole tenant")
	}
	gone, err := removeScript.Run(ctx, r.Redis, []string{r.key()}, field(by.View.Tenant, name)).Int()
	switch {
	case err != nil:
		return refusal.Of(err)
	case gone == 0:
		return errNone
	}
	r.ring(ctx)
	r.note(ctx, by, "limits.remove", name)
	return nil
}

// note has the audit log say what was done. It was done: where that log can't be written, the process's own
// says so.
func (r *Room) note(ctx context.Context, by Asker, action, name string) {
	if r.Note == nil {
		return
	}
	target := "limit:" + name
	if by.View.Tenant != by.Who.Tenant {
		target = "limit:" + by.View.Tenant + "/" + name
	}
	if err := r.Note(context.WithoutCancel(ctx), by.Actor, action, target); err != nil {
		r.Log.WarnContext(ctx, "the audit log lacks what was done", "action", action, "target", target,
			"actor", by.Who.ID, "error", err)
	}
}

// Get shows one.
func (r *Room) Get(ctx context.Context, by Asker, name string) (answer.Limit, error) {
	text, err := r.Redis.HGet(ctx, r.key(), field(by.View.Tenant, name)).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return answer.Limit{}, errNone
	case err != nil:
		return answer.Limit{}, refusal.Of(err)
	}
	l, err := parse(field(by.View.Tenant, name), text)
	if err != nil {
		return answer.Limit{}, refusal.Of(err)
	}
	shown, err := r.show(ctx, []*limit{l})
	if err != nil {
		return answer.Limit{}, err
	}
	return shown[0], nil
}

// List shows all that who asks sees: the installation's own ones first.
func (r *Room) List(ctx context.Context, by Asker) ([]answer.Limit, error) {
	all, err := r.Redis.HGetAll(ctx, r.key()).Result()
	if err != nil {
		return nil, refusal.Of(err)
	}
	var list []*limit
	for name, text := range all {
		if l, err := parse(name, text); err == nil && by.sees(l) {
			list = append(list, l)
		}
	}
	slices.SortFunc(list, func(a, b *limit) int {
		return cmp.Or(cmp.Compare(a.owner, b.owner), cmp.Compare(a.name, b.name))
	})
	return r.show(ctx, list)
}

// show is limits as clients see them, with how it stands.
func (r *Room) show(ctx context.Context, list []*limit) ([]answer.Limit, error) {
	shown := make([]answer.Limit, 0, len(list))
	if len(list) == 0 {
		return shown, nil
	}
	kinds, err := r.Store.Kinds(ctx)
	if err != nil {
		return nil, refusal.Of(err)
	}
	seen, err := r.see(ctx, list, kinds)
	if err != nil {
		return nil, refusal.Of(err)
	}
	for _, l := range list {
		a := answer.Limit{Name: l.name, Rev: l.rev, LimitSpec: l.spec, ChangedBy: l.changedBy,
			ChangedAt: l.changedAt}
		if l.owner != access.Installation {
			a.Tenant = l.owner
		}
		if l.spec.Depth > 0 {
			fullest := seen.fullest(l)
			a.Waiting = &fullest
		}
		if l.age > 0 {
			oldest := int64(0)
			for at := range seen.queues {
				if fits(l.queueOr(), at) {
					oldest = max(oldest, seen.oldest(at, "").Milliseconds())
				}
			}
			a.OldestMS = &oldest
		}
		shown = append(shown, a)
	}
	return shown, nil
}
