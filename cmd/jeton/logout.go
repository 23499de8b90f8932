package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/jeton-auth/jeton/internal/manage"
)

type logoutCommands struct {
	List logoutList `cmd:"" help:"List the sessions' ends of which clients are still to be told, and those of which they could not be."`
}

type logoutList struct{ instance }

func (c *logoutList) Run(ctx context.Context, std *streams) error {
	var all []manage.Logout
	if err := c.call(ctx, std, http.MethodGet, "/logouts", nil, &all); err != nil {
		return err
	}
	return c.show(std, all, func(w io.Writer) {
		fmt.Fprintln(w, "CLIENT\tSUBJECT\tENDED\tATTEMPTS\tNEXT\tERROR")
		for _, l := range all {
			next := "given up"
			if l.GivenUpAt.IsZero() {
				next = l.NextAt.UTC().Format(time.RFC3339)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", l.Client, l.Subject, l.EndedAt.UTC().Format(time.RFC3339), l.Attempts, next, l.Error)
		}
	})
}
