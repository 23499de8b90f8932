package pages

import _ "embed"

// FormPost carries an answer to a client: its form posts Fields to Action, by a script of
// ours, or by its button where scripts don't run (OAuth 2.0 Form Post Response Mode §2). Of
// all addresses the policy lets it go to Origin alone.
type FormPost struct {
	Action    string // a verified redirect URI
	Origin    string // its origin
	Fields    map[string]string
	UILocales string
}

func (FormPost) template() string         { return "formpost" }
func (p FormPost) locales() string        { return p.UILocales }
func (p FormPost) redirectOrigin() string { return p.Origin }

//go:embed assets/submit.js
var submit []byte
