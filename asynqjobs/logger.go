package asynqjobs

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/hibiken/asynq"
)

// A logger leaves out what asynq's server says of the Redis that it doesn't have: it has nobody to hear
// cancelations from, for ours come with the run's context.
type logger struct{ asynq.Logger }

func (l logger) Error(args ...any) {
	if len(args) > 0 {
		if text, ok := args[0].(string); ok && strings.HasPrefix(text, "cannot subscribe to cancelation") {
			return
		}
	}
	l.Logger.Error(args...)
}

func orDefault(l asynq.Logger) asynq.Logger {
	if l == nil {
		return toSlog{}
	}
	return l
}

// toSlog is the logger of a program that names none.
type toSlog struct{}

func (toSlog) Debug(args ...any) { say(slog.LevelDebug, args) }
func (toSlog) Info(args ...any)  { say(slog.LevelDebug, args) } // of asynq's server, not of the program
func (toSlog) Warn(args ...any)  { say(slog.LevelWarn, args) }
func (toSlog) Error(args ...any) { say(slog.LevelError, args) }
func (toSlog) Fatal(args ...any) { say(slog.LevelError, args); os.Exit(1) }

func say(level slog.Level, args []any) {
	slog.Default().Log(context.Background(), level, "asynq says", "text", fmt.Sprint(args...))
}
