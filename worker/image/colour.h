/* Colour: what the source's numbers mean, decided once per source, so that neighbouring regions never differ.
 *
 * The outcome is always sRGB (or its gray). Sources that are sRGB already, or carry no profile, pass
 * untouched, YCbCr included. Any other profile is converted with lcms2, the only user of which is here:
 * relative colorimetric with black point compensation, because that keeps what sRGB can show as it is and
 * loses no shadows. CMYK goes by its profile, else by (1 - ink)(1 - black); Lab by CIE (D50).
 *
 * What a profile demands is remembered for the whole process per (profile's bytes, model, depth), behind one
 * mutex; transforms are used by many threads at a time. Profiles are foreign bytes: one that lcms2 refuses is
 * as if it were not there. */
#ifndef WORKER_IMAGE_COLOUR_H
#define WORKER_IMAGE_COLOUR_H

#include "base/bytes.h"
#include "worker/image/pixels.h"

struct image_colour; /* immutable after image_colour_decide(), shared by threads, freed with its source */

/* `icc` may be empty. A profile that is broken or of another colour space than `format` is ignored (*ret_note
 * then says so, for the log; else NULL; a static string). RC_NO_MEMORY. */
RC_MUST_USE enum rc image_colour_decide(const struct image_format *format, const struct bytes *icc,
                                        struct image_colour **ret_colour, const char **ret_note,
                                        struct err *err);
void image_colour_free(struct image_colour **colour);

/* Whether the source's numbers are sRGB as they stand. */
bool image_colour_is_untouched(const struct image_colour *colour);
/* What pixels must be when they enter image_colour_sink(): `format`, but YCBCR has become RGB where a
 * transform needs it, and 16 bits 8 unless that would lose precision (gray, Lab). When no transform is needed
 * this is `format` itself. */
struct image_format image_colour_input(const struct image_colour *colour);
/* What comes out: GRAY or RGB 8 bits, or the YCBCR format itself; alpha as in the source, but STRAIGHT where
 * a transform had to divide by it. */
struct image_format image_colour_output(const struct image_colour *colour);

/* A sink for image_colour_input() that writes image_colour_output() into `next`. Takes over `next`, also on
 * failure; returns it when nothing needs doing (whatever its format then is: resampling reaches it). */
RC_MUST_USE enum rc image_colour_sink(const struct image_colour *colour, struct image_sink *next,
                                      struct image_sink **ret_sink, struct err *err);

/* The steps to what a request's quality and an encoder want; each takes over `next` and returns it where
 * nothing is to do. `from` is the format of what is written to the new sink, next->format what must come out:
 * GRAY or RGB, 8 bits; or both the same YCBCR.
 * - to_layout: RGB → GRAY by BT.601 luma, GRAY → RGB, alpha dropped onto white, added opaque, or
 *   un-/premultiplied
 * - threshold: every colour plane to black or white at half, alpha kept ("bitonal", where `next`
 *   takes GRAY) */
RC_MUST_USE enum rc image_colour_to_layout(const struct image_format *from, struct image_sink *next,
                                           struct image_sink **ret_sink, struct err *err);
RC_MUST_USE enum rc image_colour_threshold(struct image_sink *next, struct image_sink **ret_sink,
                                           struct err *err);

/* The bytes of the sRGB profile that goes into derivatives (the gray one for `gray`). Static, built on first
 * use, the same in every process; empty only when memory was out then. */
const struct bytes *image_colour_output_profile(bool gray);

/* What a profile calls itself, in ASCII, cut to `size` bytes with the end; "" when it is broken or empty. */
void image_colour_profile_name(const struct bytes *icc, char *name, size_t size);

#endif
