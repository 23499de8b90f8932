//go:build e2e

package server

import (
	"testing"

	"github.com/jeton-auth/jeton/internal/pgtest"
)

func TestCopiedToPostgres(t *testing.T) {
	t.Parallel()
	to := pgtest.Database(t) // before the server: it must outlive it
	testCopied(t, start(t), to)
}
