package endpoints

import (
	"reflect"
	"slices"

	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/oauth"
)

// profiles are those in use: the server's, for clients to come, and every client's. A
// zero one is spec.ProfileOIDC.
func (m *Metadata) profiles() []spec.Profile {
	all := []spec.Profile{m.Profile}
	for _, c := range m.Directory.Clients() {
		if !slices.Contains(all, c.Profile) {
			all = append(all, c.Profile)
		}
	}
	return all
}

// everyProfile tells whether all profiles in use demand something.
func (m *Metadata) everyProfile(demands func(spec.Profile) bool) bool {
	return !slices.ContainsFunc(m.profiles(), func(p spec.Profile) bool { return !demands(p) })
}

// narrow leaves in doc, a pointer to a struct, what at least one profile in use allows. It
// goes by the fields' types, so that no list of algorithms can be forgotten.
func (m *Metadata) narrow(doc any) {
	profiles := m.profiles()
	narrowTo(doc, allowed(profiles, spec.Profile.SigningAlgs))
	narrowTo(doc, allowed(profiles, spec.Profile.AuthMethods))
	narrowTo(doc, allowed(profiles, spec.Profile.ResponseTypes))
	narrowTo(doc, allowed(profiles, spec.Profile.ResponseModes))
}

func allowed[T comparable](profiles []spec.Profile, of func(spec.Profile) []T) []T {
	var all []T
	for _, p := range profiles {
		all = append(all, of(p)...)
	}
	return all
}

// narrowTo removes from each []T of doc, embedded structs included, what is not allowed.
func narrowTo[T comparable](doc any, allowed []T) {
	v := reflect.ValueOf(doc).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if v.Type().Field(i).Anonymous && f.Kind() == reflect.Struct {
			for j := range f.NumField() {
				narrowField(f.Field(j), allowed)
			}
			continue
		}
		narrowField(f, allowed)
	}
}

func narrowField[T comparable](f reflect.Value, allowed []T) {
	if list, ok := f.Addr().Interface().(*[]T); ok {
		*list = slices.DeleteFunc(slices.Clone(*list), func(x T) bool { return !slices.Contains(allowed, x) })
	}
}

// secretMethods are those by which resources show their introspection secrets, whatever
// clients do.
var secretMethods = []oauth.AuthMethod{oauth.ClientSecretBasic, oauth.ClientSecretPost}
