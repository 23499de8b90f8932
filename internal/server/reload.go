package server

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/jeton-auth/jeton/internal/config"
)

// follow applies the configuration again on SIGHUP and when one of its files changes.
// What can't be read is reported and changes nothing.
func (s *Server) follow(ctx context.Context, hup <-chan os.Signal) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	files := s.opts.Config.Files
	var stamp []string // none yet: what changed since the start is seen at the first look
	var seen []string
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		case <-tick.C:
			// A file that still changes is not read: half of one can be valid, and lack
			// half of the clients.
			now := stampOf(files)
			settled := slices.Equal(now, seen)
			seen = now
			if !settled || slices.Equal(now, stamp) {
				continue
			}
		}
		// Looked at before they are read: what changes meanwhile is for the next time.
		stamp = stampOf(files)
		named, err := s.reload(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.Error("the configuration was not applied; what was in force stays", slog.Any("error", err))
		case !slices.Equal(named, files):
			files, stamp = named, nil // read once more, with all its files watched
		}
	}
}

// reload applies the configuration and returns the files that it consists of.
func (s *Server) reload(ctx context.Context) (files []string, err error) {
	c, err := s.opts.Reload()
	if err != nil {
		return nil, err
	}
	if waiting := waiting(s.opts.Config, c); len(waiting) > 0 {
		s.log.Warn("some settings that changed take effect at the next start", slog.Any("keys", waiting))
	}
	if c.TLS != nil && s.opts.Config.TLS != nil {
		if err := s.useCertificate(c); err != nil {
			return nil, err
		}
	}
	if err := s.manager.Apply(ctx, c); err != nil {
		return nil, err
	}
	s.log.Info("the configuration was applied", slog.Int("clients", len(c.Clients)), slog.Int("resources", len(c.Resources)))
	return c.Files, nil
}

// waiting lists the keys whose new values take effect at the next start only.
func waiting(old, now *config.Config) []string {
	var keys []string
	for key, values := range map[string][2]any{
		"issuer": {old.Issuer, now.Issuer}, "listen": {old.Listen, now.Listen}, "store": {old.Store, now.Store},
		"key_encryption_key": {[]byte(old.KeyEncryptionKey), []byte(now.KeyEncryptionKey)},
		"tls":                {old.TLS != nil, now.TLS != nil}, "behind_proxy": {old.BehindProxy, now.BehindProxy},
		"introspection": {old.Introspection, now.Introspection}, "dpop": {old.DPoP, now.DPoP}, "brand": {old.Brand, now.Brand}, "sessions": {old.Sessions, now.Sessions}, "keys": {old.Keys, now.Keys},
		"password": {old.Password, now.Password}, "log": {old.Log, now.Log},
		"profile": {old.Profile, now.Profile}, "outbound": {old.Outbound, now.Outbound}, "tls.client_ca": {certificates(old), certificates(now)},
		"high_water": {old.HighWater, now.HighWater}, "revocation_journal": {old.RevocationJournal, now.RevocationJournal},
	} {
		if !reflect.DeepEqual(values[0], values[1]) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// certificates are what decides which TLS clients' certificates are taken.
func certificates(c *config.Config) []string {
	if c.TLS == nil {
		return nil
	}
	return []string{string(c.TLS.ClientCA), c.TLS.ClientAuth}
}

// stampOf is the modification time and size of each file.
func stampOf(files []string) []string {
	stamps := make([]string, len(files))
	for i, f := range files {
		if info, err := os.Stat(f); err == nil {
			stamps[i] = fmt.Sprint(info.ModTime().UnixNano(), info.Size())
		}
	}
	return stamps
}
