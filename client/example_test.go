package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

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

// answer plays a server whose worker is busy with our job.
func answer(w http.ResponseWriter, r *http.Request) {
	const id = "0199c0de-0000-7000-8000-000000000001"
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == http.MethodPost:
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, `{"id":%q,"type":"log.analyze","state":"queued","rev":1}`, id)
	case r.FormValue("after") == "2":
		fmt.Fprintf(w, `{"id":%q,"type":"log.analyze","state":"succeeded","done":true,"rev":3,"result":{"lines":1}}`, id)
	default:
		fmt.Fprintf(w, `{"id":%q,"type":"log.analyze","state":"running","rev":2}`, id)
	}
}
