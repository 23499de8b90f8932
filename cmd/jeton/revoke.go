package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/jeton-auth/jeton/internal/adminapi"
	"github.com/jeton-auth/jeton/internal/manage"
)

type revokeCommand struct {
	instance
	Token   string `xor:"what" required:"" placeholder:"TOKEN" help:"An access token or its jti; - reads it from standard input. A refresh token or code ends its grant."`
	Grant   string `xor:"what" required:"" placeholder:"HANDLE" help:"A grant: the jti of an access token, up to its last dot."`
	Session string `xor:"what" required:"" placeholder:"SID" help:"A session, with the grants that live in it."`
	User    string `xor:"what" required:"" placeholder:"USER" help:"All that a user holds, by e-mail address or subject."`
	Client  string `xor:"what" required:"" placeholder:"ID" help:"All that a client holds. It stays switched on."`
	Key     string `xor:"what" required:"" placeholder:"KID" help:"A key, and all that it signed. It leaves the ring for good."`
	All     bool   `xor:"what" required:"" help:"Every token, grant and session of this issuer."`
	Reason  string `placeholder:"TEXT" help:"Why, for the log and the audit trail."`
}

func (c *revokeCommand) Run(ctx context.Context, std *streams) error {
	if c.Token == "-" {
		var err error
		if c.Token, err = firstLine(std.in, "token"); err != nil {
			return err
		}
	}
	return c.revoke(ctx, std, adminapi.Revocation{Target: manage.Target{
		Token: c.Token, Grant: c.Grant, Session: c.Session, User: c.User, Client: c.Client, Key: c.Key, All: c.All,
	}, Reason: c.Reason})
}

func (in *instance) revoke(ctx context.Context, std *streams, n adminapi.Revocation) error {
	var out manage.Revoked
	if err := in.call(ctx, std, http.MethodPost, "/revocations", n, &out); err != nil {
		return err
	}
	return in.show(std, out, func(w io.Writer) {
		what := string(out.Kind)
		if out.Name != "" {
			what += " " + out.Name
		}
		if out.Entry == 0 {
			fmt.Fprintf(w, "%s: no token of it was alive any more\n", what)
			return
		}
		fmt.Fprintf(w, "revoked %s (entry %d)\n", what, out.Entry)
	})
}
