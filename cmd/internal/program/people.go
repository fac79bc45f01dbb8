package program

import (
	"context"
	"net/url"

	"longshore/config"
	"longshore/internal/access/gate"
	"longshore/internal/access/people"
	"longshore/internal/connect"
)

// openPeople lets people log in where PUBLIC_URL says by which address; nil: nobody does.
func openPeople(ctx context.Context, sys *connect.System, h config.HTTP,
	rules *gate.Config) (*people.People, *url.URL, error) {
	if h.Access.Public == "" {
		return nil, nil, nil
	}
	public, err := url.Parse(h.Access.Public)
	if err != nil {
		return nil, nil, err
	}
	p, err := people.New(people.Config{Store: sys.Access, Public: public, Secrets: h.Access.Secrets(),
		Login: people.IssuerConfig{URL: h.Access.OIDCIssuer, ClientID: h.Access.OIDCClient,
			ClientSecret: h.Access.OIDCSecret.Reveal(), Domains: h.Access.OIDCDomains,
			TrustMFA: h.Access.OIDCTrustMFA},
		Log: sys.Log})
	if err != nil {
		return nil, nil, err
	}
	if err := sys.Access.SetPublicURL(ctx, h.Access.Public); err != nil {
		sys.Log.WarnContext(ctx, "the installation's address isn't noted: links name none", "error", err)
	}
	rules.Sessions = p
	return p, public, nil
}
