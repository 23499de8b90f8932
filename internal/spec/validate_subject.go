package spec

import "github.com/jeton-auth/jeton/oauth"

// validateSubject holds the rules about the names by which the client knows people
// (OpenID Connect Core §8.1).
func (c Client) validateSubject(p *problems) {
	if !oneOf(p, "subject_type", c.SubjectType, SubjectTypes) {
		return
	}
	switch hosts := c.hosts(); {
	case c.SectorIdentifierURI != "" && c.SubjectType != oauth.SubjectPairwise:
		p.add("sector_identifier_uri", "has no use with subject_type %s: remove it, or write subject_type: pairwise", c.SubjectType)
	case c.SectorIdentifierURI != "":
		p.endpoint("sector_identifier_uri", c.SectorIdentifierURI)
	case c.SubjectType == oauth.SubjectPairwise && (len(hosts) != 1 || hosts[0] == ""):
		p.add("sector_identifier_uri", "is required with subject_type pairwise unless all redirect URIs have one host: write where the list of them is published")
	}
}
