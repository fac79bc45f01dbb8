package main

import (
	"bufio"
	"context"
	"maps"
	"slices"
	"strings"

	"longshore/handlers"
	"longshore/job"
	"longshore/tasks"
)

// words is the payload of words.count. The tags are its schema: what a client
// sends is checked before the job exists.
type words struct {
	Top int `json:"top,omitempty" doc:"how many of the most frequent words" default:"10" minimum:"1" maximum:"100"`
}

// wordsCount reads a stream, so its lane is io: many at once, in this process.
var wordsCount = tasks.Definition[words]{
	Type: "words.count", Doc: "The words of a text, and the most frequent ones.",
	Lane: job.LaneIO, Input: tasks.InputRequired,
}

func countWords(ctx context.Context, run *handlers.Run, p words) (any, error) {
	in, err := run.Input(ctx) // what is read shows as progress
	if err != nil {
		return nil, err
	}
	defer in.Close()
	counts := map[string]int{}
	scan := bufio.NewScanner(in)
	scan.Split(bufio.ScanWords)
	for scan.Scan() {
		counts[strings.ToLower(scan.Text())]++
		run.Records(1)
	}
	if err := scan.Err(); err != nil {
		return nil, err
	}
	top := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	return map[string]any{"words": run.Counts().Records, "different": len(counts),
		"top": top[:min(p.Top, len(top))]}, nil
}
