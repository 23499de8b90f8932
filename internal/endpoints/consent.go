package endpoints

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/jeton-auth/jeton/internal/authorize"
	"github.com/jeton-auth/jeton/internal/pages"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// subjectParameter names the person to whom a consent page was shown. Should
// somebody else log in in another tab, their consent is not this one.
const subjectParameter = "subject"

// consent is GET /consent: the page, or the next step where none is needed any more.
func (b *Browser) consent(w http.ResponseWriter, r *http.Request) {
	params, refusal := web.Query(r)
	if refusal != nil {
		b.failPage(w, r, refusal, "")
		return
	}
	p, err := b.open(w, r, params)
	if err != nil {
		b.failPage(w, r, err, "")
		return
	}
	out, err := p.Look(r.Context())
	switch {
	case err != nil:
		b.failPage(w, r, err, p.Request.UILocales)
	case out.Pending == nil || out.Step.Do != authorize.Consent:
		b.follow(w, r, out)
	default:
		b.showConsent(w, r, p, out)
	}
}

func (b *Browser) showConsent(w http.ResponseWriter, r *http.Request, p *authorize.Pending, out authorize.Outcome) {
	account, err := b.account(r, out.Session)
	if err != nil {
		b.failPage(w, r, err, p.Request.UILocales)
		return
	}
	b.Pages.Write(w, r, http.StatusOK, pages.Consent{
		Action: b.prefix + "/consent", Hidden: map[string]string{flowParameter: p.ID(), subjectParameter: out.Session.Subject},
		ClientName: p.Client.DisplayName(), Account: account, Scopes: b.lines(p, out.Step.Ask), Details: detailLines(p.Request.Details),
		UserCode: p.Request.UserCode, RedirectOrigin: p.To.Origin(), RedirectHost: p.To.Host(), UILocales: p.Request.UILocales,
	})
}

// lines are what is asked for, in a fixed order: first what concerns the person, then
// each API.
func (b *Browser) lines(p *authorize.Pending, ask map[string][]string) []pages.ScopeLine {
	var lines []pages.ScopeLine
	for _, scope := range oauth.IdentityScopes {
		if slices.Contains(ask[""], scope) {
			lines = append(lines, pages.ScopeLine{Name: scope})
		}
	}
	for _, api := range p.Request.Resources {
		scopes, asked := ask[api.ID]
		if !asked {
			continue
		}
		name := api.ID
		if res, ok := b.Flows.Directory.Resource(api.ID); ok && res.Name != "" {
			name = res.Name
		}
		if len(scopes) == 0 {
			lines = append(lines, pages.ScopeLine{Name: api.ID, Resource: name})
		}
		for _, scope := range scopes {
			lines = append(lines, pages.ScopeLine{Name: scope, Resource: name})
		}
	}
	return lines
}

// detailLines are all members of what is asked for in detail: a person allows nothing that
// they were not shown.
func detailLines(details []oauth.AuthorizationDetail) []pages.Detail {
	var lines []pages.Detail
	for _, d := range details {
		line := pages.Detail{Type: d.Type}
		add := func(name string, values ...string) {
			if len(values) > 0 {
				line.Facts = append(line.Facts, pages.Fact{Name: name, Values: values})
			}
		}
		if d.Identifier != "" {
			add("identifier", d.Identifier)
		}
		add("actions", d.Actions...)
		add("datatypes", d.DataTypes...)
		add("privileges", d.Privileges...)
		add("locations", d.Locations...)
		others := d.Others()
		for _, name := range slices.Sorted(maps.Keys(others)) {
			add(name, plain(others[name]))
		}
		lines = append(lines, line)
	}
	return lines
}

// plain is JSON as people read it: names and values with commas between.
func plain(raw json.RawMessage) string {
	var members map[string]json.RawMessage
	var elements []json.RawMessage
	var text string
	var parts []string
	switch {
	case raw[0] == '"' && json.Unmarshal(raw, &text) == nil:
		return text
	case raw[0] == '{' && json.Unmarshal(raw, &members) == nil:
		for _, name := range slices.Sorted(maps.Keys(members)) {
			parts = append(parts, name+": "+plain(members[name]))
		}
	case raw[0] == '[' && json.Unmarshal(raw, &elements) == nil:
		for _, e := range elements {
			parts = append(parts, plain(e))
		}
	default:
		return string(raw)
	}
	return strings.Join(parts, ", ")
}

// consentPost is POST /consent, by the button allow or deny. A form without either
// says nothing: the page is shown again.
func (b *Browser) consentPost(w http.ResponseWriter, r *http.Request, params web.Params) {
	p, err := b.open(w, r, params)
	if err != nil {
		b.failPage(w, r, err, "")
		return
	}
	switch {
	case params.Has("deny"):
		b.deny(w, r, p)
	case params.Has("allow"):
		out, err := p.Allow(r.Context(), params.Get(subjectParameter))
		if err != nil {
			b.failPage(w, r, err, p.Request.UILocales)
			return
		}
		b.follow(w, r, out)
	default:
		redirect(w, b.step("/consent", p))
	}
}
