package answer

import "time"

// A LimitMatch says which jobs a limit is for. Each is a name, or some with *; what isn't there matches all.
type LimitMatch struct {
	Type   string `json:"type,omitempty" doc:"of the jobs, as image.*"`
	Queue  string `json:"queue,omitempty" doc:"that they wait in, as mailers; or by lane and priority, as io-default or cpu-*, with :mailers behind of one that is not the default"`
	Tenant string `json:"tenant,omitempty" doc:"whose they are; only in a limit of the whole installation"`
	Key    string `json:"key,omitempty" doc:"their limit_key; only with concurrency or rate"`
}

// A LimitRate is how often jobs may start.
type LimitRate struct {
	N     int64  `json:"n" minimum:"1" maximum:"1000000" doc:"starts"`
	Per   string `json:"per" doc:"in this time, a duration from 1s to 24h"`
	Burst int64  `json:"burst,omitempty" minimum:"1" maximum:"1000000" doc:"of them at once, after a while without any; 1 by default: then there is per/n between two starts at least"`
}

// A LimitSpec says how much may wait: the body of PUT /v1/limits/{name}.
type LimitSpec struct {
	Match LimitMatch `json:"match,omitzero" doc:"which jobs it is for; all, if nothing is said"`
	Per   []string   `json:"per,omitempty" enum:"type,tenant,key" doc:"each type, tenant or limit_key, or each of their combinations, has the limit for itself; a job without a key is none of a limit per key"`
	Depth int64      `json:"depth,omitempty" minimum:"1" doc:"as many of these jobs may wait for a worker; beyond it new ones are refused with queue_full"`
	// Concurrency bounds what runs, not what waits.
	Concurrency int64      `json:"concurrency,omitempty" minimum:"1" maximum:"1000000" doc:"as many of these jobs may run at once; others wait for their end"`
	Keep        string     `json:"keep,omitempty" enum:"run,end" doc:"with concurrency: a job counts while it runs, which is the default, or until its end, also between two attempts"`
	Rate        *LimitRate `json:"rate,omitempty" doc:"as many of these jobs may start in a time; others wait for their turn. Each run counts, also those of retries"`
	Age         string     `json:"age,omitempty" doc:"a duration: while a job of the same queue has waited longer for a worker, new ones are refused with queue_full"`
}

// A Limit bounds what may wait.
type Limit struct {
	Name   string `json:"name"`
	Tenant string `json:"tenant,omitempty" doc:"whose it is; none: the installation's"`
	Rev    int64  `json:"rev" doc:"grows with each change of any limit, and never begins anew"`
	LimitSpec
	Waiting  *int64 `json:"waiting,omitempty" doc:"with depth: how many wait now, of the type and tenant with the most"`
	OldestMS *int64 `json:"oldest_ms,omitempty" doc:"with age: how long the oldest has waited"`

	ChangedBy string    `json:"changed_by"`
	ChangedAt time.Time `json:"changed_at"`
}

// LimitList is the answer to GET /v1/limits.
type LimitList struct {
	Limits []Limit `json:"limits"`
}
