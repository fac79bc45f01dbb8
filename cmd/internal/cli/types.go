package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"longshore/client"
	"longshore/internal/printable"
)

func (p *CLI) typesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "types [TYPE…]",
		Short: "List the kinds of work that the server accepts",
		Long: "List the kinds of work that the server accepts, and the parameters of each: the fields\n" +
			"of its payload, as --set name=value takes them. With TYPE only those.",
		Example: "  enqueue types log.analyze\n" +
			"  enqueue types --format json | jq '.[].schema'",
		RunE: func(cmd *cobra.Command, args []string) error {
			var types []client.TypeInfo
			err := p.with(cmd.Context(), func(at Installation) (err error) {
				types, err = at.Types(cmd.Context())
				return err
			})
			if err != nil {
				return err
			}
			for _, name := range args {
				if !slices.ContainsFunc(types, func(t client.TypeInfo) bool { return t.Type == name }) {
					return &exit{ExitNotFound,
						fmt.Errorf("there is no type %q; enqueue types lists those there are", name)}
				}
			}
			if len(args) > 0 {
				types = slices.DeleteFunc(types, func(t client.TypeInfo) bool {
					return !slices.Contains(args, t.Type)
				})
			}
			return p.printTypes(types)
		},
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, _ []string, begin string) ([]cobra.Completion,
		cobra.ShellCompDirective) {
		return p.typeNames(cmd.Context(), begin), cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

func (p *CLI) printTypes(types []client.TypeInfo) error {
	return showList(p, types, func(table *tabwriter.Writer) {
		fmt.Fprintln(table, "TYPE\tLANE\tINPUT\tTIMEOUT\tATTEMPTS\tWHAT IT MAKES")
		for _, t := range types {
			printable.Fprintf(table, "%s\t%s\t%s\t%v\t%d\t%s\n", t.Type, t.Lane, t.Input,
				time.Duration(t.TimeoutMS)*time.Millisecond, t.MaxAttempts, t.Doc)
		}
		for _, t := range types {
			if rows := parameters(t.Schema); rows != nil {
				printable.Fprintf(table, "\n%s\n", t.Type)
				for _, row := range rows {
					printable.Fprintf(table, "  %s\t%s\t%s\n", row.name, row.rule, row.doc)
				}
			}
		}
	})
}

// A parameter is one field of a payload.
type parameter struct {
	name string
	rule string // its type, limits and default
	doc  string
}

// A schema is the part of JSON Schema that payloads use.
type schema struct {
	Type        any // a name, or several
	Description string
	Default     json.RawMessage
	Enum        []any
	Minimum     *json.Number
	Maximum     *json.Number
	MinLength   *int
	MaxLength   *int
	MinItems    *int
	MaxItems    *int
	Pattern     string
	Items       *schema
	Properties  map[string]*schema
	Required    []string
}

// parameters are the fields of a payload by its schema, sorted by name.
func parameters(text []byte) []parameter {
	var s schema
	if json.Unmarshal(text, &s) != nil {
		return nil // of a newer server
	}
	var rows []parameter
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		rows = append(rows, s.Properties[name].rows(name, slices.Contains(s.Required, name))...)
	}
	return rows
}

// rows are those of one field, and of the fields of the objects in it.
func (s *schema) rows(name string, required bool) []parameter {
	rule := s.rule()
	switch {
	case len(s.Default) > 0:
		rule += ", default " + strings.Trim(string(s.Default), `"`)
	case required:
		rule += ", required"
	}
	rows := []parameter{{name, rule, s.Description}}
	inner, path := s, name
	if s.Items != nil {
		inner, path = s.Items, name+"[]"
	}
	for _, field := range slices.Sorted(maps.Keys(inner.Properties)) {
		rows = append(rows, inner.Properties[field].rows(path+"."+field,
			slices.Contains(inner.Required, field))...)
	}
	return rows
}

// rule is "integer, 1 to 9" or "list of a, b, 1 or more".
func (s *schema) rule() string {
	var parts []string
	switch {
	case s.Items != nil:
		parts = append(parts, "list of "+s.Items.rule())
	case len(s.Enum) > 0:
		var words []string
		for _, v := range s.Enum {
			words = append(words, fmt.Sprint(v))
		}
		parts = append(parts, strings.Join(words, "|"))
	default:
		parts = append(parts, s.kind())
	}
	if s.Minimum != nil || s.Maximum != nil {
		parts = append(parts, span(s.Minimum, s.Maximum, ""))
	}
	if s.MinLength != nil || s.MaxLength != nil {
		parts = append(parts, span(s.MinLength, s.MaxLength, " characters"))
	}
	if s.MinItems != nil || s.MaxItems != nil {
		parts = append(parts, span(s.MinItems, s.MaxItems, " of them"))
	}
	if s.Pattern != "" {
		parts = append(parts, "like "+s.Pattern)
	}
	return strings.Join(parts, ", ")
}

// kind is the name of the type; null among others says nothing new.
func (s *schema) kind() string {
	switch t := s.Type.(type) {
	case string:
		return t
	case []any:
		for _, one := range t {
			if one != "null" {
				return fmt.Sprint(one)
			}
		}
	}
	return "any"
}

func span[N int | json.Number](low, high *N, of string) string {
	switch {
	case low == nil:
		return fmt.Sprintf("up to %v%s", *high, of)
	case high == nil:
		return fmt.Sprintf("%v or more%s", *low, of)
	default:
		return fmt.Sprintf("%v to %v%s", *low, *high, of)
	}
}
