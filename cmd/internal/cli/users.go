package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"longshore/internal/access"
	"longshore/internal/printable"
)

// People are those who may log in, where Redis has them. A link is the last part of an address by which one
// sets a password.
type People interface {
	AddUser(context.Context, access.User) (made access.User, link string, err error)
	NewLink(ctx context.Context, name string, reset bool) (u access.User, link string, err error)
	SetRole(ctx context.Context, name string, role access.Role) error
	Disable(ctx context.Context, name string, disabled bool) error
	RemoveUser(ctx context.Context, name string) error
	Users(context.Context) ([]access.User, error)
	// PublicURL is where their web processes are reached; "" = not known yet.
	PublicURL(context.Context) (string, error)
}

// withUsers works on Redis itself: who can do that may do all.
func (p *CLI) withUsers(do func(People) error) error {
	s, err := p.Settings()
	if err != nil {
		return err
	}
	if !s.Redis.URL.IsSet() {
		return Usage("people are kept at REDIS_URL, which isn't set")
	}
	return p.inside(func(in Within) error { return in.People(s, do) })
}

func (p *CLI) usersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "users",
		Short: "Say who may log in at /ui/login, at REDIS_URL",
		Long: "Say who may log in at /ui/login. It works on Redis itself, at REDIS_URL, so nobody is needed\n" +
			"to let the first one in. Each web process knows of a change within seconds.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Usage()
			return Usage("a command is missing")
		},
	}
	cmd.AddCommand(p.addUserCommand(), p.listUsersCommand(), p.linkUserCommand(), p.resetUserCommand(),
		p.roleUserCommand(), p.disableUserCommand(true), p.disableUserCommand(false), p.removeUserCommand())
	return cmd
}

func (p *CLI) addUserCommand() *cobra.Command {
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
			return p.withUsers(func(at People) error {
				made, link, err := at.AddUser(cmd.Context(), u)
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

func (p *CLI) linkUserCommand() *cobra.Command {
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

func (p *CLI) resetUserCommand() *cobra.Command {
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

func (p *CLI) newLink(ctx context.Context, name string, reset bool) error {
	return p.withUsers(func(at People) error {
		u, link, err := at.NewLink(ctx, name, reset)
		if err != nil {
			return err
		}
		return p.printLink(ctx, at, u, link)
	})
}

func (p *CLI) roleUserCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "role USER ROLE",
		Short:   "Give a person another role: viewer, operator or admin",
		Example: "  enqueue users role bob@example.com operator",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withUsers(func(at People) error {
				return at.SetRole(cmd.Context(), args[0], access.Role(args[1]))
			})
		},
	}
}

func (p *CLI) disableUserCommand(disabled bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "disable USER",
		Short:   "Let a person log in no more; sessions, and the tokens that the person made, end within seconds",
		Example: "  enqueue users disable bob@example.com",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withUsers(func(at People) error {
				return at.Disable(cmd.Context(), args[0], disabled)
			})
		},
	}
	if !disabled {
		cmd.Use, cmd.Short, cmd.Example = "enable USER", "Let a person log in again",
			"  enqueue users enable bob@example.com"
	}
	return cmd
}

func (p *CLI) removeUserCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "rm USER",
		Short:   "Forget a person; sessions, and the tokens that the person made, end within seconds",
		Example: "  enqueue users rm bob@example.com",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withUsers(func(at People) error {
				return at.RemoveUser(cmd.Context(), args[0])
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
func (p *CLI) printLink(ctx context.Context, at People, u access.User, link string) error {
	base, err := at.PublicURL(ctx)
	if err != nil {
		return err
	}
	if base == "" {
		p.Say("no web process has run with PUBLIC_URL yet: put its address before the link")
	}
	link = strings.TrimSuffix(base, "/") + "/ui/login/register?link=" + link
	if p.format != "text" {
		s := showUser(u)
		s.Link = link
		return p.PrintJSON(s)
	}
	p.Say("a link for %s, good for one hour and for one use", u.Email)
	return p.write([]byte(link + "\n"))
}

func (p *CLI) listUsersCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Short:   "List the people who may log in",
		Example: "  enqueue users ls --format jsonl | jq 'select(.state == \"invited\")'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withUsers(func(at People) error {
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

func (p *CLI) printUsers(users []shownUser) error {
	return showList(p, users, func(t *tabwriter.Writer) {
		fmt.Fprintln(t, "ID\tE-MAIL\tROLE\tTENANT\tSTATE\tLOGIN\tLAST LOGIN")
		for _, u := range users {
			printable.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", u.ID, u.Email, u.Role, u.Tenant, u.State,
				strings.Join(u.Login, ","), day(u.LoginAt))
		}
	})
}
