package localredis_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"longshore/internal/localredis"
	"longshore/internal/localredis/redistest"
)

// parentMode makes this test binary a program that starts a server and waits.
const parentMode = "LOCALREDIS_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentMode) == "" {
		redistest.Main(m)
	}
	s, err := localredis.Start(context.Background(), localredis.Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.URL())
	<-s.Done()
}

// TestServerDiesWithParent kills a program that has a server, by SIGKILL.
func TestServerDiesWithParent(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		t.Skip("needs a redis-server on PATH")
	}
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentMode+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	parent.Process.Kill()
	parent.Wait()
	socket, ok := strings.CutPrefix(strings.TrimSpace(line), "unix://")
	if err != nil || !ok {
		t.Fatalf("the program said %q, %v", line, err)
	}
	t.Cleanup(func() { os.RemoveAll(strings.TrimSuffix(socket, "/s")) })
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Second); ; <-tick.C {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("the server outlived its parent")
		}
	}
}
