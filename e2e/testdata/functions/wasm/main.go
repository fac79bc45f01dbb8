// A module for the test of all kinds.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

var kept []byte

func end(code int, why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(code)
}

func main() {
	var p struct{ Do string }
	text, err := os.ReadFile(os.Getenv("LONGSHORE_PAYLOAD"))
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		end(65, err.Error())
	}
	fmt.Fprintln(os.Stderr, "heard", p.Do)
	switch p.Do {
	case "retry":
		if os.Getenv("LONGSHORE_ATTEMPT") == "1" {
			end(75, "not yet")
		}
	case "fail":
		end(65, "never")
	case "memory":
		kept = make([]byte, 400<<20)
		for i := 0; i < len(kept); i += 4096 {
			kept[i] = 1
		}
		time.Sleep(time.Minute)
	case "sleep":
		time.Sleep(time.Minute)
	case "nap":
		time.Sleep(2 * time.Second)
	case "work":
		channel, err := os.OpenFile(os.Getenv("LONGSHORE_CONTROL"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			end(1, err.Error())
		}
		fmt.Fprintln(channel, `{"progress":{"done":1,"total":2,"note":"half"}}`)
		channel.Close()
		time.Sleep(time.Second)
		if err := os.WriteFile(os.Getenv("LONGSHORE_OUT")+"/made.txt", []byte("made\n"), 0o600); err != nil {
			end(1, err.Error())
		}
	}
	fmt.Printf("{\"did\":%q}\n", p.Do)
}
