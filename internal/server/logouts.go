package server

import (
	"github.com/jeton-auth/jeton/internal/backchannel"
	"github.com/jeton-auth/jeton/internal/directory"
	"github.com/jeton-auth/jeton/internal/subject"
	"github.com/jeton-auth/jeton/internal/tokens"
)

// tellClients builds what tells clients of sessions that ended.
func (s *Server) tellClients(dir *directory.Directory, names *subject.Names, minter *tokens.Minter) *backchannel.Queue {
	return backchannel.New(backchannel.Needs{
		Store: s.store, Audit: s.audit, Directory: dir, Names: names, Minter: minter, Out: s.out, Log: s.log,
	})
}
