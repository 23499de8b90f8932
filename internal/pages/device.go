package pages

// Device is the form for the code that a device shows: a POST to Action with the field
// user_code and the submit button continue.
type Device struct {
	Action   string
	UserCode string // prefilled
	Error    DeviceError
}

// DeviceError says why the form is shown again.
type DeviceError string

const (
	WrongCode    DeviceError = "wrong_code"
	TooManyCodes DeviceError = "too_many" // too many wrong codes; try again later
)

// deviceErrors are the catalog keys of what the form says.
var deviceErrors = map[DeviceError]string{
	WrongCode:    "device.error.wrong",
	TooManyCodes: "device.error.many",
}

// DeviceDone tells that the device has its answer.
type DeviceDone struct{ Refused bool }

func (Device) template() string           { return "device" }
func (DeviceDone) template() string       { return "devicedone" }
func (Device) locales() string            { return "" }
func (DeviceDone) locales() string        { return "" }
func (Device) redirectOrigin() string     { return "" }
func (DeviceDone) redirectOrigin() string { return "" }
