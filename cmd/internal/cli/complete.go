package cli

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"longshore/internal/printable"
	"longshore/job"
)

// completeTimeout is how long a shell may wait for its Tab.
const completeTimeout = 2 * time.Second

// typeNames are the types that the server knows, with what they are for; none
// if it can't be reached.
func (p *CLI) typeNames(ctx context.Context, begin string) []cobra.Completion {
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	var names []cobra.Completion
	err := p.with(ctx, func(at Installation) error {
		types, err := at.Types(ctx)
		for _, t := range types {
			if strings.HasPrefix(t.Type, begin) && typeName.MatchString(t.Type) {
				names = append(names, cobra.CompletionWithDesc(t.Type, printable.Line(t.Doc)))
			}
		}
		return err
	})
	if err != nil {
		return nil
	}
	return names
}

// typeName is what a shell may be given: it expands other characters.
var typeName = regexp.MustCompile(`^[a-z0-9._-]+$`)

// completeSubmit completes TYPE, and leaves FILE to the shell.
func (p *CLI) completeSubmit(cmd *cobra.Command, args []string,
	begin string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return p.typeNames(cmd.Context(), begin), cobra.ShellCompDirectiveNoFileComp
}

// completeType completes a flag that takes a type.
func (p *CLI) completeType(cmd *cobra.Command, flag string) {
	p.completeFlag(cmd, flag, p.typeNames)
}

// completeState completes a flag that takes a state.
func (p *CLI) completeState(cmd *cobra.Command, flag string) {
	p.completeFlag(cmd, flag, func(_ context.Context, begin string) []cobra.Completion {
		var names []cobra.Completion
		for _, s := range job.States {
			if strings.HasPrefix(string(s), begin) {
				names = append(names, string(s))
			}
		}
		return names
	})
}

func (p *CLI) completeFlag(cmd *cobra.Command, flag string,
	names func(context.Context, string) []cobra.Completion) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string,
		begin string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return names(cmd.Context(), begin), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // there is no such flag
	}
}

// completeID keeps the shell from offering files where an id is due.
func completeID(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}
