// Command function.wasm counts the lines of a log by their level and keeps the errors: a
// WebAssembly module, which sees nothing but its job.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var payload struct {
		Levels []string `json:"levels"`
	}
	text, err := os.ReadFile(os.Getenv("LONGSHORE_PAYLOAD"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &payload); err != nil {
		return err
	}
	if len(payload.Levels) == 0 {
		payload.Levels = []string{"ERROR", "WARN", "INFO"}
	}
	errors, err := os.Create(os.Getenv("LONGSHORE_OUT") + "/" + strings.ToLower(payload.Levels[0]) + ".log")
	if err != nil {
		return err
	}
	out := bufio.NewWriter(errors)
	counts, lines := map[string]int{}, 0
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		lines++
		for i, level := range payload.Levels {
			if !strings.Contains(in.Text(), level) {
				continue
			}
			counts[level]++
			if i == 0 {
				fmt.Fprintln(out, in.Text())
			}
			break
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"lines": lines, "levels": counts})
}
