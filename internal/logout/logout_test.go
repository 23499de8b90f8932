package logout_test

import (
	"errors"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/internal/directory"
	"github.com/jeton-auth/jeton/internal/logout"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/store/sqlite"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

const bye = "https://shop.example.com/bye"

// hints takes "hint:CLIENT" for an ID token of ours.
type hints struct{}

func (hints) Subject(token string) (sub, sid, clientID string, err error) {
	client, ok := strings.CutPrefix(token, "hint:")
	if !ok {
		return "", "", "", errors.New("not ours")
	}
	return "u_ada", "SID", client, nil
}

func open(t *testing.T) *logout.Logouts {
	t.Helper()
	engine := &sqlite.Engine{}
	st, err := store.Open(t.Context(), engine, filepath.Join(t.TempDir(), "jeton.db"), clock.NewManual(time.Unix(1_800_000_000, 0)), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(st.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	err = st.Write(t.Context(), func(tx *store.Tx) error {
		shop := store.Client{Client: spec.Client{ID: "shop", PostLogoutRedirectURIs: []string{bye, bye + "?x=1"}}}
		off := store.Client{Client: spec.Client{ID: "off", PostLogoutRedirectURIs: []string{bye}}, Disabled: true}
		return errors.Join(tx.PutClient(shop), tx.PutClient(off))
	})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := directory.Open(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	return &logout.Logouts{Store: st, Directory: dir, Hints: hints{}}
}

func TestParse(t *testing.T) {
	t.Parallel()
	l := open(t)
	values := func(pairs ...string) url.Values {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return v
	}
	for _, tt := range []struct {
		name    string
		sent    url.Values
		refused oauth.ErrorCode
		to      string
		forward url.Values
	}{
		{name: "nothing", forward: url.Values{}},
		{name: "a client", sent: values("client_id", "shop"), forward: values("client_id", "shop")},
		{name: "state without a URI goes nowhere", sent: values("client_id", "shop", "state", "s"), forward: values("client_id", "shop")},
		{
			name: "a hint names its client", sent: values("id_token_hint", "hint:shop", "post_logout_redirect_uri", bye, "state", "a b&c"), to: bye + "?state=a+b%26c",
			forward: values("client_id", "shop", "post_logout_redirect_uri", bye, "state", "a b&c", "logout_hint", "SID"),
		},
		{
			name: "a URI with a query", sent: values("client_id", "shop", "post_logout_redirect_uri", bye+"?x=1", "state", "s"), to: bye + "?x=1&state=s",
			forward: values("client_id", "shop", "post_logout_redirect_uri", bye+"?x=1", "state", "s"),
		},
		{name: "no state", sent: values("client_id", "shop", "post_logout_redirect_uri", bye), to: bye, forward: values("client_id", "shop", "post_logout_redirect_uri", bye)},
		{name: "a hint that is none", sent: values("id_token_hint", "made up", "client_id", "shop", "ui_locales", "de"), forward: values("client_id", "shop", "ui_locales", "de")},
		{name: "a sid", sent: values("logout_hint", "X"), forward: values("logout_hint", "X")},
		{name: "a hint that is none, and a URI", sent: values("id_token_hint", "made up", "post_logout_redirect_uri", bye), refused: oauth.InvalidRequest},
		{name: "two clients", sent: values("id_token_hint", "hint:other", "client_id", "shop"), refused: oauth.InvalidRequest},
		{name: "an unknown client", sent: values("client_id", "nobody"), refused: oauth.InvalidClient},
		{name: "a hint for a client that is gone", sent: values("id_token_hint", "hint:gone"), refused: oauth.InvalidClient},
		{name: "a client that is switched off", sent: values("client_id", "off", "post_logout_redirect_uri", bye), refused: oauth.InvalidClient},
		{name: "another URI", sent: values("client_id", "shop", "post_logout_redirect_uri", bye+"/"), refused: oauth.InvalidRequest},
	} {
		r, refusal := l.Parse(web.NewParams(tt.sent))
		if tt.refused != "" {
			if refusal == nil || refusal.Code != tt.refused || refusal.Description == "" || r.To != nil {
				t.Errorf("%s: %v, want %s", tt.name, refusal, tt.refused)
			}
			continue
		}
		if refusal != nil {
			t.Errorf("%s: %v", tt.name, refusal)
			continue
		}
		if diff := cmp.Diff(tt.forward, r.Forward()); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		if r.To == nil && tt.to != "" || r.To != nil && (r.To.Location() != tt.to || r.To.Origin() != "https://shop.example.com") {
			t.Errorf("%s: goes to %v, want %q", tt.name, r.To, tt.to)
		}
	}
}
