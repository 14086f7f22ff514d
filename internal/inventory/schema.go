package inventory

import (
	"slices"
	"strings"
)

// SchemaAttribute describes one attribute of a type.
type SchemaAttribute struct {
	Name string
	// Number is true for attributes whose values are compared as numbers. On the wire all values are strings.
	Number bool
	// Context is true for attributes that arrive in an item's context rather than in its content.
	Context bool
	// Aggregatable is true where the API lets callers count by the attribute.
	Aggregatable bool
}

// Schema describes one type: built in, or learnt from what was put.
type Schema struct {
	Type    TypeName
	Version string
	// DisplayName is what an aggregator's listing shows ("Platform"); empty for types that cannot be aggregated.
	DisplayName string
	Attributes  []SchemaAttribute
	// Listed is true for the types GetInventorySchema shows.
	Listed bool
	// Made is true for types the service writes itself; a put of them is refused, but for AWS:InstanceInformation from
	// an administrator.
	Made bool
	// Volatile lists, sorted, the attributes left out of shapes.
	Volatile []string
}

// Attribute finds an attribute by exact name, then ignoring case (filter keys in the wild differ in case).
func (s Schema) Attribute(name string) (SchemaAttribute, bool) {
	i := slices.IndexFunc(s.Attributes, func(a SchemaAttribute) bool { return a.Name == name })
	if i < 0 {
		i = slices.IndexFunc(s.Attributes, func(a SchemaAttribute) bool { return strings.EqualFold(a.Name, name) })
	}
	if i < 0 {
		return SchemaAttribute{}, false
	}
	return s.Attributes[i], true
}

// Has reports whether the type has an attribute with exactly this name.
func (s Schema) Has(name string) bool {
	return slices.ContainsFunc(s.Attributes, func(a SchemaAttribute) bool { return a.Name == name })
}

// Aggregatable reports whether callers may count by any attribute of the type.
func (s Schema) Aggregatable() bool { return s.DisplayName != "" }

// Catalogue knows the types of a partition: the built-in ones and the account's own.
type Catalogue interface {
	// Schema gives the schema of the type with exactly this name.
	Schema(t TypeName) (Schema, bool)
}

// BuiltIn gives the schema of a type AWS defines.
func BuiltIn(t TypeName) (Schema, bool) {
	i, ok := slices.BinarySearchFunc(builtIn, t, func(s Schema, t TypeName) int { return strings.Compare(string(s.Type), string(t)) })
	if !ok {
		return Schema{}, false
	}
	return builtIn[i], true
}

// BuiltIns gives all schemas AWS defines, in byte order of their names, unlisted ones included.
func BuiltIns() []Schema { return slices.Clone(builtIn) }

// builtIn is made from the rows below once, at start; nothing changes it after.
var builtIn = buildSchemas(builtInRows)

// schemaRow is one built-in type. In attributes, a trailing `#` marks a NUMBER, `^` a context attribute and `+` one that
// can be aggregated. Volatile names those that are nearly unique to a node and entry (times and run ids); none that can
// be aggregated is among them.
type schemaRow struct {
	name, version, display string
	attributes             string
	volatile               string
	hidden, made           bool
}

// The types of the User Guide's metadata page; hidden are those a live account's GetInventorySchema did not list (seen
// 2022). KernelVersion is not on that page, but agents send it and the live service returned it.
var builtInRows = []schemaRow{
	{name: "AWS:AWSComponent", version: "1.0", attributes: "Name ApplicationType Publisher Version InstalledTime Architecture URL", volatile: "InstalledTime"},
	{
		name: "AWS:Application", version: "1.1", display: "Application",
		attributes: "Name+ ApplicationType Publisher Version+ Release Epoch InstalledTime Architecture URL Summary PackageId", volatile: "InstalledTime",
	},
	{name: "AWS:BillingInfo", version: "1.0", attributes: "BillingProductId", hidden: true},
	{
		name: "AWS:ComplianceItem", version: "1.0",
		attributes: "ComplianceType^ ExecutionId^ ExecutionType^ ExecutionTime^ Id Title Status Severity DocumentName DocumentVersion " +
			"Classification PatchBaselineId PatchSeverity PatchState PatchGroup InstalledTime InstallOverrideList DetailedText DetailedLink CVEIds",
		volatile: "ExecutionId ExecutionTime InstalledTime",
	},
	{
		name: "AWS:ComplianceSummary", version: "1.0", hidden: true, made: true,
		attributes: "ComplianceType PatchGroup PatchBaselineId Status OverallSeverity ExecutionId ExecutionType ExecutionTime " +
			"CompliantCriticalCount# CompliantHighCount# CompliantMediumCount# CompliantLowCount# CompliantInformationalCount# " +
			"CompliantUnspecifiedCount# NonCompliantCriticalCount# NonCompliantHighCount# NonCompliantMediumCount# " +
			"NonCompliantLowCount# NonCompliantInformationalCount# NonCompliantUnspecifiedCount#",
		volatile: "ExecutionId ExecutionTime",
	},
	{
		name: "AWS:File", version: "1.0",
		attributes: "Name Size Description FileVersion InstalledDate ModificationTime LastAccessTime ProductName InstalledDir ProductLanguage CompanyName ProductVersion",
		volatile:   "InstalledDate LastAccessTime ModificationTime",
	},
	{
		name: "AWS:InstanceDetailedInformation", version: "1.0",
		attributes: "CPUModel CPUCores# CPUs# CPUSpeedMHz# CPUSockets# CPUHyperThreadEnabled OSServicePack KernelVersion",
	},
	{
		name: "AWS:InstanceInformation", version: "1.0", display: "Platform", made: true,
		attributes: "AgentType AgentVersion ComputerName InstanceId IpAddress PlatformName+ PlatformType+ PlatformVersion+ ResourceType AgentStatus InstanceStatus",
	},
	{name: "AWS:Network", version: "1.0", attributes: "Name SubnetMask Gateway DHCPServer DNSServer MacAddress IPV4 IPV6"},
	{name: "AWS:PatchCompliance", version: "1.0", attributes: "Title KBId Classification Severity State InstalledTime", volatile: "InstalledTime"},
	{
		name: "AWS:PatchSummary", version: "1.0",
		attributes: "PatchGroup BaselineId SnapshotId OwnerInformation InstalledCount# InstalledPendingRebootCount# InstalledOtherCount# " +
			"InstalledRejectedCount# NotApplicableCount# UnreportedNotApplicableCount# MissingCount# FailedCount# OperationType " +
			"OperationStartTime OperationEndTime InstallOverrideList RebootOption LastNoRebootInstallOperationTime ExecutionId " +
			"NonCompliantSeverity SecurityNonCompliantCount# CriticalNonCompliantCount# OtherNonCompliantCount#",
		volatile: "ExecutionId LastNoRebootInstallOperationTime OperationEndTime OperationStartTime SnapshotId",
	},
	{
		name: "AWS:Process", version: "1.0", hidden: true,
		attributes: "StartTime CommandLine User FileName FileVersion FileDescription FileSize CompanyName ProductName ProductVersion InstalledDate InstalledDir UsageId",
		volatile:   "StartTime UsageId",
	},
	{name: "AWS:ResourceGroup", version: "1.0", display: "ResourceGroup", attributes: "Name+ Arn", made: true},
	{
		name: "AWS:Service", version: "1.0", display: "Service",
		attributes: "Name+ DisplayName+ ServiceType+ Status+ DependentServices ServicesDependedOn StartType+",
	},
	{name: "AWS:Tag", version: "1.0", attributes: "Key Value", made: true},
	{name: "AWS:WindowsRegistry", version: "1.0", attributes: "KeyPath ValueName ValueType Value"},
	{
		name: "AWS:WindowsRole", version: "1.0", display: "WindowsRole",
		attributes: "Name+ DisplayName+ Path FeatureType+ DependsOn Description Installed+ InstalledState SubFeatures ServerComponentDescriptor Parent",
	},
	{name: "AWS:WindowsUpdate", version: "1.0", attributes: "HotFixId Description InstalledTime InstalledBy", volatile: "InstalledTime"},
}

func buildSchemas(rows []schemaRow) []Schema {
	all := make([]Schema, 0, len(rows))
	for _, r := range rows {
		s := Schema{
			Type: TypeName(r.name), Version: r.version, DisplayName: r.display,
			Listed: !r.hidden, Made: r.made, Volatile: strings.Fields(r.volatile),
		}
		for _, f := range strings.Fields(r.attributes) {
			name := strings.TrimRight(f, "#^+")
			marks := f[len(name):]
			s.Attributes = append(s.Attributes, SchemaAttribute{
				Name: name, Number: strings.Contains(marks, "#"),
				Context: strings.Contains(marks, "^"), Aggregatable: strings.Contains(marks, "+"),
			})
		}
		all = append(all, s)
	}
	return all
}
