package index

import "stocktake/internal/inventory"

// VolatileContext names the attributes of an item's context that its entries' shapes leave out. They stay in the node's
// record, so a document carries them as it carries volatile attributes of its own: whoever loads documents adds them to
// Loaded.Volatile.
func VolatileContext(t inventory.TypeName, context inventory.Entry) []string {
	if len(context) == 0 {
		return nil
	}
	schema, _ := inventory.BuiltIn(t)
	_, volatile := inventory.Split{Volatile: schema.Volatile}.Cut(context)
	var names []string
	for _, a := range volatile {
		names = append(names, a.Name)
	}
	return names
}
