package access

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A Role is what a person may do, in one tenant or in the whole installation.
type Role string

// The roles. docs/access.md says what each gives.
const (
	Viewer        Role = "viewer"
	Operator      Role = "operator"
	Administrator Role = "admin"
)

// Roles are all roles, from the one that may least.
func Roles() []Role { return []Role{Viewer, Operator, Administrator} }

// Scopes are what a role gives.
func (r Role) Scopes() Scope {
	const views = JobsRead | JobsAll | JobsLogs | Numbers
	switch r {
	case Viewer:
		return views
	case Operator:
		return views | JobsSubmit | JobsCancel | Operate
	case Administrator:
		return all
	}
	return 0
}

// ValidRole reports whether there is such a role.
func ValidRole(r Role) bool { return slices.Contains(Roles(), r) }

// How long a person's session lasts.
const (
	SessionIdle = 12 * time.Hour
	SessionLife = 7 * 24 * time.Hour
	// FreshLogin is how old a login may be for what admins do.
	FreshLogin = 15 * time.Minute
)

// A User is a person who may log in.
type User struct {
	ID       string    `json:"id"`
	Email    string    `json:"email"` // as FoldEmail writes it
	Tenant   string    `json:"tenant"`
	Role     Role      `json:"role"`
	Disabled bool      `json:"disabled,omitempty"`
	Created  time.Time `json:"created"`
	By       string    `json:"created_by"`
	Seen     time.Time `json:"seen,omitzero"` // logged in last
	// Since counts what ended all sessions of the user. One that began before counts no more.
	Since    int       `json:"since"`
	Password string    `json:"password,omitempty"` // argon2id, as PHC writes it; "" = none
	TOTP     string    `json:"totp,omitempty"`     // the sealed secret; "" = none
	Recovery []string  `json:"recovery,omitempty"` // SHA-256 of codes that are left
	Handle   string    `json:"handle"`             // what authenticators know the user by
	Passkeys []Passkey `json:"passkeys,omitempty"`
	// Identities are who the user is to other issuers.
	Identities []Identity `json:"identities,omitempty"`
}

// A Passkey is one of a user's.
type Passkey struct {
	ID      string    `json:"id"` // of the credential, base64url
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used,omitzero"`
	Record  []byte    `json:"record"` // the public key and what goes with it
}

// An Identity is who a user is to an issuer. An e-mail address is none: it may be another's later.
type Identity struct {
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

// Invited reports whether a user has never had a way to log in, so that a link is still open.
func (u *User) Invited() bool {
	return u.Password == "" && len(u.Passkeys) == 0 && len(u.Identities) == 0
}

// A Session is a person's, in one browser.
type Session struct {
	ID      string    `json:"-"` // what stands for the cookie in Redis and in lists
	User    string    `json:"user"`
	Since   int       `json:"since"`   // User.Since when it began
	Created time.Time `json:"created"` // login
	Proved  time.Time `json:"proved"`  // when the person proved who it is for the last time
	Ends    time.Time `json:"ends"`
	How     []string  `json:"how"` // pwd, otp, rec, hwk, oidc
	Address string    `json:"address,omitempty"`
	Agent   string    `json:"agent,omitempty"`
}

// Fresh reports whether the person has proved lately who it is.
func (s *Session) Fresh(now time.Time) bool { return now.Sub(s.Proved) < FreshLogin }

// Principal returns who has a session, or why it counts no more.
func (u *User) Principal(s *Session, now time.Time) (*Principal, error) {
	switch {
	case u == nil || u.ID != s.User || u.Disabled || u.Since != s.Since:
		return nil, ErrRevoked
	case !now.Before(s.Ends):
		return nil, ErrExpired
	}
	return &Principal{Kind: KindSession, ID: u.ID, Tenant: u.Tenant, Scopes: u.Role.Scopes() | Known,
		Expires: s.Ends, Session: s, Age: s.Since}, nil
}

// maxEmail is that of a path in SMTP.
const maxEmail = 254

// FoldEmail returns an address in the one form in which we keep it; "" = it is none.
func FoldEmail(text string) string {
	text = strings.ToLower(strings.TrimSpace(text))
	local, domain, ok := strings.Cut(text, "@")
	if !ok || local == "" || !strings.Contains(domain, ".") && domain != "localhost" ||
		len(text) > maxEmail ||
		!utf8.ValidString(text) || plain(text) != text || strings.ContainsAny(text, " <>()[]\\,;:\"'") ||
		strings.Contains(domain, "@") || strings.HasPrefix(domain, ".") || strings.HasSuffix(domain, ".") {
		return ""
	}
	return text
}

// Plain is text without what steers a terminal, and not longer than most characters.
func Plain(text string, most int) string {
	text = plain(strings.ToValidUTF8(text, ""))
	if r := []rune(text); len(r) > most {
		text = string(r[:most])
	}
	return text
}
