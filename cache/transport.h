/* A transport: how the bytes of a file somewhere else get here. Two kinds: web_transport.h (S3, http, https) and
 * lane_transport.h (threads that read a folder which may hang).
 *
 * For cache/remote.c, which knows what to fetch and where to keep it. A fetch is one part of one file; the transport tries
 * again by itself where that may help, and gives up in time. Its call-backs come from the transport's threads, one at a
 * time for one fetch. */
#ifndef CACHE_TRANSPORT_H
#define CACHE_TRANSPORT_H

#include "cache/origin.h"

#define TRANSPORT_ETAG_BYTES 192u

/* What the origin says about the file before its bytes come. */
struct transport_answer {
    bool unchanged; /* it is what if_not_etag named: no bytes follow */
    bool replaced;  /* it is no longer what `version` and `etag` named: no bytes follow */
    struct origin_version version;
    char etag[TRANSPORT_ETAG_BYTES]; /* as sent, with its quotes; empty: none */
    uint64_t offset;                 /* of the first byte that follows */
    bool whole; /* all of the file follows, whatever was asked for: the origin knows no parts */
};

struct transport_fetch {
    struct transport_fetch *next; /* the transport's */
    void *tried;                  /* the transport's */
    const char *path;
    uint64_t offset, length; /* what is asked for; beyond the end counts as nothing */
    bool first;              /* the file is yet to be known: `known` may say what it was when last seen */
    const struct origin_version
        *known;       /* of which the part has to be; for `first` NULL or what would be unchanged */
    const char *etag; /* belongs to `known` */
    /* Comes first, again with each new try: bytes then start over. Not RC_OK: ends the fetch. */
    enum rc (*begin)(struct transport_fetch *fetch, const struct transport_answer *answer, struct err *err);
    enum rc (*take)(struct transport_fetch *fetch, const void *data, size_t length, struct err *err);
    /* The end; the fetch is its owner's again. All bytes were there, or `err` says why not: RC_NOT_FOUND, RC_FORBIDDEN,
     * RC_TOO_LARGE, RC_ORIGIN, RC_LATE, RC_BUSY, RC_CANCELLED, RC_NO_MEMORY, or what a call-back returned. */
    void (*done)(struct transport_fetch *fetch, enum rc rc, const struct err *err);
};

/* What lies in one folder ("": the root). */
struct transport_listing {
    const char *path;
    struct arena *arena; /* made by the transport, the owner's at the end, whatever came; or NULL */
    struct origin_entry *entry;
    size_t count;
    bool has_any; /* the transport's */
    /* As of a fetch. RC_NOT_FOUND: there is no such folder. */
    void (*done)(struct transport_listing *listing, enum rc rc, const struct err *err);
};

struct transport {
    int lost_fd; /* -1, or readable once the place is only to be had by a process that opens it anew; the transport's */
    const struct transport_ops *ops;
    const char *name; /* of the origin; part of the key of what is kept */
};

struct transport_ops {
    enum rc (*start)(struct transport *transport, struct err *err); /* its threads */
    void (*submit)(struct transport *transport, struct transport_fetch *fetch);
    void (*list)(struct transport *transport, struct transport_listing *listing); /* NULL: it cannot */
    void (*cancel)(struct transport *transport); /* all fetches end soon, with RC_CANCELLED */
    void (*close)(struct transport *transport);  /* after cancel: returns when all have ended */
};

#endif
