package subject_test

import (
	"testing"

	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/subject"
	"github.com/jeton-auth/jeton/oauth"
)

type roots map[int64]byte

func (r roots) PepperByID(id int64) (keys.Root, bool) {
	b, ok := r[id]
	s := make([]byte, 32)
	s[0] = b
	return keys.Root{ID: id, Secret: s}, ok
}

func client(t oauth.SubjectType, sector, redirect string) *store.Client {
	return &store.Client{Client: spec.Client{SubjectType: t, SectorIdentifierURI: sector, RedirectURIs: []string{redirect}}}
}

func TestNames(t *testing.T) {
	t.Parallel()
	names, err := subject.New(roots{1: 7, 2: 8})
	if err != nil {
		t.Fatal(err)
	}
	again, _ := subject.New(roots{1: 7})
	other, _ := subject.New(roots{1: 9})
	a := client(oauth.SubjectPairwise, "", "https://a.example.com/cb")
	same := client(oauth.SubjectPairwise, "", "https://a.example.com:8443/other")
	sector := client(oauth.SubjectPairwise, "https://a.example.com/list.json", "https://elsewhere.example.com/cb")
	b := client(oauth.SubjectPairwise, "", "https://b.example.com/cb")
	public := client(oauth.SubjectPublic, "", "https://a.example.com/cb")
	ada := names.For(a, "u_ada")
	if len(ada) != 43 || names.For(public, "u_ada") != "u_ada" {
		t.Errorf("the names are %q and %q", ada, names.For(public, "u_ada"))
	}
	for what, name := range map[string]string{
		"the same sector": names.For(same, "u_ada"), "a sector with a list": names.For(sector, "u_ada"), "a later start": again.For(a, "u_ada"),
	} {
		if name != ada {
			t.Errorf("%s has another name", what)
		}
	}
	for what, name := range map[string]string{
		"another sector": names.For(b, "u_ada"), "another person": names.For(a, "u_bob"), "another issuer": other.For(a, "u_ada"),
	} {
		if name == ada {
			t.Errorf("%s has the same name", what)
		}
	}
	if all := names.All([]*store.Client{a, public, same, b}, "u_ada"); len(all) != 2 || all[0] != ada || all[1] != names.For(b, "u_ada") {
		t.Errorf("all names: %q", all)
	}
	if _, err := subject.New(roots{2: 1}); err == nil {
		t.Error("a ring without its first root gives names")
	}
}
