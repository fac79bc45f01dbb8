package tasks_test

import (
	"fmt"
	"time"

	"longshore/job"
	"longshore/tasks"
)

// Greeting is the payload of demo.greet: the tags are its schema.
type Greeting struct {
	Name  string `json:"name" doc:"whom to greet" maxLength:"100"`
	Times int    `json:"times,omitempty" doc:"how often" default:"1" minimum:"1" maximum:"10"`
}

// Greet is what producers and handlers share.
var Greet = tasks.Definition[Greeting]{
	Type: "demo.greet", Doc: "A greeting.", Lane: job.LaneIO, Timeout: time.Minute,
}

// A definition ties a type to its payload and policy. A catalog checks payloads by it.
func Example() {
	info, err := Greet.Info()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(info.Type, info.Lane, info.Timeout(), info.MaxAttempts)
	g, err := Greet.Decode([]byte(`{"name":"Ada"}`))
	fmt.Printf("%+v %v\n", g, err)
	_, err = Greet.Decode([]byte(`{"who":"Ada"}`))
	fmt.Println(err != nil)
	// Output:
	// demo.greet io 1m0s 3
	// {Name:Ada Times:1} <nil>
	// true
}
