package jobstore

import (
	"fmt"
	"strings"
	"testing"

	"longshore/internal/localredis/redistest"
)

// mutants are the simulation's rules, one left out in each, with a seed that is known to notice.
func mutants() map[string]rules {
	without := func(line string) rules {
		return rules{script: func(src string) string { return strings.ReplaceAll(src, line, "") }}
	}
	instead := func(old, replacement string) rules {
		return rules{script: func(src string) string { return strings.ReplaceAll(src, old, replacement) }}
	}
	quiet := func(r rules) rules {
		r.quiet = true
		return r
	}
	split := func(r rules) rules {
		r.split = true
		return r
	}
	return map[string]rules{
		"no kill clock":         split(rules{noKillClock: true}),
		"no sweeper":            {noSweeper: true},
		"no fence":              split(instead("j.f ~= fence", "false")),
		"no fence, in short":    split(instead("sub(core, 36, 47) == sub(ARGV[from], 17) and ", "")),
		"cancel loses, short":   instead("byte(core, 19) == @F_R@ and", "byte(core, 19) % 2 == 1 and"),
		"no rearming":           without("if gap < 0 or gap > @STALL@ then rearm(gap) end"),
		"rearmed in full":       instead("math.min(was + still, t + ", "math.max(0, t + "),
		"callbacks not rewound": instead(", P .. 'rewind:owes:webhook', '0')", ")"),
		"no numbers of lists":   without("if want and have < want then call('SET', P .. 'walk', '1') end"),
		"no users":              instead("elseif call('EXISTS', users(j)) == 1 then", "elseif false then"),
		"users dropped":         instead("t - number(seen) < number(min_age)", "false"),
		"cancel loses":          without("if j.cr then outcome = 'canceled' end"),
		"no callback": without(
			"if j.owes and call('EXISTS', P .. 'w:' .. j.id) == 1 then todo(2, 'ZADD', P .. 'owes:webhook', int(t), j.id) end"),
		"no hiding": instead("call('ZADD', due, int(t + lease_ms), id)", "call('ZREM', due, id)"),
		"no taking over": instead("return { 'exists', j.id, j.f, pieces and 1 or 0 }",
			"return { 'exists', j.id }"),
		"taken over unseen":      instead("if pieces or from ~= j.f then", "if pieces then"),
		"the dead keep it":       instead("if dead(j) then", "if false then"),
		"no claim numbers":       instead("ended or c ~= claim", "false"),
		"goes too early":         instead("return not open_after(af) and (not ho", "return (not ho"),
		"goes unreleased":        instead("(not ho or rare(j, 'hr'))", "true"),
		"never enters again":     without("tell('enter', j)"),
		"no slots":               instead("call('SCARD', slots) >= most or", "false or"),
		"a start costs no token": without("if gap then paid(class, at + gap) end"),
		"starts without a token": instead("return room, false, gap, burst, at",
			"return burst, false, gap, burst, at"),
		"a slot leaks": {script: func(src string) string { // leave gives it back, or else a sweep
			return strings.ReplaceAll(strings.ReplaceAll(src, "if lm then todo(5, leave, j, lm, TERMINAL[to]) end", ""),
				"then call('SREM', P .. 'slots:' .. class, id) end", "then end")
		}},
		"a batch ends early":   instead("sealed and s + f + c + x >= n", "sealed"),
		"an end isn't counted": without("if from ~= to and j.b and TERMINAL[to] then todo(1, left_batch, j.b, LETTERS[to], j.id) end"),
		"no end, in short":     instead("byte(core, 20) % (2 * @F_B@) < @F_B@ and", "true and"),
		"the batch isn't kept": instead("elseif kept(j) then", "elseif false then"),
		"a changed one has no ticket": instead("    move(j, 'queued')\n  else\n    enqueue(j)",
			"    move(j, 'queued')\n  else\n    j.d = j.d + 1\n    move(j, 'queued')"),
		"changed to a time, it starts": instead("    put_off(j, at)\n  elseif queue ==",
			"    j.at = at\n    move(j, 'queued')\n  elseif queue =="),
		"a queue goes with a job in it": instead(
			"if call('EXISTS', Q .. 'pending', Q .. 'parked', Q .. 'paused', Q .. 'foreign', Q .. 'longshore') > 0 or runs and runs > 0 then",
			"if false then"),
		"a list nobody knows": instead("if size == 1 then", "if size == 1 and not named(queue) then"),
		"strangers dropped":   without("strangers[#strangers + 1] = entry"),
		"strangers by length": instead("return #entry ~= 16 and #entry ~= 18 or msg ~=",
			"return #entry ~= 16 and #entry ~= 18 or false and msg ~="),
		"no wake": without("if j.owes then successors(j) end"),
		"a failure is nothing": instead("if letter ~= '@succeeded@' and not whatever then",
			"if false then"),
		"an end in no list":     without("call('RPUSH', P .. 'end:' .. h.due, unpack(h))"),
		"a start isn't counted": without("count(family .. '@running@', by)"),
		"a ticket stays":        without("call('UNLINK', unpack(tickets))"),
		"a list isn't trimmed":  quiet(without("call('LTRIM', Q .. 'pending', 0, -m - 1)")),

		"no memo": quiet(without("call('SET', memo, serial .. ' ' .. popped, 'PX', 60000)")),
		"no delivery, in takes": quiet(instead("if j.s ~= 'queued' or j.d ~= d then",
			"if j.s ~= 'queued' then")),
		"a lease entry stays": quiet(without("call('ZREM', P .. 'lease', unpack(gone))")),
	}
}

// known are seeds that are red without a rule. They are tried first: a world costs a second and more.
var known = map[string]uint64{
	"a queue goes with a job in it": 8, "a list nobody knows": 17,
	"a batch ends early": 2, "a changed one has no ticket": 24, "a failure is nothing": 6,
	"a list isn't trimmed": 1, "a slot leaks": 2, "a start costs no token": 2, "callbacks not rewound": 3,
	"cancel loses": 15, "cancel loses, short": 14, "goes too early": 2, "goes unreleased": 3,
	"never enters again": 5, "no claim numbers": 5, "no end, in short": 2, "no fence": 12,
	"no fence, in short": 26, "no hiding": 1, "no kill clock": 16, "no memo": 1, "no numbers of lists": 6,
	"no rearming": 13, "no slots": 2, "no taking over": 1, "no wake": 2, "rearmed in full": 3,
	"starts without a token": 2, "taken over unseen": 4, "the batch isn't kept": 2, "the dead keep it": 1,
	"users dropped": 1, "strangers dropped": 9, "strangers by length": 9,
}

// TestSimulationNotices leaves out one rule at a time and wants a violation.
func TestSimulationNotices(t *testing.T) {
	t.Parallel()
	for name, r := range mutants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prefix := redistest.Prefix(t)
			r.calm = 120_000 // with all rules the slowest world needs 110,000
			for i := range uint64(30) {
				seed := (known[name] + i) % 60
				if s := world(t, seed, fmt.Sprintf("%s-%d", prefix, seed), r); len(s.violations) > 0 {
					t.Logf("seed %d: %s", seed, s.violations[0])
					return
				}
			}
			t.Error("30 worlds without this rule and nobody noticed")
		})
	}
}
