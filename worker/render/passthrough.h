/* Answers without decoding: a plan that asks for exactly one stored JPEG or WebP tile gets the tile's own
 * bytes.
 *
 * Fast enough for the event thread as long as nothing has to be read from a disk: `may_block` false then
 * reads from the page cache only. There it also joins tiles by copying (stitch.h), which on a render thread
 * is part of render_picture(). */
#ifndef WORKER_RENDER_PASSTHROUGH_H
#define WORKER_RENDER_PASSTHROUGH_H

#include "worker/render/render.h"

/* Whether the plan wants pixels of its level as they are: not turned, not scaled, not converted, and its
 * settings allow to send what is stored. Its format is another question. */
bool render_passthrough_applies(const struct picture *picture, const struct iiif_plan *plan,
                                const struct render_options *options);

/* Appends the answer to the empty `out`. RC_UNSUPPORTED: the plan has to be rendered. RC_BUSY (only when
 * `may_block` is false): the bytes are not in memory. RC_IO, RC_CORRUPT, RC_NO_MEMORY. After a failure `out`
 * is garbage. */
RC_MUST_USE enum rc render_passthrough(const struct picture *picture, const struct iiif_plan *plan,
                                       const struct render_options *options, bool may_block,
                                       struct bytes *out, struct err *err);

#endif
