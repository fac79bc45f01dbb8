//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"longshore/internal/tooltest"
)

// A proxy is an nginx or a haproxy in front of a web process.
type proxy struct {
	*process
	command func() *exec.Cmd
	address string
	url     string
}

// deployBlock is a block of docs/deploy.md: the configuration that the document
// recommends is the one that is tested.
func deployBlock(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllSubmatch(text, -1)
	if len(m) != 1 {
		t.Fatalf("docs/deploy.md has %d blocks of %s, want 1", len(m), language)
	}
	return string(m[0][1])
}

// The least that makes a proxy of each program: nothing here is for Longshore.
const (
	plainNginx   = "server {\n listen 80;\n location / { proxy_pass http://127.0.0.1:8080; }\n}\n"
	plainHaproxy = `defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
frontend all
    bind :80
    default_backend web
backend web
    server web1 127.0.0.1:8080
`
)

// startProxy starts the program a configuration is for, in front of a web
// process. Only addresses are put in the place of those that are written there.
func startProxy(t *testing.T, program, config, web string) *proxy {
	t.Helper()
	path, dir := tooltest.Path(t, program), t.TempDir()
	// On an address of their own the ports don't meet those that connections of
	// other tests take on 127.0.0.1 while a proxy is away.
	l, err := net.Listen("tcp", "127.0.1.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: l.Addr().String()}
	p.url = "http://" + p.address
	l.Close()
	replace := func(from, to string) {
		if strings.Count(config, from) != 1 {
			t.Fatalf("not exactly one %q in\n%s", from, config)
		}
		config = strings.Replace(config, from, to, 1)
	}
	replace("127.0.0.1:8080", strings.TrimPrefix(web, "http://"))
	var args []string
	switch program {
	case "nginx":
		replace("listen 80;", "listen "+p.address+";")
		config = nginxAround(config)
		args = []string{"-p", dir, "-e", "stderr", "-c", "proxy.conf", "-g", "daemon off;"}
	case "haproxy":
		replace("bind :80", "bind "+p.address)
		args = []string{"-db", "-f", filepath.Join(dir, "proxy.conf")}
	}
	if err := os.WriteFile(filepath.Join(dir, "proxy.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p.command = func() *exec.Cmd { return exec.Command(path, args...) }
	p.run(t)
	return p
}

// nginxAround is what nginx.conf has around the files of its sites, with all
// that is written kept in nginx's own folder. It is a single process, so that
// none stays behind when the tests are killed.
func nginxAround(sites string) string {
	var temp strings.Builder
	for _, of := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "%s_temp_path %s;\n", of, of)
	}
	return "master_process off;\npid nginx.pid;\nevents { worker_connections 1024; }\nhttp {\naccess_log off;\n" + temp.String() + sites + "}\n"
}

// run starts the proxy, at its address.
func (p *proxy) run(t *testing.T) {
	t.Helper()
	p.process = startCommand(t, p.command(), []string{"PATH=" + os.Getenv("PATH")})
	eventually(t, "the proxy listens", func() bool {
		select {
		case <-p.done:
			t.Fatalf("the proxy ended:\n%s", p.tail(20))
		default:
		}
		conn, err := net.Dial("tcp", p.address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// restart cuts all connections and starts the proxy anew; meanwhile runs while
// it is away.
func (p *proxy) restart(t *testing.T, meanwhile func()) {
	t.Helper()
	p.signal(syscall.SIGTERM)
	<-p.done
	meanwhile()
	p.run(t)
}
