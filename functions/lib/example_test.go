package lib_test

import (
	"fmt"
	"strings"

	"longshore/functions/lib"
)

// A helper is copied beside a function's own code, and started with the name of its handler.
func ExampleFiles() {
	text, err := lib.Files.ReadFile("longshore.py")
	if err != nil {
		fmt.Println(err)
		return
	}
	first, _, _ := strings.Cut(string(text), "\n")
	fmt.Println(first)
	// Output: """Serves a function of Longshore's mode lambda:  python3 longshore.py app.handler
}
