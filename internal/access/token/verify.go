package token

import (
	"context"
	"time"

	"longshore/internal/access"
)

// A Verifier reads tokens of ours, and of another issuer if there is one.
type Verifier struct {
	Own     *Own
	Foreign *Foreign // nil = none is trusted
}

// Verify returns whom a token names. late lets one of ours pass that has expired, this long
// ago at most. The errors are those of package access.
func (v Verifier) Verify(ctx context.Context, text string, late time.Duration) (*access.Principal, error) {
	t, err := read(text)
	if err != nil {
		return nil, err
	}
	switch {
	case access.LooksLikeToken(text):
		return v.Own.verify(ctx, text, t, late)
	case v.Foreign == nil:
		return nil, errForm("of another issuer")
	}
	return v.Foreign.verify(ctx, text, t)
}
