package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jeton-auth/jeton/internal/clock"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/verify"
)

// Scopes of the API.
const (
	ScopeRead  = "orders:read"
	ScopeWrite = "orders:write"
)

// api is a protected API: a list of orders in memory.
type api struct {
	handler  http.Handler
	verifier *verify.Verifier
	clock    clock.Clock
	pages    *renderer

	mu     sync.Mutex
	orders []order
	lastID int
}

type order struct {
	ID       int       `json:"id"`
	Item     string    `json:"item"`
	Quantity int       `json:"quantity"`
	By       string    `json:"by"` // a subject
	At       time.Time `json:"at"`
}

// caller is who a request's token speaks for.
type caller struct {
	Subject string   `json:"sub"`
	Client  string   `json:"client_id"`
	Scopes  []string `json:"scopes"`
}

// maxStale is how old what the API knows of revocations may be.
const maxStale = 5 * time.Second

const (
	maxOrders = 20 // the newest are kept
	maxBody   = 4 << 10
	maxItem   = 80 // characters
)

func newAPI(ctx context.Context, o Options, p *renderer, client *http.Client) (*api, error) {
	v, err := verify.New(ctx, o.Issuer,
		verify.Audience(o.API),
		// What is revoked is heard of by the feed, so no call asks the issuer. If it can't
		// be heard of, calls are answered with 503 after so long.
		verify.Feed(verify.APISecret(o.API, o.APISecret.Reveal())), verify.MaxStale(maxStale, verify.Refuse),
		verify.Metadata(verify.Resource{Name: "Demo orders API", Scopes: []string{ScopeRead, ScopeWrite}}),
		verify.HTTPClient(client), verify.Clock(o.Clock.Now), verify.Logger(o.Log))
	if err != nil {
		return nil, err
	}
	a := &api{verifier: v, clock: o.Clock, pages: p}
	now := o.Clock.Now()
	for i, item := range []string{"Espresso machine", "Green tea, loose", "Six cups"} {
		a.add(order{Item: item, Quantity: i + 1, By: "shop", At: now.Add(time.Duration(i-3) * time.Hour)})
	}
	mux := http.NewServeMux()
	mux.Handle("GET /orders", v.Require(ScopeRead)(http.HandlerFunc(a.list)))
	mux.Handle("POST /orders", v.Require(ScopeWrite)(http.HandlerFunc(a.create)))
	mux.Handle("GET "+verify.MetadataPath, v.Metadata())
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		a.pages.write(w, http.StatusOK, "api", view{Title: "A protected API", Brand: "Demo orders API", Wide: true, Options: o}, "")
	})
	files(mux)
	a.handler = mux
	return a, nil
}

func (a *api) list(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	orders := append([]order{}, a.orders...)
	a.mu.Unlock()
	answer(w, http.StatusOK, struct {
		AskedBy caller  `json:"asked_by"`
		Orders  []order `json:"orders"`
	}{callerOf(r), orders})
}

func (a *api) create(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Item     string `json:"item"`
		Quantity int    `json:"quantity"`
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(&body)
	if err == nil && d.More() {
		err = errors.New("more follows")
	}
	body.Item = strings.TrimSpace(body.Item)
	if err != nil || body.Item == "" || len([]rune(body.Item)) > maxItem || body.Quantity < 1 || body.Quantity > 1000 {
		answer(w, http.StatusBadRequest, map[string]string{
			"error":             string(oauth.InvalidRequest),
			"error_description": fmt.Sprintf(`send JSON such as {"item":"Green tea","quantity":2}: an item of at most %d characters, a quantity from 1 to 1000`, maxItem),
		})
		return
	}
	answer(w, http.StatusCreated, a.add(order{
		Item: body.Item, Quantity: body.Quantity, By: callerOf(r).Subject, At: a.clock.Now(),
	}))
}

func (a *api) add(o order) order {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lastID++
	o.ID, o.At = a.lastID, o.At.UTC().Truncate(time.Second)
	a.orders = append(a.orders, o)
	a.orders = a.orders[max(0, len(a.orders)-maxOrders):]
	return o
}

func callerOf(r *http.Request) caller {
	p := verify.PrincipalFrom(r.Context())
	return caller{Subject: p.Subject, Client: p.ClientID, Scopes: p.Scopes()}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the reader may be gone
}
