package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The limits, as the table names them.
const (
	bare      = "bare"
	bareSign  = "bare+sign"
	bareSigns = "bare+2 signs"
	bareGet   = "bare GET" // of the process that also is bare
)

const (
	connections = 16
	warmUp      = time.Second
	seen        = 64 // tokens that are introspected in turn
	fresh       = 20_000
	people      = 1000 // who log in during the flow row, each a few times
)

// rate is a row of the table of rates: what is done to the product, beside a limit
// that is sent the same request.
type rate struct {
	what  string
	limit string
	goal  float64 // of the limit's rate

	product, bound side
	err            error
}

// plan is how a row is measured. prepare makes the operation of each connection, and
// the request that the limit is sent meanwhile.
type plan struct {
	name    string // for -only and -profile
	what    string
	limit   string
	goal    float64
	prepare func(*conn, *issuer) (ops []op, limit []byte, err error)
}

// plans of the rows that the real server is measured in.
var plans = []plan{
	{"client_credentials", "client_credentials → ES256 JWT", bareSign, .75, clientCredentials},
	{"refresh", "refresh rotation, durable", bareSign, .45, refresh("offline_access " + scope)},
	{"refresh_openid", "refresh rotation with openid, durable", bareSigns, .45, refresh("openid offline_access " + scope)},
	{"introspection", "introspection of JWTs seen before", bare, .60, introspection(api, seen)},
	{"introspection_opaque", "introspection of opaque tokens seen before", bare, .60, introspection(vault, seen)},
	{"introspection_first", "introspection of JWTs, first sight", bare, .40, introspection(api, fresh)},
	{"discovery", "discovery", bareGet, .80, document("/.well-known/openid-configuration")},
	{"jwks", "JWKS", bareGet, .80, document("/jwks")},
}

// flows is the row whose server must not spend its time on password hashes.
var flows = plan{"flow", "code + PKCE flow, ES256 ID token, durable (flows)", bareSign, .10, logins}

func tokenForm() url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "scope": {scope}, "resource": {api}}
}

func clientCredentials(c *conn, i *issuer) ([]op, []byte, error) {
	request := post(i.addr, "/token", basic(robot, i.robotSecret), tokenForm())
	_, err := accessToken(c, request)
	return times(connections, same(request)), request, err
}

// accessToken sends a token request and checks what it gives once, thoroughly.
func accessToken(c *conn, request []byte) (string, error) {
	body, err := c.ok(request)
	if err != nil {
		return "", err
	}
	token, err := text(body, "access_token")
	if err != nil {
		return "", err
	}
	return token, es256(token)
}

// refresh gives each connection a login of its own, whose refresh token it rotates.
func refresh(granted string) func(*conn, *issuer) ([]op, []byte, error) {
	return func(c *conn, i *issuer) ([]op, []byte, error) {
		ops := make([]op, connections)
		var sample string
		for n := range ops {
			body, _, err := flow(c, i.target, granted, i.user(n))
			if err != nil {
				return nil, nil, err
			}
			if err := checkLogin(body, strings.Contains(granted, "openid")); err != nil {
				return nil, nil, err
			}
			token, err := text(body, "refresh_token")
			if err != nil {
				return nil, nil, err
			}
			sample = token
			ops[n] = rotate(i, token)
		}
		return ops, i.refreshRequest(sample), nil
	}
}

// rotate is the operation of refreshing with the newest token of a chain.
func rotate(i *issuer, token string) op {
	return func(c *conn) error {
		body, err := c.ok(i.refreshRequest(token))
		if err != nil {
			return err
		}
		next, err := text(body, "refresh_token")
		if err == nil && next == token {
			err = errors.New("the refresh token was not rotated")
		}
		token = next
		return err
	}
}

func (i *issuer) refreshRequest(token string) []byte {
	return post(i.addr, "/token", basic(webClient, i.webSecret), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func checkLogin(body []byte, openid bool) error {
	var got struct {
		Access string `json:"access_token"`
		ID     string `json:"id_token"`
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return err
	}
	if (got.ID != "") != openid {
		return fmt.Errorf("ID token %q, openid %v", got.ID, openid)
	}
	if openid {
		return errors.Join(es256(got.Access), es256(got.ID))
	}
	return es256(got.Access)
}

// introspection asks about so many tokens of a resource in turn. More than the server
// remembers, and each is seen for the first time again.
func introspection(resource string, tokens int) func(*conn, *issuer) ([]op, []byte, error) {
	return func(c *conn, i *issuer) ([]op, []byte, error) {
		form := tokenForm()
		form.Set("resource", resource)
		form.Set("scope", scopes[resource])
		requests := make([][]byte, tokens)
		for n := range requests {
			body, err := c.ok(post(i.addr, "/token", basic(robot, i.robotSecret), form))
			if err != nil {
				return nil, nil, err
			}
			token, err := text(body, "access_token")
			if err != nil {
				return nil, nil, err
			}
			requests[n] = post(i.addr, "/introspect", basic(resource, i.apiSecret), url.Values{"token": {token}})
			if n < seen {
				if err := active(c, requests[n]); err != nil { // from here on it was seen before
					return nil, nil, err
				}
			}
		}
		var next atomic.Int64
		return times(connections, func(c *conn) error {
			return active(c, requests[next.Add(1)%int64(tokens)])
		}), requests[0], nil
	}
}

func active(c *conn, request []byte) error {
	body, err := c.ok(request)
	if err == nil && !bytes.Contains(body, []byte(`"active":true`)) {
		err = fmt.Errorf("the token is not active: %.300s", body)
	}
	return err
}

func document(path string) func(*conn, *issuer) ([]op, []byte, error) {
	return func(c *conn, i *issuer) ([]op, []byte, error) {
		request := get(i.addr, path, "Accept: application/json\r\n")
		body, err := c.ok(request)
		if err == nil && !json.Valid(body) {
			err = fmt.Errorf("%s is no JSON: %.300s", path, body)
		}
		return times(connections, same(request)), request, err
	}
}

// logins log the people in, each time another one from an empty cookie jar.
func logins(c *conn, i *issuer) ([]op, []byte, error) {
	const granted = "openid offline_access " + scope
	var next, requests atomic.Int64
	one := func(c *conn) error {
		body, n, err := flow(c, i.target, granted, i.user(int(next.Add(1))))
		requests.Store(int64(n))
		if err != nil {
			return err
		}
		return checkLogin(body, true)
	}
	if err := one(c); err != nil {
		return nil, nil, err
	}
	note("a flow is %d requests", requests.Load())
	return times(connections, one), post(i.addr, "/token", basic(robot, i.robotSecret), tokenForm()), nil
}

// measure runs a plan: the limit and the product turn by turn, after each was warmed
// up.
func (b *bench) measure(ctx context.Context, p plan, i *issuer, server *process) rate {
	r := rate{what: p.what, limit: p.limit, goal: p.goal}
	note("%s", p.what)
	r.err = func() error {
		c, err := dial(i.addr, time.Now().Add(patience))
		if err != nil {
			return err
		}
		ops, request, err := p.prepare(c, i)
		if err := errors.Join(err, c.close()); err != nil {
			return err
		}
		beside := b.limits[p.limit]
		if p.limit == bareGet {
			beside = b.limits[bare]
		}
		against := times(connections, same(request))
		if _, err := until(ctx, beside.addr, against, warmUp); err != nil {
			return fmt.Errorf("the limit: %w", err)
		}
		if _, err := until(ctx, i.addr, ops, warmUp); err != nil {
			return err
		}
		var pairs []pair
		for len(pairs) < b.rounds || len(pairs) < b.rounds+extra && calmest(pairs, b.rounds) > calm {
			var one pair
			if one.bound, err = b.round(ctx, beside.addr, beside.process, against); err != nil {
				return fmt.Errorf("the limit: %w", err)
			}
			if one.product, err = b.round(ctx, i.addr, server, ops); err != nil {
				return err
			}
			pairs = append(pairs, one)
		}
		for _, one := range quietest(pairs, b.rounds) {
			r.bound.add(one.bound)
			r.product.add(one.product)
			b.noise.add(one.bound)
			b.noise.add(one.product)
		}
		return b.profiled(p.name, func() error {
			_, err := until(ctx, i.addr, ops, profileTime)
			return err
		})
	}()
	return r
}

// round measures one server once, and what the rest of the machine did meanwhile.
func (b *bench) round(ctx context.Context, addr string, server *process, ops []op) (reading, error) {
	before, err := b.sample(server)
	if err != nil {
		return reading{}, err
	}
	rate, err := until(ctx, addr, ops, b.duration)
	if err != nil {
		return reading{}, err
	}
	after, err := b.sample(server)
	took := after.at.Sub(before.at)
	used := after.server - before.server
	return reading{
		rate: rate, cpu: float64(used.Microseconds()) / (rate * took.Seconds()),
		capacity: took * time.Duration(b.processors),
		busy:     after.busy - before.busy,
		others:   max(0, after.busy-before.busy-used-(after.load-before.load)),
		stolen:   after.stolen - before.stolen,
	}, err
}

// sample is how much processor time was used by a moment.
type sample struct {
	at                         time.Time
	server, load, busy, stolen time.Duration
}

func (b *bench) sample(server *process) (s sample, err error) {
	s.at = time.Now()
	var errs [3]error
	s.server, errs[0] = cpu(strconv.Itoa(server.pid()))
	s.load, errs[1] = cpu("self")
	s.busy, s.stolen, errs[2] = machine()
	return s, errors.Join(errs[:]...)
}

// rates measures all rows. Those of the real server come first.
func (b *bench) rates(ctx context.Context) (rows []rate, err error) {
	program, args := b.jeton, []string{"serve"}
	if b.profileDir != "" {
		program, args = b.server, []string{"-pprof", b.pprof}
	}
	var chosen []plan
	for _, p := range plans {
		if b.wants(p.name) {
			chosen = append(chosen, p)
		}
	}
	rows, err = b.against(ctx, b.main, chosen, program, args...)
	if err != nil || !b.wants(flows.name) {
		return rows, err
	}
	args = nil
	if b.profileDir != "" {
		args = []string{"-pprof", b.pprof}
	}
	flowRows, err := b.against(ctx, b.people, []plan{flows}, b.server, args...)
	return append(rows, flowRows...), err
}

func (b *bench) against(ctx context.Context, i *issuer, chosen []plan, program string, args ...string) (rows []rate, err error) {
	if len(chosen) == 0 {
		return nil, nil
	}
	p, _, err := i.start(ctx, program, args...)
	defer func() { err = errors.Join(err, p.stop()) }()
	if err != nil {
		return nil, err
	}
	for _, plan := range chosen {
		rows = append(rows, b.measure(ctx, plan, i, p))
		if ctx.Err() != nil {
			return rows, context.Cause(ctx)
		}
	}
	return rows, nil
}

// profileFile is where a row's profile goes.
func (b *bench) profileFile(name string) string { return filepath.Join(b.profileDir, name+".pprof") }
