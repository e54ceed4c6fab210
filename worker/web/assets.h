/* Style sheets, scripts and pictures of the pages: /assets/{version}/{name}.
 *
 * The version is a hash of them all, so that browsers may keep them for ever and never see two of different
 * versions together. Each is compressed once per process, when it is first asked for in that coding. What has
 * been compressed stays; any thread. */
#ifndef WORKER_WEB_ASSETS_H
#define WORKER_WEB_ASSETS_H

#include "worker/http/compress.h"
#include "worker/web/embedded.h"

#include <stdbool.h>

#define WEB_VERSION_DIGITS 16u

/* As many hexadecimal digits. */
const char *web_assets_version(void);

/* Of "{version}/{name}": NULL where there is no such asset. *ret_is_current: it is of this version, so that
 * its address may be kept for ever; a page that was loaded from the program before this one gets what there
 * is now. */
const struct web_file *web_assets_find(const char *path, size_t length, bool *ret_is_current);

struct web_asset_body {
    enum http_coding coding;
    const uint8_t *data;
    size_t length;
};
/* False: it is not compressed yet, which is work for a render thread: call it there, with `may_work`. Never
 * false with it. */
bool web_asset_body(const struct web_file *asset, enum http_coding wanted, bool may_work,
                    struct web_asset_body *ret_body);

#endif
