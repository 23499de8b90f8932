package store

import (
	"encoding/json"
	"time"
)

// DeviceState says how a device authorization request stands.
type DeviceState int64

// The states. What a device got, the number of its grant says.
const (
	DeviceWaits DeviceState = iota
	DeviceApproved
	DeviceDenied
)

// Device is a device authorization request (RFC 8628 §3.1). Its two codes are kept as
// hashes.
type Device struct {
	Key       []byte // hash of the device code
	UserCode  []byte // hash of the user code
	Request   AuthorizationRequest
	State     DeviceState
	Grant     GrantID       // what approval made
	Every     time.Duration // the least time between two polls
	PolledAt  time.Time
	ExpiresAt time.Time
	KeptUntil time.Time // no flow that began with it is left
}

const deviceColumns = `SELECT key, user_code, request, state, grant_id, poll_every, polled_at, expires_at, kept_until FROM devices`

func scanDevice(row scanner) (d Device, err error) {
	var request string
	var grant []byte
	var every, polled, expires, kept int64
	if err := row.Scan(&d.Key, &d.UserCode, &request, &d.State, &grant, &every, &polled, &expires, &kept); err != nil {
		return d, err
	}
	copy(d.Grant[:], grant)
	d.Every, d.PolledAt = time.Duration(every)*time.Millisecond, fromMillis(polled)
	d.ExpiresAt, d.KeptUntil = fromMillis(expires), fromMillis(kept)
	return d, json.Unmarshal([]byte(request), &d.Request)
}

// Device reads a request by the hash of its device code, answered and expired ones too.
func (r Reader) Device(key []byte) (Device, error) {
	return get(r, scanDevice, deviceColumns+` WHERE key = ?`, key)
}

// DeviceToAnswer reads a request that waits and has not expired, by the hash of its user
// code.
func (r Reader) DeviceToAnswer(userCode []byte, now time.Time) (Device, error) {
	return get(r, scanDevice, deviceColumns+` WHERE user_code = ? AND state = 0 AND expires_at > ?`, userCode, millis(now))
}

// CreateDevice adds a request that waits. added is false where its user code is another
// one's.
func (tx *Tx) CreateDevice(d Device) (added bool, err error) {
	request, err := json.Marshal(d.Request)
	if err != nil {
		return false, err
	}
	n, err := tx.change(`INSERT INTO devices (key, user_code, client, request, state, grant_id, poll_every, polled_at, expires_at, kept_until)
		VALUES (?, ?, ?, ?, 0, ?, ?, 0, ?, ?) ON CONFLICT (user_code) DO NOTHING`,
		d.Key, d.UserCode, d.Request.Client, string(request), []byte{}, d.Every.Milliseconds(), millis(d.ExpiresAt), millis(d.KeptUntil))
	return n == 1, err
}

// PollDevice notes that a device asked for a request that waits. early tells that it asked
// before its time: it must wait longer from now on, by slower (RFC 8628 §3.5). waits is
// false where the request waits no more.
func (tx *Tx) PollDevice(key []byte, slower time.Duration) (waits, early bool, err error) {
	n, err := tx.change(`UPDATE devices SET polled_at = ? WHERE key = ? AND state = 0 AND polled_at + poll_every <= ?`, millis(tx.now), key, millis(tx.now))
	if err != nil || n == 1 {
		return n == 1, false, err
	}
	n, err = tx.change(`UPDATE devices SET polled_at = ?, poll_every = poll_every + ? WHERE key = ? AND state = 0`, millis(tx.now), slower.Milliseconds(), key)
	return n == 1, n == 1, err
}

// ApproveDevice notes the grant that a person made for a request; the device may come for
// it until a time. won is false where it waits no more, or has expired.
func (tx *Tx) ApproveDevice(key []byte, grant GrantID, until time.Time) (won bool, err error) {
	n, err := tx.change(`UPDATE devices SET state = 1, grant_id = ?, expires_at = ? WHERE key = ? AND state = 0 AND expires_at > ?`, grant[:], millis(until), key, millis(tx.now))
	return n == 1, err
}

// DenyDevice notes that a person denied a request. won is as with ApproveDevice.
func (tx *Tx) DenyDevice(key []byte) (won bool, err error) {
	n, err := tx.change(`UPDATE devices SET state = 2 WHERE key = ? AND state = 0 AND expires_at > ?`, key, millis(tx.now))
	return n == 1, err
}

// PurgeDevices removes up to limit requests that nobody needs any more.
func (tx *Tx) PurgeDevices(limit int) (int64, error) {
	return tx.change(`DELETE FROM devices WHERE key IN (SELECT key FROM devices WHERE kept_until < ? LIMIT ?)`, millis(tx.now), limit)
}
