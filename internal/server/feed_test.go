package server

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
	"github.com/jeton-auth/jeton/oauth/jwks"
	"github.com/jeton-auth/jeton/verify"
)

// follower has a client of the feed in its configuration.
const follower = `  - id: follower
    auth_method: client_secret_basic
    secret: env:OTHER
    grant_types: [client_credentials]
    scopes: [jeton:feed]
users:
`

// startFeed is start with the feed running, over a real connection.
func startFeed(t *testing.T) (*issuer, *httptest.Server) {
	t.Helper()
	i := start(t)
	if err := i.Server.Close(); err != nil {
		t.Fatal(err)
	}
	i.open(strings.Replace(testConfig, "users:\n", follower, 1))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { i.feed.Run(ctx) })
	web := httptest.NewServer(i.Handler())
	t.Cleanup(func() { cancel(); wg.Wait(); web.Close() })
	return i, web
}

// get asks the feed.
func (i *issuer) get(path string, as caller, header ...string) reply {
	req := httptest.NewRequest(http.MethodGet, path, nil)
	if as != nil {
		as(req, nil)
	}
	for k := 0; k < len(header); k += 2 {
		req.Header.Set(header[k], header[k+1])
	}
	return i.do(req)
}

// stream opens a stream and yields its events' names and data.
func stream(t *testing.T, web *httptest.Server, query string, as caller, header ...string) (*http.Response, func() (name, data string, ok bool)) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL+"/revocations"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	as(req, nil)
	for k := 0; k < len(header); k += 2 {
		req.Header.Set(header[k], header[k+1])
	}
	resp, err := web.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	lines := bufio.NewReader(resp.Body)
	return resp, func() (name, data string, ok bool) {
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return "", "", false
			}
			line = strings.TrimSuffix(line, "\n")
			switch field, value, _ := strings.Cut(line, ": "); field {
			case "event":
				name = value
			case "data":
				data = value
			case "":
				if name != "" {
					return name, data, true
				}
			}
		}
	}
}

func (i *issuer) heartbeat(t *testing.T, token string) feed.Heartbeat {
	t.Helper()
	set, err := jwks.Parse(i.ring.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	payload, _, err := verify.Signed(token, feed.Typ, set.FeedKey)
	if err != nil {
		t.Fatal(err)
	}
	h, err := feed.ParseHeartbeat(payload, "http://localhost:8080")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Who may read the feed, and what the others are told.
func TestFeedAdmission(t *testing.T) {
	t.Parallel()
	i, _ := startFeed(t)
	bearer := func(token string) caller {
		return func(r *http.Request, _ url.Values) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	mine := i.post("/token", basic("follower", otherSecret), "grant_type", "client_credentials", "scope", "jeton:feed").want(t, 200, "").str(t, "access_token")
	if aud := payload(t, mine)["aud"]; aud != "http://localhost:8080/revocations" {
		t.Errorf("aud = %v", aud)
	}
	robots := i.post("/token", robot, "grant_type", "client_credentials").want(t, 200, "").str(t, "access_token")
	for name, c := range map[string]struct {
		as        caller
		status    int
		code      oauth.ErrorCode
		challenge string
	}{
		"an API":                  {asAPI, 200, "", ""},
		"an API of opaque tokens": {basic(vaultAPI, vaultSecret), 200, "", ""},
		"a token for the feed":    {bearer(mine), 200, "", ""},
		"nobody":                  {nil, 401, oauth.InvalidClient, "Basic"},
		"a wrong secret":          {basic(api, vaultSecret), 401, oauth.InvalidClient, "Basic"},
		"the feed itself":         {basic("http://localhost:8080/revocations", ""), 401, oauth.InvalidClient, "Basic"},
		"a client":                {robot, 401, oauth.InvalidClient, "Basic"},
		"a token for an API":      {bearer(robots), 403, oauth.InsufficientScope, `scope="jeton:feed"`},
		"no token":                {bearer("eyJ"), 401, oauth.InvalidToken, "Bearer"},
	} {
		for _, path := range []string{"/revocations", "/revocations/head"} {
			got := i.get(path, c.as)
			if path == "/revocations/head" && c.status == 200 && got.status == 503 {
				continue // the first heartbeat is still to come
			}
			got.want(t, c.status, c.code)
			if !strings.Contains(got.header.Get("WWW-Authenticate"), c.challenge) {
				t.Errorf("%s: challenge %q", name, got.header.Get("WWW-Authenticate"))
			}
		}
	}
	// Secrets in a URL are never looked at.
	i.get("/revocations?client_id="+api+"&client_secret="+apiSecret, nil).want(t, 401, oauth.InvalidClient)
	i.clock.Advance(6 * time.Minute)
	i.get("/revocations", bearer(mine)).want(t, 401, oauth.InvalidToken)
}

func TestFeedRequests(t *testing.T) {
	t.Parallel()
	i, _ := startFeed(t)
	for _, query := range []string{"after=x", "after=-1", "after=99999999999999999999", "wait=1h", "wait=20", "wait=-1s", "nonce=" + strings.Repeat("n", 129), "after=1&after=2"} {
		i.get("/revocations?"+query, asAPI).want(t, 400, oauth.InvalidRequest)
	}
	i.get("/revocations", asAPI, "Last-Event-ID", "x").want(t, 400, oauth.InvalidRequest)
	i.get("/revocations/segments/0", nil).want(t, 404, oauth.InvalidRequest)
	i.get("/revocations/segments/00", nil).want(t, 404, oauth.InvalidRequest)
	i.get("/revocations/segments/x", nil).want(t, 404, oauth.InvalidRequest)
	token := i.login().str(t, "access_token")
	i.post("/revoke", shop, "token", token).want(t, 200, "")
	got := i.get("/revocations?nonce=abc&wait=0s", asAPI).want(t, 200, "")
	b, err := feed.ParseBatch(got.body)
	if err != nil {
		t.Fatal(err)
	}
	if h := i.heartbeat(t, got.str(t, "heartbeat")); h.Nonce != "abc" || h.N != 1 || b.To != 1 || b.Entries[0].Value != feed.Value(feed.Token, payload(t, token)["jti"].(string)) {
		t.Errorf("%+v with %+v", b, h)
	}
	if cache := got.header.Get("Cache-Control"); cache != "no-store" {
		t.Errorf("Cache-Control: %s", cache)
	}
	if doc := i.get("/.well-known/openid-configuration", nil); doc.str(t, "revocation_feed_endpoint") != "http://localhost:8080/revocations" {
		t.Errorf("metadata %s", doc.body)
	}
}

// What is revoked comes to a stream as it happens, under a heartbeat; who comes again
// goes on.
func TestFeedStream(t *testing.T) {
	t.Parallel()
	i, web := startFeed(t)
	resp, next := stream(t, web, "?nonce=mine", asAPI)
	if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", resp.StatusCode, ct)
	}
	name, _, _ := next()
	second, beat, _ := next()
	if h := i.heartbeat(t, beat); name != feed.EventSnapshot || second != feed.EventHeartbeat || h.Nonce != "mine" {
		t.Fatalf("first %s, then %s with %+v", name, second, h)
	}
	token := i.login().str(t, "access_token")
	i.post("/revoke", shop, "token", token).want(t, 200, "")
	var inc string
	for {
		name, data, ok := next()
		if !ok {
			t.Fatal("the stream ended")
		}
		if name != feed.EventRevocations {
			continue
		}
		b, err := feed.ParseBatch([]byte(data))
		if err != nil || b.From != 0 || b.To != 1 {
			t.Fatalf("%s: %v", data, err)
		}
		inc = b.Incarnation
		break
	}
	_, next = stream(t, web, "?after=0&inc="+inc, asAPI, "Last-Event-ID", "1")
	if name, _, _ := next(); name != feed.EventHeartbeat {
		t.Errorf("who has it all gets %s first", name)
	}
}

// A stream ends when its reader loses the right to it: an API by another secret, a
// token by its revocation.
func TestFeedStreamIsCut(t *testing.T) {
	t.Parallel()
	i, web := startFeed(t)
	token := i.post("/token", basic("follower", otherSecret), "grant_type", "client_credentials").want(t, 200, "").str(t, "access_token")
	_, byAPI := stream(t, web, "", asAPI)
	_, byOther := stream(t, web, "", basic(vaultAPI, vaultSecret))
	_, byToken := stream(t, web, "", func(r *http.Request, _ url.Values) { r.Header.Set("Authorization", "bearer "+token) })
	for _, next := range []func() (string, string, bool){byAPI, byOther, byToken} {
		if _, _, ok := next(); !ok {
			t.Fatal("a stream did not begin")
		}
	}
	i.post("/revoke", basic("follower", otherSecret), "token", token).want(t, 200, "")
	res, _ := i.manager.Directory.Resource(api)
	if err := i.manager.DeleteResource(t.Context(), audit.Origin{Actor: "test"}, res.ID); err != nil {
		t.Fatal(err)
	}
	for name, next := range map[string]func() (string, string, bool){"an API that is gone": byAPI, "a token that is revoked": byToken} {
		for ok := true; ok; {
			_, _, ok = next() // the test would hang if the stream went on
		}
		t.Logf("%s: the stream ended", name)
	}
	if _, _, ok := byOther(); !ok {
		t.Error("another API's stream ended")
	}
}

// Full segments may be kept by anybody for good, and the head for a second, by a shared
// cache only for who shows the same credentials.
func TestFeedSegmentsOverHTTP(t *testing.T) {
	t.Parallel()
	i, web := startFeed(t)
	for range feed.SegmentSize + 1 {
		i.post("/revoke", shop, "token", i.login().str(t, "access_token")).want(t, 200, "")
	}
	_, next := stream(t, web, "", asAPI)
	for name := ""; name != feed.EventHeartbeat; name, _, _ = next() {
	}
	next() // the next heartbeat is common to all, and with it the head
	got := i.get("/revocations/segments/0", nil).want(t, 200, "")
	if cache := got.header.Get("Cache-Control"); cache != "public, max-age=31536000, immutable" {
		t.Errorf("Cache-Control: %s", cache)
	}
	b, err := feed.ParseBatch(got.body)
	if err != nil || len(b.Entries) != feed.SegmentSize {
		t.Fatalf("%d entries: %v", len(b.Entries), err)
	}
	at := feed.Position{Incarnation: b.Incarnation, Hash: *b.Base}
	if err := at.Extend(b); err != nil {
		t.Fatal(err)
	}
	got = i.get("/revocations/head", asAPI).want(t, 200, "")
	if cache, vary := got.header.Get("Cache-Control"), got.header.Get("Vary"); cache != "max-age=1, s-maxage=1" || vary != "Authorization, DPoP" {
		t.Errorf("Cache-Control: %s, Vary: %s", cache, vary)
	}
	if got := i.get("/revocations/head", nil).want(t, 401, "invalid_client"); got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("a refusal has Cache-Control: %s", got.header.Get("Cache-Control"))
	}
	var head feed.Head
	if err := json.Unmarshal(got.body, &head); err != nil {
		t.Fatal(err)
	}
	tail, err := feed.ParseBatch(head.Tail)
	if err != nil {
		t.Fatal(err)
	}
	if err := at.Extend(tail); err != nil || at != i.heartbeat(t, head.Heartbeat).Position() {
		t.Errorf("segment and tail end at %v, %v; the heartbeat says %v", at, err, i.heartbeat(t, head.Heartbeat).Position())
	}
}
