package manage

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/subject"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/feed"
)

// CreateClient registers a client, under the issuer's profile if it names none. One whose
// method shows a secret gets one of ours, which is returned once and kept only as a hash.
func (m *Manager) CreateClient(ctx context.Context, by audit.Origin, c spec.Client) (spec.Client, secret.Text, error) {
	c.Profile = cmp.Or(c.Profile, m.Profile)
	c = c.WithDefaults().InferResources(m.knownResources())
	if err := problems(c.Validate(m.knownResources())); err != nil {
		return c, "", err
	}
	if c.Certificates() && !m.Certificates {
		return c, "", invalid("client %q needs its certificate to be seen, which does not arrive here: configure tls.client_auth: request, tls.client_ca, or behind_proxy.client_cert_header", c.ID)
	}
	if _, exists := m.Directory.Client(c.ID); exists {
		return c, "", invalid("a client %q exists already", c.ID)
	}
	row := store.Client{Client: c, Source: store.SourceAPI}
	var made secret.Text
	if c.AuthMethod.HasSecret() {
		made = secret.Random()
		row.SecretHash = secret.Hash(made.Reveal())
	}
	if err := m.putClient(ctx, by, row); err != nil {
		return c, made, err
	}
	return c, made, m.keepKeys(ctx)
}

// putClient keeps a client. One that knows people by other names from now on loses what it
// holds: no grant gives two names (OpenID Connect Core §12.2), and a cutoff of a person names
// the new one alone.
func (m *Manager) putClient(ctx context.Context, by audit.Origin, c store.Client) error {
	before, known := m.Directory.Client(c.ID)
	return m.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		err := m.Directory.PutClient(tx, c)
		if err == nil && known && !subject.Same(before, &c) {
			err = m.Revoked.Add(tx, "names_changed", revoke.Entry{Kind: feed.Client, Value: c.ID})
		}
		return audit.Event{Type: audit.ClientPut, Client: c.ID, Origin: by}, err
	})
}

// DisableClient switches a client off, with every token and grant it holds, or on
// again: what it held before stays dead.
func (m *Manager) DisableClient(ctx context.Context, by audit.Origin, id string, disabled bool) error {
	err := m.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		e := audit.Event{Type: audit.ClientEnabled, Client: id, Origin: by}
		// Memory must not show the log's new head before it shows the client switched off.
		if err := m.Directory.DisableClient(tx, id, disabled); err != nil || !disabled {
			return e, err
		}
		e.Type = audit.ClientDisabled
		return e, m.Revoked.Add(tx, "client_disabled", revoke.Entry{Kind: feed.Client, Value: id})
	})
	return known(err, "client", id)
}

// DeleteClient removes a client and kills every token it holds.
func (m *Manager) DeleteClient(ctx context.Context, by audit.Origin, id string) error {
	err := m.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		e := audit.Event{Type: audit.ClientDeleted, Client: id, Origin: by}
		if err := errors.Join(tx.DeleteConsentsTo(id), m.Directory.DeleteClient(tx, id)); err != nil {
			return e, err
		}
		return e, m.Revoked.Add(tx, "client_deleted", revoke.Entry{Kind: feed.Client, Value: id})
	})
	return known(err, "client", id)
}

// CreateResource registers a protected API and, if it is to introspect, makes its
// secret, which is returned once.
func (m *Manager) CreateResource(ctx context.Context, by audit.Origin, r spec.Resource, introspects bool) (spec.Resource, secret.Text, error) {
	r = r.WithDefaults()
	if err := problems(r.Validate()); err != nil {
		return r, "", err
	}
	if r.ID == m.Issuer || strings.HasPrefix(r.ID, m.Issuer+"/") {
		return r, "", invalid("id: %s belongs to the issuer itself; give the API its own identifier", r.ID)
	}
	if _, exists := m.Directory.Resource(r.ID); exists {
		return r, "", invalid("a resource %q exists already", r.ID)
	}
	row := store.Resource{Resource: r, Source: store.SourceAPI}
	var made secret.Text
	if introspects {
		made = secret.Random()
		row.SecretHash = secret.Hash(made.Reveal())
	}
	if err := m.putResource(ctx, by, row); err != nil {
		return r, made, err
	}
	return r, made, m.keepKeys(ctx)
}

// keepKeys makes the keys that the declared clients and resources ask for, and the two
// kinds that everybody may.
func (m *Manager) keepKeys(ctx context.Context) error {
	algs := []oauth.Alg{oauth.RS256, oauth.ES256}
	for _, r := range m.Directory.Resources() {
		algs = append(algs, r.AccessToken.Alg)
	}
	for _, c := range m.Directory.Clients() {
		algs = append(algs, c.IDTokenAlg, c.UserinfoAlg, c.ResponseAlg)
	}
	algs = slices.DeleteFunc(algs, func(a oauth.Alg) bool { return a == "" })
	slices.Sort(algs)
	return m.Ring.SetAlgs(ctx, slices.Compact(algs))
}

func (m *Manager) putResource(ctx context.Context, by audit.Origin, r store.Resource) error {
	return m.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		return audit.Event{Type: audit.ResourcePut, Origin: by, Data: map[string]string{"resource": r.ID}}, m.Directory.PutResource(tx, r)
	})
}

// DeleteResource removes a protected API: no token for it is made any more. Those that
// are out stay valid until they expire, since nobody but the API takes them.
func (m *Manager) DeleteResource(ctx context.Context, by audit.Origin, id string) error {
	if r, ok := m.Directory.Resource(id); ok && r.Source == store.SourceBuiltin {
		return invalid("the resource %q belongs to the issuer itself: every issuer has it", id)
	}
	err := m.Audit.Write(ctx, func(tx *store.Tx) (audit.Event, error) {
		return audit.Event{Type: audit.ResourceDeleted, Origin: by, Data: map[string]string{"resource": id}}, m.Directory.DeleteResource(tx, id)
	})
	if errors.Is(err, store.ErrNotFound) {
		return &Missing{"resource", id}
	}
	return err
}
