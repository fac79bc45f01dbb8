package web

import (
	"testing"

	"longshore/internal/access"
	"longshore/internal/web/api"
	"longshore/internal/web/edge"
	"longshore/internal/web/push"
)

// TestOperateScopes has who may use the routes of operators, by their names: a new one is put here on
// purpose.
func TestOperateScopes(t *testing.T) {
	t.Parallel()
	type rule struct {
		scope access.Scope
		wide  bool // of the whole installation
		pages bool // a page's token may, for a job that is its own
	}
	look, act := rule{access.Numbers, true, false}, rule{access.Operate, true, false}
	mine := rule{access.JobsRead, false, false}
	rules := map[string]rule{
		"count-jobs": mine, "failures": mine, "get-stats": mine, "list-operations": mine, "get-operation": mine,
		"get-payload": {access.JobsRead, false, true}, "get-timeline": {access.JobsRead, false, true},
		"get-logs": {access.JobsLogs, false, true},
		"bulk":     {access.Operate, false, false}, "cancel-operation": {access.Operate, false, false},
		"pause-queue": act, "resume-queue": act, "pause-whole-queue": act, "resume-whole-queue": act,
		"pause-type": act, "resume-type": act, "tell-worker": act,
		"list-pauses": look, "list-workers": look, "gone-workers": look, "list-profiles": look,
		"get-profile": {access.Admin, true, false}, "list-alerts": look, "test-alerts": act,
	}
	waiters := push.NewWaiters(nil, 0, 0, 0)
	before := map[string]bool{}
	for _, rt := range routes(Config{}, Deps{}, waiters, t.Context()) {
		before[rt.Op.OperationID] = true
	}
	for _, rt := range routes(Config{}, Deps{Operate: struct{ api.Operator }{},
		Alerts: struct{ api.Alerter }{}}, waiters, t.Context()) {
		name := rt.Op.OperationID
		if before[name] {
			continue
		}
		want, known := rules[name]
		delete(rules, name)
		got := rule{rt.Scope, rt.Wide, rt.Job}
		if !known || got != want || rt.Access != edge.Bearer || !rt.Wide && !rt.Job && !rt.Whole {
			t.Errorf("%s: %+v, want %+v (in the table: %v)", name, got, want, known)
		}
	}
	if len(rules) > 0 {
		t.Errorf("not there: %v", rules)
	}
}
