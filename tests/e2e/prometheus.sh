#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The shipped rules and dashboard, and a real Prometheus: it scrapes three nodes, one breaks, alerts fire.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq curl python3 promtool prometheus
conf=$top/conf/prometheus

check "the alert rules are right" promtool check rules "$conf/mimeo.rules.yml"
check "and each fires when it should, not before" promtool test rules "$conf/mimeo.test.yml"
each_tested() {
	diff <(sed -n 's/.*- alert: //p' "$conf/mimeo.rules.yml" | sort) \
		<(sed -n 's/^  - name: //p' "$conf/mimeo.test.yml" | sort)
}
check "each has a test" each_tested
check "the dashboard is JSON" jq -e '.panels | length > 10' "$conf/grafana.json"

check "three nodes come up" "$lab" up "$T/lab" 3
scrape() {
	curl -sS --max-time 20 "http://$(cat "$T/lab/$1/http")/sync/metrics"
}
# Every name that a rule or a panel uses is there.
names_exist() {
	local name
	scrape n1 | sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' | sort >"$T/names"
	{ jq -r '.. | .expr? // empty' "$conf/grafana.json" && grep 'expr:' "$conf/mimeo.rules.yml"; } |
		grep -oE '(sync|pending|mimeo)_[a-z_]+' | sed 's/_bucket$//' | sort -u >"$T/used"
	[ "$(wc -l <"$T/used")" -gt 20 ] && ! comm -23 "$T/used" "$T/names" | grep .
}
check "rules and dashboard use names that are there" names_exist

# The shipped files, made impatient.
sed -e 's/for: .*/for: 1s/' "$conf/mimeo.rules.yml" >"$T/mimeo.rules.yml"
sed -e '/targets:/,$d' -e 's/scrape_interval: .*/scrape_interval: 1s/' "$conf/scrape.yml" >"$T/prometheus.yml"
{
	echo '      - targets:'
	for n in n1 n2 n3; do
		echo "          - $(cat "$T/lab/$n/http")"
	done
	echo 'global: {evaluation_interval: 1s}'
} >>"$T/prometheus.yml"
check "the scrape configuration is right" promtool check config "$T/prometheus.yml"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
prometheus --config.file="$T/prometheus.yml" --storage.tsdb.path="$T/tsdb" --web.listen-address="127.0.0.1:$port" \
	>"$T/prometheus.log" 2>&1 </dev/null &
prometheus_pid=$!
trap 'kill "$prometheus_pid" 2>/dev/null; wait "$prometheus_pid" 2>/dev/null; cleanup' EXIT

query() { # EXPRESSION: number of series
	curl -sS --max-time 10 "http://127.0.0.1:$port/api/v1/query" --data-urlencode "query=$1" | jq -r '.data.result | length'
}
series() { # COUNT EXPRESSION
	[ "$(query "$2")" = "$1" ]
}
firing() { # NAME LABEL VALUE
	curl -sS --max-time 10 "http://127.0.0.1:$port/api/v1/alerts" |
		jq -e --arg name "$1" --arg key "$2" --arg value "$3" \
			'any(.data.alerts[]; .state == "firing" and .labels.alertname == $name and .labels[$key] == $value)'
}
quiet() { # NAME
	curl -sS --max-time 10 "http://127.0.0.1:$port/api/v1/alerts" |
		jq -e --arg name "$1" 'all(.data.alerts[]; .labels.alertname != $name)'
}

check_soon "Prometheus scrapes all three" series 3 'up{job="mimeo"} == 1'
check_soon "and knows the lag of every pair" series 6 'sync_lag_seconds'
echo x >"$(media n1)/x"
check_soon "propagation is a histogram that it can read" series 1 'histogram_quantile(0.5, sum by (le) (mimeo_propagation_seconds_bucket))'
check_soon "no peer is down" quiet MimeoPeerDown
check "no agent is down" quiet MimeoAgentDown

"$lab" kill "$T/lab" n3
check_soon "a node breaks: its agent is missed" firing MimeoAgentDown instance "$(cat "$T/lab/n3/http")"
check_soon "its peers miss it" firing MimeoPeerDown peer n3
"$lab" kill "$T/lab" n2 watcher
check_soon "a watcher that is gone is missed" firing MimeoWatcherDown instance "$(cat "$T/lab/n2/http")"
"$lab" start "$T/lab" n2
"$lab" start "$T/lab" n3
check_soon "all back: the alerts end" quiet MimeoPeerDown
check_soon "the watcher's too" quiet MimeoWatcherDown

# Content that does not have its hash.
"$lab" stop "$T/lab" n3 agent
"$lab" stop "$T/lab" n2 agent
head -c 300000 /dev/urandom >"$(media n1)/rotten.bin"
logged() {
	mimeo n1 history rotten.bin --json | grep -q rotten
}
check_soon "n1 logs a file" logged
"$lab" stop "$T/lab" n1 watcher
stamp=$(stat -c %y "$(media n1)/rotten.bin")
printf rot | dd of="$(media n1)/rotten.bin" bs=1 seek=1000 conv=notrunc status=none
touch -d "$stamp" "$(media n1)/rotten.bin"
"$lab" start "$T/lab" n2 agent
check_soon "content without its hash is an alert" firing MimeoWrongContent peer n1
done_testing
