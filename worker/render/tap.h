/* A step right before the encoder that lends out what has been encoded after each band, and measures how long
 * encoding takes. On the render thread of its chain; owns the encoder behind it. */
#ifndef WORKER_RENDER_TAP_H
#define WORKER_RENDER_TAP_H

#include "worker/image/pixels.h"
#include "worker/render/render.h"

/* Puts itself before `encoder`, which it takes over in every case. `output` and `spent` are borrowed until it
 * is closed. output->made is called only when `streams`. */
RC_MUST_USE enum rc render_tap_open(struct image_sink *encoder, const struct render_output *output,
                                    bool streams, struct render_spent *spent, struct image_sink **ret_sink,
                                    struct err *err);

/* A reader whose time is added to spent->decode_ns. Takes `reader` over in every case. */
RC_MUST_USE enum rc render_tap_read(struct image_reader *reader, struct render_spent *spent,
                                    struct image_reader **ret_reader, struct err *err);

#endif
