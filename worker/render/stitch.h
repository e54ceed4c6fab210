/* Answers made of stored JPEG tiles without decoding them: edge tiles, several tiles, whole levels, cut at
 * MCUs.
 *
 * Whether a plan is answered so depends on the plan and on the source's bytes alone, never on what is in
 * memory: the same URL always gets the same bytes. Owns nothing beyond the call. */
#ifndef WORKER_RENDER_STITCH_H
#define WORKER_RENDER_STITCH_H

#include "worker/render/render.h"

/* On the event thread: what is in memory and small, above all where tiles are joined by copying. Appends the
 * answer to the empty `out`. RC_UNSUPPORTED: the plan is none for this file; RC_BUSY: a render thread has to
 * look. RC_NO_MEMORY. After a failure `out` is garbage. */
RC_MUST_USE enum rc render_stitch_resident(const struct picture *picture, const struct iiif_plan *plan,
                                           const struct render_options *options, struct bytes *out,
                                           struct err *err);

/* On a render thread. RC_UNSUPPORTED: it has to be decoded; nothing has been made then, output->bytes is
 * empty. Else the codes of render_picture(). */
RC_MUST_USE enum rc render_stitch(const struct picture *picture, const struct iiif_plan *plan,
                                  const struct render_options *options, const struct render_output *output,
                                  struct err *err);

#endif
