package jobstore

import (
	"embed"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

//go:embed lua/*.lua
var sources embed.FS

// The numbers of the protocol, in milliseconds where they are times. Tests and
// docs/decisions.md say what each is good for.
const (
	recordVersion = 1
	lookMS        = 5_000      // a queued job is looked at this long after it was queued, then at doubling age
	lookMaxMS     = 600_000    // … up to this
	pushMS        = 60_000     // a record of a future version is looked at again after this
	stallMS       = 1_000      // a gap between sweeps from which leases are re-armed
	sweepGapMS    = 200        // a sweep this soon after another one has nothing to do
	cancelCapMS   = 4_500      // a canceled run's lease ends this soon
	suspectLosses = 2          // lost leases that make a job a suspect
	poisonLosses  = 5          // lost leases that end it
	sweepLimit    = 100        // due entries taken a shard and index
	usedMinMS     = 5_000      // the end of a job whose files are used is looked at again after this
	usedMaxMS     = 60_000     // … and after this much at most
	unusedMS      = 600_000    // a user that has no record this long after it registered never got one
	callbackHold  = 86_400_000 // an undelivered callback keeps its record this long past the retention, at most
)

// scripts are the programs that run in Redis, one a file of folder lua.
type scripts struct {
	create, uploaded, start, beat, finish, postpone, cancel, remove, look, read, revs, sweep, use, unuse *redis.Script
	claim, settle, callback                                                                              *redis.Script
}

// loadScripts puts the shared words before each script. now is the Lua
// body that returns the time in milliseconds: Redis's own, but for tests that
// turn the clock.
func loadScripts(now string) scripts {
	lib := prelude(now) + source("lib")
	script := func(name, flags string) *redis.Script {
		return redis.NewScript("#!lua flags=" + flags + "\n" + lib + source(name))
	}
	// A full Redis refuses new jobs and nothing else: what is there can still
	// be finished, canceled, swept and removed.
	const write, read = "allow-oom", "no-writes"
	return scripts{
		create: script("create", ""), uploaded: script("uploaded", write), start: script("start", write),
		beat: script("beat", write), finish: script("finish", write), postpone: script("postpone", write),
		cancel: script("cancel", write), remove: script("remove", write), look: script("look", write),
		read: script("read", read), revs: script("revs", read), sweep: script("sweep", write),
		use: script("use", ""), unuse: script("unuse", write),
		claim: script("claim", write), settle: script("settle", write), callback: script("callback", read),
	}
}

func source(name string) string {
	text, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // embedded: can't be missing
	}
	return string(text)
}

const redisTime = `local t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000)`

// prelude writes the state machine of package job and the numbers above as Lua.
func prelude(now string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "local VERSION, LOOK, LOOK_MAX, PUSH, STALL = '%d', %d, %d, %d, %d\n",
		recordVersion, lookMS, lookMaxMS, pushMS, stallMS)
	fmt.Fprintf(&b, "local SUSPECT, POISONED, MAX_ERRORS = %d, %d, %d\n", suspectLosses, poisonLosses, job.MaxErrors)
	fmt.Fprintf(&b, "local USED_MIN, USED_MAX = %d, %d\n", usedMinMS, usedMaxMS)
	fmt.Fprintf(&b, "local CALLBACK_HOLD = %d\n", callbackHold)
	var states, terminal, moves []string
	for _, from := range append([]job.State{""}, job.States...) {
		states = append(states, fmt.Sprintf("['%s']=true", from))
		if from.Terminal() {
			terminal = append(terminal, fmt.Sprintf("%s=true", from))
		}
		var next []string
		for _, to := range from.Moves() {
			next = append(next, fmt.Sprintf("%s=true", to))
		}
		moves = append(moves, fmt.Sprintf("['%s']={%s}", from, strings.Join(next, ",")))
	}
	fmt.Fprintf(&b, "local STATES = {%s}\nlocal TERMINAL = {%s}\nlocal MOVES = {%s}\n",
		strings.Join(states[1:], ","), strings.Join(terminal, ","), strings.Join(moves, ","))
	fmt.Fprintf(&b, "local function now() %s end\n", now)
	return b.String()
}
