/* A source as a record: all that opening it found out, in some hundred bytes, so that another process, or
 * this one after a restart, has it again without reading a byte of the file.
 *
 * Each kind of source writes its own part and reads it back (source_kinds.h). A record is bound to one
 * version of a file and to one set of limits; whoever keeps it takes care of that, and of
 * IMAGE_RECORD_DIALECT. Its bytes are foreign all the same: restoring checks what opening would have checked.
 * EXIF, XMP and IPTC stay in the file and are read from there when a derivative carries them
 * (image_source_metadata). Any thread; pure but for restored sources' blobs. */
#ifndef WORKER_IMAGE_SOURCE_RECORD_H
#define WORKER_IMAGE_SOURCE_RECORD_H

#include "worker/image/record.h"
#include "worker/image/source.h"

/* Changes whenever records are written differently, or opening finds out other things. */
#define IMAGE_RECORD_DIALECT 1u

/* Writes the record; `ret_record` is empty on entry and borrows parts from the source. RC_UNSUPPORTED where
 * the source is too odd for one, RC_NO_MEMORY. */
RC_MUST_USE enum rc image_source_describe(const struct image_source *source,
                                          const struct image_record_library *library,
                                          struct image_record *ret_record, struct err *err);

/* Only the shape: what a plan and info.json need. RC_CORRUPT. */
RC_MUST_USE enum rc image_record_pyramid(const struct bytes *record, struct image_pyramid *ret_pyramid,
                                         struct err *err);

/* The source, reading from `blob`, which it takes over in every case. RC_CORRUPT when it cannot be what was
 * described; RC_TOO_LARGE, RC_NO_MEMORY. */
RC_MUST_USE enum rc image_source_restore(const struct bytes *record,
                                         const struct image_record_library *library, struct image_blob *blob,
                                         const struct image_source_limits *limits,
                                         struct image_source **ret_source, struct err *err);

#endif
