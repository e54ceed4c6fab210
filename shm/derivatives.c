#include "shm/derivatives.h"

#include "base/own.h"

#include <errno.h>
#include <sys/mman.h>

static size_t up(size_t bytes)
{
    return (bytes + 4095) / 4096 * 4096;
}

enum rc shm_derivatives_make(uint32_t most_files, uint64_t memory_bytes,
                             struct shm_derivatives **ret_derivatives, struct err *err)
{
    uint64_t keys = (uint64_t)most_files + memory_bytes / 4096;
    size_t fences_at = up(sizeof(struct shm_derivatives_counters));
    size_t tier_fences_at = fences_at + up(sizeof(struct shm_fences));
    size_t sketch_at = tier_fences_at + up(sizeof(struct shm_fences));
    size_t catalogue_at = sketch_at + up(shm_sketch_bytes(keys));
    size_t blobs_at = catalogue_at + up(shm_catalogue_bytes(most_files));
    size_t bytes = blobs_at + up(shm_blobs_bytes(memory_bytes));
    OWN_FREE struct shm_derivatives *derivatives = malloc(sizeof *derivatives);
    if (derivatives == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the table of derivatives");
    char *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                        0);
    if (mapped == MAP_FAILED)
        return err_set_errno(err, RC_NO_MEMORY, errno, "no shared memory of %zu bytes for derivatives",
                             bytes);
    *derivatives = (struct shm_derivatives){
        .counters = (struct shm_derivatives_counters *)mapped,
        .fences = (struct shm_fences *)(mapped + fences_at),
        .tier_fences = (struct shm_fences *)(mapped + tier_fences_at),
        .sketch = (struct shm_sketch *)(mapped + sketch_at),
        .catalogue = (struct shm_catalogue *)(mapped + catalogue_at),
        .blobs = (struct shm_blobs *)(mapped + blobs_at),
        .mapped_bytes = bytes,
    };
    shm_fences_init(derivatives->fences);
    shm_fences_init(derivatives->tier_fences);
    shm_sketch_init(derivatives->sketch, keys);
    shm_catalogue_init(derivatives->catalogue, most_files);
    shm_blobs_init(derivatives->blobs, memory_bytes);
    *ret_derivatives = TAKE_PTR(derivatives);
    return RC_OK;
}

void shm_derivatives_free(struct shm_derivatives **derivatives)
{
    struct shm_derivatives *freed = TAKE_PTR(*derivatives);
    if (freed == NULL)
        return;
    munmap(freed->counters, freed->mapped_bytes);
    free(freed);
}
