package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"longshore/internal/access"
	"longshore/internal/access/store"
	"longshore/internal/printable"
	"longshore/internal/redisdb"
)

// withUsers works on Redis itself: who can do that may do all.
func (p *cli) withUsers(do func(*store.Store, store.Actor) error) error {
	s, err := p.settings()
	if err != nil {
		return err
	}
	if !s.Redis.URL.IsSet() {
		return usage("people are kept at REDIS_URL, which isn't set")
	}
	rdb, err := redisdb.Open(redisdb.Config{URL: s.Redis.URL.Reveal(), TLSInsecure: s.Redis.TLSInsecure,
		MaxConnections: s.Redis.MaxConnections})
	if err != nil {
		return misconfigured(fmt.Errorf("REDIS_URL: %w", err))
	}
	err = do(store.New(rdb, s.Redis.Prefix), store.Local(nil))
	if errors.Is(err, store.ErrNoUser) {
		err = &exit{exitNotFound, err}
	}
	if errors.Is(err, store.ErrTaken) {
		err = usage("%w", err)
	}
	return errors.Join(unconnected(localError(err)), rdb.Close())
}

func (p *cli) usersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "users",
		Short: "Say who may log in at /ui/login, at REDIS_URL",
		Long: "Say who may log in at /ui/login. It works on Redis itself, at REDIS_URL, so nobody is needed\n" +
			"to let the first one in. Each web process knows of a change within seconds.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Usage()
			return usage("a command is missing")
		},
	}
	cmd.AddCommand(p.addUserCommand(), p.listUsersCommand(), p.linkUserCommand(), p.resetUserCommand(),
		p.roleUserCommand(), p.disableUserCommand(true), p.disableUserCommand(false), p.removeUserCommand())
	return cmd
}

func (p *cli) addUserCommand() *cobra.Command {
	var role string
	var admin bool
	u := access.User{}
	cmd := &cobra.Command{
		Use:   "add E-MAIL",
		Short: "Make a person known, and print a link of one hour by which the person sets a password",
		Example: "  enqueue users add --admin ada@example.com\n" +
			"  enqueue users add --role operator --tenant default bob@example.com",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			u.Email, u.Role = args[0], access.Role(role)
			if admin {
				u.Role, u.Tenant = access.Administrator, access.Installation
			}
			return p.withUsers(func(at *store.Store, by store.Actor) error {
				made, link, err := at.AddUser(cmd.Context(), by, u)
				if err != nil {
					return err
				}
				return p.printLink(cmd.Context(), at, made, link)
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", string(access.Viewer),
		"what the person may do: viewer, operator or admin")
	cmd.Flags().StringVar(&u.Tenant, "tenant", access.DefaultTenant,
		"default, or * for the whole installation")
	cmd.Flags().BoolVar(&admin, "admin", false, "short for --role admin --tenant '*'")
	return cmd
}

func (p *cli) linkUserCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "link USER",
		Short:   "Print another link for a person who has never logged in",
		Example: "  enqueue users link ada@example.com",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.newLink(cmd.Context(), args[0], false)
		},
	}
}

func (p *cli) resetUserCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reset USER",
		Short: "End all sessions, passwords, codes and passkeys of a person, and print a new link",
		Long: "End all sessions of a person, and the password, codes, passkeys and logins of other issuers, and\n" +
			"print a link of one hour by which the person sets a new password.",
		Example: "  enqueue users reset ada@example.com",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.newLink(cmd.Context(), args[0], true)
		},
	}
}

func (p *cli) newLink(ctx context.Context, name string, reset bool) error {
	return p.withUsers(func(at *store.Store, by store.Actor) error {
		u, link, err := at.NewLink(ctx, by, name, reset)
		if err != nil {
			return err
		}
		return p.printLink(ctx, at, u, link)
	})
}

func (p *cli) roleUserCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "role USER ROLE",
		Short:   "Give a person another role: viewer, operator or admin",
		Example: "  enqueue users role bob@example.com operator",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withUsers(func(at *store.Store, by store.Actor) error {
				_, err := at.SetRole(cmd.Context(), by, args[0], access.Role(args[1]))
				return err
			})
		},
	}
}

func (p *cli) disableUserCommand(disabled bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "disable USER",
		Short:   "Let a person log in no more; sessions, and the tokens that the person made, end within seconds",
		Example: "  enqueue users disable bob@example.com",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withUsers(func(at *store.Store, by store.Actor) error {
				_, err := at.Disable(cmd.Context(), by, args[0], disabled)
				return err
			})
		},
	}
	if !disabled {
		cmd.Use, cmd.Short, cmd.Example = "enable USER", "Let a person log in again",
			"  enqueue users enable bob@example.com"
	}
	return cmd
}

func (p *cli) removeUserCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "rm USER",
		Short:   "Forget a person; sessions, and the tokens that the person made, end within seconds",
		Example: "  enqueue users rm bob@example.com",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withUsers(func(at *store.Store, by store.Actor) error {
				return at.RemoveUser(cmd.Context(), by, args[0])
			})
		},
	}
}

// A shownUser is a person as the command line shows one.
type shownUser struct {
	ID        string     `json:"id"`
	Email     string     `json:"email"`
	Tenant    string     `json:"tenant"`
	Role      string     `json:"role"`
	State     string     `json:"state"` // invited, active or disabled
	Login     []string   `json:"login"` // password, codes, passkey, issuer
	CreatedAt time.Time  `json:"created_at"`
	CreatedBy string     `json:"created_by"`
	LoginAt   *time.Time `json:"login_at,omitempty"`
	Link      string     `json:"link,omitempty"`
}

func showUser(u access.User) shownUser {
	s := shownUser{ID: u.ID, Email: u.Email, Tenant: u.Tenant, Role: string(u.Role), State: "active",
		Login: []string{}, CreatedAt: u.Created, CreatedBy: u.By}
	if !u.Seen.IsZero() {
		s.LoginAt = &u.Seen
	}
	switch {
	case u.Disabled:
		s.State = "disabled"
	case u.Invited():
		s.State = "invited"
	}
	for _, way := range []struct {
		name  string
		there bool
	}{{"password", u.Password != ""}, {"codes", u.TOTP != ""}, {"passkey", len(u.Passkeys) > 0},
		{"issuer", len(u.Identities) > 0}} {
		if way.there {
			s.Login = append(s.Login, way.name)
		}
	}
	return s
}

// printLink prints a link: in text nothing else, for scripts.
func (p *cli) printLink(ctx context.Context, at *store.Store, u access.User, link string) error {
	base, err := at.PublicURL(ctx)
	if err != nil {
		return err
	}
	if base == "" {
		p.say("no web process has run with PUBLIC_URL yet: put its address before the link")
	}
	link = strings.TrimSuffix(base, "/") + "/ui/login/register?link=" + link
	if p.format != "text" {
		s := showUser(u)
		s.Link = link
		return p.printJSON(s)
	}
	p.say("a link for %s, good for one hour and for one use", u.Email)
	return p.write([]byte(link + "\n"))
}

func (p *cli) listUsersCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Short:   "List the people who may log in",
		Example: "  enqueue users ls --format jsonl | jq 'select(.state == \"invited\")'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withUsers(func(at *store.Store, _ store.Actor) error {
				all, err := at.Users(cmd.Context())
				if err != nil {
					return err
				}
				users := make([]shownUser, len(all))
				for i, u := range all {
					users[i] = showUser(u)
				}
				return p.printUsers(users)
			})
		},
	}
}

func (p *cli) printUsers(users []shownUser) error {
	return showList(p, users, func(t *tabwriter.Writer) {
		fmt.Fprintln(t, "ID\tE-MAIL\tROLE\tTENANT\tSTATE\tLOGIN\tLAST LOGIN")
		for _, u := range users {
			printable.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", u.ID, u.Email, u.Role, u.Tenant, u.State,
				strings.Join(u.Login, ","), day(u.LoginAt))
		}
	})
}
