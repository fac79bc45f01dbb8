// Command run is a function as AWS Lambda has them, unchanged: it prices an order. It is
// started once and handles one job after the other.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// An Order is the job's payload.
type Order struct {
	Lines []struct {
		Name  string `json:"name"`
		Cents int64  `json:"cents"`
		Count int64  `json:"count"`
	} `json:"lines"`
	Percent int64 `json:"percent"` // off
}

// A Price is the job's result.
type Price struct {
	Cents int64 `json:"cents"`
	Saved int64 `json:"saved"`
}

// LongshoreFail is a failure for good, by its name: no attempt after this one would mend it.
type LongshoreFail struct{ Why string }

func (f LongshoreFail) Error() string { return f.Why }

func price(ctx context.Context, o Order) (p Price, err error) {
	if len(o.Lines) == 0 {
		return p, LongshoreFail{"an order needs a line"}
	}
	for _, l := range o.Lines {
		p.Cents += l.Cents * l.Count
	}
	p.Saved = p.Cents * o.Percent / 100
	p.Cents -= p.Saved
	slog.Info("priced", "lines", len(o.Lines), "cents", p.Cents)
	// What is Longshore's own comes in the client context: here a folder for outputs.
	if lc, ok := lambdacontext.FromContext(ctx); ok && lc.ClientContext.Custom["out"] != "" {
		receipt := fmt.Sprintf("%d lines\ntotal %d.%02d\n", len(o.Lines), p.Cents/100, p.Cents%100)
		err = os.WriteFile(lc.ClientContext.Custom["out"]+"/receipt.txt", []byte(receipt), 0o600)
	}
	return p, err
}

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	lambda.Start(price)
}
