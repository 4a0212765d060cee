#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The status page in a real browser: facts, renewal, hostile names, keyboard, names for screen readers, light and dark.
# shellcheck source=tests/e2e/lib.sh disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
need sshd jq curl python3 chromium

cat >"$T/page.py" <<'END'
import json, os, select, subprocess, sys, time
url, media, profile, wait = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
STARTS = 3  # a browser that does not come up on a machine with much else to do says nothing about the page

class Failed(Exception):
    """The browser answered with an error: what was asked about has just been replaced, say."""

class Gone(Exception):
    """The browser ended, or does not answer."""

class Browser:
    def __init__(self, profile):
        self.pending, self.number, self.events = b'', 0, []
        to_r, self.out = os.pipe()
        self.into, from_w = os.pipe()
        def plumb():
            os.dup2(to_r, 60); os.dup2(from_w, 61)
            os.dup2(60, 3); os.dup2(61, 4)
        os.set_inheritable(to_r, True); os.set_inheritable(from_w, True)
        with open(profile + '.err', 'wb') as err:
            self.process = subprocess.Popen(['chromium', '--headless=new', '--no-sandbox', '--disable-gpu',
                '--disable-dev-shm-usage', '--no-first-run', '--user-data-dir=' + profile, '--remote-debugging-pipe',
                '--window-size=1200,1600', 'about:blank'],
                preexec_fn=plumb, pass_fds=(3, 4), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err)
        os.close(to_r); os.close(from_w)

    def message(self, end):
        while b'\0' not in self.pending:
            if not select.select([self.into], [], [], max(0, end - time.monotonic()))[0]:
                raise Gone('it does not answer')
            data = os.read(self.into, 1 << 16)
            if not data:
                raise Gone('it went away')
            self.pending += data
        one, self.pending = self.pending.split(b'\0', 1)
        return json.loads(one)

    def call(self, method, session=None, **params):
        self.number += 1
        want = {'id': self.number, 'method': method, 'params': params}
        if session:
            want['sessionId'] = session
        end = time.monotonic() + wait
        try:
            os.write(self.out, json.dumps(want).encode() + b'\0')
        except BrokenPipeError:
            raise Gone('it went away')
        while True:
            got = self.message(end)
            if got.get('id') == self.number:
                if 'error' in got:
                    raise Failed('%s: %s' % (method, got['error']))
                return got['result']
            self.events.append(got)

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

def started():
    for i in range(1, STARTS + 1):
        browser = Browser('%s.%d' % (profile, i))
        try:
            target = browser.call('Target.createTarget', url='about:blank')['targetId']
            page = browser.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
            for domain in ('Page', 'Runtime', 'Log', 'Network', 'Accessibility'):
                browser.call(domain + '.enable', page)
            return browser, page
        except (Gone, Failed) as e:
            print('note start %d of the browser: %s' % (i, e), flush=True)
            browser.close()
            print(open('%s.%d.err' % (profile, i), errors='replace').read()[-1000:], flush=True)
    sys.exit('the browser does not start')
browser, page = started()
call = browser.call
def js(text):
    r = call('Runtime.evaluate', page, expression=text, returnByValue=True)
    if 'exceptionDetails' in r:
        raise Failed(str(r['exceptionDetails']))
    return r['result'].get('value')
count = bad = 0
def ok(good, name):
    global count, bad
    count += 1
    bad += not good
    print('%s %s' % ('good' if good else 'BAD', name), flush=True)
def until(text):
    last = None
    end = time.monotonic() + wait
    while time.monotonic() < end:
        try:
            if js(text):
                return True
        except Failed as e: # a page that is being replaced
            last = e
        time.sleep(0.02)
    if last:
        print('note', last, flush=True)
    return False
try:
    call('Page.navigate', page, url=url)
    ok(until('document.readyState === "complete" && document.title === "mimeo: n1"'), 'the page loads')
    text = 'document.querySelector("main").innerText'
    ok(until(text + '.includes("n2")'), 'the peer is named')
    ok(until('document.querySelectorAll("#peers tbody tr").length === 1'), 'one row a peer')
    ok(until(text + '.includes("<img src=x onerror=")'), 'a name with markup shows as text')
    ok(js('document.images.length') == 0, 'and makes no image')
    ok(js('document.title') == 'mimeo: n1', 'and runs nothing')
    ok(until(text + '.includes("\\\\x1b")'), 'a control character shows as \\x1b')
    # A row is opened, then the page renews itself under it.
    js('window.first = document.querySelector("main")')
    open(media + '/appears.txt', 'w').write('x')
    start = time.monotonic()
    ok(until(text + '.includes("appears.txt")'), 'a change appears')
    print('note after %.0f ms' % ((time.monotonic() - start) * 1000))
    ok(until('document.querySelector("main") !== window.first'), 'by renewing itself')
    # Nothing from elsewhere, nothing forbidden.
    ok(js('performance.getEntriesByType("resource").every(e => e.name.startsWith(location.origin))'), 'nothing comes from elsewhere')
    js('0')
    noise = [e for e in browser.events if e.get('method') in ('Log.entryAdded', 'Runtime.exceptionThrown')]
    ok(not noise, 'the console is silent %s' % (noise[:2] or ''))
    # Keyboard.
    for kind in ('keyDown', 'keyUp'):
        call('Input.dispatchKeyEvent', page, type=kind, key='Tab', code='Tab', windowsVirtualKeyCode=9)
    ok(until('document.activeElement.id === "skip"'), 'the first stop of the keyboard leads past everything')
    # Screen readers.
    tree = call('Accessibility.getFullAXTree', page)['nodes']
    named = {(n['role']['value'], n.get('name', {}).get('value', '')) for n in tree if 'role' in n}
    ok(any(r == 'image' and 'connected to' in n for r, n in named), 'the picture has words')
    ok(any(r == 'table' and n.startswith('Members') for r, n in named), 'the table has a name')
    ok(any(r == 'columnheader' and n == 'lacks' for r, n in named), 'and named columns')
    ok(any(r == 'status' for r, n in named), 'the state is announced')
    ok(not any(r in ('image', 'progressbar', 'link', 'button') and not n for r, n in named), 'nothing is without a name')
    ok(js('document.documentElement.lang') == 'en', 'its language is said')
    # Light and dark: enough contrast in both.
    contrast = '''(function () {
        function l(c) { var v = c.match(/[0-9.]+/g).slice(0, 3).map(function (x) { x /= 255; return x <= .03928 ? x / 12.92 : Math.pow((x + .055) / 1.055, 2.4) });
            return .2126 * v[0] + .7152 * v[1] + .0722 * v[2] }
        var back = l(getComputedStyle(document.body).backgroundColor), worst = 99;
        document.querySelectorAll('main *, header *').forEach(function (e) {
            if (e.closest('svg') || !e.textContent.trim()) return;
            var f = l(getComputedStyle(e).color), r = (Math.max(f, back) + .05) / (Math.min(f, back) + .05);
            worst = Math.min(worst, r) });
        return worst })()'''
    seen = []
    for scheme in ('light', 'dark'):
        call('Emulation.setEmulatedMedia', page, features=[{'name': 'prefers-color-scheme', 'value': scheme}])
        seen.append(js('getComputedStyle(document.body).backgroundColor'))
        worst = js(contrast)
        ok(worst >= 4.5, 'text can be read in %s (contrast %.1f)' % (scheme, worst))
    ok(seen[0] != seen[1], 'the two differ')
    # A narrow window: nothing but wide tables scrolls sideways.
    call('Emulation.setDeviceMetricsOverride', page, width=380, height=800, deviceScaleFactor=1, mobile=False)
    ok(js('document.documentElement.scrollWidth <= 380'), 'it fits a telephone (%s)' % js('document.documentElement.scrollWidth'))
    # Without scripts the facts are there too.
    call('Emulation.setScriptExecutionDisabled', page, value=True)
    call('Page.navigate', page, url=url)
    end = time.monotonic() + wait
    html = ''
    while 'appears.txt' not in html and time.monotonic() < end:
        try:
            html = call('DOM.getOuterHTML', page, nodeId=call('DOM.getDocument', page)['root']['nodeId'])['outerHTML']
        except Failed: # it renews itself between the two
            pass
    ok('appears.txt' in html and 'id="peers"' in html, 'without scripts the facts are there')
except (Gone, Failed) as e:
    print('BAD the browser: %s' % e, flush=True)
    bad += 1
finally:
    browser.close()
sys.exit(bad > 0)
END

check "two nodes come up" "$lab" up "$T/lab" 2
n1=$(media n1)
echo x >"$n1/<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'<\\script>"
printf x >"$n1/"$'control \e[31m \xe2\x80\xae right to left \xff'
check_soon "in sync" in_sync n1 n2
python3 "$T/page.py" "http://$(cat "$T/lab/n1/http")/" "$n1" "$T/profile" "$WAIT_S" >"$T/page.out" 2>&1
check "the browser came to the end" grep -q 'without scripts' "$T/page.out"
while read -r verdict name; do
	case $verdict in
	good) ok 0 "$name" ;;
	BAD) ok 1 "$name" ;;
	*) echo "# $verdict $name" ;;
	esac
done <"$T/page.out"
done_testing
