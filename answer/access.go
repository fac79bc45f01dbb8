package answer

import (
	"encoding/json"
	"time"
)

// An APIKey is what is known of a key. Its secret is told once, in Key, when it is made or
// rotated.
type APIKey struct {
	ID         string     `json:"id"`
	Key        string     `json:"key,omitempty" doc:"the key itself, told once: as Authorization: Bearer"`
	Name       string     `json:"name"`
	Tenant     string     `json:"tenant" doc:"a name, or * for the whole installation"`
	Subject    string     `json:"subject,omitempty" doc:"the app's own name of a user: its jobs are that user's"`
	Scopes     []string   `json:"scopes"`
	Types      []string   `json:"types,omitempty" doc:"patterns of the types that it may submit; none = all"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"`
	Rate       *Rate      `json:"rate,omitempty"`
	CreatedBy  string     `json:"created_by" doc:"id of the key that made it, root, or local for the command line at Redis"`
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty" doc:"to the minute"`
	OldEndsAt  *time.Time `json:"old_ends_at,omitempty" doc:"until when the secret before the last rotation is good"`
}

// A Session is a person's, in one browser.
type Session struct {
	ID        string    `json:"id"`
	Current   bool      `json:"current,omitempty" doc:"the one that asks"`
	CreatedAt time.Time `json:"created_at"`
	ProvedAt  time.Time `json:"proved_at" doc:"when the person proved last who it is"`
	ExpiresAt time.Time `json:"expires_at" doc:"at the latest; sooner without a request"`
	How       []string  `json:"how" doc:"what proved it, as RFC 8176 has it: pwd, otp, hwk, fed; rec is a code for when the app is lost"`
	Address   string    `json:"address,omitempty"`
	Agent     string    `json:"agent,omitempty" doc:"what the browser calls itself"`
}

// A Rate is how many requests a key may make.
type Rate struct {
	N     int    `json:"n" doc:"requests"`
	Per   string `json:"per" doc:"in this time, a duration"`
	Burst int    `json:"burst" doc:"of them at once"`
}

// A NewKey is what a key is to be.
type NewKey struct {
	Name      string     `json:"name" doc:"for people"`
	Tenant    string     `json:"tenant,omitempty" doc:"a name, or * for the whole installation; default by default"`
	Subject   string     `json:"subject,omitempty" doc:"the app's own name of a user: its jobs are that user's, and without jobs:all it sees no others"`
	Scopes    []string   `json:"scopes" doc:"what it may do"`
	Types     []string   `json:"types,omitempty" doc:"patterns of the types that it may submit, as image.*; none = all"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	Rate      *Rate      `json:"rate,omitempty"`
}

// A Token is one that was made for a page.
type Token struct {
	Token     string    `json:"token"`
	ID        string    `json:"id" doc:"by which it is revoked"`
	Job       string    `json:"job,omitempty" doc:"the job that it may submit, by the id that it will have"`
	ExpiresAt time.Time `json:"expires_at"`
}

// A NewToken is what a page's token is to be good for.
type NewToken struct {
	Submit  *SubmitGrant `json:"submit,omitempty" doc:"one job that the page may submit"`
	Jobs    []string     `json:"jobs,omitempty" doc:"jobs that the page may see; at most 100"`
	Subject string       `json:"subject,omitempty" doc:"the app's own name of a user: what the page submits is his, and it sees all of his jobs; not beside jobs"`
	Scopes  []string     `json:"scopes,omitempty" doc:"beside jobs:read, and jobs:submit with submit: jobs:cancel, jobs:logs, jobs:release"`
	TTL     string       `json:"ttl,omitempty" doc:"how long it is good, a duration up to 24h; 15m by default"`
	Origin  string       `json:"origin,omitempty" doc:"whose pages may use it, as https://app.example.com; none = any"`
}

// A SubmitGrant is what a page may submit.
type SubmitGrant struct {
	Types    []string        `json:"types" doc:"types, or patterns of them"`
	MaxBytes int64           `json:"max_bytes" doc:"of the input"`
	Payload  json.RawMessage `json:"payload,omitempty" doc:"the job's payload; none: the page gives it"`
	With     json.RawMessage `json:"with,omitempty" doc:"controls as of POST /v1/jobs, which the page can't set"`
}

// An AuditEntry is one line of the audit log.
type AuditEntry struct {
	ID      string    `json:"id" doc:"place in the log: ?before= goes on from it"`
	Time    time.Time `json:"time"`
	Actor   string    `json:"actor" doc:"id of a key or token, root, local for the command line at Redis"`
	Kind    string    `json:"kind,omitempty" doc:"how the actor showed who it is"`
	Tenant  string    `json:"tenant"`
	Address string    `json:"address,omitempty" doc:"of the client"`
	Action  string    `json:"action" doc:"what was done, as keys.create; of a refusal what was wanted"`
	Target  string    `json:"target,omitempty"`
	Count   int       `json:"count,omitempty" doc:"of refusals: how many in that minute"`
}
