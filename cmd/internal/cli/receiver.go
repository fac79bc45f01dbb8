package cli

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"longshore/internal/receiver"
)

// A receiverKeys is what one receiver of callbacks verifies with: either will do.
type receiverKeys struct {
	Origin    string `json:"origin"`
	Secret    string `json:"secret"`
	PublicKey string `json:"public_key"`
}

func (p *CLI) secretCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "callback-secret URL",
		Short: "Print what the receiver of a callback URL verifies with",
		Long: "Print the secret (signature v1) and the public key (signature v1a) of the receiver of a\n" +
			"callback URL, derived from CALLBACK_KEY: the same for all URLs of one scheme, host and port.\n" +
			"While CALLBACK_KEY holds two keys there is a line for each, the new one first.",
		Example: "  CALLBACK_KEY=… enqueue callback-secret https://app.example.com/hooks/longshore",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := p.Settings()
			if err != nil {
				return err
			}
			keys := s.Jobs.CallbackKeys()
			if len(keys) == 0 {
				return Misconfigured(
					errors.New("CALLBACK_KEY is not set: receivers' secrets are derived from it"))
			}
			u, err := url.Parse(args[0])
			if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				return Usage("%q is no http or https URL", args[0])
			}
			var list []receiverKeys
			for _, key := range keys {
				c, err := receiver.Derive(key, receiver.Receiver{Origin: receiver.OriginOf(u)})
				if err != nil {
					return err
				}
				list = append(list, receiverKeys{receiver.OriginOf(u), c.SecretText(), c.PublicKeyText()})
			}
			return p.printReceivers(list)
		},
	}
}

func (p *CLI) printReceivers(list []receiverKeys) error {
	switch p.format {
	case "json":
		return p.PrintJSON(list)
	case "jsonl":
		return printLines(p, list)
	}
	var b bytes.Buffer
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ORIGIN\tSECRET\tPUBLIC KEY")
	for _, r := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\n", r.Origin, r.Secret, r.PublicKey)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return p.write(b.Bytes())
}
