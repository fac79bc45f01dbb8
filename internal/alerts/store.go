package alerts

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/answer"
)

const (
	// lookEvery is the time between two looks, of all processes together.
	lookEvery = 5 * time.Second
	// forgetReceiver is when one is forgotten that no process has any more.
	forgetReceiver = 24 * time.Hour
	// maxNotes is how many messages wait for one receiver; beyond it the oldest go.
	maxNotes = 100
	// claimLease is how long a receiver is a process's own: more than an attempt takes.
	claimLease = 40 * time.Second
)

// A store keeps alerts. All of its scripts may run when Redis is full: that too is an alert.
type store struct {
	rdb redis.UniversalClient
	key string
}

const header = "#!lua flags=allow-oom\n" + `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local key = KEYS[1]
`

// beginScript lets one look of all, each ARGV[1] ms. It answers the time and all fields but messages;
// nothing if somebody has looked. A clock that went back stops nobody. Receivers that were not heard of
// for ARGV[2] ms go, with all they are owed.
var beginScript = redis.NewScript(header + `
local look = tonumber(redis.call('HGET', key, 'look') or 0)
if look <= now and now - look < tonumber(ARGV[1]) then return {} end
redis.call('HSET', key, 'look', now)
local reply, gone = { tostring(now) }, {}
for _, field in ipairs(redis.call('HKEYS', key)) do
  local r = string.match(field, '^s:(.*)')
  if r and now - tonumber(redis.call('HGET', key, field)) > tonumber(ARGV[2]) then gone[r] = true end
end
for _, field in ipairs(redis.call('HKEYS', key)) do
  local kind, r = string.match(field, '^(%a+):([0-9a-f]+)')
  if kind and kind ~= 'a' and gone[r] then
    redis.call('HDEL', key, field)
  elseif string.sub(field, 1, 2) ~= 'n:' then
    reply[#reply + 1] = field
    reply[#reply + 1] = redis.call('HGET', key, field)
  end
end
return reply`)

// applyScript writes what came of a look that read revision ARGV[1] ('*' = whatever it is): ARGV[2] pairs of
// field and value, where an empty one takes the field away; then pairs of receiver and message. It answers
// 0 if the revision is another one.
var applyScript = redis.NewScript(header + `
local rev = redis.call('HGET', key, 'rev') or '0'
if ARGV[1] ~= '*' and rev ~= ARGV[1] then return 0 end
rev = redis.call('HINCRBY', key, 'rev', 1)
local pairs_end = 2 + 2 * tonumber(ARGV[2])
for i = 3, pairs_end, 2 do
  if ARGV[i + 1] == '' then redis.call('HDEL', key, ARGV[i])
  else redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
end
local owed = {}
for i = pairs_end + 1, #ARGV, 2 do
  local r = ARGV[i]
  if redis.call('HEXISTS', key, 'r:' .. r) == 1 then
    redis.call('HSET', key, string.format('n:%s:%012d%04d', r, rev, i), '0 0 ' .. ARGV[i + 1])
    owed[r] = {}
  end
end
if next(owed) == nil then return 1 end
for _, field in ipairs(redis.call('HKEYS', key)) do
  local r = string.match(field, '^n:([^:]*):')
  if r and owed[r] then table.insert(owed[r], field) end
end
for r, fields in pairs(owed) do
  table.sort(fields)
  for i = 1, #fields - ` + strconv.Itoa(maxNotes) + ` do
    redis.call('HDEL', key, fields[i])
    redis.call('HINCRBY', key, 'bad:' .. r, 1)
  end
end
return 1`)

// claimScript makes receivers ARGV[3…] a process's own for ARGV[2] ms, by its token ARGV[1]: those to which
// something is to be sent now, and that nobody else has. It answers each with all it is owed.
var claimScript = redis.NewScript(header + `
local owed, reply = {}, {}
for i = 3, #ARGV do owed[ARGV[i]] = {} end
for _, field in ipairs(redis.call('HKEYS', key)) do
  local r = string.match(field, '^n:([^:]*):')
  if r and owed[r] then table.insert(owed[r], field) end
end
for r, fields in pairs(owed) do
  local whose, till = string.match(redis.call('HGET', key, 'c:' .. r) or '', '^(%S+) (%d+)$')
  local left = tonumber(till or 0) - now
  local free = not whose or whose == ARGV[1] or left <= 0 or left > tonumber(ARGV[2])
  local due, list = false, { r }
  if free and #fields > 0 then
    table.sort(fields)
    for _, field in ipairs(fields) do
      local text = redis.call('HGET', key, field)
      local at = tonumber(string.match(text, '^%d+') or 0)
      due = due or at <= now
      list[#list + 1] = field
      list[#list + 1] = text
      list[#list + 1] = at <= now and 1 or 0
    end
    if due then
      redis.call('HSET', key, 'c:' .. r, ARGV[1] .. ' ' .. now + ARGV[2])
      reply[#reply + 1] = list
    end
  end
end
return reply`)

// settleScript notes how an attempt ended, for whom the receiver ARGV[2] is his by ARGV[1], and makes it his
// for ARGV[3] ms more. The message ARGV[4], as it was read in ARGV[5], goes where ARGV[6] is empty, else
// it is that behind its new time, ARGV[7] ms ahead. ARGV[8] is the outcome, ARGV[9] what is counted: ok,
// bad or neither. A repeat counts nothing.
var settleScript = redis.NewScript(header + `
local claim = 'c:' .. ARGV[2]
if string.match(redis.call('HGET', key, claim) or '', '^%S+') ~= ARGV[1] then return 0 end
redis.call('HSET', key, claim, ARGV[1] .. ' ' .. now + ARGV[3])
if redis.call('HGET', key, ARGV[4]) ~= ARGV[5] then return 1 end
if ARGV[6] == '' then redis.call('HDEL', key, ARGV[4])
else redis.call('HSET', key, ARGV[4], now + ARGV[7] .. ' ' .. ARGV[6]) end
redis.call('HSET', key, 'o:' .. ARGV[2], now .. ' ' .. ARGV[8])
if ARGV[9] ~= '' then redis.call('HINCRBY', key, ARGV[9] .. ':' .. ARGV[2], 1) end
return 1`)

// releaseScript gives a receiver ARGV[2] back that is his by ARGV[1].
var releaseScript = redis.NewScript(header + `
local claim = redis.call('HGET', key, 'c:' .. ARGV[2])
if claim and string.match(claim, '^%S+') == ARGV[1] then redis.call('HDEL', key, 'c:' .. ARGV[2]) end
return 1`)

// knowScript says that there is a process that has some receivers: ARGV pairs of name, and kind with host.
var knowScript = redis.NewScript(header + `
for i = 1, #ARGV, 2 do
  redis.call('HSET', key, 'r:' .. ARGV[i], ARGV[i + 1], 's:' .. ARGV[i], now)
end
return 1`)

// A look is what one process read when it was its turn.
type look struct {
	now    time.Time
	fields map[string]string
}

// begin answers nil if it isn't our turn.
func (s *store) begin(ctx context.Context) (*look, error) {
	// A tick that comes a little early is not to miss its turn.
	every := lookEvery - lookEvery/10
	reply, err := beginScript.Run(ctx, s.rdb, []string{s.key}, every.Milliseconds(),
		forgetReceiver.Milliseconds()).StringSlice()
	if err != nil || len(reply) == 0 {
		return nil, err
	}
	return parseLook(reply), nil
}

func parseLook(reply []string) *look {
	l := &look{fields: map[string]string{}}
	ms, _ := strconv.ParseInt(reply[0], 10, 64) // Redis's own
	l.now = time.UnixMilli(ms).UTC()
	for i := 1; i+1 < len(reply); i += 2 {
		l.fields[reply[i]] = reply[i+1]
	}
	return l
}

func (l *look) rev() string {
	if rev := l.fields["rev"]; rev != "" {
		return rev
	}
	return "0"
}

func (l *look) number(field string) int64 {
	n, _ := strconv.ParseInt(l.fields[field], 10, 64) // what a hand has spoiled is 0
	return n
}

// held are the alerts as they were read.
func (l *look) held() map[string]*held {
	all := map[string]*held{}
	for field, text := range l.fields {
		if name, ok := strings.CutPrefix(field, "a:"); ok {
			h := &held{}
			if json.Unmarshal([]byte(text), h) == nil {
				all[name] = h
			}
		}
	}
	return all
}

// receivers are the names of those that are known.
func (l *look) receivers() (names []string) {
	for field := range l.fields {
		if name, ok := strings.CutPrefix(field, "r:"); ok {
			names = append(names, name)
		}
	}
	return names
}

// A note is a message that a receiver is owed.
type note struct {
	To   string              `json:"-"`
	ID   string              `json:"id"`             // webhook-id
	Once bool                `json:"once,omitempty"` // it is tried once
	Body answer.AlertMessage `json:"body"`
}

// apply writes fields, of which empty ones go, and notes. It answers false if somebody else has written since
// rev was read; "*" = whoever has.
func (s *store) apply(ctx context.Context, rev string, set map[string]string,
	notes []note) (bool, error) {
	args := []any{rev, len(set)}
	for field, value := range set {
		args = append(args, field, value)
	}
	for _, n := range notes {
		text, err := json.Marshal(n)
		if err != nil {
			return false, err
		}
		args = append(args, n.To, text)
	}
	return applyScript.Run(ctx, s.rdb, []string{s.key}, args...).Bool()
}

// An owed is a note in the store.
type owed struct {
	note
	field, text string
	tries       int
	due         bool
}

// claim takes receivers to which something is to be sent, and answers what.
func (s *store) claim(ctx context.Context, token string, receivers []string) (map[string][]owed, error) {
	args := []any{token, claimLease.Milliseconds()}
	for _, r := range receivers {
		args = append(args, r)
	}
	reply, err := claimScript.Run(ctx, s.rdb, []string{s.key}, args...).Slice()
	if err != nil {
		return nil, fmt.Errorf("claim receivers of alerts: %w", err)
	}
	all := map[string][]owed{}
	for _, one := range reply {
		list, _ := one.([]any)
		if len(list) == 0 {
			continue
		}
		r, _ := list[0].(string)
		all[r] = []owed{}
		for i := 1; i+2 < len(list); i += 3 {
			o := owed{due: fmt.Sprint(list[i+2]) == "1"}
			o.field, _ = list[i].(string)
			o.text, _ = list[i+1].(string)
			parts := strings.SplitN(o.text, " ", 3)
			if len(parts) == 3 {
				o.tries, _ = strconv.Atoi(parts[1])
				_ = json.Unmarshal([]byte(parts[2]), &o.note) // what a hand has spoiled has no id
			}
			o.To = r
			all[r] = append(all[r], o)
		}
	}
	return all, nil
}

// An outcome is how an attempt ended. again: the message stays, until then.
type outcome struct {
	status int
	code   string
	again  bool
	delay  time.Duration
}

// settle answers false if the receiver is another one's by now.
func (s *store) settle(ctx context.Context, token string, o owed, is outcome) (bool, error) {
	left, counts := "", "ok"
	switch {
	case is.again:
		_, message, _ := strings.Cut(o.text, " ")
		_, message, _ = strings.Cut(message, " ")
		left, counts = strconv.Itoa(o.tries+1)+" "+message, ""
	case is.code != "":
		counts = "bad"
	}
	code := is.code
	if code == "" {
		code = "-"
	}
	return settleScript.Run(ctx, s.rdb, []string{s.key}, token, o.To, claimLease.Milliseconds(), o.field,
		o.text, left, is.delay.Milliseconds(), fmt.Sprintf("%d %s %s", is.status, code, o.ID), counts).Bool()
}

func (s *store) release(ctx context.Context, token, receiver string) error {
	return releaseScript.Run(ctx, s.rdb, []string{s.key}, token, receiver).Err()
}

func (s *store) know(ctx context.Context, receivers []Receiver) error {
	args := make([]any, 0, 2*len(receivers))
	for _, r := range receivers {
		args = append(args, r.name, r.kind()+" "+r.host)
	}
	return knowScript.Run(ctx, s.rdb, []string{s.key}, args...).Err()
}

// all reads everything.
func (s *store) all(ctx context.Context) (*look, error) {
	fields, err := s.rdb.HGetAll(ctx, s.key).Result()
	return &look{fields: fields}, err
}
