package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/jeton-auth/jeton/internal/adminapi"
	"github.com/jeton-auth/jeton/internal/config"
	"github.com/jeton-auth/jeton/internal/server"
)

// instance names the issuer that a command speaks to: one that a configuration file
// describes, or the one of jeton dev in a data directory.
type instance struct {
	configFlag
	Data string `placeholder:"DIR" help:"Speak to the issuer that jeton dev keeps in this directory instead."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// call asks the running server, over its socket; where none runs, the same handler
// inside this process.
func (in *instance) call(ctx context.Context, std *streams, method, path string, body, answer any) error {
	var c *config.Config
	var err error
	if in.Data != "" {
		c, err = devConfig(in.Data, devPort)
	} else {
		c, err = in.load(std)
	}
	if err != nil {
		return err
	}
	var text []byte
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://jeton"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	var status int
	var reply []byte
	if socket, none := server.SocketPath(c); none == nil {
		status, reply, err = ask(req, socket)
	} else {
		err = errNobody
	}
	if errors.Is(err, errNobody) {
		status, reply, err = askInside(req, c)
	}
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		var p adminapi.Problem
		if json.Unmarshal(reply, &p) != nil || p.Text == "" {
			return fmt.Errorf("the server answered %d", status)
		}
		return errors.New(p.Text)
	}
	return json.Unmarshal(reply, answer)
}

var errNobody = errors.New("no server listens on the socket")

func ask(req *http.Request, socket string) (int, []byte, error) {
	hc := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
			if err != nil {
				err = errors.Join(errNobody, err)
			}
			return c, err
		},
	}}
	defer hc.CloseIdleConnections()
	resp, err := hc.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, err
}

func askInside(req *http.Request, c *config.Config) (int, []byte, error) {
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return 0, nil, err
		}
		req.Body = body
	}
	srv, err := server.Open(req.Context(), server.Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, nil, explain(err)
	}
	rec := httptest.NewRecorder()
	srv.Admin().ServeHTTP(rec, req)
	return rec.Code, rec.Body.Bytes(), srv.Close()
}

// show prints v as JSON, or with table as aligned columns.
func (in *instance) show(std *streams, v any, table func(w io.Writer)) error {
	return show(std, in.JSON, v, table)
}
