#include "worker/ingest/blocks.h"

#include "base/own.h"

#include <stdlib.h>

static void free_block(struct ingest_block *block)
{
    free(block->memory);
    free(block);
}

enum rc ingest_blocks_take(struct ingest_blocks *blocks, struct ingest_block **ret_block, struct err *err)
{
    struct ingest_block *block = blocks->spare;

    if (block != NULL) {
        blocks->spare = block->next;
        *ret_block = block;
        return RC_OK;
    }
    block = calloc(1, sizeof *block);
    if (block == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a tile");
    enum rc rc = image_planes_alloc(&blocks->format, blocks->size, SIZE_MAX, &block->memory, &block->band,
                                    err);
    if (rc == RC_OK)
        *ret_block = block;
    else
        free_block(block);
    return rc;
}

void ingest_blocks_put(struct ingest_blocks *blocks, struct ingest_block *block)
{
    block->next = blocks->spare;
    blocks->spare = block;
}

void ingest_blocks_done(struct ingest_blocks *blocks)
{
    while (blocks->spare != NULL) {
        struct ingest_block *block = blocks->spare;
        blocks->spare = block->next;
        free_block(block);
    }
}
