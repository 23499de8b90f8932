package authorize

import (
	"errors"
	"testing"

	"github.com/jeton-auth/jeton/internal/login"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// What changes while the person is busy counts when the client is answered.
func TestChangesMeanwhile(t *testing.T) {
	t.Parallel()
	t.Run("client switched off", func(t *testing.T) {
		t.Parallel()
		f := open(t)
		b := f.browser()
		out := b.begin()
		f.write(func(tx *store.Tx) error { return f.Directory.DisableClient(tx, "shop", true) })
		if _, err := b.Open(t.Context(), out.Pending.ID(), b.visitor()); !isRefusal(err) {
			t.Error(err)
		}
	})
	t.Run("client gone", func(t *testing.T) {
		t.Parallel()
		f := open(t)
		b := f.browser()
		out := b.begin()
		f.write(func(tx *store.Tx) error { return f.Directory.DeleteClient(tx, "shop") })
		if _, err := b.Open(t.Context(), out.Pending.ID(), b.visitor()); !isRefusal(err) {
			t.Error(err)
		}
	})
	t.Run("redirect URI removed", func(t *testing.T) {
		t.Parallel()
		f := open(t)
		b := f.browser()
		out := b.begin()
		f.write(func(tx *store.Tx) error {
			c, err := tx.Client("shop")
			c.RedirectURIs = []string{"https://shop.example.com/other"}
			return errors.Join(err, f.Directory.PutClient(tx, c))
		})
		if _, err := b.Open(t.Context(), out.Pending.ID(), b.visitor()); !isRefusal(err) {
			t.Error(err)
		}
	})
	for name, change := range map[string]func(*store.Client){
		"must push":     func(c *store.Client) { c.RequirePAR = true },
		"must sign":     func(c *store.Client) { c.RequireSignedRequest = true },
		"must use PKCE": func(c *store.Client) { c.RequirePKCE = nil },
	} {
		t.Run("client "+name, func(t *testing.T) {
			t.Parallel()
			f := open(t)
			f.client("shop", f.spec("shop"), func(c *store.Client) { c.RequirePKCE = new(false) })
			b := f.browser()
			out := b.begin("code_challenge", "", "code_challenge_method", "")
			f.wantDo(out, Login)
			f.client("shop", f.spec("shop"), change)
			if _, err := b.Open(t.Context(), out.Pending.ID(), b.visitor()); !isRefusal(err) {
				t.Error(err)
			}
		})
	}
	t.Run("person disabled", func(t *testing.T) {
		t.Parallel()
		f := open(t)
		b := f.browser()
		f.code(b.login("ada", b.begin().Pending))
		f.write(func(tx *store.Tx) error {
			u, err := tx.User("u_ada")
			u.Disabled = true
			return errors.Join(err, tx.UpdateUser(u))
		})
		f.wantDo(b.begin(), Login)
	})
	t.Run("signed out everywhere", func(t *testing.T) {
		t.Parallel()
		f := open(t)
		b := f.browser()
		first := f.code(b.login("ada", b.begin("scope", "openid offline_access").Pending))
		f.write(func(tx *store.Tx) error {
			return f.Revoked.Add(tx, "test", revoke.Entry{Kind: feed.Subject, Value: "u_ada"})
		})
		out := b.begin()
		f.wantDo(out, Login)
		if g, err := f.Store.Read(t.Context()).Grant(first.ID); err != nil || g.Live() {
			t.Error("the grant outlived it")
		}
		if g := f.code(b.login("ada", out.Pending)); !g.Live() || g.Rev != 1 {
			t.Errorf("the next login's grant: live %v, rev %d", g.Live(), g.Rev)
		}
	})
	t.Run("password changed", func(t *testing.T) {
		t.Parallel()
		f := open(t)
		b := f.browser()
		out := b.begin()
		proof := b.proof("ada")
		f.write(func(tx *store.Tx) error {
			u, err := tx.User("u_ada")
			u.Password = "other"
			return errors.Join(err, tx.UpdateUser(u))
		})
		if _, err := b.open(out.Pending.ID()).LoggedIn(t.Context(), proof); !errors.Is(err, login.ErrWrong) {
			t.Error(err)
		}
		f.wantDo(b.took(b.open(out.Pending.ID()).Look(t.Context())), Login)
	})
}
