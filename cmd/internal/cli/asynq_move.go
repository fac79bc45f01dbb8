package cli

import "github.com/spf13/cobra"

// An AsynqMove is what enqueue asynq-move is asked for.
type AsynqMove struct {
	Queues []string
	From   string // a Redis; "" = the installation's
	Follow bool
}

func (p *CLI) asynqMoveCommand() *cobra.Command {
	var m AsynqMove
	cmd := &cobra.Command{
		Use:   "asynq-move",
		Short: "Make jobs of the tasks that wait in asynq's queues, beside its servers",
		Long: "Make jobs of the pending, scheduled and retried tasks in asynq's queues, while its servers run: each\n" +
			"task runs there or as a job, not twice. It needs REDIS_URL, and BLOB_URL as a web process has it. Tasks\n" +
			"that asynq's clients pushed into Longshore's own queues are taken too, whichever queues are named.\n" +
			"A task that can't be a job is named on stderr and stays; the exit code is 1 then. It may be ended at any\n" +
			"time and run again: it goes on. docs/from-asynq.md tells more.",
		Example: "  enqueue asynq-move --queues default,low\n" +
			"  enqueue asynq-move --queues default,low --follow   # while producers of the old kind go on\n" +
			"  enqueue asynq-move --queues default --from redis://old:6379/3",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.needsRedis(); err != nil {
				return err
			}
			return p.inside(func(in Within) error { return in.AsynqMove(cmd.Context(), p, m) })
		},
	}
	cmd.Flags().StringSliceVar(&m.Queues, "queues", nil,
		"asynq's queues, with commas between them: critical, default and low become priorities, others queues of their names")
	cmd.Flags().StringVar(&m.From, "from", "", "the Redis that asynq uses, as REDIS_URL is written; one with a password is for ASYNQ_REDIS_URL. Default: the installation's")
	cmd.Flags().BoolVar(&m.Follow, "follow", false, "go on until interrupted, and take what is enqueued meanwhile")
	return cmd
}
