#!/bin/sh
# Makes the stores of another release that TestUpgrade* open:
#
#   make.sh BINARY NAME DATABASE_URL
#
# BINARY is the release's stocktake, NAME what the files are named by, DATABASE_URL an empty database, which psql's
# pg_dump must reach too. c84b02d (formats: store 2, backup 1, tables 1) made c84b02d.*.
set -eu
binary=$1 name=$2 database=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export AWS_ACCESS_KEY_ID=AKIAUPGRADEUPGRADE00 AWS_SECRET_ACCESS_KEY=of-a-test-that-is-nobodys-secret-0000000
export STOCKTAKE_ROOT_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID STOCKTAKE_ROOT_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY

ask() {
	curl -sS --fail-with-body --aws-sigv4 aws:amz:eu-central-1:ssm --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
		-H 'Content-Type: application/x-amz-json-1.1' -H "X-Amz-Target: AmazonSSM.$1" -d "$2" http://127.0.0.1:17540/
	echo
}

"$binary" serve --data "$work/data" --listen 127.0.0.1:17540 --admin-listen 127.0.0.1:17541 2>"$work/log" &
server=$!
until curl -sf http://127.0.0.1:17541/readyz >/dev/null; do sleep 0.2; done
for round in 1 2 3; do
	for node in 1 2 3 4 5; do
		ask PutInventory "{\"InstanceId\":\"i-0000000$node\",\"Items\":[
			{\"TypeName\":\"AWS:Application\",\"SchemaVersion\":\"1.1\",\"CaptureTime\":\"2026-01-0${round}T00:00:00Z\",\"Content\":[
				{\"Name\":\"bash\",\"Version\":\"5.$round\",\"InstalledTime\":\"2026-01-01T00:00:0${node}Z\"},{\"Name\":\"curl\",\"Version\":\"7\"}]},
			{\"TypeName\":\"Custom:Rack\",\"SchemaVersion\":\"1.0\",\"CaptureTime\":\"2026-01-0${round}T00:00:00Z\",\"Content\":[{\"Rack\":\"r$node\"}]}]}"
	done
done
ask CreateAssociation '{"Name":"AWS-GatherSoftwareInventory","Targets":[{"Key":"InstanceIds","Values":["*"]}],"ScheduleExpression":"rate(1 day)"}'
kill -TERM $server
wait $server

"$binary" backup --data "$work/data" --to "$work/backup"
"$binary" restore --from "$work/backup" --database-url "$database"
pg_dump --inserts --no-owner --no-privileges -n stocktake "$database" | grep -v '^\\' | gzip -9n >"$here/$name.sql.gz"
tar -C "$work/data" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - store | gzip -9n >"$here/$name.store.tar.gz"
cp "$work/backup" "$here/$name.backup"
