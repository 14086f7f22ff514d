package main

import (
	"fmt"
	"strings"
)

// asked is one request of the list that a moved store must answer as it did before.
type asked struct{ action, body string }

// askedOf gives the list: every operator on texts and numbers, filters together, aggregators alone, nested and beside
// filters, groups, result types, pages of every size, listings, schemas, deletions, and what is refused. nodes are some
// that the fleet has.
func askedOf(nodes []string) []asked {
	var all []asked
	ask := func(action, format string, args ...any) {
		all = append(all, asked{action, fmt.Sprintf(format, args...)})
	}
	for _, f := range askedFilters {
		ask("GetInventory", `{"Filters":[%s],"MaxResults":7}`, f)
	}
	for _, a := range askedAggregators {
		ask("GetInventory", `{"Aggregators":[%s]}`, a)
		ask("GetInventory", `{"Aggregators":[%s],"Filters":[%s]}`, a, askedFilters[0])
	}
	for _, pages := range []int{1, 3, 10, 50} {
		ask("GetInventory", `{"MaxResults":%d}`, pages)
	}
	for _, t := range []string{"AWS:PatchSummary", "AWS:ComplianceItem", "Custom:RackInfo", "Custom:Odd", "Custom:Gone", "AWS:Application", "AWS:Nothing"} {
		ask("GetInventory", `{"ResultAttributes":[{"TypeName":%q}],"MaxResults":20}`, t)
	}
	for _, node := range nodes {
		for _, t := range askedTypes {
			ask("ListInventoryEntries", `{"InstanceId":%q,"TypeName":%q}`, node, t)
		}
		ask("ListInventoryEntries", `{"InstanceId":%q,"TypeName":"AWS:Application","Filters":[{"Key":"Name","Values":["lib"],"Type":"BeginWith"}],"MaxResults":9}`, node)
		ask("ListInventoryEntries", `{"InstanceId":%q,"TypeName":"AWS:Application","Filters":[{"Key":"Version","Values":["2"],"Type":"LessThan"}]}`, node)
	}
	for _, body := range askedSchemas {
		ask("GetInventorySchema", "%s", body)
	}
	ask("DescribeInventoryDeletions", `{}`)
	ask("DescribeInventoryDeletions", `{"MaxResults":1}`)
	ask("DescribeInventoryDeletions", `{"DeletionId":"00000000-0000-4000-8000-000000000000"}`)
	return append(all, askedRefused...)
}

var askedTypes = []string{"AWS:InstanceInformation", "AWS:Application", "AWS:Service", "AWS:ComplianceItem", "Custom:RackInfo", "Custom:Odd", "Custom:Gone"}

var askedFilters = []string{
	`{"Key":"AWS:InstanceInformation.PlatformName","Values":["ubuntu"]}`,
	`{"Key":"AWS:InstanceInformation.PlatformName","Values":["Debian GNU/Linux","Linux Mint"],"Type":"Equal"}`,
	`{"Key":"AWS:InstanceInformation.PlatformName","Values":["Ubuntu"],"Type":"NotEqual"}`,
	`{"Key":"AWS:InstanceInformation.PlatformName","Values":["de"],"Type":"BeginWith"}`,
	`{"Key":"AWS:InstanceInformation.PlatformVersion","Values":["13"],"Type":"GreaterThan"}`,
	`{"Key":"AWS:InstanceInformation.PlatformVersion","Values":["13"],"Type":"LessThan"}`,
	`{"Key":"AWS:InstanceInformation.InstanceStatus","Values":["Terminated"]}`,
	`{"Key":"AWS:InstanceInformation.InstanceStatus","Values":["Active"],"Type":"NotEqual"}`,
	`{"Key":"AWS:InstanceInformation.ComputerName","Values":["node-1"],"Type":"BeginWith"}`,
	`{"Key":"AWS:Application.Name","Values":["bash"]}`,
	`{"Key":"AWS:Application.Name","Values":["bash"],"Type":"NotEqual"}`,
	`{"Key":"AWS:Application.Name","Values":["lib"],"Type":"BeginWith"}`,
	`{"Key":"AWS:Application.Name","Values":["bash"]},{"Key":"AWS:Application.Version","Values":["5.2.15-2"],"Type":"GreaterThan"}`,
	`{"Key":"AWS:Application.Name","Values":["bash"]},{"Key":"AWS:Application.Version","Values":["5.2.15-2"],"Type":"LessThan"}`,
	`{"Key":"AWS:Application.Version","Values":["1.0","1.1"]}`,
	`{"Key":"AWS:Application.Architecture","Values":["amd64"]},{"Key":"Custom:RackInfo.RackLocation","Values":["B"],"Type":"BeginWith"}`,
	`{"Key":"AWS:Application.InstalledTime","Values":["2025"],"Type":"BeginWith"},{"Key":"AWS:Application.Name","Values":["bash"]}`,
	`{"Key":"AWS:Application.InstalledTime","Values":["2025-06"],"Type":"LessThan"}`,
	`{"Key":"AWS:Service.Status","Values":["Running"]}`,
	`{"Key":"AWS:Service.Status","Values":["Running"],"Type":"NotEqual"}`,
	`{"Key":"AWS:Service.StartType","Values":["manual"]},{"Key":"AWS:Service.Status","Values":["Running"]}`,
	`{"Key":"AWS:Network.IPV4","Values":["10."],"Type":"BeginWith"}`,
	`{"Key":"AWS:ComplianceItem.Status","Values":["NON_COMPLIANT"]}`,
	`{"Key":"AWS:ComplianceItem.ComplianceType","Values":["Custom:Own"]}`,
	`{"Key":"AWS:PatchSummary.MissingCount","Values":["9"],"Type":"GreaterThan"}`,
	`{"Key":"AWS:PatchSummary.MissingCount","Values":["10"],"Type":"LessThan"}`,
	`{"Key":"Custom:Odd.Text","Values":["a\u0000b"]}`,
	`{"Key":"Custom:Odd.Text","Values":["\u00c4"],"Type":"BeginWith"}`,
	`{"Key":"Custom:Odd.Text","Values":["nobody has this"],"Type":"NotEqual"}`,
	`{"Key":"Custom:Odd.Rank","Values":["~"],"Type":"GreaterThan"}`,
	`{"Key":"Custom:Gone.X","Values":["1"]}`,
}

var askedAggregators = []string{
	`{"Expression":"AWS:InstanceInformation.PlatformName"}`,
	`{"Expression":"AWS:InstanceInformation.PlatformType","Aggregators":[{"Expression":"AWS:InstanceInformation.PlatformName","Aggregators":[{"Expression":"AWS:InstanceInformation.PlatformVersion"}]}]}`,
	`{"Expression":"AWS:Application.Name"}`,
	`{"Expression":"AWS:Application.Architecture","Aggregators":[{"Expression":"AWS:Application.Publisher"}]}`,
	`{"Expression":"AWS:Application.Name","Aggregators":[{"Expression":"AWS:Application.Version"}]}`,
	`{"Expression":"Custom:RackInfo.RackLocation"}`,
	`{"Expression":"Custom:Odd.Text"}`,
	`{"Groups":[{"Name":"bash","Filters":[{"Key":"AWS:Application.Name","Values":["bash"]}]}]}`,
	`{"Groups":[{"Name":"has","Filters":[{"Key":"TypeName","Values":["Custom:Odd","AWS:ComplianceItem"],"Type":"Exists"}]}]}`,
	`{"Expression":"AWS:InstanceInformation.PlatformName"},{"Groups":[{"Name":"old","Filters":[{"Key":"AWS:InstanceInformation.PlatformVersion","Values":["20"],"Type":"LessThan"}]}]}`,
}

var askedSchemas = []string{
	`{}`, `{"MaxResults":200}`, `{"MaxResults":50,"Aggregator":true}`, `{"SubType":true}`, `{"TypeName":"AWS:Application"}`,
	`{"TypeName":"Custom:Odd"}`, `{"TypeName":"Custom:Gone"}`, `{"TypeName":"AWS:ComplianceItem","SubType":true}`,
}

var askedRefused = []asked{
	{"GetInventory", `{"Filters":[{"Key":"AWS:Nothing.Name","Values":["x"]}]}`},
	{"GetInventory", `{"Filters":[{"Key":"AWS:Application.Nothing","Values":["x"]}]}`},
	{"GetInventory", `{"Filters":[{"Key":"AWS:Application.Name","Values":["x"],"Type":"Exists"}]}`},
	{"GetInventory", `{"Aggregators":[{"Expression":"AWS:Application.InstalledTime"}]}`},
	{"GetInventory", `{"Aggregators":[{"Expression":"nonsense"}]}`},
	{"GetInventory", `{"NextToken":"nonsense"}`},
	{"GetInventory", `{"MaxResults":51}`},
	{"GetInventory", `{"MaxResults":0,"Filters":[{"Key":"","Values":[]}]}`},
	{"GetInventory", `{"Filters":7}`},
	{"GetInventory", `{`},
	{"GetInventorySchema", `{"TypeName":"AWS:Nothing"}`},
	{"GetInventorySchema", `{"MaxResults":10}`},
	{"ListInventoryEntries", `{"InstanceId":"i-ffffffff","TypeName":"AWS:Application"}`},
	{"ListInventoryEntries", `{"InstanceId":"web-1","TypeName":"AWS:Application"}`},
	{"ListInventoryEntries", `{"TypeName":"AWS:Application"}`},
	{"PutInventory", `{"InstanceId":"mi-00000000000000009","Items":[{"TypeName":"AWS:Application","SchemaVersion":"1.1","CaptureTime":"2026-01-02T03:04:05Z","Content":[]}]}`},
	{"PutInventory", `{"InstanceId":"i-00000001","Items":[{"TypeName":"AWS:File","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z","ContentHash":"x"}]}`},
	{"DeleteInventory", `{"TypeName":"AWS:Application"}`},
	{"DeleteInventory", `{"TypeName":"Custom:RackInfo","DryRun":true}`},
	{"DeleteInventory", `{"TypeName":"Custom:Odd","DryRun":true}`},
	{"DeleteInventory", `{"TypeName":"Custom:Nothing"}`},
	{"DescribeAssociation", `{}`},
}

// oddItems are reports with what is legal and unusual: every kind of text, many sub-types, no entries, an entry repeated.
func oddItems(n int) string {
	long := strings.Repeat("x", 4096)
	odd := []string{`a\u0000b`, `\u00c4rger`, `\ud83d\ude00`, long, ``, ` `, `10`, `010`, `1~rc1`, `%`, `/`}
	var entries []string
	for i := range n % 4 {
		entry := fmt.Sprintf(`{"Text":"%s","Rank":"%s","Own%d":"1"}`, odd[(n+i)%len(odd)], odd[(n+3*i)%len(odd)], n%5)
		entries = append(entries, entry)
		if n%3 == 0 {
			entries = append(entries, entry)
		}
	}
	const item = `{"TypeName":%q,"SchemaVersion":"1.%d","CaptureTime":"2026-01-02T03:04:%02dZ","Content":[%s]%s}`
	items := []string{
		fmt.Sprintf(item, "Custom:Odd", n%3, n%60, strings.Join(entries, ","), ""),
		fmt.Sprintf(item, "Custom:Gone", 0, n%60, `{"X":"1"}`, `,"ContentHash":"gone"`),
		fmt.Sprintf(item, "AWS:PatchSummary", 0, n%60, fmt.Sprintf(`{"BaselineId":"b","PatchGroup":"g","MissingCount":"%d"}`, n), ""),
	}
	for i, kind := range []string{"Patch", "Association", "Custom:Own"} {
		if n%(i+2) == 0 {
			items = append(items, fmt.Sprintf(item, "AWS:ComplianceItem", 0, n%60,
				fmt.Sprintf(`{"Id":"%d","Title":"t","Status":"NON_COMPLIANT","Severity":"HIGH"}`, n),
				fmt.Sprintf(`,"Context":{"ComplianceType":%q,"ExecutionId":"e%d"}`, kind, n)))
			break // one item of a type a report
		}
	}
	return "[" + strings.Join(items, ",") + "]"
}
