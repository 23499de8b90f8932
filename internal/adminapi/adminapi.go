// Package adminapi is the door through which commands administer an issuer: JSON over
// a unix socket that only the server's own user can open. A command that finds no
// server running asks the same handler inside its own process.
package adminapi

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/manage"
	"github.com/jeton-auth/jeton/internal/password"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// User is a user as commands see one.
type User struct {
	Subject       string         `json:"subject"`
	Email         string         `json:"email"`
	EmailVerified bool           `json:"email_verified"`
	Name          string         `json:"name,omitempty"`
	Roles         []string       `json:"roles,omitempty"`
	Groups        []string       `json:"groups,omitempty"`
	Claims        map[string]any `json:"claims,omitempty"`
	Disabled      bool           `json:"disabled"`
	HasPassword   bool           `json:"has_password"`
	CreatedAt     time.Time      `json:"created_at"`
	// Password is the one that was made for a new user; it is shown once.
	Password string `json:"password,omitempty"`
}

// Client is a client as commands see one.
type Client struct {
	spec.Client
	Source    store.Source `json:"source"`
	Disabled  bool         `json:"disabled"`
	CreatedAt time.Time    `json:"created_at,omitzero"`
	// OldSecret tells that the secret before the present one is taken too, until
	// OldSecretUntil, or without an end where that is absent.
	OldSecret      bool      `json:"old_secret,omitempty"`
	OldSecretUntil time.Time `json:"old_secret_until,omitzero"`
	// Secret is the one that was made just now; it is shown once.
	Secret string `json:"secret,omitempty"`
}

// NewSecret asks for a new secret of a client; the old one is taken for Overlap.
type NewSecret struct {
	Overlap spec.Duration `json:"overlap,omitzero"`
}

// Resource is a resource as commands see one.
type Resource struct {
	spec.Resource
	Source              store.Source `json:"source"`
	Introspects         bool         `json:"introspects"`
	CreatedAt           time.Time    `json:"created_at,omitzero"`
	IntrospectionSecret string       `json:"introspection_secret,omitempty"`
}

// Rotation asks for a new active key: for one algorithm, or without Alg for each.
type Rotation struct {
	Alg   oauth.Alg `json:"alg,omitempty"`
	Force bool      `json:"force"`
}

// Problem is an answer that is not what was asked for.
type Problem struct {
	Text string `json:"error"`
}

// NewUser asks for a user; with GeneratePassword the answer holds a password.
type NewUser struct {
	manage.NewUser
	GeneratePassword bool `json:"generate_password,omitempty"`
}

// api answers with the manager.
type api struct {
	m   *manage.Manager
	log *slog.Logger
}

// Handler serves the commands.
func Handler(m *manage.Manager, log *slog.Logger) http.Handler {
	a := &api{m, log}
	mux := http.NewServeMux()
	for pattern, h := range map[string]func(*http.Request) (any, error){
		"GET /users":                      a.users,
		"POST /users":                     a.createUser,
		"GET /users/{id}":                 a.user,
		"POST /users/{id}/disable":        a.disableUser(true),
		"POST /users/{id}/enable":         a.disableUser(false),
		"POST /users/{id}/password":       a.setPassword,
		"DELETE /users/{id}":              a.deleteUser,
		"GET /clients":                    a.clients,
		"POST /clients":                   a.createClient,
		"GET /clients/{id}":               a.client,
		"POST /clients/{id}/disable":      a.disableClient(true),
		"POST /clients/{id}/enable":       a.disableClient(false),
		"POST /clients/{id}/secret":       a.newClientSecret,
		"DELETE /clients/{id}/secret/old": a.endOldSecret,
		"DELETE /clients/{id}":            a.deleteClient,
		"GET /resources":                  a.resources,
		"POST /resources":                 a.createResource,
		"DELETE /resources/{id}":          a.deleteResource,
		"GET /logouts":                    a.logouts,
		"GET /keys":                       a.keys,
		"POST /keys/rotate":               a.rotateKey,
		"POST /revocations":               a.revoke,
	} {
		mux.HandleFunc(pattern, a.door(h))
	}
	mux.HandleFunc("GET /backup", a.backup)
	return mux
}

// door turns a result into an answer.
func (a *api) door(h func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := h(r)
		var bad *manage.Invalid
		var missing *manage.Missing
		switch {
		case err == nil:
			web.JSON(w, http.StatusOK, v)
		case errors.As(err, &bad), errors.Is(err, errBody):
			web.JSON(w, http.StatusBadRequest, Problem{err.Error()})
		case errors.As(err, &missing):
			web.JSON(w, http.StatusNotFound, Problem{err.Error()})
		case errors.Is(err, password.ErrBusy):
			web.JSON(w, http.StatusServiceUnavailable, Problem{"the server is busy hashing passwords: try again"})
		default:
			a.log.Error("a command failed", slog.String("path", r.URL.Path), slog.Any("error", err))
			web.JSON(w, http.StatusInternalServerError, Problem{err.Error()})
		}
	}
}

var errBody = errors.New("the request's body is not what this call takes")

func decode[T any](r *http.Request) (v T, err error) {
	d := json.NewDecoder(io.LimitReader(r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, errors.Join(errBody, err)
	}
	return v, nil
}

// by is the actor of what comes through this door: whoever may open the socket.
func by() audit.Origin { return audit.Origin{Actor: "operator"} }

func showUser(u store.User) User {
	return User{
		Subject: u.ID, Email: u.Email, EmailVerified: u.EmailVerified, Name: u.Name, Roles: u.Roles, Groups: u.Groups,
		Claims: u.Claims, Disabled: u.Disabled, HasPassword: u.Password != "", CreatedAt: u.CreatedAt,
	}
}

func (a *api) users(r *http.Request) (any, error) {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit < 1 || limit > 1000 {
		limit = 100
	}
	all, err := a.m.Store.Read(r.Context()).Users(r.URL.Query().Get("after"), limit)
	out := make([]User, len(all))
	for i, u := range all {
		out[i] = showUser(u)
	}
	return out, err
}

func (a *api) createUser(r *http.Request) (any, error) {
	n, err := decode[NewUser](r)
	if err != nil {
		return nil, err
	}
	if n.GeneratePassword {
		n.Password = manage.GeneratePassword().Reveal()
	}
	u, err := a.m.CreateUser(r.Context(), by(), n.NewUser)
	if err != nil {
		return nil, err
	}
	shown := showUser(u)
	if n.GeneratePassword {
		shown.Password = n.Password
	}
	return shown, nil
}

func (a *api) user(r *http.Request) (any, error) {
	u, err := a.m.FindUser(r.Context(), r.PathValue("id"))
	return showUser(u), err
}

func (a *api) disableUser(disabled bool) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		if err := a.m.DisableUser(r.Context(), by(), r.PathValue("id"), disabled); err != nil {
			return nil, err
		}
		return a.user(r)
	}
}

func (a *api) setPassword(r *http.Request) (any, error) {
	n, err := decode[struct {
		Password string `json:"password"`
	}](r)
	if err != nil {
		return nil, err
	}
	if err := a.m.SetPassword(r.Context(), by(), r.PathValue("id"), n.Password); err != nil {
		return nil, err
	}
	return a.user(r)
}

func (a *api) deleteUser(r *http.Request) (any, error) {
	return struct{}{}, a.m.DeleteUser(r.Context(), by(), r.PathValue("id"))
}

func (a *api) showClient(c *store.Client) Client {
	shown := Client{Client: c.Client, Source: c.Source, Disabled: c.Disabled, CreatedAt: c.CreatedAt}
	if c.Overlaps(a.m.Store.Now()) {
		shown.OldSecret, shown.OldSecretUntil = true, c.OldSecretUntil
	}
	return shown
}

func (a *api) clients(*http.Request) (any, error) {
	out := []Client{}
	for _, c := range a.m.Directory.Clients() {
		out = append(out, a.showClient(c))
	}
	return out, nil
}

func (a *api) createClient(r *http.Request) (any, error) {
	n, err := decode[spec.Client](r)
	if err != nil {
		return nil, err
	}
	_, made, err := a.m.CreateClient(r.Context(), by(), n)
	if err != nil {
		return nil, err
	}
	return a.shownWith(n.ID, made.Reveal())
}

func (a *api) shownWith(id, made string) (any, error) {
	c, ok := a.m.Directory.Client(id)
	if !ok {
		return nil, &manage.Missing{What: "client", ID: id}
	}
	shown := a.showClient(c)
	shown.Secret = made
	return shown, nil
}

func (a *api) client(r *http.Request) (any, error) { return a.shownWith(r.PathValue("id"), "") }

func (a *api) disableClient(disabled bool) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		if err := a.m.DisableClient(r.Context(), by(), r.PathValue("id"), disabled); err != nil {
			return nil, err
		}
		return a.client(r)
	}
}

func (a *api) newClientSecret(r *http.Request) (any, error) {
	n, err := decode[NewSecret](r)
	if err != nil {
		return nil, err
	}
	made, err := a.m.NewClientSecret(r.Context(), by(), r.PathValue("id"), n.Overlap.Std())
	if err != nil {
		return nil, err
	}
	return a.shownWith(r.PathValue("id"), made.Reveal())
}

func (a *api) endOldSecret(r *http.Request) (any, error) {
	if err := a.m.EndOldSecret(r.Context(), by(), r.PathValue("id")); err != nil {
		return nil, err
	}
	return a.client(r)
}

func (a *api) deleteClient(r *http.Request) (any, error) {
	return struct{}{}, a.m.DeleteClient(r.Context(), by(), r.PathValue("id"))
}

func showResource(r *store.Resource) Resource {
	return Resource{Resource: r.Resource, Source: r.Source, Introspects: len(r.SecretHash) > 0, CreatedAt: r.CreatedAt}
}

func (a *api) resources(*http.Request) (any, error) {
	out := []Resource{}
	for _, r := range a.m.Directory.Resources() {
		out = append(out, showResource(r))
	}
	return out, nil
}

// NewResource asks for a resource; with Introspects the answer holds its secret.
type NewResource struct {
	spec.Resource
	Introspects bool `json:"introspects,omitempty"`
}

func (a *api) createResource(r *http.Request) (any, error) {
	n, err := decode[NewResource](r)
	if err != nil {
		return nil, err
	}
	_, made, err := a.m.CreateResource(r.Context(), by(), n.Resource, n.Introspects)
	if err != nil {
		return nil, err
	}
	res, ok := a.m.Directory.Resource(n.ID)
	if !ok {
		return nil, &manage.Missing{What: "resource", ID: n.ID}
	}
	shown := showResource(res)
	shown.IntrospectionSecret = made.Reveal()
	return shown, nil
}

func (a *api) deleteResource(r *http.Request) (any, error) {
	return struct{}{}, a.m.DeleteResource(r.Context(), by(), r.PathValue("id"))
}

func (a *api) logouts(r *http.Request) (any, error) { return a.m.Logouts(r.Context()) }

func (a *api) keys(*http.Request) (any, error) { return a.m.Ring.List(), nil }

func (a *api) rotateKey(r *http.Request) (any, error) {
	n, err := decode[Rotation](r)
	if err != nil {
		return nil, err
	}
	if err := a.m.Ring.Rotate(r.Context(), n.Alg, n.Force); err != nil {
		var early *keys.NotYet
		if errors.As(err, &early) || errors.Is(err, keys.ErrUnknownAlg) {
			return nil, &manage.Invalid{Text: err.Error()}
		}
		return nil, err
	}
	return a.m.Ring.List(), nil
}

// Revocation asks to revoke what it names.
type Revocation struct {
	manage.Target
	Reason string `json:"reason,omitempty"`
}

func (a *api) revoke(r *http.Request) (any, error) {
	n, err := decode[Revocation](r)
	if err != nil {
		return nil, err
	}
	return a.m.Revoke(r.Context(), by(), n.Target, n.Reason)
}
