package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"stocktake/internal/agent"
	"stocktake/internal/api"
	"stocktake/internal/awsjson"
	"stocktake/internal/httpd"
	"stocktake/internal/iam"
	"stocktake/internal/ssm"
)

// forms stands for what answers forms, of which none is asked here.
type forms struct{ awsjson.Forms }

// TestPriorityIsOfWhatIsServed has requests that claim, by their target, to be something else than they are served as.
func TestPriorityIsOfWhatIsServed(t *testing.T) {
	protocol, err := awsjson.New(awsjson.Config{Keys: new(iam.Directory), Forms: forms{}, Rows: append(api.Rows(new(ssm.Service)), agent.Rows(new(ssm.Service), agent.Config{})...)})
	if err != nil {
		t.Fatal(err)
	}
	const media, heartbeat = "application/x-amz-json-1.1", "AmazonSSM.UpdateInstanceInformation"
	for _, c := range []struct {
		name, method, path, media string
		targets                   []string
		want                      httpd.Priority
	}{
		{"a question", "POST", "/", media, []string{"AmazonSSM.GetInventory"}, httpd.Ordinary},
		{"what agents ask", "POST", "/", media, []string{"AmazonSSM.ListInstanceAssociations"}, httpd.Ordinary},
		{"a report", "POST", "/", media, []string{"AmazonSSM.PutInventory"}, httpd.Writing},
		{"what administrators change", "POST", "/", media, []string{"AmazonSSM.CreateAssociation"}, httpd.Writing},
		{"a heartbeat", "POST", "/", media, []string{heartbeat}, httpd.Urgent},
		{"a poll", "POST", "/", media + "; charset=utf-8", []string{"EC2WindowsMessageDeliveryService.GetMessages"}, httpd.Idle},
		{"a form", "POST", "/", "application/x-www-form-urlencoded", nil, httpd.Writing},
		{"a form that claims to be a heartbeat", "POST", "/", "application/x-www-form-urlencoded", []string{heartbeat}, httpd.Writing},
		{"a form that claims to be a poll", "POST", "/", "application/x-www-form-urlencoded", []string{"EC2WindowsMessageDeliveryService.GetMessages"}, httpd.Writing},
		{"two targets", "POST", "/", media, []string{heartbeat, "AmazonSSM.PutInventory"}, httpd.Ordinary},
		{"another case", "POST", "/", media, []string{"amazonssm.updateinstanceinformation"}, httpd.Ordinary},
		{"another path", "POST", "/x", media, []string{heartbeat}, httpd.Ordinary},
		{"another method", "PUT", "/", media, []string{heartbeat}, httpd.Ordinary},
		{"another media type", "POST", "/", "text/plain", []string{heartbeat}, httpd.Ordinary},
	} {
		r := httptest.NewRequest(c.method, c.path, http.NoBody)
		r.Header.Set("Content-Type", c.media)
		r.Header["X-Amz-Target"] = c.targets
		if got := priority(protocol, r); got != c.want {
			t.Errorf("%s: the priority is %d, not %d", c.name, got, c.want)
		}
	}
}
