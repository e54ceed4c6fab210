/* Which directories of a TIFF are pages, and which are smaller copies of a page.
 *
 * TIFF knows only a chain of directories. Here a following directory is a level of the page before it when it
 * says so (reduced-resolution bit) or looks like it: same kind of pixels and layout, the page's size divided
 * by a power of two, smaller than the level before. SubIFDs belong to their page. Masks are nothing to us.
 * All others are pages. Any thread; the caller owns the result. */
#ifndef WORKER_IMAGE_TIFF_PAGES_H
#define WORKER_IMAGE_TIFF_PAGES_H

#include "worker/image/geometry.h"
#include "worker/image/tiff_ifd.h"

#define IMAGE_TIFF_MAX_DIRECTORIES 10000u
#define IMAGE_TIFF_MAX_CANDIDATES  64u

struct image_tiff_page {
    uint32_t page_count;
    uint64_t main_at;         /* the directory of the full size */
    uint32_t candidate_count; /* directories that may be smaller levels of it, in file order */
    uint64_t candidate_at[IMAGE_TIFF_MAX_CANDIDATES];
};

/* Finds page `page`, from 1. RC_NOT_FOUND when there are fewer. A chain of directories that breaks, loops or
 * grows beyond all bounds ends there, unless the page would lie behind: RC_CORRUPT. RC_IO, RC_NO_MEMORY. */
RC_MUST_USE enum rc image_tiff_page_find(const struct image_tiff_file *file, uint32_t page,
                                         struct image_tiff_page *ret_page, struct err *err);

#endif
