/* Identifier rules: how an identifier that the world knows leads to a source.
 *
 * They come from a text file, a rule a line; the first that matches wins:
 *
 *     # kind   pattern            source
 *     prefix   ms/                manuscripts/masters/$1
 *     suffix   .jp2               $1.tif
 *     regex    ^obj-(\d+)-(\d+)$  objects/$1.tif;$2
 *
 * $0 in the source is the whole identifier, $1 to $9 are the groups of the expression; of a prefix or suffix
 * rule $1 is the rest of the identifier. $$ is a dollar sign. Blanks in pattern or source are written %20
 * (and % itself %25). An identifier that no rule matches is its own source. Expressions are PCRE2's, matched
 * in UTF-8 where the identifier is; the work one match may cost is bounded.
 *
 * Loaded by each worker after fork, immutable afterwards: look-ups from any thread. Nothing survives a crash,
 * nothing has to. */
#ifndef WORKER_GATEWAY_RULES_H
#define WORKER_GATEWAY_RULES_H

#include "base/err.h"
#include "worker/gateway/problem.h"
#include "worker/iiif/request.h"

#include <stddef.h>

struct gateway_rules;

/* Any wrong line refuses the file: RC_CORRUPT after all were told, with the first in `err`. RC_IO,
 * RC_NO_MEMORY. */
RC_MUST_USE enum rc gateway_rules_load(const char *path, gateway_problem *problem, void *context,
                                       struct gateway_rules **ret_rules, struct err *err);
void gateway_rules_free(struct gateway_rules **rules);

struct gateway_match {
    uint64_t line;    /* of the rule that matched; 0: none did */
    const char *rule; /* its text as it was written; NULL: none. Lives with the rules */
    char source[IIIF_MAX_IDENTIFIER_BYTES + 1];
};

/* Where the identifier leads, without its page (";2"). `rules` may be NULL. RC_NOT_FOUND: the source would be
 * longer than any identifier, or the match cost more than is allowed. */
RC_MUST_USE enum rc gateway_rules_apply(const struct gateway_rules *rules, const char *identifier,
                                        struct gateway_match *ret_match, struct err *err);

#endif
