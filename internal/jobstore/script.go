package jobstore

import (
	"embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

//go:embed lua/*.lua
var sources embed.FS

// The numbers of the protocol, in milliseconds where they are times. Tests and
// docs/decisions.md say what each is good for.
const (
	recordVersion = 2
	lookMS        = 5_000      // a queued job is looked at this long after it was queued, then at doubling age
	lookMaxMS     = 600_000    // … up to this
	pushMS        = 60_000     // a record of a future version is looked at again after this
	stallMS       = 1_000      // a gap between sweeps from which leases are re-armed
	sweepGapMS    = 200        // a sweep this soon after another one has nothing to do
	cancelCapMS   = 4_500      // a canceled run's lease ends this soon
	suspectLosses = 2          // lost leases that make a job a suspect
	poisonLosses  = 5          // lost leases that end it
	sweepLimit    = 100        // due entries taken a shard and index
	lookLimit     = 4          // looks for tickets that can hardly be lost: the oldest a shard and sweep, and as many of the newest
	asideMS       = 1e13       // such looks are kept in due at this much less than their time, below zero
	usedMinMS     = 5_000      // the end of a job whose files are used is looked at again after this
	usedMaxMS     = 60_000     // … and after this much at most
	unusedMS      = 600_000    // a user that has no record this long after it registered never got one
	callbackHold  = 86_400_000 // an undelivered callback keeps its record this long past the retention, at most
)

var versionText = strconv.Itoa(recordVersion)

// scripts are the programs that run in Redis, one a file of folder lua.
type scripts struct {
	create, uploaded, start, beat, finish, postpone, cancel, remove, look, read, revs, sweep, use, unuse *redis.Script
	claim, settle, callback                                                                              *redis.Script

	take *redis.Script // nil where tickets and records are not on one Redis
}

// words is what the scripts are told apart from their own text.
type words struct {
	prefix  string
	now     string // Lua body that returns the time in milliseconds
	tickets string // Lua of the queue, see Config.Tickets; "" = in calls of their own
	edit    func(string) string
}

// loadScripts puts the shared words before each script.
func loadScripts(w words) scripts {
	if w.edit == nil {
		w.edit = func(s string) string { return s }
	}
	tickets := w.tickets
	if tickets == "" {
		tickets = "local push, done, settle\n"
	}
	lib := prelude(w) + tickets + source("lib") + source("start_one")
	script := func(name, flags string) *redis.Script {
		return redis.NewScript("#!lua flags=" + flags + "\n" + w.edit(lib+source(name)))
	}
	bare := func(name string) *redis.Script {
		return redis.NewScript("#!lua flags=no-writes\n" + w.edit(source(name)))
	}
	// A full Redis refuses new jobs and nothing else: what is there can still
	// be finished, canceled, swept and removed.
	const write, read = "allow-oom", "no-writes"
	s := scripts{
		create: script("create", ""), uploaded: script("uploaded", write), start: script("start", write),
		beat: script("beat", write), finish: script("finish", write), postpone: script("postpone", write),
		cancel: script("cancel", write), remove: script("remove", write), look: script("look", write),
		read: bare("read"), revs: bare("revs"), sweep: script("sweep", write),
		use: script("use", ""), unuse: script("unuse", write),
		claim: script("claim", write), settle: script("settle", write), callback: script("callback", read),
	}
	if w.tickets != "" {
		s.take = script("take", write)
	}
	return s
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
func prelude(w words) string {
	var b strings.Builder
	fmt.Fprintf(&b, "local VERSION, LOOK, LOOK_MAX, PUSH, STALL = '%d', %d, %d, %d, %d\n",
		recordVersion, lookMS, lookMaxMS, pushMS, stallMS)
	fmt.Fprintf(&b, "local SUSPECT, POISONED, MAX_ERRORS = %d, %d, %d\n", suspectLosses, poisonLosses, job.MaxErrors)
	fmt.Fprintf(&b, "local USED_MIN, USED_MAX = %d, %d\n", usedMinMS, usedMaxMS)
	fmt.Fprintf(&b, "local ASIDE = %d\n", int64(asideMS))
	fmt.Fprintf(&b, "local CALLBACK_HOLD = %d\n", callbackHold)
	var states, letters, terminal, moves, shards []string
	for _, s := range job.States {
		states = append(states, fmt.Sprintf("%s='%s'", stateLetters[s], s))
		letters = append(letters, fmt.Sprintf("%s='%s'", s, stateLetters[s]))
	}
	for k := range job.Shards {
		shards = append(shards, fmt.Sprintf("['%x']='%d'", k, k))
	}
	for _, from := range append([]job.State{""}, job.States...) {
		if from.Terminal() {
			terminal = append(terminal, fmt.Sprintf("%s=true", from))
		}
		for _, to := range from.Moves() {
			moves = append(moves, string(from)+">"+string(to))
		}
	}
	fmt.Fprintf(&b, "local PREFIX = '%s'\nlocal STATES = {%s}\nlocal LETTERS = {%s}\nlocal SHARDS = {%s}\n",
		w.prefix, strings.Join(states, ","), strings.Join(letters, ","), strings.Join(shards, ","))
	fmt.Fprintf(&b, "local TERMINAL = {%s}\nlocal MOVES = ' %s '\n", strings.Join(terminal, ","), strings.Join(moves, " "))
	fmt.Fprintf(&b, "local function now() %s end\n", w.now)
	return b.String()
}
