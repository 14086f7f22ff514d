package iam

import (
	"context"
	"errors"

	"stocktake/internal/store"
)

// The most users and roles of an account, as AWS has it unless it is asked for more. Those of the configuration are apart.
const (
	mostUsers = 5000
	mostRoles = 1000
)

// create puts a new record below a prefix, unless there are as many there as the quota has it. One server makes one at a
// time; where several do so at the same moment, there may be as many more. ErrConflict: the record is there.
func (d *Identities) create(ctx context.Context, prefix, key string, value any, quota string, most int) error {
	d.creating.Lock()
	defer d.creating.Unlock()
	const batch = 500
	have, after := 0, ""
	for {
		records, err := d.store.ListRecords(ctx, prefix, after, batch)
		if err != nil {
			return err
		}
		have += len(records)
		if len(records) < batch {
			break
		}
		after = records[len(records)-1].Key
	}
	if have < most {
		return d.put(ctx, key, value, 0)
	}
	if _, err := d.store.Record(ctx, key); !errors.Is(err, store.ErrNotFound) {
		if err == nil {
			err = store.ErrConflict
		}
		return err
	}
	return refuse(LimitExceeded, "Cannot exceed quota for %s: %d", quota, most)
}
