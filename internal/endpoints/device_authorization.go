package endpoints

import (
	"net/http"

	"github.com/jeton-auth/jeton/internal/authorize"
	"github.com/jeton-auth/jeton/internal/clientauth"
	"github.com/jeton-auth/jeton/internal/web"
)

// DeviceAuthorization is POST /device_authorization: a device asks for its codes (RFC 8628
// §3.1).
type DeviceAuthorization struct {
	Door
	Clients *clientauth.Clients
	Flows   *authorize.Flows
}

type deviceAnswer struct {
	DeviceCode   string `json:"device_code"`
	UserCode     string `json:"user_code"`
	Verification string `json:"verification_uri"`
	Complete     string `json:"verification_uri_complete"`
	ExpiresIn    int64  `json:"expires_in"`
	Interval     int64  `json:"interval"`
}

func (d *DeviceAuthorization) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	params, refusal := web.Form(w, r)
	if refusal != nil {
		d.fail(w, r, refusal)
		return
	}
	client, err := d.Clients.Client(r.Context(), d.credentials(r, params))
	if err != nil {
		d.failClient(w, r, err)
		return
	}
	codes, err := d.Flows.Device(r.Context(), authorize.DeviceRequest{Client: client, Params: params, Origin: d.origin(w, r)})
	if err != nil {
		d.failClient(w, r, err)
		return
	}
	page := d.Base + devicePath
	web.JSON(w, http.StatusOK, deviceAnswer{
		DeviceCode: codes.Device, UserCode: codes.User, Verification: page, Complete: page + "?" + userCodeParameter + "=" + codes.User,
		ExpiresIn: int64(authorize.DeviceLifetime.Seconds()), Interval: int64(authorize.DeviceInterval.Seconds()),
	})
}
