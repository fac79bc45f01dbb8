package store

import (
	"time"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
)

// KeyInfo is how clients see a key.
func KeyInfo(k access.Key, used time.Time) answer.APIKey {
	info := answer.APIKey{ID: k.ID, Name: k.Name, Tenant: k.Tenant, Subject: k.Subject, Scopes: k.Scopes,
		Types:     k.Types,
		CreatedBy: k.CreatedBy, CreatedAt: k.Created, ExpiresAt: timeOf(k.Expires), LastUsedAt: timeOf(used)}
	if time.Now().Before(k.OldEnds) {
		info.OldEndsAt = timeOf(k.OldEnds)
	}
	if (k.Rate != access.Rate{}) {
		info.Rate = &answer.Rate{N: k.Rate.N, Per: httpapi.FormatDuration(k.Rate.Per), Burst: k.Rate.Burst}
	}
	return info
}

func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// KeyOf reads what a key is to be.
func KeyOf(body answer.NewKey) (access.Key, error) {
	k := access.Key{Name: body.Name, Tenant: body.Tenant, Subject: body.Subject, Scopes: body.Scopes,
		Types: body.Types}
	if k.Tenant == "" {
		k.Tenant = access.DefaultTenant
	}
	if body.ExpiresAt != nil {
		k.Expires = body.ExpiresAt.UTC()
	}
	if body.Rate != nil {
		per, err := httpapi.ParseDuration(body.Rate.Per)
		if err != nil {
			return k, &access.InvalidError{Pointer: "/rate/per", Detail: err.Error()}
		}
		k.Rate = access.Rate{N: body.Rate.N, Per: per, Burst: body.Rate.Burst}
		if (k.Rate == access.Rate{}) {
			k.Rate.Burst = -1 // zeros are no limit by mistake
		}
	}
	return k, nil
}
