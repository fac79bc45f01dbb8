package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"longshore/client"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/printable"
)

// A Keyring is where API keys are kept: with a server, or in Redis itself.
type Keyring interface {
	Keys(ctx context.Context) ([]client.APIKey, error)
	CreateKey(ctx context.Context, k client.NewKey) (client.APIKey, error)
	RotateKey(ctx context.Context, id, keep string) (client.APIKey, error)
	DeleteKey(ctx context.Context, id string) error
}

var _ Keyring = (*client.Client)(nil)

// withKeys finds the keyring that the settings mean.
func (p *CLI) withKeys(do func(Keyring) error) error {
	s, err := p.Settings()
	if err != nil {
		return err
	}
	if s.URL != "" {
		c, err := p.connect(s)
		if err != nil {
			return err
		}
		return errors.Join(do(c), overHTTP{c}.Close())
	}
	return p.inside(func(in Within) error { return in.Keys(s, do) })
}

func (p *CLI) keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make, list, rotate and delete API keys",
		Long: "Make, list, rotate and delete API keys: at the server that LONGSHORE_URL names, or where\n" +
			"only REDIS_URL is set in Redis itself. Each web process knows of a change within seconds.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Usage()
			return Usage("a command is missing")
		},
	}
	cmd.AddCommand(p.addKeyCommand(), p.listKeysCommand(), p.rotateKeyCommand(), p.removeKeyCommand())
	return cmd
}

func (p *CLI) addKeyCommand() *cobra.Command {
	var k client.NewKey
	var expires duration
	var rate string
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Make an API key and print it; it is shown only now",
		Long: "Make an API key and print it: nobody can show it again. Without --scope it may submit,\n" +
			"read and cancel jobs.",
		Example: "  enqueue keys add web-shop --type 'image.*' --expires 8760h\n" +
			"  enqueue keys add grafana --scope numbers --tenant '*' --rate 60/1m",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			k.Name = args[0]
			if expires > 0 {
				at := time.Now().Add(time.Duration(expires)).UTC().Truncate(time.Second)
				k.ExpiresAt = &at
			}
			if k.Rate, err = parseRate(rate); err != nil {
				return err
			}
			return p.withKeys(func(at Keyring) error {
				made, err := at.CreateKey(cmd.Context(), k)
				if err != nil {
					return err
				}
				return p.printKey(made)
			})
		},
	}
	cmd.Flags().StringSliceVar(&k.Scopes, "scope", []string{"jobs:submit", "jobs:read", "jobs:cancel"},
		"what it may do; more than one by commas: "+strings.Join(access.ScopeNames(), ", "))
	cmd.Flags().StringSliceVar(&k.Types, "type", nil,
		"only submit jobs of this type, or pattern of types; more than one by commas")
	cmd.Flags().StringVar(&k.Tenant, "tenant", access.DefaultTenant,
		"whose jobs it is for: a name, or * for the whole installation")
	cmd.Flags().StringVar(&k.Subject, "subject", "",
		"the app's own name of a user: jobs are that user's, and without scope jobs:all no others are seen")
	cmd.Flags().Var(&expires, "expires", "it ends after this time, as 8760h; 0s = never")
	cmd.Flags().StringVar(&rate, "rate", "",
		"at most so many requests in a time, as 600/1m; 600/1m/50: 50 of them at once")
	return cmd
}

// parseRate reads N/TIME or N/TIME/BURST.
func parseRate(text string) (*client.Rate, error) {
	if text == "" {
		return nil, nil
	}
	parts := strings.Split(text, "/")
	if len(parts) == 2 {
		parts = append(parts, parts[0])
	}
	var r client.Rate
	if len(parts) == 3 {
		n, err := httpapi.ParseCount(parts[0])
		burst, err2 := httpapi.ParseCount(parts[2])
		if err == nil && err2 == nil {
			r = client.Rate{N: n, Per: parts[1], Burst: burst}
			return &r, nil
		}
	}
	return nil, Usage("--rate: expected as 600/1m or 600/1m/50")
}

func (p *CLI) listKeysCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Short:   "List the API keys",
		Example: "  enqueue keys ls --format jsonl | jq 'select(.last_used_at == null)'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withKeys(func(at Keyring) error {
				keys, err := at.Keys(cmd.Context())
				if err != nil {
					return err
				}
				return p.printKeys(keys)
			})
		},
	}
}

func (p *CLI) rotateKeyCommand() *cobra.Command {
	keep := ""
	cmd := &cobra.Command{
		Use:     "rotate ID",
		Short:   "Give a key another secret and print it",
		Long:    "Give a key another secret and print it. The one before ends at once, or after --keep.",
		Example: "  enqueue keys rotate 7Gq2mXw0aBcD --keep 24h",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withKeys(func(at Keyring) error {
				rotated, err := at.RotateKey(cmd.Context(), args[0], keep)
				if err != nil {
					return err
				}
				return p.printKey(rotated)
			})
		},
	}
	cmd.Flags().StringVar(&keep, "keep", "", "how long the secret before stays good, as 24h (at most 720h)")
	return cmd
}

func (p *CLI) removeKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "rm ID",
		Short:   "Delete a key; it and the tokens that it made end within seconds",
		Example: "  enqueue keys rm 7Gq2mXw0aBcD",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withKeys(func(at Keyring) error { return at.DeleteKey(cmd.Context(), args[0]) })
		},
	}
}

// printKey prints a key that was just made: in text only the key, for scripts.
func (p *CLI) printKey(k client.APIKey) error {
	if p.format == "text" {
		p.Say("key %s of %s: keep it, it is not shown again", k.ID, k.Name)
		return p.write([]byte(k.Key + "\n"))
	}
	return p.PrintJSON(k)
}

func (p *CLI) printKeys(keys []client.APIKey) error {
	return showList(p, keys, func(t *tabwriter.Writer) {
		fmt.Fprintln(t, "ID\tNAME\tTENANT\tSCOPES\tTYPES\tRATE\tEXPIRES\tLAST USED")
		for _, k := range keys {
			rate := "-"
			if k.Rate != nil {
				rate = fmt.Sprintf("%d/%s/%d", k.Rate.N, k.Rate.Per, k.Rate.Burst)
			}
			types := "all"
			if len(k.Types) > 0 {
				types = strings.Join(k.Types, ",")
			}
			printable.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, k.Tenant,
				strings.Join(k.Scopes, ","), types, rate, day(k.ExpiresAt), day(k.LastUsedAt))
		}
	})
}

func day(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04")
}
