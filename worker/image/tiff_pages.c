#include "worker/image/tiff_pages.h"

#include "base/own.h"
#include "worker/image/tiff_tags.h"

#include <string.h>

#define HEAD_BYTES     65536u /* what is fetched of a file first */
#define TAIL_BYTES     (UINT64_C(512) << 10)
#define BEHIND_BYTES   40960u /* a directory and, in most files, the tables behind it */
#define MOST_ANNOUNCED 65536u /* of one value */
#define ENTRY_BYTES    8u     /* of a table: that of the first tile */
/* Directories whose values are fetched before anybody asks: the levels of a first page. */
#define MOST_AHEAD 16u

enum {
    SUBFILE_REDUCED = 1,
    SUBFILE_MASK = 4,
    OLD_SUBFILE_REDUCED = 2,
};

/* One directory of the chain, as far as its part in the file depends on it. */
struct tiff_brief {
    uint64_t at;
    struct image_size size;
    uint64_t
        kind[6]; /* bits, compression, photometric, samples, tile width and length: alike in all levels */
    bool reduced, mask;
    uint32_t page; /* 1…; 0: belongs to none */
};

struct tiff_chain {
    struct tiff_brief *brief;
    uint32_t count, capacity;
    bool broken; /* more was announced than could be read */
};

static uint64_t tiff_brief_number(const struct image_tiff_file *file, const struct image_tiff_ifd *ifd,
                                  uint16_t tag, uint64_t preset)
{
    uint64_t number = preset;
    if (image_tiff_number(file, ifd, tag, preset, &number, NULL) != RC_OK)
        return 0; /* a page that will say what is wrong when it is opened */
    return number;
}

static struct tiff_brief tiff_brief_of(const struct image_tiff_file *file, const struct image_tiff_ifd *ifd)
{
    static const struct {
        uint16_t tag, preset;
    } kind[] = {{TAG_BITS, 1},    {TAG_COMPRESSION, 1}, {TAG_PHOTOMETRIC, 0},
                {TAG_SAMPLES, 1}, {TAG_TILE_WIDTH, 0},  {TAG_TILE_LENGTH, 0}};
    struct tiff_brief brief = {.at = ifd->at};
    uint64_t width = tiff_brief_number(file, ifd, TAG_WIDTH, 0),
             height = tiff_brief_number(file, ifd, TAG_LENGTH, 0);
    if (width <= UINT32_MAX && height <= UINT32_MAX)
        brief.size = (struct image_size){(uint32_t)width, (uint32_t)height};
    uint64_t subfile = tiff_brief_number(file, ifd, TAG_NEW_SUBFILE_TYPE, 0);
    brief.mask = (subfile & SUBFILE_MASK) != 0;
    brief.reduced = (subfile & SUBFILE_REDUCED) != 0 ||
                    tiff_brief_number(file, ifd, TAG_OLD_SUBFILE_TYPE, 0) == OLD_SUBFILE_REDUCED;
    for (unsigned i = 0; i < 6; i++)
        brief.kind[i] = tiff_brief_number(file, ifd, kind[i].tag, kind[i].preset);
    return brief;
}

static enum rc tiff_chain_add(struct tiff_chain *chain, const struct tiff_brief *brief, struct err *err)
{
    if (chain->count == chain->capacity) {
        uint32_t capacity = chain->capacity == 0 ? 16 : chain->capacity * 2;
        struct tiff_brief *more = realloc(chain->brief, capacity * sizeof *more);
        if (more == NULL)
            return err_set(err, RC_NO_MEMORY, "no memory for the TIFF's directories");
        chain->brief = more;
        chain->capacity = capacity;
    }
    chain->brief[chain->count++] = *brief;
    return RC_OK;
}

/* Where images come before their directories (as libtiff and libvips write) each directory is found only by
 * the one before it, far away. Those of all small levels lie at the end of the file. */
static void tiff_announce_tail(const struct image_tiff_file *file)
{
    if (file->file_bytes > TAIL_BYTES)
        image_blob_want(file->blob, file->file_bytes - TAIL_BYTES, TAIL_BYTES);
}

/* What opening a level reads besides its directory: to be fetched together with the next one. */
static void tiff_announce_values(const struct image_tiff_file *file, const struct image_tiff_ifd *ifd)
{
    for (uint32_t i = 0; i < ifd->field_count; i++) {
        const struct image_tiff_field *field = &ifd->field[i];
        uint64_t length = field->count * image_tiff_type_bytes(field->type);
        bool is_table = field->tag == TAG_TILE_OFFSETS || field->tag == TAG_TILE_BYTES ||
                        field->tag == TAG_STRIP_OFFSETS || field->tag == TAG_STRIP_BYTES;
        if (!field->in_entry && (is_table || length <= MOST_ANNOUNCED))
            image_blob_want(file->blob, field->at, is_table && length > ENTRY_BYTES ? ENTRY_BYTES : length);
    }
}

/* Follows the chain. A directory that was there before ends it (Brent: compared with one that is moved ahead
 * at powers of two). */
static enum rc tiff_chain_read(const struct image_tiff_file *file, struct tiff_chain *chain, struct err *err)
{
    uint64_t landmark = 0;
    bool is_scattered = file->first_ifd >= HEAD_BYTES;
    if (is_scattered)
        tiff_announce_tail(file);
    for (uint64_t at = file->first_ifd; at != 0;) {
        if (at == landmark || chain->count == IMAGE_TIFF_MAX_DIRECTORIES) {
            chain->broken = true;
            return RC_OK;
        }
        if ((chain->count & (chain->count - 1)) == 0)
            landmark = at;
        OWN(image_tiff_ifd_done) struct image_tiff_ifd ifd = {0};
        if (is_scattered && at < file->file_bytes && chain->count < MOST_AHEAD)
            image_blob_want(file->blob, at, BEHIND_BYTES);
        enum rc rc = image_tiff_ifd_read(file, at, &ifd, err);
        if (rc == RC_CORRUPT && chain->count > 0) {
            chain->broken = true;
            return RC_OK;
        }
        struct tiff_brief brief;
        if (rc == RC_OK && is_scattered && chain->count < MOST_AHEAD)
            tiff_announce_values(file, &ifd);
        if (rc == RC_OK) {
            brief = tiff_brief_of(file, &ifd);
            rc = tiff_chain_add(chain, &brief, err);
        }
        if (rc != RC_OK)
            return rc;
        at = ifd.next;
    }
    return chain->count > 0 ? RC_OK : err_set(err, RC_CORRUPT, "the TIFF has no directory");
}

/* Whether `part` is `whole` divided by 2^shift, rounded one way or another at each step. */
static bool tiff_is_part(uint32_t whole, uint32_t part, unsigned shift)
{
    uint32_t exact = whole >> shift;
    return part + 1 >= exact && part <= exact + 1;
}

static bool tiff_looks_like_level(const struct tiff_brief *page, const struct tiff_brief *before,
                                  const struct tiff_brief *brief)
{
    if (memcmp(page->kind, brief->kind, sizeof page->kind) != 0 || brief->size.width_px == 0 ||
        brief->size.height_px == 0 || image_size_area(brief->size) >= image_size_area(before->size))
        return false;
    for (unsigned shift = 1; shift < 32; shift++)
        if (tiff_is_part(page->size.width_px, brief->size.width_px, shift) &&
            tiff_is_part(page->size.height_px, brief->size.height_px, shift))
            return true;
    return false;
}

/* Gives every directory its page. Returns the number of pages. */
static uint32_t tiff_chain_paginate(struct tiff_chain *chain)
{
    uint32_t pages = 0;
    const struct tiff_brief *first = NULL, *page = NULL, *before = NULL, *before_of_first = NULL;
    for (uint32_t i = 0; i < chain->count; i++) {
        struct tiff_brief *brief = &chain->brief[i];
        if (brief->mask)
            continue;
        if (brief->reduced) {
            brief->page = pages;
        } else if (page != NULL && tiff_looks_like_level(page, before, brief)) {
            brief->page = pages;
            before = brief;
        } else if (page != first && pages == 2 && brief->kind[4] != 0 &&
                   tiff_looks_like_level(first, before_of_first, brief)) {
            /* Slide scanners put a thumbnail between the full size and its tiled levels. */
            brief->page = 1;
            before_of_first = brief;
        } else {
            brief->page = ++pages;
            page = before = brief;
            if (pages == 1)
                first = brief;
        }
        if (page == first)
            before_of_first = before;
    }
    /* Nothing but reduced pictures: take the first for what it is. */
    if (pages == 0 && !chain->brief[0].mask) {
        chain->brief[0].page = 1;
        pages = 1;
    }
    return pages;
}

static void tiff_page_add(struct image_tiff_page *page, uint64_t at)
{
    if (page->candidate_count < IMAGE_TIFF_MAX_CANDIDATES)
        page->candidate_at[page->candidate_count++] = at;
}

static enum rc tiff_page_add_sub_ifds(const struct image_tiff_file *file, struct image_tiff_page *page,
                                      struct err *err)
{
    OWN(image_tiff_ifd_done) struct image_tiff_ifd ifd = {0};
    enum rc rc = image_tiff_ifd_read(file, page->main_at, &ifd, err);
    if (rc != RC_OK)
        return rc;
    const struct image_tiff_field *field = image_tiff_ifd_find(&ifd, TAG_SUB_IFDS);
    if (field == NULL)
        return RC_OK;
    uint64_t at[IMAGE_TIFF_MAX_CANDIDATES] = {0};
    uint32_t count = field->count < IMAGE_TIFF_MAX_CANDIDATES ? (uint32_t)field->count
                                                              : IMAGE_TIFF_MAX_CANDIDATES;
    rc = image_tiff_numbers(file, field, 0, count, at, err);
    for (uint32_t i = 0; rc == RC_OK && i < count; i++)
        tiff_page_add(page, at[i]);
    return rc;
}

static void tiff_chain_done(struct tiff_chain *chain)
{
    free(chain->brief);
}

enum rc image_tiff_page_find(const struct image_tiff_file *file, uint32_t page,
                             struct image_tiff_page *ret_page, struct err *err)
{
    OWN(tiff_chain_done) struct tiff_chain chain = {0};
    enum rc rc = tiff_chain_read(file, &chain, err);
    if (rc != RC_OK)
        return rc;
    struct image_tiff_page found = {.page_count = tiff_chain_paginate(&chain)};
    if (page > found.page_count && chain.broken)
        return err_set(err, RC_CORRUPT, "the TIFF's chain of directories breaks after %u pages",
                       found.page_count);
    if (page > found.page_count)
        return err_set(err, RC_NOT_FOUND, "the source has %u page%s, not %u", found.page_count,
                       found.page_count == 1 ? "" : "s", page);
    for (uint32_t i = 0; i < chain.count; i++) {
        if (chain.brief[i].page != page)
            continue;
        if (found.main_at == 0)
            found.main_at = chain.brief[i].at;
        else
            tiff_page_add(&found, chain.brief[i].at);
    }
    rc = tiff_page_add_sub_ifds(file, &found, err);
    if (rc == RC_OK)
        *ret_page = found;
    return rc;
}
