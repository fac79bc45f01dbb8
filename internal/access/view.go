package access

import (
	"crypto/sha256"
	"strings"
	"unicode/utf8"
)

// An Owner is whose a job is. It is set when the job is made and never changes. The zero value
// is nobody in particular, of the usual tenant.
type Owner struct {
	Tenant  string // "" = DefaultTenant
	Subject string // the app's own name of a user; "" = none
}

// OwnerSize is how many bytes the code of an owner has.
const OwnerSize = 12

// Of is the tenant's name.
func (o Owner) Of() string {
	if o.Tenant == "" {
		return DefaultTenant
	}
	return o.Tenant
}

// Usual reports whether nothing about the owner needs to be told.
func (o Owner) Usual() bool { return o.Of() == DefaultTenant && o.Subject == "" }

// Code stands for a subject of a tenant, in OwnerSize bytes; "" where there is no subject.
func (o Owner) Code() string {
	if o.Subject == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(o.Of() + "\x00" + o.Subject))
	return string(sum[:OwnerSize])
}

// A View is which jobs somebody sees. The zero value sees none.
type View struct {
	Tenant  string // Installation = those of all tenants
	Subject string // only this one's; "" = all of the tenant's
}

// Everything sees all jobs: it is for programs that work on Redis itself.
var Everything = View{Tenant: Installation}

// All reports whether the view leaves out nothing.
func (v View) All() bool { return v.Tenant == Installation && v.Subject == "" }

// Code is the code of the one owner whose jobs are seen; "" where it isn't one.
func (v View) Code() string { return Owner(v).Code() }

// Has reports whether an owner's jobs are seen.
func (v View) Has(o Owner) bool {
	return v.All() || v.Tenant != "" && v.Tenant == o.Of() && (v.Subject == "" || v.Subject == o.Subject)
}

// Sees is Has, of a tenant and the code of an owner.
func (v View) Sees(tenant, code string) bool {
	return v.All() || v.Tenant != "" && v.Tenant == tenant && (v.Subject == "" || v.Code() == code)
}

// maxTenant is how long a tenant's name may be, and MaxSubject a subject's, in bytes.
const (
	maxTenant  = 48
	MaxSubject = 200
)

// ValidTenant reports whether a text may be a tenant's name. The installation's is none.
func ValidTenant(name string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	return name != "" && len(name) <= maxTenant && strings.Trim(name, letters+"._-") == "" &&
		strings.IndexByte(letters, name[0]) >= 0
}

// ValidSubject reports whether a text may be a subject.
func ValidSubject(text string) bool {
	return text != "" && len(text) <= MaxSubject && utf8.ValidString(text) && plain(text) == text
}

// View is which jobs the principal sees, by what their records say. A page's token that names
// jobs sees those alone besides.
func (p *Principal) View() View {
	v := View{Tenant: p.Tenant}
	if p.Grant != nil && !p.Grant.All || p.Grant == nil && p.Scopes&JobsAll != 0 {
		return v
	}
	v.Subject = p.Subject
	return v
}
