/* SPDX-License-Identifier: BSD-2-Clause */
/* One dot, two records: noticed in every field; a duplicate is none; the oldest are forgotten. */
#include "config.h"

#include "agent/witness.h"

#include "tests/fold.h"
#include "tests/tap.h"

int
main(void)
{
	struct witness *w = witness_new(7);
	struct record a = rec("a", dot(1, 1), 5, KIND_FILE, 1), b;

	ok(w != NULL && witness_saw(w, &a), "a new record");
	ok(witness_saw(w, &a), "its duplicate");
	b = a;
	b.hash[31] ^= 1;
	ok(!witness_saw(w, &b), "another hash");
	b = a;
	b.hlc++;
	ok(!witness_saw(w, &b), "another time");
	b = rec("b", dot(1, 1), 5, KIND_FILE, 1);
	ok(!witness_saw(w, &b), "another path");
	b = a;
	b.mode ^= 1;
	ok(!witness_saw(w, &b), "another mode");
	b = a;
	must(vv_add(&b.ctx, dot(2, 2)));
	ok(!witness_saw(w, &b), "another context");
	record_clear(&b);
	b = a;
	b.dot.seq = 2;
	ok(witness_saw(w, &b), "another dot");
	ok(witness_saw(w, &a), "the first one is still the right one");
	for (uint64_t i = 0; i < WITNESS_MAX; i++) {
		b.dot = dot(3, i + 1);
		if (!witness_saw(w, &b))
			break;
	}
	ok(b.dot.seq == WITNESS_MAX, "as many as it remembers");
	b = a;
	b.hlc++;
	ok(witness_saw(w, &b), "the oldest is forgotten then");
	ok(!witness_saw(w, &a), "and remembered anew");
	witness_free(w);
	return tap_done();
}
