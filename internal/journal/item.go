package journal

import (
	"encoding/json"
	"errors"
	"time"
)

// itemJSON is how an item is written.
type itemJSON struct {
	ID       uint64    `json:"id"`
	Recorded time.Time `json:"recorded"`
	Entry
	Unreadable string `json:"unreadable,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (i Item) MarshalJSON() ([]byte, error) {
	out := itemJSON{ID: i.ID, Recorded: i.Recorded, Entry: i.Entry}
	if i.Err != nil {
		out.Unreadable = i.Err.Error()
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements json.Unmarshaler.
func (i *Item) UnmarshalJSON(data []byte) error {
	var read itemJSON
	if err := json.Unmarshal(data, &read); err != nil {
		return err
	}
	*i = Item{ID: read.ID, Recorded: read.Recorded, Entry: read.Entry}
	if read.Unreadable != "" {
		i.Err = errors.New(read.Unreadable)
	}
	return nil
}
