// A module for tests: it does what its payload says.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"time"
)

var keep [][]byte

func main() {
	var p struct {
		Do   string
		N    int
		Text string
	}
	text, err := os.ReadFile(os.Getenv("LONGSHORE_PAYLOAD"))
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err == nil {
		err = do(p.Do, p.N, p.Text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func do(what string, n int, text string) error {
	switch what {
	case "env":
		env := os.Environ()
		sort.Strings(env)
		dir, _ := os.Getwd()
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"env": env, "args": os.Args, "dir": dir,
			"now": time.Now().Unix()})
	case "copy":
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	case "input":
		text, err := os.ReadFile(os.Getenv("LONGSHORE_INPUT"))
		if err == nil {
			_, err = os.Stdout.Write(text)
		}
		return err
	case "fill":
		for i := 0; ; i++ {
			if err := os.WriteFile(fmt.Sprint("file", i), make([]byte, 64<<10), 0o600); err != nil {
				return err
			}
			time.Sleep(5 * time.Millisecond)
		}
	case "exit":
		fmt.Fprintln(os.Stderr, text)
		os.Exit(n)
	case "loop":
		for i := 0; ; i++ {
			if i < 0 {
				break
			}
		}
	case "sum":
		sum := uint32(1)
		for i := range n {
			sum = sum*1664525 + uint32(i)
		}
		fmt.Println(sum)
	case "alloc":
		for range n {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = byte(i)
			}
			keep = append(keep, b)
		}
		fmt.Println(len(keep))
	case "output":
		if err := os.WriteFile(os.Getenv("LONGSHORE_OUT")+"/a.txt", []byte(text), 0o600); err != nil {
			return err
		}
		return tell(`{"progress":{"done":1,"total":4,"note":"a quarter"}}`)
	case "tell":
		return tell(text)
	case "symlink":
		return os.Symlink(text, "/work/link")
	case "link":
		return os.Link("/work/payload.json", "/work/out/hard")
	case "read":
		b, err := os.ReadFile(text)
		fmt.Printf("%q\n", b)
		return err
	case "write":
		return os.WriteFile(text, []byte("x"), 0o600)
	case "list":
		entries, err := os.ReadDir(text)
		fmt.Println(len(entries))
		return err
	case "zeros":
		b := make([]byte, 64<<10)
		for range n {
			if _, err := os.Stdout.Write(b); err != nil {
				return err
			}
		}
	}
	return nil
}

func tell(line string) error {
	control, err := os.OpenFile(os.Getenv("LONGSHORE_CONTROL"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer control.Close()
	_, err = fmt.Fprintln(control, line)
	return err
}
