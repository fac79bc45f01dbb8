package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"longshore/client"
	"longshore/job"
)

func Example() {
	server := httptest.NewServer(http.HandlerFunc(answer))
	defer server.Close()

	ctx := context.Background()
	c, err := client.New(client.Config{URL: server.URL, Token: os.Getenv("LONGSHORE_TOKEN")})
	if err != nil {
		panic(err)
	}
	defer c.CloseIdleConnections()

	in := strings.NewReader(`127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 2326` + "\n")
	snap, err := c.SubmitFile(ctx, client.Submission{Type: "log.analyze"}, in, -1)
	if err != nil {
		panic(err)
	}
	for snap, err = range c.Follow(ctx, snap.ID) {
		if err != nil {
			panic(err)
		}
		fmt.Println(snap.Rev, snap.State)
	}
	if snap.State == job.Succeeded {
		fmt.Println(string(snap.Result))
	}
	// Output:
	// 2 running
	// 3 succeeded
	// {"lines":1}
}

// How to send a large file over a network that breaks: it goes in pieces, and an
// idempotency key lets the same call, made again, go on where this one stopped.
func ExampleClient_Upload() {
	server := httptest.NewServer(http.HandlerFunc(answer))
	defer server.Close()
	c, err := client.New(client.Config{URL: server.URL, RetryFor: time.Minute})
	if err != nil {
		panic(err)
	}
	defer c.CloseIdleConnections()

	// or an *os.File
	file := strings.NewReader(
		strings.Repeat("127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.0\" 200 2326\n", 1000))
	snap, err := c.Upload(context.Background(), client.Submission{
		Type: "log.analyze", Payload: map[string]int{"top": 5}, Filename: "access.log",
		IdempotencyKey: "access.log of Monday",
	}, file, file.Size())
	if err != nil {
		panic(err)
	}
	fmt.Println(snap.ID)
	// Output:
	// 0199c0de-0000-7000-8000-000000000001
}

// How to wait for the end of a job that takes long, and to give up in time.
func ExampleClient_Wait() {
	server := httptest.NewServer(http.HandlerFunc(answer))
	defer server.Close()
	c, err := client.New(client.Config{URL: server.URL})
	if err != nil {
		panic(err)
	}
	defer c.CloseIdleConnections()

	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	snap, err := c.Wait(ctx, id)
	if errors.Is(err, context.DeadlineExceeded) {
		fmt.Println("not yet, it is", snap.State)
	}
	// Output:
	// not yet, it is running
}

// How to tell what went wrong: an error of the server has a stable code.
func ExampleError() {
	server := httptest.NewServer(http.HandlerFunc(answer))
	defer server.Close()
	c, err := client.New(client.Config{URL: server.URL})
	if err != nil {
		panic(err)
	}
	defer c.CloseIdleConnections()

	_, err = c.Get(context.Background(), "0199c0de-0000-7000-8000-00000000dead")
	var refused *client.Error
	if errors.As(err, &refused) && refused.Code == client.NotFound {
		fmt.Println(refused.Detail)
	}
	// Output:
	// there is no such job
}

const id = "0199c0de-0000-7000-8000-000000000001"

// answer plays a server whose worker is busy with our job.
func answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Path == "/v1/uploads":
		w.Header().Set("Longshore-Job", id)
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodHead:
		w.Header().Set("Upload-Offset", "0")
	case r.Method == http.MethodPatch:
		n, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("Upload-Offset", fmt.Sprint(n))
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPost:
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, `{"id":%q,"type":"log.analyze","state":"queued","rev":1}`, id)
	case r.URL.Path == "/v1/jobs/"+id+"/events":
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "event: state\nid: 3\ndata: "+
			`{"id":%q,"type":"log.analyze","state":"succeeded","done":true,"rev":3,"result":{"lines":1}}`+
			"\n\n", id)
	case r.URL.Path == "/v1/jobs/"+id:
		fmt.Fprintf(w, `{"id":%q,"type":"log.analyze","state":"running","rev":2}`, id)
	default:
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"code":"not_found","status":404,"detail":"there is no such job"}`)
	}
}
