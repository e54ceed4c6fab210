/* Colour: what the source's numbers mean, decided once per source, so that neighbouring regions never differ.
 *
 * The outcome is always sRGB (or its gray). Sources that are sRGB already, or carry no profile, pass untouched, YCbCr
 * included. Any other profile is converted with lcms2, the only user of which is here. CMYK goes by its profile, else by
 * a built-in formula; Lab by CIE. Transforms are cached per (profile, format) for the whole process, behind one mutex,
 * and used by many threads at a time. */
#ifndef WORKER_IMAGE_COLOUR_H
#define WORKER_IMAGE_COLOUR_H

#include "base/bytes.h"
#include "worker/image/pixels.h"

struct image_colour; /* immutable after image_colour_decide(), shared by threads, freed with its source */

/* `icc` may be empty. A profile that is broken or of another colour space than `format` is ignored (*ret_note then says
 * so, for the log; else NULL; a static string). */
RC_MUST_USE enum rc image_colour_decide(const struct image_format *format, const struct bytes *icc,
                                        struct image_colour **ret_colour, const char **ret_note, struct err *err);
void image_colour_free(struct image_colour **colour);

/* What pixels must be when they enter image_colour_sink(): `format`, YCBCR having become RGB where a transform needs it;
 * the depth may stay 16. When no transform is needed this is `format` itself. */
struct image_format image_colour_input(const struct image_colour *colour);
/* What comes out: GRAY or RGB 8 bits with the alpha of the source, or the YCBCR format itself. */
struct image_format image_colour_output(const struct image_colour *colour);

/* A sink for image_colour_input() that writes sRGB into `next`. Takes over `next`, also on failure; returns it when
 * nothing needs doing. */
RC_MUST_USE enum rc image_colour_sink(const struct image_colour *colour, struct image_sink *next,
                                      struct image_sink **ret_sink, struct err *err);

/* The steps to what a request's quality and an encoder want; each takes over `next` and returns it where nothing is to do.
 * `from` is the format of what is written to the new sink, next->format what must come out; 8 bits, not subsampled
 * unless both are the same YCBCR.
 * - to_layout: RGB → GRAY by BT.601 luma, GRAY → RGB, alpha dropped onto white, added opaque, or un-/premultiplied
 * - threshold: GRAY → black or white at half, alpha kept ("bitonal") */
RC_MUST_USE enum rc image_colour_to_layout(const struct image_format *from, struct image_sink *next,
                                           struct image_sink **ret_sink, struct err *err);
RC_MUST_USE enum rc image_colour_threshold(struct image_sink *next, struct image_sink **ret_sink, struct err *err);

/* The bytes of the sRGB profile that goes into derivatives (the gray one for `gray`). Static, built on first use. */
const struct bytes *image_colour_output_profile(bool gray);

#endif
