package replica_test

import (
	"context"
	"testing"

	"stocktake/internal/store"
	"stocktake/internal/store/pebble"
	"stocktake/internal/store/storetest"
)

// forgetful tells of some texts only, as if the others had come later.
type forgetful struct {
	*pebble.Store
	told int
}

func (f *forgetful) EachText(ctx context.Context, use func(store.Numbered) error) error {
	return f.Store.EachText(ctx, func(n store.Numbered) error {
		n.Numbers, n.Shapes = n.Numbers[:len(n.Numbers)/2], n.Shapes[:len(n.Shapes)/2]
		f.told += len(n.Numbers)
		return use(n)
	})
}

func TestStartByNumbers(t *testing.T) {
	st := openPebble(t, t.TempDir())
	defer closed(t, st)
	play(t, storetest.NewPlayer(st, 11), 150)
	r := openReplica(t, st, "")
	check(t, "by numbers", r, st)
	closed(t, r)
	f := &forgetful{Store: st.(*pebble.Store)}
	r = openReplica(t, f, "")
	check(t, "where texts came later", r, st)
	closed(t, r)
	if f.told == 0 {
		t.Error("the store's numbers were not asked for")
	}
}
