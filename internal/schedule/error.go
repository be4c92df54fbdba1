package schedule

// Error is what is wrong with a written window.
type Error struct {
	Offset  int    // of the mistake in the text, in bytes
	Message string // what is wrong
	Hint    string // what would be right; may be empty
}

// Error implements error.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + ", " + e.Hint
}
