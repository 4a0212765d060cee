/* SPDX-License-Identifier: BSD-2-Clause */
/* The status page for people. */
#include "config.h"

#include "agent/page.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/apply.h"
#include "agent/exchange.h"
#include "agent/fetch.h"
#include "agent/store.h"
#include "agent/text.h"
#include "agent/verbs.h"
#include "proto/hlc.h"

#define PICTURE_PEERS 24 /* more do not fit a screen; the table has all */
#define PLOT_PEERS 8     /* as many as there are colours */
#define LACKING_ROWS 5

static const char style[] =
	":root{color-scheme:light dark;--fg:#1b1f24;--bg:#fff;--dim:#57606a;--line:#d0d7de;"
	"--good:#116329;--bad:#b3261e;--warn:#7a4d00;--card:#f6f8fa}"
	"@media(prefers-color-scheme:dark){:root{--fg:#e6edf3;--bg:#0d1117;--dim:#9ba7b4;"
	"--line:#30363d;--good:#56d364;--bad:#ff8a80;--warn:#e3b341;--card:#161b22}}"
	"*{box-sizing:border-box}body{margin:0;font:15px/1.45 system-ui,sans-serif;color:var(--fg);"
	"background:var(--bg)}main,header{max-width:76rem;margin:0 auto;padding:0 1rem 1rem}"
	"header{padding:1rem 1rem 0}h1{font-size:1.35rem;margin:.2rem "
	"0}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}"
	".skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--bg)}"
	".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}"
	"caption{text-align:left;color:var(--dim);padding:.2rem 0}"
	"th,td{text-align:left;vertical-align:top;padding:.25rem .7rem .25rem 0;"
	"border-bottom:1px solid var(--line)}td.n,th.n{text-align:right;padding-right:1.4rem}"
	"th .dim{font-weight:400}"
	"code,.path{font-family:ui-monospace,monospace;font-size:.92em;overflow-wrap:anywhere;"
	"unicode-bidi:isolate}"
	".good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}.dim{color:var(--"
	"dim)}"
	".badge{border:1px solid currentColor;border-radius:1rem;padding:.05rem .6rem;"
	"font-weight:600}dl{display:flex;flex-wrap:wrap;gap:.3rem 1.6rem;margin:.6rem 0}"
	"dl div{min-width:6rem}dt{color:var(--dim);font-size:.85rem}dd{margin:0;font-weight:600}"
	"svg{max-width:100%;height:auto;background:var(--card);border:1px solid var(--line);"
	"border-radius:.4rem}svg text{fill:var(--fg);font:13px system-ui,sans-serif}"
	"svg .dim{fill:var(--dim)}svg .node{fill:var(--bg);stroke:var(--fg)}"
	"svg .up{stroke:var(--good);stroke-width:2}"
	"svg .down{stroke:var(--bad);stroke-width:2;stroke-dasharray:6 5}"
	"svg .axis{stroke:var(--line)}svg polyline{fill:none;stroke-width:2}"
	".c0{stroke:#2f81f7}.c1{stroke:#d4691e}.c2{stroke:#8957e5}.c3{stroke:#1a9e78}"
	".c4{stroke:#d1418c}.c5{stroke:#8a7d00}.c6{stroke:#0b9bb5}.c7{stroke:#9b5b4a}"
	"progress{width:8rem;vertical-align:middle}"
	"a,summary{color:inherit}:focus-visible{outline:3px solid #2f81f7;outline-offset:2px}";

/* Renews the facts every second, and leaves alone what somebody opened, marked or is reading. The
 * state is written only when it is another, as it is read out then. */
static const char script[] =
	"'use strict';(function(){var busy=false;function say(c,t){"
	"var h=document.getElementById('state');if(h.textContent!==t){h.className=c;"
	"h.textContent=t}}function renew(){var s=getSelection();"
	"if(busy||document.hidden||(s&&!s.isCollapsed))return;busy=true;"
	"fetch('/',{cache:'no-store'}).then(function(r){return r.text()}).then(function(t){"
	"t=t.slice(t.indexOf('<header>'),t.lastIndexOf('</main>')+7);"
	"var d=new DOMParser().parseFromString(t,'text/html'),m=d.querySelector('main'),"
	"o=document.querySelector('main'),n=d.getElementById('state'),"
	"f=document.activeElement&&document.activeElement.id;if(!m||!n)return;"
	"o.querySelectorAll('details[open]').forEach(function(e){"
	"var x=m.querySelector('#'+CSS.escape(e.id));if(x)x.open=true});o.replaceWith(m);"
	"say(n.className,n.textContent);"
	"if(f){var e=document.getElementById(f);if(e&&e!==document.activeElement)e.focus()}"
	"}).catch(function(){say('badge bad','the agent does not answer')})"
	".finally(function(){busy=false})}setInterval(renew,1000)})();";

/* ---- small things ---- */

static void
put_size(struct buf *b, uint64_t bytes)
{
	static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	double v = (double)bytes;
	unsigned i = 0;

	while (v >= 1024 && i + 1 < ARRAY_LEN(unit)) {
		v /= 1024;
		i++;
	}
	text_put(b, i == 0 ? "%.0f %s" : "%.1f %s", v, unit[i]);
}

static void
put_time(struct buf *b, uint64_t wall_ms)
{
	time_t sec = (time_t)(wall_ms / 1000);
	char date[16], clock[16];
	struct tm tm;

	if (wall_ms == 0 || gmtime_r(&sec, &tm) == NULL) {
		text_str(b, "never");
		return;
	}
	strftime(date, sizeof(date), "%Y-%m-%d", &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	text_put(b, "<time datetime=\"%sT%sZ\">%s %s</time>", date, clock, date, clock);
}

static void
put_seconds(struct buf *b, double s)
{
	if (s < 60)
		text_put(b, "%.1f s", s);
	else if (s < 7200)
		text_put(b, "%.0f min", s / 60);
	else
		text_put(b, "%.1f h", s / 3600);
}

static void
put_path(struct buf *b, const void *path, size_t len)
{
	text_str(b, "<span class=\"path\">");
	text_html(b, path, len);
	text_str(b, "</span>");
}

static void
put_text(struct buf *b, const char *s)
{
	text_html(b, s, strlen(s));
}

/* A word of a shell command, quoted, and then as HTML. */
static void
put_word(struct buf *b, const uint8_t *bytes, size_t len)
{
	text_str(b, "&#39;");
	for (size_t i = 0, from = 0; i <= len; i++) {
		if (i < len && bytes[i] != '\'')
			continue;
		text_html(b, bytes + from, i - from);
		if (i < len)
			text_str(b, "&#39;\\&#39;&#39;");
		from = i + 1;
	}
	text_str(b, "&#39;");
}

static void
section(struct buf *b, const char *id, const char *title)
{
	text_put(b, "<section aria-labelledby=\"%s\"><h2 id=\"%s\">%s</h2>", id, id, title);
}

/* Ends the one before. */
static void
fact(struct buf *b, const char *name)
{
	text_put(b, "</dd></div><div><dt>%s</dt><dd>", name);
}

static double
lag_of(const struct node *n, struct peer *p)
{
	uint64_t oldest = exchange_lack_lately(n->exchange, p).oldest_ms;

	return oldest != 0 && n->wall_ms > oldest ? (double)(n->wall_ms - oldest) / 1000 : 0;
}

/* ---- this node ---- */

static void
put_state(struct node *n, const struct metrics *m, const char *problem, struct buf *b)
{
	const char *state = verb_status_state(n, metrics_report(m)->fresh);
	const char *class = problem != NULL || strcmp(state, "halted") == 0 ? "bad"
			    : strcmp(state, "ok") == 0                      ? "good"
									    : "warn";

	text_put(b,
		 "<header><h1>mimeo: %s <span id=\"state\" role=\"status\" class=\"badge "
		 "%s\">%s</span></h1></header><main>",
		 n->conf->name, class, strcmp(state, "ok") == 0 ? "in sync" : state);
	if (problem != NULL) {
		text_str(b, "<p class=\"bad\">Not ready: ");
		put_text(b, problem);
		text_str(b, "</p>");
	}
}

static void
put_facts(struct node *n, const struct metrics *m, struct buf *b)
{
	const struct index *x = n->index;
	const struct report *r = metrics_report(m);

	text_str(b, "<dl><div><dt>root</dt><dd>");
	put_path(b, n->conf->root, strlen(n->conf->root));
	fact(b, "files");
	text_put(b, "%llu (", (unsigned long long)x->files);
	put_size(b, x->bytes);
	text_str(b, ")");
	fact(b, "pending here");
	text_put(b, "%zu", x->todo_count);
	fact(b, "held deletes");
	text_put(b, "%llu", (unsigned long long)dotset_count(&x->held));
	fact(b, "conflicts");
	text_put(b, "%llu", (unsigned long long)x->conflicts);
	fact(b, "kept versions");
	text_put(b, "%llu (", (unsigned long long)x->kept_files);
	put_size(b, x->kept_bytes);
	text_str(b, ")");
	fact(b, "errors");
	text_put(b, "%llu", (unsigned long long)errors_total(n->errors));
	fact(b, "scan");
	if (r->scan_running)
		text_put(b,
			 "<progress id=\"scan\" max=\"%llu\" value=\"%llu\" "
			 "aria-label=\"scan of the tree\"></progress> %llu of %llu",
			 (unsigned long long)r->scan_total, (unsigned long long)r->scan_done,
			 (unsigned long long)r->scan_done, (unsigned long long)r->scan_total);
	else
		put_time(b, x->scanned_ms);
	fact(b, "watched directories");
	text_put(b, "%llu%s", (unsigned long long)r->watches,
		 r->unwatched > 0 ? " (not all: raise fs.inotify.max_user_watches)" : "");
	fact(b, "time (UTC)");
	put_time(b, n->wall_ms);
	text_str(b, "</dd></div></dl>");
}

/* ---- the picture ---- */

static void
put_peer_box(struct node *n, struct peer *p, size_t i, size_t count, struct buf *b)
{
	unsigned y = 36 + (unsigned)i * 56, mid = 8 + (unsigned)count * 28;
	uint64_t lacks = exchange_lack_lately(n->exchange, p).count;

	text_put(b,
		 "<line class=\"%s\" x1=\"200\" y1=\"%u\" x2=\"420\" y2=\"%u\"/>"
		 "<rect class=\"node\" x=\"420\" y=\"%u\" width=\"250\" height=\"44\" rx=\"8\"/>"
		 "<text x=\"432\" y=\"%u\">%.28s</text><text class=\"dim\" x=\"432\" y=\"%u\">",
		 p->link != NULL ? "up" : "down", mid, y, y - 22, y - 4, p->name, y + 14);
	if (lacks == 0)
		text_str(b, "has everything");
	else
		text_put(b, "lacks %llu", (unsigned long long)lacks);
	text_put(b, ", %s</text>", p->link != NULL ? "connected" : "not connected");
}

static void
put_picture(struct node *n, struct buf *b)
{
	size_t count = 0, i = 0, up = 0;
	unsigned mid;

	for (struct peer *p = exchange_peers(n->exchange); p != NULL; p = p->next) {
		count++;
		up += p->link != NULL;
	}
	section(b, "cluster", "Cluster");
	if (count == 0) {
		text_str(b, "<p>No other members. <code>mimeo authorize</code> adds "
			    "one.</p></section>");
		return;
	}
	count = count < PICTURE_PEERS ? count : PICTURE_PEERS;
	mid = 8 + (unsigned)count * 28;
	text_put(b,
		 "<svg role=\"img\" aria-labelledby=\"pt\" viewBox=\"0 0 690 %u\" width=\"690\">"
		 "<title id=\"pt\">%s is connected to %zu members; the table below says "
		 "more</title>",
		 mid * 2, n->conf->name, up);
	for (struct peer *p = exchange_peers(n->exchange); p != NULL && i < count; p = p->next, i++)
		put_peer_box(n, p, i, count, b);
	text_put(b,
		 "<rect class=\"node\" x=\"20\" y=\"%u\" width=\"180\" height=\"44\" rx=\"8\"/>"
		 "<text x=\"32\" y=\"%u\">%.20s</text><text class=\"dim\" x=\"32\" y=\"%u\">this "
		 "node</text></svg>",
		 mid - 22, mid - 4, n->conf->name, mid + 14);
}

/* ---- peers ---- */

/* Some of what the peer lacks, the newest first. */
static void
put_lacking(struct node *n, const struct peer *p, struct buf *b)
{
	unsigned rows = 0, looked = 0;

	if (dotset_subset(&n->index->have, &p->acked))
		return;
	text_put(b, "<details id=\"lacks-%s\"><summary id=\"sum-%s\">which</summary>", p->name,
		 p->name);
	for (const struct irec *i = n->index->log_last;
	     i != NULL && rows < LACKING_ROWS && looked < PAGE_LOOK_MAX;
	     i = i->log_prev, looked++) {
		if (dotset_has(&p->acked, i->r->dot))
			continue;
		rows++;
		put_path(b, i->r->path, i->r->path_len);
		text_str(b, "<br>");
	}
	text_str(b, "</details>");
}

static void
put_peer(struct node *n, struct peer *p, struct buf *b)
{
	const struct member *m = index_member(n->index, p->name);
	const char *state = verb_peer_state(n, p);
	struct lack l = exchange_lack_lately(n->exchange, p);

	text_put(b, "<tr><th scope=\"row\">%s<br><span class=\"dim\">", p->name);
	put_text(b, m != NULL ? m->address : "");
	text_put(b, "</span></th><td class=\"%s\">%s", strcmp(state, "alive") == 0 ? "good" : "bad",
		 state);
	text_put(b, "</td><td class=\"n\">%llu", (unsigned long long)l.count);
	if (l.count > 0) {
		text_str(b, "<br>");
		put_size(b, l.bytes);
	}
	put_lacking(n, p, b);
	text_str(b, "</td><td class=\"n\">");
	put_seconds(b, lag_of(n, p));
	text_str(b, "</td><td class=\"n\">");
	if (p->link != NULL)
		text_put(b, "%u ms", session_stats(link_session(p->link))->rtt_ms);
	text_str(b, "</td><td>");
	put_time(b, p->contact_ms);
	text_str(b, "</td><td>");
	put_text(b, p->link == NULL ? p->last_error : "");
	text_str(b, "</td></tr>");
}

static void
put_peers(struct node *n, struct buf *b)
{
	if (exchange_peers(n->exchange) == NULL)
		return;
	text_str(b, "<div class=\"scroll\"><table id=\"peers\"><caption>Members, and what each "
		    "lacks of what "
		    "is here</caption><thead><tr><th scope=\"col\">member</th><th scope=\"col\">"
		    "state</th><th scope=\"col\" class=\"n\">lacks</th><th scope=\"col\" "
		    "class=\"n\">lag</th><th scope=\"col\" class=\"n\">round trip</th><th "
		    "scope=\"col\">last heard (UTC)</th><th scope=\"col\">last error</th></tr>"
		    "</thead><tbody>");
	for (struct peer *p = exchange_peers(n->exchange); p != NULL; p = p->next)
		put_peer(n, p, b);
	text_str(b, "</tbody></table></div></section>");
}

/* ---- the plot ---- */

static float
worst_of(const float *v)
{
	float worst = 0;

	for (size_t i = 0; i < HISTORY_SLOTS; i++)
		worst = v[i] > worst ? v[i] : worst;
	return worst;
}

static void
put_line(const float *v, float top, unsigned colour, struct buf *b)
{
	bool open = false;

	for (unsigned i = 0; i < HISTORY_SLOTS; i++) {
		if (v[i] < 0 && open)
			text_str(b, "\"/>");
		else if (v[i] >= 0 && !open)
			text_put(b, "<polyline class=\"c%u\" points=\"", colour);
		open = v[i] >= 0;
		if (open)
			text_put(b, "%u,%.1f %.1f,%.1f ", 60 + i * 2 * 360 / HISTORY_SLOTS,
				 150 - (double)(v[i] / top) * 130,
				 61 + (double)i * 2 * 360 / HISTORY_SLOTS,
				 150 - (double)(v[i] / top) * 130);
	}
	if (open)
		text_str(b, "\"/>");
}

static void
put_plot(struct node *n, const struct metrics *m, struct buf *b)
{
	float v[HISTORY_SLOTS], top = 1;
	unsigned colour = 0;

	if (exchange_peers(n->exchange) == NULL)
		return;
	for (const struct peer *p = exchange_peers(n->exchange); p != NULL; p = p->next)
		if (history_of(metrics_history(m), p->name, n->now_ms, v) && worst_of(v) > top)
			top = worst_of(v);
	section(b, "lag", "Lag over the last hour");
	text_put(b,
		 "<svg role=\"img\" aria-labelledby=\"lt\" viewBox=\"0 0 800 190\" "
		 "width=\"800\"><title "
		 "id=\"lt\">Lag of each member over the last hour; the worst of each is "
		 "below</title>"
		 "<line class=\"axis\" x1=\"60\" y1=\"20\" x2=\"60\" y2=\"150\"/><line "
		 "class=\"axis\" "
		 "x1=\"60\" y1=\"150\" x2=\"780\" y2=\"150\"/><text class=\"dim\" x=\"6\" "
		 "y=\"28\">%.1f s"
		 "</text><text class=\"dim\" x=\"6\" y=\"152\">0 s</text><text class=\"dim\" "
		 "x=\"60\" "
		 "y=\"172\">1 h ago</text><text class=\"dim\" x=\"750\" y=\"172\">now</text>",
		 (double)top);
	for (const struct peer *p = exchange_peers(n->exchange); p != NULL && colour < PLOT_PEERS;
	     p = p->next, colour++)
		if (history_of(metrics_history(m), p->name, n->now_ms, v))
			put_line(v, top, colour, b);
	text_str(b, "</svg><ul>");
	colour = 0;
	for (const struct peer *p = exchange_peers(n->exchange); p != NULL; p = p->next, colour++) {
		bool known = history_of(metrics_history(m), p->name, n->now_ms, v);

		text_put(b, "<li>");
		if (colour < PLOT_PEERS)
			text_put(b,
				 "<svg aria-hidden=\"true\" width=\"26\" height=\"10\"><polyline "
				 "class=\"c%u\" points=\"2,5 24,5\"/></svg> ",
				 colour);
		text_put(b, "%s: worst ", p->name);
		put_seconds(b, known ? (double)worst_of(v) : 0);
		text_str(b, "</li>");
	}
	text_str(b, "</ul></section>");
}

/* ---- transfers and pending ---- */

static void
put_transfer(const struct fetch_job *j, struct buf *b)
{
	text_str(b, "<tr><td>");
	put_path(b, j->rec->path, j->rec->path_len);
	text_put(b, "</td><td>%s</td><td><progress max=\"%llu\" value=\"%llu\" aria-label=\"",
		 j->from[0] != '\0' ? j->from : "here", (unsigned long long)j->rec->size,
		 (unsigned long long)j->have_bytes);
	text_html(b, j->rec->path, j->rec->path_len);
	text_str(b, "\"></progress> ");
	put_size(b, j->have_bytes);
	text_str(b, " of ");
	put_size(b, j->rec->size);
	text_str(b, "</td></tr>");
}

static void
put_transfers(struct node *n, struct buf *b)
{
	unsigned rows = 0, looked = 0;

	section(b, "transfers", "Transfers");
	for (const struct pathent *e = index_todo_first(n->index);
	     e != NULL && rows < PAGE_ROWS && looked < PAGE_LOOK_MAX; e = e->todo_next, looked++) {
		const struct fetch_job *j = apply_explain(n->apply, e).fetch;

		if (j == NULL)
			continue;
		if (rows++ == 0)
			text_str(
				b,
				"<div class=\"scroll\"><table><caption>What is coming in"
				"</caption><thead><tr><th scope=\"col\">path</th><th scope=\"col\">"
				"from</th><th scope=\"col\">progress</th></tr></thead><tbody>");
		put_transfer(j, b);
	}
	text_str(b, rows > 0 ? "</tbody></table></div></section>"
			     : "<p>Nothing is coming in.</p></section>");
}

static void
put_pending(struct node *n, struct buf *b)
{
	unsigned rows = 0;

	section(b, "pending", "Pending here, and why");
	for (const struct pathent *e = index_todo_first(n->index); e != NULL && rows < PAGE_ROWS;
	     e = e->todo_next) {
		struct apply_state s = apply_explain(n->apply, e);

		if (rows++ == 0)
			text_str(
				b,
				"<div class=\"scroll\"><table><caption>The oldest first</caption>"
				"<thead><tr><th scope=\"col\">path</th><th scope=\"col\">state</th>"
				"<th scope=\"col\">why</th><th scope=\"col\" class=\"n\">tries</th>"
				"<th scope=\"col\" class=\"n\">next try</th></tr></thead><tbody>");
		text_str(b, "<tr><td>");
		put_path(b, e->path, e->path_len);
		text_put(b, "</td><td>%s</td><td>", s.state);
		put_text(b, s.reason != NULL ? s.reason : "");
		text_put(b, "</td><td class=\"n\">%u</td><td class=\"n\">", s.attempts);
		if (s.retry_ms > n->now_ms)
			put_seconds(b, (double)(s.retry_ms - n->now_ms) / 1000);
		text_str(b, "</td></tr>");
	}
	if (rows > 0)
		text_str(b, "</tbody></table></div>");
	else
		text_str(b, "<p>Nothing is pending.</p>");
	if (n->index->todo_count > rows)
		text_put(b, "<p>and %zu more: <code>mimeo pending</code></p>",
			 n->index->todo_count - rows);
	text_str(b, "</section>");
}

/* ---- lists of what happened ---- */

static void
put_recent(struct node *n, struct buf *b)
{
	const struct irec *i = n->index->log_last;

	section(b, "recent", "Recent changes");
	if (i == NULL) {
		text_str(b, "<p>None yet.</p></section>");
		return;
	}
	text_str(b,
		 "<div class=\"scroll\"><table><caption>The newest first; all: <code>mimeo "
		 "log</code>"
		 "</caption><thead><tr><th scope=\"col\">when (UTC)</th><th scope=\"col\">by</th>"
		 "<th scope=\"col\">what</th><th scope=\"col\">path</th><th scope=\"col\" "
		 "class=\"n\">size</th></tr></thead><tbody>");
	for (unsigned rows = 0; i != NULL && rows < PAGE_ROWS; i = i->log_prev, rows++) {
		const struct origin *o = index_origin(n->index, i->r->dot.origin);

		text_str(b, "<tr><td>");
		put_time(b, hlc_ms(i->r->hlc));
		text_put(b, "</td><td>%s</td><td>%s</td><td>", o != NULL ? o->node : "",
			 record_op_name(i->r->op));
		put_path(b, i->r->path, i->r->path_len);
		text_str(b, "</td><td class=\"n\">");
		if (record_live(i->r) && i->r->kind == KIND_FILE)
			put_size(b, i->r->size);
		text_str(b, "</td></tr>");
	}
	text_str(b, "</tbody></table></div></section>");
}

static void
put_kept_row(struct node *n, const struct kept *k, bool conflict, struct buf *b)
{
	const struct origin *o = index_origin(n->index, k->r->dot.origin);
	uint64_t expires = store_expires(n->kept, k);
	char dot[DOT_TEXT_BYTES];

	dot_text(k->dot, dot);
	text_str(b, "<tr><td>");
	put_path(b, k->r->path, k->r->path_len);
	text_put(b, "</td><td>%s</td><td>", o != NULL ? o->node : "");
	put_time(b, k->since_ms);
	text_str(b, "</td><td class=\"n\">");
	put_size(b, k->r->size);
	text_str(b, "</td><td>");
	if (expires != 0)
		put_time(b, expires);
	else
		text_str(b, "stays");
	text_str(b, "</td><td><code>mimeo ");
	if (conflict) {
		text_put(b, "conflicts restore %s", dot);
	} else {
		text_str(b, "trash restore ");
		put_word(b, k->r->path, k->r->path_len);
	}
	text_str(b, "</code></td></tr>");
}

static void
put_kept(struct node *n, bool conflicts, struct buf *b)
{
	unsigned rows = 0, looked = 0;

	section(b, conflicts ? "conflicts" : "trash", conflicts ? "Conflicts" : "Trash");
	for (const struct kept *k = n->index->kept_last;
	     k != NULL && rows < PAGE_ROWS && looked < PAGE_LOOK_MAX; k = k->prev, looked++) {
		if (index_kept_conflict(n->index, k) != conflicts)
			continue;
		if (rows++ == 0)
			text_put(
				b,
				"<div class=\"scroll\"><table><caption>%s</caption><thead><tr><th "
				"scope=\"col\">path</th><th scope=\"col\">by</th><th scope=\"col\">"
				"kept since (UTC)</th><th scope=\"col\" class=\"n\">size</th><th "
				"scope=\"col\">goes</th><th scope=\"col\">to get it back</th></tr>"
				"</thead><tbody>",
				conflicts ? "Versions that lost against a concurrent one"
					  : "Deleted and replaced versions, the newest first");
		put_kept_row(n, k, conflicts, b);
	}
	text_str(b, rows > 0 ? "</tbody></table></div></section>" : "<p>None.</p></section>");
}

static void
put_errors(struct node *n, struct buf *b)
{
	const struct error_row *r;

	section(b, "errors", "Errors");
	if (errors_row(n->errors, 0) == NULL) {
		text_str(b, "<p>None since the agent started.</p></section>");
		return;
	}
	text_str(b,
		 "<div class=\"scroll\"><table><caption>The newest first; all: <code>mimeo errors"
		 "</code></caption><thead><tr><th scope=\"col\">when (UTC)</th><th scope=\"col\">"
		 "member</th><th scope=\"col\">reason</th><th scope=\"col\">path</th><th "
		 "scope=\"col\">what</th></tr></thead><tbody>");
	for (size_t i = 0; i < PAGE_ROWS && (r = errors_row(n->errors, i)) != NULL; i++) {
		text_str(b, "<tr><td>");
		put_time(b, r->wall_ms);
		text_str(b, "</td><td>");
		put_text(b, r->peer);
		text_put(b, "</td><td>%s</td><td>", r->reason);
		if (r->path != NULL)
			put_path(b, r->path, r->path_len);
		text_str(b, "</td><td>");
		put_text(b, r->text != NULL ? r->text : "");
		text_str(b, "</td></tr>");
	}
	text_str(b, "</tbody></table></div></section>");
}

/* ---- all of it ---- */

void
page_html(struct node *n, const struct metrics *m, const char *nonce, const char *problem,
	  struct buf *b)
{
	text_put(b,
		 "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta "
		 "name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>mimeo: %s"
		 "</title><noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript><link "
		 "rel=\"icon\" href=\"data:,\"><style nonce=\"%s\">",
		 n->conf->name, nonce);
	text_str(b, style);
	text_str(b, "</style></head><body><a class=\"skip\" id=\"skip\" href=\"#peers\">to the "
		    "members</a>");
	put_state(n, m, problem, b);
	put_facts(n, m, b);
	put_picture(n, b);
	put_peers(n, b);
	put_plot(n, m, b);
	put_transfers(n, b);
	put_pending(n, b);
	put_recent(n, b);
	put_kept(n, true, b);
	put_kept(n, false, b);
	put_errors(n, b);
	text_put(b, "</main><script nonce=\"%s\">", nonce);
	text_str(b, script);
	text_str(b, "</script></body></html>\n");
}
