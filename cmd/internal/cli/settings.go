package cli

import (
	"errors"
	"fmt"
	"time"

	"longshore/client"
	"longshore/config"
)

// Settings reads the environment.
func (p *CLI) Settings() (config.Enqueue, error) {
	s, err := config.LoadEnqueue(p.getenv)
	if err != nil {
		return s, Misconfigured(err)
	}
	return s, nil
}

// client returns the client of the server, for commands that need one.
func (p *CLI) client() (*client.Client, error) {
	s, err := p.Settings()
	if err != nil {
		return nil, err
	}
	if s.URL == "" {
		return nil, Misconfigured(
			errors.New(
				"only a server knows this: set LONGSHORE_URL to one (enqueue doctor looks at Redis itself)"))
	}
	return p.connect(s)
}

func (p *CLI) connect(s config.Enqueue) (*client.Client, error) {
	said := "" // once for each kind of trouble
	c, err := client.New(client.Config{
		URL: s.URL, Token: s.Token.Reveal(),
		OnRetry: func(err error, _ time.Duration) {
			if text := err.Error(); text != said {
				p.Say("%s; trying on", text)
				said = text
			}
		},
	})
	if err != nil {
		return nil, Misconfigured(fmt.Errorf("LONGSHORE_URL: %w", err))
	}
	return c, nil
}
