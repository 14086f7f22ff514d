// Package collect reads the inventory of the machine it runs on, in the types, attributes and schema versions of the
// stock agent, and reports it to a service.
//
// Begin with Local for this machine, Machine.Identify for its node id and Machine.Gather for its items. Sender.Send then
// reports them: in full the first time, by their hashes while nothing changes. Daemon does all of that again and again, with
// heartbeats between.
//
// Promises: content is hashed by the stock agent's rules (base64 of the MD5 of the Go JSON of the typed content, fields in
// the agent's order). The machine is only read. A source that cannot be read (a package manager that fails, a bad custom
// file) costs its own item and is told as a Problem; the service then keeps what it had, where an item with half of its
// entries would have deleted the rest. The raw machine id never leaves the machine.
//
// It differs from the stock agent in one attribute: packages of dpkg carry InstalledTime, which that agent leaves out.
//
// It takes no orders from the service, associations among them, and gathers nothing that needs a service of another
// operating system.
package collect
