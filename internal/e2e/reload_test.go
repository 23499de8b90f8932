package e2e

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// loader keeps requests running and counts them. stop ends it; a request that failed
// fails the test.
func (i *issuer) loader(workers int) (answered *atomic.Int64, stop func()) {
	answered = new(atomic.Int64)
	quit := make(chan struct{})
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				resp, err := i.anything(worker)
				if err != nil {
					i.t.Errorf("a request was dropped: %v", err)
					return
				}
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK {
					i.t.Errorf("a request was answered with %d %v", resp.StatusCode, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	return answered, sync.OnceFunc(func() { close(quit); group.Wait() })
}

func (i *issuer) anything(worker int) (*http.Response, error) {
	switch worker % 3 {
	case 0:
		return i.ask("/token", basic("robot", robotSecret), "grant_type", "client_credentials", "scope", "orders:read")
	case 1:
		return i.ask("/introspect", basic(orders, apiSecret), "token", "x")
	}
	return i.web.Get(i.url + "/.well-known/openid-configuration")
}

// newcomer is a client that is added while the server runs.
func newcomer(id, secret string) string {
	return "  - {id: " + id + ", auth_method: client_secret_basic, secret: " + secret + ", grant_types: [client_credentials], scopes: [orders:read], resources: [https://api.example.com]}\nusers:\n"
}

// knows tells whether a client gets a token.
func (i *issuer) knows(id, secret string) bool {
	i.t.Helper()
	return i.post("/token", basic(id, secret), "grant_type", "client_credentials").status == http.StatusOK
}

// TestReload changes jeton.yaml under load: what it declares is in force soon, by
// itself and on SIGHUP, and no request fails meanwhile. What can't be read changes
// nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	i := start(t, troubled)
	answered, stop := i.loader(6)
	defer stop()
	const one, two = "bmV3Y29tZXItc2VjcmV0LW9mLXRoZS10ZXN0cy0wMDE", "bmV3Y29tZXItc2VjcmV0LW9mLXRoZS10ZXN0cy0wMDI"
	config := strings.Replace(testConfig, "users:\n", newcomer("newcomer", "file:newcomer"), 1)

	i.write("newcomer", one+"\n")
	i.configure(config)
	eventually(t, "the new client gets a token", func() bool { return i.knows("newcomer", one) })

	// A file that the new configuration names is watched like the others.
	i.write("newcomer", two+"\n")
	eventually(t, "the new secret is in force", func() bool { return i.knows("newcomer", two) })
	if i.knows("newcomer", one) {
		t.Error("the old secret is in force beside the new one")
	}

	// Nothing of a bad file counts, not even what is right in it.
	before := strings.Count(i.readLog(), "was not applied")
	bad := strings.Replace(config, "name: Web shop\n", "name: Web shop\n    nmae: Web shop\n", 1)
	i.configure(strings.Replace(bad, "users:\n", newcomer("another", "file:newcomer"), 1))
	line := strings.Count(bad[:strings.Index(bad, "nmae")], "\n") + 1
	eventually(t, "the problem is in the log", func() bool { return strings.Count(i.readLog(), "was not applied") > before })
	if want := "jeton.yaml:" + strconv.Itoa(line) + ":5: clients[0].nmae"; !strings.Contains(i.readLog(), want) {
		t.Errorf("the log does not say %s", want)
	}
	if i.knows("another", two) || !i.knows("newcomer", two) {
		t.Error("a configuration that can't be read was applied in part")
	}

	// By SIGHUP, at once; and without the client it is gone.
	i.configure(testConfig)
	if err := i.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the client that is no longer declared is gone", func() bool { return !i.knows("newcomer", two) })
	stop()
	if n := answered.Load(); n < 100 {
		t.Errorf("only %d requests ran meanwhile", n)
	}
}

// TestReloadKeeps holds that a configuration applied again takes nothing from what was
// made otherwise, and nothing from people who are logged in.
func TestReloadKeeps(t *testing.T) {
	t.Parallel()
	i := start(t)
	tokens := i.ada().tokens(shop, "openid offline_access orders:read")
	made := i.run(t, "client", "create", "made-here", "--grant-type", "client_credentials", "--scope", "orders:read", "--resource", orders, "--json")
	i.configure(strings.Replace(testConfig, "name: Web shop", "name: The web shop", 1))
	eventually(t, "the change is applied", func() bool {
		return strings.Contains(i.run(t, "client", "show", "shop").body, "The web shop")
	})
	if !i.knows("made-here", made.str("secret")) {
		t.Error("a client that a command made is gone")
	}
	if !i.introspect(tokens.access()) {
		t.Error("a change of a client's name ended its grants")
	}
	i.rotate(shop, tokens.refresh()).want(200, "")
}

// TestEarlyHangup sends SIGHUP as soon as the server answers: it is no reason to end.
func TestEarlyHangup(t *testing.T) {
	t.Parallel()
	i := start(t)
	for range 5 {
		i.stop()
		i.begin()
		for range 20 {
			if err := i.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		}
		i.get("/readyz").want(200, "")
	}
}
