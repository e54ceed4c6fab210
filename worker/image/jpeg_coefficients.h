/* The coefficients of a JPEG stream that has several scans, kept packed.
 *
 * Such a stream can be decoded only after its last scan, and until then libjpeg keeps two bytes per
 * coefficient, nearly all of them zeros: three to six bytes per pixel. It asks for that memory through the
 * methods of its memory manager, as arrays of which it looks at a few rows of blocks at a time; here these
 * rows lie packed, and only those looked at are unpacked. A photograph takes a third of what it would, or
 * less. Belongs to one decoder; for jpeg_decode*.c only. */
#ifndef WORKER_IMAGE_JPEG_COEFFICIENTS_H
#define WORKER_IMAGE_JPEG_COEFFICIENTS_H

#include <stdio.h>
#include <jpeglib.h>

struct image_jpeg;

struct image_jpeg_coefficients {
    struct image_jpeg_array *array;        /* all that libjpeg has asked for */
    void (*realize)(j_common_ptr libjpeg); /* libjpeg's own, for what else it wants */
};

/* Puts our methods in the place of libjpeg's, once it is created. They fail by image_jpeg_decoder_fail(). */
void image_jpeg_coefficients_take_over(struct image_jpeg *jpeg);
/* Frees all arrays: libjpeg must not go on with the stream. Also when there are none. */
void image_jpeg_coefficients_drop(struct image_jpeg_coefficients *coefficients);

#endif
