package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"

	"github.com/jeton-auth/jeton/internal/clientauth"
	"github.com/jeton-auth/jeton/internal/config"
	"github.com/jeton-auth/jeton/internal/directory"
	"github.com/jeton-auth/jeton/oauth"
	"github.com/jeton-auth/jeton/oauth/mtls"
)

// shown says where clients' certificates come from.
func shown(c *config.Config) mtls.Source {
	if c.BehindProxy == nil {
		return mtls.Source{}
	}
	return mtls.Source{Header: c.BehindProxy.ClientCertHeader, Trusted: c.BehindProxy.Trusted}
}

// asksForCertificates tells whether TLS clients are asked for a certificate.
func asksForCertificates(c *config.Config) bool {
	return c.TLS != nil && (c.TLS.ClientAuth == config.ClientAuthRequest || len(c.TLS.ClientCA) > 0)
}

// clientCA are the authorities that may sign the certificates of tls_client_auth: nil for
// the system's.
func clientCA(c *config.Config) (*x509.CertPool, error) {
	var text []byte
	if c.TLS != nil {
		text = c.TLS.ClientCA
	} else if c.BehindProxy != nil {
		text = c.BehindProxy.ClientCA
	}
	if len(text) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("client_ca holds no PEM certificate")
	}
	return pool, nil
}

// methods are the ways in which clients can authenticate here.
func (s *Server) methods() ([]clientauth.Method, error) {
	c := s.opts.Config
	all := []clientauth.Method{clientauth.SecretBasic{Clock: s.store}, clientauth.SecretPost{Clock: s.store}, &clientauth.PrivateKeyJWT{
		Issuer: c.Issuer, Token: c.Issuer + "/token", Keys: s.signed, Store: s.store, Audit: s.audit,
	}}
	if c.Certificates() {
		roots, err := clientCA(c)
		if err != nil {
			return nil, err
		}
		all = append(all, &clientauth.TLSClientAuth{Roots: roots, Proxied: c.BehindProxy != nil && roots == nil, Store: s.store}, clientauth.SelfSignedTLS{Keys: s.signed})
	}
	return append(all, clientauth.None{}), nil
}

// warnOfProxy tells what a proxy must do where nobody else can.
func (s *Server) warnOfProxy(dir *directory.Directory) {
	if c := s.opts.Config; c.BehindProxy == nil || c.BehindProxy.ClientCertHeader == "" || len(c.BehindProxy.ClientCA) > 0 {
		return
	}
	for _, c := range dir.Clients() {
		if c.AuthMethod == oauth.TLSClientAuth {
			s.log.Warn("the proxy must verify which authority signed a client's certificate, and send on no other: tls_client_auth rests on it",
				slog.String("client", c.ID), slog.String("header", s.opts.Config.BehindProxy.ClientCertHeader))
			return
		}
	}
}

// tlsConfig is how the public listener speaks TLS. A client's certificate is asked for but
// not judged here: without a hint which authorities count, one that signed it itself is
// sent as well.
func (s *Server) tlsConfig(c *config.Config) *tls.Config {
	t := &tls.Config{
		MinVersion: tls.VersionTLS12, CipherSuites: ciphers, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate.Load(), nil },
	}
	if asksForCertificates(c) {
		t.ClientAuth = tls.RequestClientCert
	}
	return t
}
