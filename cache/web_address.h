/* Where the files of a remote origin are: URLs made of an image root's place and a path. Pure. */
#ifndef CACHE_WEB_ADDRESS_H
#define CACHE_WEB_ADDRESS_H

#include "base/bytes.h"
#include "base/settings.h"

#include <stdbool.h>

struct web_address {
    bool is_s3;
    char *name;       /* "s3://bucket/prefix on https://…": of the origin, for keys and the log */
    char *place;      /* as the settings have it, for what visitors hear */
    char *root;       /* "https://host:port" */
    char *host;       /* as in the Host header, with a port that is not the usual one */
    char *host_alone; /* without any port */
    char *prefix;     /* encoded path that files are below: "", or "/a/b" */
    char *bucket;     /* of S3, and `below`: what of the prefix is part of the keys, plain: "a/b/" or "" */
    char *below;
    bool bucket_in_path;
    char *region; /* of S3 */
    uint16_t port;
};

/* Of "s3://BUCKET/PREFIX" or a URL. RC_BAD_REQUEST says what is wrong with it; *ret_setting, where somebody wants it, is the setting that
 * is to blame, or NULL: the place itself. */
RC_MUST_USE enum rc web_address_of(struct web_address *address, const char *place,
                                   const struct settings *settings, const char **ret_setting,
                                   struct err *err);
void web_address_done(struct web_address *address);

/* The encoded path of a file, with a NUL behind it: "/bucket/prefix/a%20b.tif". */
RC_MUST_USE enum rc web_address_path(const struct web_address *address, const char *path, struct bytes *out,
                                     struct err *err);

#endif
