package server

import (
	"context"

	"github.com/jeton-auth/jeton/internal/transfer"
)

// admit refuses a database on which no server may start: it is not whole, or it is
// known that it went back in time.
func (s *Server) admit(ctx context.Context) error {
	return transfer.Admit(ctx, s.store)
}
