/* The gateway: from the identifier in a URL to the source that answers it, or to where it has gone.
 *
 *     identifier ─► archive of retired identifiers ─► moved (301), gone (410)
 *               └─► identifier rules ─► the source's path below the image root
 *
 * Each worker has one, opened before it enters its box. The rules are read then. The archive's text file is
 * opened then, and where the map in the cache directory was not made from it, a thread makes it anew while
 * requests are answered from the map there is: one worker does, the others wait for it without holding
 * anything up. So a changed list is taken up by HUP, which starts new workers. A list with wrong lines is
 * logged, once, and the map before it stays.
 *
 * Look-ups come from any thread, hold no lock and do no more than read a few pages of one file. A crash while
 * the map is made lets another worker make it. */
#ifndef WORKER_GATEWAY_GATEWAY_H
#define WORKER_GATEWAY_GATEWAY_H

#include "worker/gateway/archive.h"
#include "worker/gateway/rules.h"
#include "worker/iiif/identifier.h"

struct gateway;

struct gateway_options {
    const char *rules;   /* text file, "": none */
    const char *retired; /* text file, "": none */
    const char *folder;  /* where the map is kept, NULL: nowhere; lives as long as the gateway */
};

/* Whether gateway_open() will succeed, as far as that is quickly said: rules are read, the list only has to
 * be there. RC_BAD_REQUEST with the name of the setting that is wrong. */
RC_MUST_USE enum rc gateway_check(const struct gateway_options *options, const char **ret_name,
                                  struct err *err);

/* RC_IO, RC_CORRUPT: a file cannot be read, or a rule in it; the sentence begins with the setting's name. */
RC_MUST_USE enum rc gateway_open(const struct gateway_options *options, struct gateway **ret_gateway,
                                 struct err *err);
/* Starts the thread where there is something to load. After the box. */
RC_MUST_USE enum rc gateway_start(struct gateway *gateway, struct err *err);
void gateway_close(struct gateway **gateway);

/* Whether an identifier (decoded, with its page) is retired. Its page, unless retired by itself, goes
 * along. */
enum gateway_retired gateway_retired(const struct gateway *gateway, const char *identifier,
                                     char ret_identifier[IIIF_MAX_IDENTIFIER_BYTES + 1]);
/* The source of an identifier: path and page. RC_NOT_FOUND as iiif_identifier_read() and
 * gateway_rules_apply(). */
RC_MUST_USE enum rc gateway_source(const struct gateway *gateway, const char *identifier,
                                   struct iiif_identifier *ret_source, struct err *err);

/* The same for an archive and rules of one's own, for the command line. The source keeps its page. */
enum gateway_retired gateway_find_retired(const struct list_map *archive, const char *identifier,
                                          char ret_identifier[IIIF_MAX_IDENTIFIER_BYTES + 1]);
RC_MUST_USE enum rc gateway_apply_rules(const struct gateway_rules *rules, const char *identifier,
                                        struct gateway_match *ret_match, struct err *err);

/* What check-config says: every wrong line of both lists, as FILE:LINE:, to standard error. False: there was
 * one. */
bool gateway_check_lists(const struct gateway_options *options);
/* What `vitrine resolve` says: prints the way of an identifier below the image root `images`. False: it leads
 * to no source. */
bool gateway_explain(const struct gateway_options *options, const char *images, const char *identifier,
                     struct err *err);

#endif
