package adminapi

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/jeton-auth/jeton/internal/transfer"
	"github.com/jeton-auth/jeton/internal/web"
)

// writeTimeout bounds one write of a backup: a reader that stands still would keep the
// database from tidying up.
const writeTimeout = time.Minute

// backup answers with the records of the whole issuer (transfer.WriteRecords). Where it
// fails after its beginning the connection breaks, so that no half passes for the whole.
func (a *api) backup(w http.ResponseWriter, r *http.Request) {
	to := &patient{w: w, c: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "application/octet-stream")
	err := transfer.WriteRecords(r.Context(), a.m.Store, a.m.Issuer, a.log, to)
	switch {
	case err == nil:
	case !to.begun:
		web.JSON(w, http.StatusInternalServerError, Problem{err.Error()})
	default:
		a.log.Error("a backup was broken off", slog.Any("error", err))
		panic(http.ErrAbortHandler)
	}
}

// patient gives each write its own time: the whole may take as long as it needs.
type patient struct {
	w     http.ResponseWriter
	c     *http.ResponseController
	begun bool
}

func (p *patient) Write(b []byte) (int, error) {
	p.begun = true
	if err := p.c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}
