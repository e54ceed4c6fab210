/* What an S3 bucket or an http(s) server means by its answer, and what the person who set it up is told of it.
 *
 * For whoever asks one, tries again and gives up (cache/web_transport.c, cache/s3_folder.c, cache/s3_store.c, worker/ingest/bucket_request.c);
 * here it is only said what came. The sentences name the image root, so that they can be acted on where there are several. The answers are bytes of somebody else's server: nothing in them, and no
 * status, may do more than end the fetch. Pure; any thread; owns nothing. */
#ifndef CACHE_WEB_VERDICT_H
#define CACHE_WEB_VERDICT_H

#include "base/bytes.h"
#include "cache/http_answer.h"
#include "cache/web_address.h"

struct web_verdict {
    bool may_pass; /* another try may do better */
    bool expired;  /* a store says that our credentials have: with new ones another try does better */
};

/* Whether 304 is an answer to it: it was asked on the condition that the file is another than the one that is known. */
bool web_verdict_may_be_unchanged(const struct transport_fetch *fetch);

/* A head with the status 200 or 206: which version of the file it is of, and which part of it follows. The other fields of
 * *ret_answer stay. RC_ORIGIN: the part cannot be told, or is not what was asked for. */
RC_MUST_USE enum rc web_verdict_part(const struct web_address *address, const struct transport_fetch *fetch,
                                     const struct http_answer *head, struct transport_answer *ret_answer,
                                     struct err *err);

/* An answer that has come whole, of any status; `text`: the first bytes of its body where it is none of a file. RC_OK: all is well. RC_NOT_FOUND,
 * RC_FORBIDDEN, RC_UNSUPPORTED (an empty file), RC_BUSY, RC_ORIGIN. *ret_verdict is set in every case. */
RC_MUST_USE enum rc web_verdict_end(const struct web_address *address, const struct transport_fetch *fetch,
                                    const struct http_answer *head, const struct bytes *text,
                                    struct web_verdict *ret_verdict, struct err *err);

/* What a store was asked for that is no part of a source. */
struct web_verdict_subject {
    const char *kind, *name; /* "object", "a/b": there is none of that name */
    const char *right;       /* what it takes the right to do: "list" */
};
/* The same of a store's answer to anything else; 2xx is RC_OK. */
RC_MUST_USE enum rc web_verdict_store(const struct web_address *address,
                                      const struct web_verdict_subject *subject,
                                      const struct http_answer *head, const struct bytes *text,
                                      struct web_verdict *ret_verdict, struct err *err);

#endif
